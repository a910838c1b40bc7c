"""Whose fault an exception is: that of memory, of the machine, or of the code."""

import errno

import pytest
import torch

from bench.errors import WrongGradient
from bench.runner.faults import judge, judge_abort

NOTE = "\nCUDA kernel errors might be asynchronously reported at some other API call."
ACCELERATOR = getattr(torch, "AcceleratorError", RuntimeError)


@pytest.mark.parametrize(
    "problem",
    [
        MemoryError("too much"),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate more than 1EB memory."),
        ACCELERATOR("CUDA error: out of memory" + NOTE),
        RuntimeError("CUDA error: out of memory" + NOTE),
        RuntimeError("CUDA driver error: out of memory"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
        RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
        RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate"),
        RuntimeError("std::bad_alloc"),
    ],
    ids=lambda problem: str(problem)[:40],
)
def test_memory_that_ran_out(problem):
    status, error = judge(problem)
    assert status == "oom"
    assert error == f"{type(problem).__name__}: {problem}"


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: unknown error",
        "CUDA error: initialization error",
        "CUDA error: no CUDA-capable device is detected",
        "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
        "CUDA error: the launch timed out and was terminated",
        "CUDA error: no kernel image is available for execution on the device",
        "CUDA error: MPS client failed to connect to the MPS control daemon or the MPS server",
        "CUDA error: the remote procedural call between the MPS server and the MPS client failed",
        "CUDA error: driver shutting down",
        "CUDA driver error: unknown error",
        "CUDA driver shutting down",
        "CUDA error: device lost",
        "Triton Error [CUDA]: no CUDA-capable device is detected",
        "Unexpected error from cudaGetDeviceCount(). Error 802: system not yet initialized",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
        "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
        "Found no NVIDIA driver on your system.",
        "No CUDA GPUs are available",
        "CUDA driver initialization failed, you might not have a CUDA gpu.",
        "CUDA unknown error - this may be due to an incorrectly set up environment",
        "0 active drivers ([]). There should only be one.",
    ],
)
def test_a_fault_of_the_machine_is_one_sentence(said):
    status, error = judge(ACCELERATOR(said + NOTE))
    assert status == "interrupted"
    assert error == f"the GPU or its driver failed, not the method: {ACCELERATOR.__name__}: {said}"


@pytest.mark.parametrize(
    "problem",
    [
        ACCELERATOR("CUDA error: an illegal memory access was encountered" + NOTE),
        ACCELERATOR("CUDA error: device-side assert triggered" + NOTE),
        RuntimeError("CUDA error: misaligned address"),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        RuntimeError("cuDNN error: CUDNN_STATUS_BAD_PARAM"),
        RuntimeError("an unknown error of my own: out of memory of the last spike"),
        ValueError("CUDA error: out of memory"),
        OSError(errno.ENOENT, "No such file or directory"),
    ],
    ids=lambda problem: str(problem)[:40],
)
def test_what_a_method_can_have_done_is_its_failure(problem):
    assert judge(problem) == ("failed", f"{type(problem).__name__}: {problem}")


def raised(problem, *, cause=None, hidden=False):
    """The exception that a handler of `cause` raises: from it, or hiding it."""
    try:
        try:
            raise cause
        except Exception as first:
            if hidden:
                raise problem from None
            raise problem from first
    except Exception as found:
        return found


@pytest.mark.parametrize("hidden", [False, True])
def test_what_a_compiler_wraps_is_what_counts(hidden):
    wrapped = raised(RuntimeError("backend raised"), cause=MemoryError(), hidden=hidden)
    outer = raised(ValueError("cannot compile"), cause=wrapped, hidden=hidden)
    assert judge(outer) == ("oom", "ValueError: cannot compile")
    lost = RuntimeError("CUDA error: uncorrectable ECC error encountered")
    status, error = judge(raised(ValueError("cannot compile"), cause=lost, hidden=hidden))
    assert (status, error.rpartition(": ")[2]) == ("interrupted", "uncorrectable ECC error encountered")
    assert judge(raised(ValueError("b"), cause=ValueError("a"), hidden=hidden)) == ("failed", "ValueError: b")


def test_memory_goes_before_what_follows_from_its_lack():
    full = RuntimeError("CUDA error: out of memory")
    assert judge(raised(RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), cause=full))[0] == "oom"


def test_exceptions_in_a_circle_end():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert judge(first) == ("failed", "ValueError: a")


@pytest.mark.parametrize(
    ("said", "ending"),
    [
        ("std::bad_alloc", ("oom", "the process ended with SIGABRT: memory ran out")),
        (
            "CUDA error: uncorrectable ECC error\nCUDA kernel errors might",
            (
                "interrupted",
                "the GPU or its driver failed, not the method: CUDA error: uncorrectable ECC error",
            ),
        ),
        ("CUDA error: device-side assert triggered", None),
    ],
)
def test_the_last_words_of_what_cpp_ended(said, ending):
    words = f"CUDA out of memory, said the method\nterminate called after throwing a thing\n  what():  {said}"
    assert judge_abort(words) == ending


def test_other_last_words_say_nothing():
    assert judge_abort("CUDA out of memory, said the method, and went on") is None


def test_a_wrong_gradient_is_no_failure_of_the_method():
    assert judge(WrongGradient("no gradient of w")) == ("interrupted", "no gradient of w")


def test_a_change_in_place_is_said_in_words():
    width = torch.ones((), requires_grad=True)
    loss = width * width
    square = loss * loss
    loss.mul_(0.9)
    with pytest.raises(RuntimeError) as caught:
        square.backward()
    for problem in (caught.value, ValueError("of a compiler")):
        problem.__cause__ = None if problem is caught.value else caught.value
        assert judge(problem) == (
            "failed",
            "the method changes a tensor in place that the backward pass needs: `spikegrad check` says "
            "where, and what to do instead",
        )
