"""Measure the time of a forward pass and of a training step, and the memory of training.

Runs in a separate process. Times are wall times of single calls after warm-up; GPU calls are synchronised
before and after.
"""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.model.backbone import Network
from bench.model.precision import Precision
from bench.suite import Profile, Recipe

BATCHES = (1, 100)
FOR_P95 = 20
"""The fewest calls for a 95th percentile."""
MILLI = 1e3


@dataclass(frozen=True)
class Rounds:
    """How often something is timed: at least `usual` times, and until `seconds` have passed.

    If that takes longer than `limit` seconds there are fewer calls, but at least `least`; fast calls are
    limited to `most`. warm: warm-up calls. If a call takes `slow` seconds or more there is only one warm-up
    call, and after `patience` seconds there are no further calls at all.
    """

    warm: int = 3
    least: int = 5
    usual: int = 20
    most: int = 2000
    seconds: float = 0.7
    limit: float = 2.0
    slow: float = 5.0
    patience: float = 60.0

    def enough(self, count: int, elapsed: float) -> bool:
        """Whether to stop after `count` calls and `elapsed` seconds."""
        if count and elapsed >= self.patience:
            return True
        if count < self.least:
            return False
        if count >= self.most or elapsed >= self.limit:
            return True
        return count >= self.usual and elapsed >= self.seconds


USUAL = Rounds()


def inference(network: Network, samples: Callable[[int], Tensor], rounds: Rounds) -> dict[str, float]:
    """Milliseconds of one forward pass in evaluation, at batch 1 and 100, and samples/s at batch 100.

    samples: returns the given number of samples as input of the network. With fewer than 20 calls there is no
    95th percentile.
    """
    network.eval()
    found: dict[str, float] = {}
    with torch.no_grad():
        for batch in BATCHES:
            x = samples(batch)
            times = timed(lambda x=x: network(x), x.device, rounds)  # type: ignore[misc]
            found[f"calls_batch{batch}"] = len(times)
            found[f"inference_ms_p50_batch{batch}"] = float(np.median(times)) * MILLI
            if len(times) >= FOR_P95:
                found[f"inference_ms_p95_batch{batch}"] = float(np.percentile(times, 95)) * MILLI
    found["throughput"] = batch / (found[f"inference_ms_p50_batch{batch}"] / MILLI)
    return found


def training(
    make: Callable[[], Network],
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    rounds: Rounds,
    profile: Profile | None = None,
) -> dict[str, float]:
    """Milliseconds of one training step on a batch, and the peak memory of training, in MB.

    make: returns the network on its device. x [B, ...], y [B]: a batch of the recipe's size. profile: sets
    compilation and mixed precision. Compilation takes `compile_s` seconds, less if the compiler's disk cache
    has parts of it; a network that cannot be compiled is timed eager, as it trains. On a GPU, memory is the
    device's own counter. Elsewhere it is the process's high-water mark minus its memory before the network
    was made; another network is trained first, so that libraries loaded at first use do not count.
    """
    from bench.model import compiling
    from bench.model.loss import loss_of
    from bench.runner.train import optimizers, step, trained_on

    profile, loss = profile or Profile(compile="off"), loss_of(recipe)
    mode, precision, compile_seconds = profile.compile, Precision(profile), list[float]()

    def steps() -> Callable[[], object]:
        network = make().train()
        if mode == "neuron" or mode == "step":
            compile_seconds.append(
                compiling.prepare(network, mode, x, y, partial(trained_on, loss=loss), precision)[0]
            )
        own = optimizers(network, recipe)
        return lambda: step(network, own, x, y, precision, loss=loss)

    first = steps()
    # Twice: some libraries allocate differently when they see a shape again.
    if _seconds(first, x.device) < rounds.patience:
        first()
    # Free the first network before making the second: the device may not have room for both.
    del first
    high = HighWater(x.device)
    second = steps()
    # The memory of compilation, including a copy of the network, is freed before training.
    high.forget()
    times = timed(second, x.device, rounds)
    return {
        "calls_training": len(times),
        "train_step_ms_p50": float(np.median(times)) * MILLI,
        "compile_s": compile_seconds[0] if compile_seconds else 0.0,
        "peak_memory_mb": high.mb(),
    }


def timed(
    action: Callable[[], object],
    device: torch.device,
    rounds: Rounds,
    clock: Callable[[], float] = time.perf_counter,
) -> Sequence[float]:
    """Seconds of each call, with the device synchronised."""
    times = list[float]()
    for number in range(rounds.warm):
        took = _seconds(action, device, clock)
        # The first call can load and compile: only the second shows how long a call takes. A slow one counts.
        if number and took >= rounds.slow:
            times.append(took)
            break
    began = clock() - sum(times)
    while not rounds.enough(len(times), clock() - began):
        times.append(_seconds(action, device, clock))
    return times


def _seconds(
    action: Callable[[], object], device: torch.device, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds of one call, with the device synchronised."""

    def wait() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock()

    start = wait()
    action()
    return wait() - start


class HighWater:
    """The peak memory in use since the object was made, above the memory in use at that time."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.forget()
        self.start = torch.cuda.memory_allocated(device) / 2**20 if device.type == "cuda" else self._now()

    def forget(self) -> None:
        """Reset the peak to the memory in use now; `mb` is still relative to the memory at the start."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return
        # Otherwise memory that was in use before, such as for imports, hides what is used now. If the system
        # does not allow the reset, less is measured.
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):
            CLEAR.write_text("5")

    def mb(self) -> float:
        """The peak above the start, in MB of 2^20 bytes."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20 - self.start
        return self._now() - self.start

    def _now(self) -> float:
        if PROCESS.exists():
            fields = dict(line.split(":", 1) for line in PROCESS.read_text().splitlines() if ":" in line)
            return int(fields["VmHWM"].split()[0]) / 2**10
        high = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return high / 2**20 if sys.platform == "darwin" else high / 2**10


PROCESS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
"""On Linux, VmHWM is the high-water mark, and writing 5 resets it to the memory in use."""
