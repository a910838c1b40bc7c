"""Classify why a run ended with an error: out of memory, a machine fault, or a fault of the code.

CUDA has no error classes: only the messages differ, and torch raises most of them as RuntimeError.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from typing import Literal

from bench.errors import WrongGradient

Status = Literal["oom", "interrupted", "failed"]

_SAID_BY_CUDA = r"(?:CUDA(?: driver)? error|Triton Error \[CUDA\]|Error \d+): "
"""The prefix of a CUDA error message, as torch, its compiler and Triton write it."""

MEMORY = re.compile(
    rf"{_SAID_BY_CUDA}out of memory|CUDA out of memory|CUDA_ERROR_OUT_OF_MEMORY|CUDA ran out of memory"
    # Messages of libraries that cannot allocate a handle or a workspace.
    r"|CU\w+_STATUS_ALLOC_FAILED|CUFFT_ALLOC_FAILED|CUDNN_STATUS_INTERNAL_ERROR_\w+_ALLOCATION_FAILED"
    r"|Unable to find a valid cuDNN algorithm"
    # Messages of torch if the system runs out of CPU memory.
    r"|DefaultCPUAllocator|C10 Out of Memory|std::bad_alloc"
)
"""Messages if the device or the machine runs out of memory."""

MACHINE = re.compile(
    rf"{_SAID_BY_CUDA}(?:"
    r"uncorrectable (?:ECC|NVLink) error|Invalid access of peer GPU memory over nvlink or a hardware error"
    r"|driver shutting down|unknown error|initialization error|system not yet initialized"
    r"|no CUDA-capable device|invalid device ordinal|no kernel image is available"
    r"|CUDA-capable device\(s\) is/are busy|exclusive-thread device already in use|context is destroyed"
    r"|CUDA driver (?:version is insufficient|is a stub)|system has unsupported display driver"
    r"|forward compatibility was attempted|device doesn't have valid Grid license"
    # A time limit on kernels, if the GPU also drives a display.
    r"|the launch timed out|[^\n]*MPS |the hardware resources required to"
    r")"
    r"|CUDA driver shutting down|(?:GPU|[Dd]evice) (?:is |was )?lost"
    r"|Found no NVIDIA driver|No CUDA GPUs are available|CUDA driver initialization failed|CUDA unknown error"
    r"|0 active drivers"
    # Library calls that do not depend on our arguments; failed kernels are not included.
    r"|CU\w+_STATUS_NOT_INITIALIZED|CU(?:BLAS|DNN)_STATUS_INTERNAL_ERROR"
)
"""Messages if the GPU, its driver or the installation fails.

Not included: illegal memory access, misaligned address, device-side assert, unspecified launch failure, and
CUBLAS_STATUS_EXECUTION_FAILED and the like, with which libraries report these. A method's own kernel or index
can cause each of them.
"""

IN_PLACE = "has been modified by an inplace operation"
"""Part of torch's message if a tensor that a graph has saved was changed before its backward pass."""
CHANGED_IN_PLACE = "the method changes a tensor in place that the backward pass needs"


def changes_in_place(problem: BaseException) -> bool:
    """Whether a tensor was changed in place that the backward pass needs."""
    return any(isinstance(each, RuntimeError) and IN_PLACE in str(each) for each in _chain(problem))


def judge(problem: BaseException) -> tuple[Status, str]:
    """The status of a run that ended with this exception, and the reason in words.

    The causes of the exception count too: a compiler wraps the errors that it catches.
    """
    if isinstance(problem, WrongGradient):
        return "interrupted", str(problem)
    chain = list(_chain(problem))
    if any(_is_memory(each) for each in chain):
        return "oom", _said(problem)
    for each in chain:
        if isinstance(each, RuntimeError) and MACHINE.search(str(each)):
            return "interrupted", _of_machine(_said(each))
    if changes_in_place(problem):
        return "failed", f"{CHANGED_IN_PLACE}: `spikegrad check` says where, and what to do instead"
    return "failed", _said(problem)


def judge_abort(last_words: str) -> tuple[Status, str] | None:
    """As `judge`, for a process that C++ aborted, from its output; None if the output does not tell."""
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
    """The exception, its cause, and so on.

    Includes causes hidden by `from None`: torch's compiler hides the errors of its backend in this way.
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
