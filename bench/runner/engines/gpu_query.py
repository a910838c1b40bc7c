"""Find the usable GPUs and their free memory, in a separate process.

The query creates a CUDA context on each GPU, a few hundred MB that the process holds until it ends: in the
engine's process, training would lose this memory. NVML needs no context, but numbers GPUs in a different
order from CUDA, ignores CUDA_VISIBLE_DEVICES, and would be one more dependency. Also, if a separate process
hangs or dies in the driver, the run survives.
"""

from __future__ import annotations

from bench.errors import BenchError, warn
from bench.runner.engines.process import NoAnswer, ask
from bench.runner.gpus import Gpu, about, visible

LIMIT = 120.0
"""Seconds in which all GPUs must answer; a driver that is not yet loaded takes several seconds per GPU."""
ADVICE = "see what `nvidia-smi` says, or use --device cpu"

Answer = tuple[list[Gpu], list[str]]
"""The usable GPUs, and a sentence about each unusable one."""


def usable_gpus() -> list[Gpu]:
    """Every usable GPU, in CUDA's order; warns about unusable ones.

    free: measured while the querying process holds its own context. Raises BenchError if no GPU is usable.
    """
    found, broken = _asked()
    if not found:
        why = "; ".join(broken) or "torch finds none"
        raise BenchError(f"no GPU can be used: {why}: {ADVICE}")
    for sentence in broken:
        warn(f"{sentence}; it is left out")
    return found


def _asked() -> Answer:
    (answer,) = ask(look, [None], limit=LIMIT)
    if isinstance(answer, NoAnswer):
        raise BenchError(f"asking the GPUs for their memory, {answer.why}: {ADVICE}")
    found: Answer = answer
    return found


def look(_: object = None) -> Answer:
    """Query the GPUs in this process; starts CUDA."""
    import torch

    found, broken = list[Gpu](), list[str]()
    for index in range(torch.cuda.device_count()):
        try:
            free, _total = torch.cuda.mem_get_info(index)
            found.append(Gpu(visible(index), float(free), about(index)))
        except Exception as problem:
            # A broken or full GPU must not affect the others.
            said = next(iter(str(problem).splitlines()), type(problem).__name__)
            broken.append(f"GPU {index} cannot be used ({said})")
    return found, broken
