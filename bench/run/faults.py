"""Whose fault it is that a training ended: memory ran out, the machine failed, or the code did.

CUDA has no classes of errors: what it says tells them apart, and torch raises most of it as a RuntimeError.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Literal

from bench.errors import WrongGradient

Status = Literal["oom", "interrupted", "failed"]

_SAID_BY_CUDA = r"(?:CUDA(?: driver)? error|Triton Error \[CUDA\]|Error \d+): "
"""Before what CUDA calls an error, where torch, its compiler or Triton repeat it."""

MEMORY = re.compile(
    rf"{_SAID_BY_CUDA}out of memory|CUDA out of memory|CUDA_ERROR_OUT_OF_MEMORY|CUDA ran out of memory"
    # What the libraries say that find no room for a handle or a workspace.
    r"|CU\w+_STATUS_ALLOC_FAILED|CUFFT_ALLOC_FAILED|CUDNN_STATUS_INTERNAL_ERROR_\w+_ALLOCATION_FAILED"
    r"|Unable to find a valid cuDNN algorithm"
    # What torch says where the system gives a CPU no more.
    r"|DefaultCPUAllocator|C10 Out of Memory|std::bad_alloc"
)
"""Memory of the device or of the machine ran out."""

MACHINE = re.compile(
    rf"{_SAID_BY_CUDA}(?:"
    r"uncorrectable (?:ECC|NVLink) error|Invalid access of peer GPU memory over nvlink or a hardware error"
    r"|driver shutting down|unknown error|initialization error|system not yet initialized"
    r"|no CUDA-capable device|invalid device ordinal|no kernel image is available"
    r"|CUDA-capable device\(s\) is/are busy|exclusive-thread device already in use|context is destroyed"
    r"|CUDA driver (?:version is insufficient|is a stub)|system has unsupported display driver"
    r"|forward compatibility was attempted|device doesn't have valid Grid license"
    # A limit on the time of a kernel, where the GPU also draws a screen.
    r"|the launch timed out|[^\n]*MPS |the hardware resources required to"
    r")"
    r"|CUDA driver shutting down|(?:GPU|[Dd]evice) (?:is |was )?lost"
    r"|Found no NVIDIA driver|No CUDA GPUs are available|CUDA driver initialization failed|CUDA unknown error"
    r"|0 active drivers"
    # Whole calls of a library that depend on no argument of ours; failed kernels are no part of them.
    r"|CU\w+_STATUS_NOT_INITIALIZED|CU(?:BLAS|DNN)_STATUS_INTERNAL_ERROR"
)
"""The GPU, its driver or the installation failed.

Not here: illegal memory access, misaligned address, device-side assert, unspecified launch failure, and
CUBLAS_STATUS_EXECUTION_FAILED and the like, by which libraries report these. A method's own kernel or index
can cause each of them.
"""


def judge(problem: BaseException) -> tuple[Status, str]:
    """The status of what ended with this exception, and why in words.

    What it was raised from counts too: a compiler wraps what it meets.
    """
    if isinstance(problem, WrongGradient):
        return "interrupted", str(problem)
    chain = list(_chain(problem))
    if any(_is_memory(each) for each in chain):
        return "oom", _said(problem)
    for each in chain:
        if isinstance(each, RuntimeError) and MACHINE.search(str(each)):
            return "interrupted", _of_machine(_said(each))
    return "failed", _said(problem)


def judge_abort(last_words: str) -> tuple[Status, str] | None:
    """The same of a process that C++ ended, from what it printed; None where that says nothing of it."""
    _, found, said = last_words.rpartition("terminate called after throwing")
    if found and MEMORY.search(said):
        return "oom", "the process ended with SIGABRT: memory ran out"
    if found and (fault := MACHINE.search(said)):
        return "interrupted", _of_machine(said[fault.start() :])
    return None


def _of_machine(said: str) -> str:
    return f"the GPU or its driver failed, not the method: {said.splitlines()[0]}"


def _said(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}"


def _chain(problem: BaseException) -> Iterator[BaseException]:
    """The exception, what it was raised from, and so on.

    Also what `from None` hides: torch's compiler does so with what its backend raised.
    """
    seen: set[int] = set()
    each: BaseException | None = problem
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        yield each
        each = each.__cause__ or each.__context__


def _is_memory(problem: BaseException) -> bool:
    import torch

    if isinstance(problem, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    if isinstance(problem, OSError):
        return problem.errno == errno.ENOMEM
    return isinstance(problem, RuntimeError) and MEMORY.search(str(problem)) is not None
