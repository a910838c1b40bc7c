"""Find the usable GPUs and their free memory, in a separate process.

The query creates a CUDA context on each GPU, a few hundred MB that the process holds until it ends: in the
engine's process, training would lose this memory. NVML needs no context, but numbers GPUs in a different
order from CUDA, ignores CUDA_VISIBLE_DEVICES, and would be one more dependency. Also, if a separate process
hangs or dies in the driver, the run survives.
"""

from __future__ import annotations

import os
import tempfile
from multiprocessing.connection import Connection, wait
from pathlib import Path

from bench.errors import BenchError, warn
from bench.runner.engines.process import died, end, start
from bench.runner.gpus import Gpu, about, visible
from bench.runner.worker import listen, send_output_to

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
    with tempfile.TemporaryDirectory(prefix="spikegrad-gpus-") as folder:
        process, pipe = start(_answer, None, Path(folder) / "gpus.log")
        try:
            # A child of a dead process can hold the pipe open, so watch the process itself too.
            if not wait([pipe, process.sentinel], LIMIT):
                raise BenchError(f"the GPUs did not answer for {LIMIT:g} s: {ADVICE}")
            if pipe.poll():
                answer: Answer = pipe.recv()
                return answer
        except (EOFError, OSError):
            pass
        finally:
            # Give it time to end with an exit code.
            process.join(1)
            end(process)
            pipe.close()
        raise BenchError(f"asking the GPUs for their memory, {died(process.exitcode)[1]}: {ADVICE}")


def _answer(_: None, pipe: Connection, log: Path) -> None:
    """Entry point of the process."""
    os.setsid()
    send_output_to(log)
    listen(pipe)
    pipe.send(look())


def look() -> Answer:
    """Query the GPUs in this process; starts CUDA."""
    import torch

    found, broken = list[Gpu](), list[str]()
    for index in range(torch.cuda.device_count()):
        try:
            free, _ = torch.cuda.mem_get_info(index)
            found.append(Gpu(visible(index), float(free), about(index)))
        except Exception as problem:
            # A broken or full GPU must not affect the others.
            said = next(iter(str(problem).splitlines()), type(problem).__name__)
            broken.append(f"GPU {index} cannot be used ({said})")
    return found, broken
