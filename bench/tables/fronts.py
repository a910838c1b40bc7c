"""Pareto fronts that count only differences larger than noise.

A method leaves the front if another is at least as accurate, better in something by more than noise, and
worse in nothing by more than noise. A front of means alone ranks the noise: a method that is clearly less
accurate stays on it if its training step was timed a hair shorter.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

from bench.tables.statistics import Values, t_interval

Point = TypeVar("Point", bound=Hashable)

SAME_STEP = 0.1
"""Training steps are timed once, without a spread: times less than a tenth apart count as the same."""


def front(accuracy: Mapping[Point, float], better: Sequence[Callable[[Point, Point], bool]]) -> set[Point]:
    """The points that no other point dominates.

    accuracy: means; a point never dominates one with a higher mean. better: for accuracy and for each price,
    a function that says whether the first point is better than the second by more than noise.
    """

    def dominates(a: Point, b: Point) -> bool:
        return (
            accuracy[a] >= accuracy[b]
            and any(beyond(a, b) for beyond in better)
            and not any(beyond(b, a) for beyond in better)
        )

    return {point for point in accuracy if not any(dominates(other, point) for other in accuracy)}


def lower(a: Values, b: Values) -> bool:
    """Whether the mean of a is lower than that of b beyond their spread: their t-intervals do not overlap.

    False if either has fewer than two values, since its spread is unknown.
    """
    return bool(t_interval(a).high < t_interval(b).low)


def faster(a: float, b: float) -> bool:
    """Whether a training step of a is shorter than one of b by more than measurement noise."""
    return a < b * (1 - SAME_STEP)
