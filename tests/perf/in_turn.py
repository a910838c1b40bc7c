"""Times several things in turn, A B C A B C ..., so that whatever else goes on meets all of them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median, quantiles
from typing import Any, NamedTuple

import torch

from bench.metrics.latency import HighWater

Times = Mapping[str, Sequence[float]]


class Ratio(NamedTuple):
    """The median over rounds, and its quartiles."""

    value: float
    low: float | None
    high: float | None


def in_turn(actions: Mapping[str, Callable[[], Any]], rounds: int = 15, warm: int = 2) -> Times:
    """Seconds of each call, device synchronised; every round calls each once."""
    for action in actions.values():
        for _ in range(warm):
            action()
    times: dict[str, list[float]] = {name: [] for name in actions}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, action in actions.items():
                began = _now()
                action()
                times[name].append(_now() - began)
    finally:
        gc.enable()
    return times


def ratio(times: Times, subject: str, against: str) -> Ratio:
    """How many times as long one takes as another, round by round."""
    pairs = zip(times[subject], times[against], strict=True)
    return _spread([mine / theirs for mine, theirs in pairs])


def seconds(times: Times, subject: str) -> Ratio:
    """How long one takes."""
    return _spread(times[subject])


def fastest(times: Times, among: Sequence[str]) -> str:
    """The one with the smallest median."""
    return min(among, key=lambda name: median(times[name]))


def peak_memory(make: Callable[[], Callable[[], Any]], device: torch.device) -> float:
    """MB that the action of make() needs at most over what there was before it was made.

    Another one is made and called first: what libraries load at their first use is no part of it.
    """
    first = make()
    for _ in range(2):
        first()
    del first
    high = HighWater(device)
    action = make()
    for _ in range(3):
        action()
    return high.mb()


def _spread(values: Sequence[float]) -> Ratio:
    low, _, high = quantiles(values, n=4) if len(values) > 1 else (None,) * 3
    return Ratio(median(values), low, high)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
