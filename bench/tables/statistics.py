"""Intervals and tests for a handful of seeds.

Two methods run on the same seeds are compared by their differences, seed by seed. Everything here
is a pure function of 1-D float arrays, one value per seed, in any unit. Undefined results are NaN.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Values = NDArray[np.float64]

LEVEL = 0.95
"""Confidence of every interval; 1 - LEVEL is the error rate of every family of comparisons."""

MAX_SIGN_FLIPS = 40
"""The most differences whose sign flips are all counted: two halves of 2^20 sums."""

_ROUNDING = 1e-9
"""Differences below this fraction of the values that they come from are rounding, not measurement."""


class Interval(NamedTuple):
    """A confidence interval, in the unit of the values."""

    low: float
    high: float


class Paired(NamedTuple):
    """Result of a paired comparison: the mean of n differences, and its t-interval."""

    n: int
    mean: float
    low: float
    high: float


class Summary(NamedTuple):
    """Summary of a sample: its mean, sd and number of values."""

    mean: float
    sd: float
    n: int


class Welch(NamedTuple):
    """A difference of two means, its interval, and the two-sided p of Welch's test."""

    difference: float
    low: float
    high: float
    p: float


def mean(values: Values) -> float:
    """Arithmetic mean; NaN without values."""
    return float(values.mean()) if values.size else math.nan


def sd(values: Values) -> float:
    """Sample standard deviation (denominator n - 1); exactly 0 for equal values, NaN for fewer than two."""
    if values.size < 2:
        return math.nan
    # By rounding, the mean of equal values can differ from them.
    return float(values.std(ddof=1)) if np.ptp(values) else 0.0


def means_and_sds(samples: Sequence[Values]) -> list[tuple[float, float]]:
    """`mean` and `sd` of each sample, to the last bit; samples of one size are computed together."""
    found = [(math.nan, math.nan)] * len(samples)
    by_size: dict[int, list[int]] = defaultdict(list)
    for place, values in enumerate(samples):
        by_size[values.size].append(place)
    for size, places in by_size.items():
        if size < 2:
            pairs = [(mean(samples[place]), math.nan) for place in places]
        else:
            together = np.stack([samples[place] for place in places])
            sds = np.where(np.ptp(together, axis=1) == 0, 0.0, together.std(axis=1, ddof=1))
            pairs = [*zip(together.mean(axis=1).tolist(), sds.tolist(), strict=True)]
        for place, pair in zip(places, pairs, strict=True):
            found[place] = pair
    return found


def half_interval(n: int, sd: float) -> float:
    """Half of Student's interval of a mean of n values with this sd: t(n - 1) · sd / √n. NaN if n < 2.

    Source: Student (1908), "The probable error of a mean", Biometrika 6.
    """
    return float(stdtrit(n - 1, (1 + LEVEL) / 2)) * sd / math.sqrt(n) if n > 1 else math.nan


def t_interval(values: Values) -> Interval:
    """Student's interval of the mean. NaN for fewer than two values."""
    centre, half = mean(values), half_interval(values.size, sd(values))
    return Interval(centre - half, centre + half)


def differences(a: Values, b: Values) -> Values:
    """Return a - b, seed by seed.

    Accuracies are multiples of one over the size of the test set, but their differences in binary
    are not. Values that are equal up to rounding become exactly equal, so that ties count as ties.
    """
    found = a - b
    if not found.size:
        return found
    rounding = _ROUNDING * max(np.abs(a).max(), np.abs(b).max())
    if np.ptp(found) <= rounding:
        found = np.full_like(found, found.mean())
    return np.where(np.abs(found) <= rounding, 0.0, found)


def paired(a: Values, b: Values) -> Paired:
    """Compare a with b, paired by position: a's advantage and its t-interval."""
    found = differences(a, b)
    return Paired(found.size, mean(found), *t_interval(found))


def welch(mine: Summary, theirs: Summary) -> Welch:
    """Compare the means of two independent samples by their mean, sd and size alone.

    NaN if a sample has fewer than two values, or neither varies: there is no scale to judge by.

    Source: Welch (1947), "The generalization of Student's problem when several different population
    variances are involved", Biometrika 34.
    """
    difference = mine.mean - theirs.mean
    if min(mine.n, theirs.n) < 2 or not mine.sd**2 + theirs.sd**2 > 0:
        return Welch(difference, math.nan, math.nan, math.nan)
    a, b = mine.sd**2 / mine.n, theirs.sd**2 / theirs.n
    degrees = (a + b) ** 2 / (a**2 / (mine.n - 1) + b**2 / (theirs.n - 1))
    spread = math.sqrt(a + b)
    half = float(stdtrit(degrees, (1 + LEVEL) / 2)) * spread
    p = 2 * float(stdtr(degrees, -abs(difference) / spread))
    return Welch(difference, difference - half, difference + half, p)


def holm(p_values: Sequence[float]) -> list[float]:
    """Step-down adjusted p-values, in the order given.

    NaN stands for a comparison that was made but has no p: it stays NaN and counts in the family as
    if it were 1. The other p-values are then valid whatever its p would have been.

    Source: Holm (1979), "A simple sequentially rejective multiple test procedure", Scand. J. Stat. 6.
    """
    adjusted = [math.nan] * len(p_values)
    known = sorted((p, i) for i, p in enumerate(p_values) if not math.isnan(p))
    floor = 0.0
    for step, (p, i) in enumerate(known):
        floor = max(floor, min(1.0, p * (len(p_values) - step)))
        adjusted[i] = floor
    return adjusted


def sign_flip(found: Values) -> float:
    """Exact two-sided p of the mean difference among all 2^n ways to flip the signs; NaN without any.

    Sums the two halves separately and combines them by a sorted search: 2^(n/2) steps, not 2^n.
    Raises ValueError for more than MAX_SIGN_FLIPS differences.

    Source: Fisher (1935), "The Design of Experiments", section 21.
    """
    if found.size > MAX_SIGN_FLIPS:
        raise ValueError(f"sign_flip counts at most {MAX_SIGN_FLIPS} differences, not {found.size}")
    if not found.size:
        return math.nan
    # Despite rounding, sums that tie with the observed one must count as at least as extreme.
    observed = abs(found.sum()) - _ROUNDING * np.abs(found).sum()
    if observed <= 0:
        return 1.0
    left, right = (_signed_sums(half) for half in np.array_split(found, 2))
    right.sort()
    extreme = left.size * right.size - int(np.searchsorted(right, observed - left).sum())
    return 2 * extreme / 2.0**found.size


def sign_flips(family: Sequence[Values]) -> list[float]:
    """Holm-adjusted `sign_flip` of each comparison of a family.

    NaN if even the smallest p that n pairs can give, 2^(1-n), would not survive the adjustment, or if
    there are more than MAX_SIGN_FLIPS pairs.
    """

    def worthwhile(n: int) -> bool:
        return n <= MAX_SIGN_FLIPS and 2.0 ** (1 - n) * len(family) <= 1 - LEVEL + _ROUNDING

    return holm([sign_flip(found) if worthwhile(found.size) else math.nan for found in family])


def _signed_sums(values: Values) -> Values:
    """All 2^n sums of ± values."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums
