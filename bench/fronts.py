"""Who is on a Pareto front, counting only differences that exceed noise.

A point leaves the front where another is at least as good in everything, and better in something by more
than noise. What noise put a little lower stays: a front of means alone ranks the noise.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

from bench.statistics import Values, t_interval

Point = TypeVar("Point", bound=Hashable)

SAME_STEP = 0.1
"""Times of training steps are single measurements, without a spread: less than a tenth apart is the same."""


def front(values: Mapping[Point, Sequence[float]], better: Callable[[Point, Point], bool]) -> set[Point]:
    """The points that no other dominates.

    values: of each point what it is judged by, more is better, so that prices are negative. better: whether
    the first point is better than the second in any of these by more than noise.
    """

    def dominated(point: Point) -> bool:
        return any(
            all(o >= p for o, p in zip(values[other], values[point], strict=True)) and better(other, point)
            for other in values
            if other != point
        )

    return {point for point in values if not dominated(point)}


def lower(a: Values, b: Values) -> bool:
    """Whether the mean of a is lower than that of b beyond their spread: their t-intervals lie apart.

    Not where either has fewer than two values, of which no spread is known.
    """
    return bool(t_interval(a).high < t_interval(b).low)


def faster(a: float, b: float) -> bool:
    """Whether a training step of a is shorter than one of b by more than measurements of one differ."""
    return a < b * (1 - SAME_STEP)
