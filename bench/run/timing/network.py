"""How long a forward pass and a training step take, and the memory of training, in a process of its own.

Wall times of single calls, after some to warm up, with the device synchronised before and after each.
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
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.model.backbone import Network
from bench.model.precision import Precision
from bench.suite import Profile, Recipe

BATCHES = (1, 100)
FOR_P95 = 20
"""The fewest calls of which one in twenty is slower than something."""
MILLI = 1e3


@dataclass(frozen=True)
class Rounds:
    """How often something is timed: `usual` times, and on until `seconds` have passed.

    Where so many would take longer than `limit` seconds there are fewer, but never under `least`; `most`
    bounds what is quick. warm: calls before the first that counts. Where a call takes `slow` seconds there
    is one of these only, and after `patience` seconds no further call of either kind.
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
        """Whether to stop after that many calls and seconds."""
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

    samples: as many as asked for, as the network takes them. Of fewer than 20 calls no 95th percentile.
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
    """Milliseconds of one training step on a batch; the most memory that training takes, in MB.

    make: gives the network on its device. x [B, ...], y [B]: a batch of the recipe's size. profile: whether
    it is compiled, which takes `compile_s` seconds, less where the compiler has kept something on disk, and
    computed in mixed precision; what cannot be compiled is timed as it trains, eager. Memory is the
    device's own counter on a GPU; elsewhere the process's high-water mark above what it had before the
    network was made, after another one has been trained: what libraries load at their first use is no
    part of it.
    """
    from bench.model import compiling
    from bench.run.train import optimizers, step, trained_on

    profile = profile or Profile(compile="off")
    mode, precision, compile_seconds = profile.compile, Precision(profile), list[float]()

    def steps() -> Callable[[], object]:
        network = make().train()
        if mode == "neuron" or mode == "step":
            compile_seconds.append(compiling.prepare(network, mode, x, y, trained_on, precision)[0])
        own = optimizers(network, recipe)
        return lambda: step(network, own, x, y, precision)

    first = steps()
    # Twice: some libraries choose their memory anew when they see a shape again.
    if _seconds(first, x.device) < rounds.patience:
        first()
    # It goes before the next one comes: a device need not have room for two.
    del first
    high = HighWater(x.device)
    second = steps()
    # What compiling takes, a copy of the network included, is over before the training.
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
    """Seconds of each call, device synchronised."""
    times = list[float]()
    for number in range(rounds.warm):
        took = _seconds(action, device, clock)
        # The first may load and compile: only the second tells how long a call takes, and then counts.
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
    """Of one call, device synchronised."""

    def wait() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock()

    start = wait()
    action()
    return wait() - start


class HighWater:
    """The most memory in use since it was made, over what was in use then."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.forget()
        self.start = torch.cuda.memory_allocated(device) / 2**20 if device.type == "cuda" else self._now()

    def forget(self) -> None:
        """Count from what is in use now; `mb` is still over what was in use at the start."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
            return
        # Otherwise what was once in use, as for imports, hides what is used now. Where the system does
        # not let us, less is seen.
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        with suppress(OSError):
            CLEAR.write_text("5")

    def mb(self) -> float:
        """In MB of 2^20 bytes."""
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
"""Linux's: VmHWM is the high-water mark, and writing 5 sets it to what is in use."""
