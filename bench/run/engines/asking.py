"""Which GPUs can be used, and how much of their memory is free, asked in a process of its own.

To ask makes a CUDA context on each, some hundred MB that the asking process holds until it ends: in the
engine's it would be lost to the trainings. NVML needs no context, but numbers GPUs in another order than
CUDA, knows nothing of CUDA_VISIBLE_DEVICES, and would be one more dependency. A process that hangs in the
driver, or dies of it, also takes no run with it.
"""

from __future__ import annotations

import os
import tempfile
from multiprocessing.connection import Connection, wait
from pathlib import Path

from bench.errors import BenchError, warn
from bench.run.engines.process import died, end, start
from bench.run.gpus import Gpu, about, visible
from bench.run.worker import listen, send_output_to

LIMIT = 120.0
"""Seconds in which all GPUs must have answered; a driver that nothing has loaded takes several for each."""
ADVICE = "see what `nvidia-smi` says, or use --device cpu"

Answer = tuple[list[Gpu], list[str]]
"""The GPUs that can be used, and a sentence about each that cannot."""


def usable_gpus() -> list[Gpu]:
    """Every GPU that can be used, in CUDA's order; warns of those that cannot.

    free is what is left beside the asking process's own context. Raises BenchError where there is none.
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
            # A child of a dead process may hold the pipe open: that it has ended must be seen by itself.
            if not wait([pipe, process.sentinel], LIMIT):
                raise BenchError(f"the GPUs did not answer for {LIMIT:g} s: {ADVICE}")
            if pipe.poll():
                answer: Answer = pipe.recv()
                return answer
        except (EOFError, OSError):
            pass
        finally:
            # It may be about to say by its exit code how it ended.
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
    """What this process finds; starts CUDA in it."""
    import torch

    found, broken = list[Gpu](), list[str]()
    for index in range(torch.cuda.device_count()):
        try:
            free, _ = torch.cuda.mem_get_info(index)
            found.append(Gpu(visible(index), float(free), about(index)))
        except Exception as problem:
            # One that is broken or full must not take the others with it.
            said = next(iter(str(problem).splitlines()), type(problem).__name__)
            broken.append(f"GPU {index} cannot be used ({said})")
    return found, broken
