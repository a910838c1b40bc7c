"""Times several things in turn, A B C A B C ..., so that whatever slows the machine slows all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple

import numpy as np
import torch


class Spread(NamedTuple):
    """The median of several rounds, between their quartiles; these are None after a single round."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Pace:
    """How often: `warm` rounds that do not count, then `rounds`.

    Once `seconds` have passed no further round begins, but for the first `least`.
    """

    warm: int = 2
    least: int = 5
    rounds: int = 12
    seconds: float = 15.0


@dataclass(frozen=True)
class Times:
    """Seconds by name, one a round; all have the same rounds."""

    seconds: Mapping[str, Sequence[float]]

    def of(self, name: str) -> Spread:
        """Seconds of one call."""
        return spread(self.seconds[name])

    def ratio(self, name: str, against: str) -> Spread:
        """How many times as long as `against` it takes, compared within each round."""
        pairs = zip(self.seconds[name], self.seconds[against], strict=True)
        return spread([one / other for one, other in pairs])

    def fastest(self, names: Sequence[str]) -> str:
        """Which of them has the smallest median."""
        return min(names, key=lambda name: self.of(name).value)


def in_turn(
    subjects: Mapping[str, Callable[[], object]],
    device: torch.device,
    pace: Pace = Pace(),
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Call each of the subjects once a round; on a GPU each call is waited for."""

    def wait() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock()

    for _ in range(pace.warm):
        for call in subjects.values():
            call()
    seconds: dict[str, list[float]] = {name: [] for name in subjects}
    began = wait()
    with _collecting_between_calls() as collect:
        for done in range(pace.rounds):
            if done >= pace.least and wait() - began >= pace.seconds:
                break
            for name, call in subjects.items():
                collect()
                start = wait()
                call()
                seconds[name].append(wait() - start)
    return Times(seconds)


def spread(values: Sequence[float]) -> Spread:
    """Of the rounds."""
    if len(values) == 1:
        return Spread(values[0], None, None)
    return Spread(median(values), *(float(q) for q in np.quantile(values, (0.25, 0.75))))


@contextmanager
def _collecting_between_calls() -> Iterator[Callable[[], object]]:
    """Python's garbage is collected when no call is timed: none pays for what another left."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield gc.collect
    finally:
        if before:
            gc.enable()
