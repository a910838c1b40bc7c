"""Every pair of rows of a task, compared together: who is told from whom, and by what interval.

Each row has one score a seed, and all rows have the same seeds. With three to five seeds a pair alone knows
too little of its own variance, but the pairs of a task inform each other: their variances are drawn toward a
common one, by as much as they resemble each other (Smyth 2004, "Linear models and empirical Bayes methods",
Stat. Appl. Genet. Mol. Biol. 3, sections 3 and 6.2). All pairs are adjusted for, by Bonferroni, since
the best of a task is chosen by the same scores. One family of intervals decides everything: verdicts, ranks,
p and equivalence. What it assumes, and how often it errs in simulations: docs/tables.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, nctdtrinc, polygamma, stdtr, stdtrit

from bench.statistics import LEVEL, Values

Matrix = NDArray[np.float64]

FEWEST = 3
"""Seeds below which nothing is told apart."""
MARGIN = 1.0
"""In the unit of the scores: rows that differ by less are practically equal."""
TRUSTED = 0.5
"""The most of the degrees of freedom of a whole task, (k - 1)(n - 1), that one variance may borrow.

The prior's own degrees are estimated from few variances: with all of them the level is not held.
"""
MOST_SEEDS = 1000
"""Where the search for a number of seeds ends."""
ROUNDING = 1e-9
"""Of the scores: smaller differences are rounding, not measurement."""


@dataclass(frozen=True)
class AllPairs:
    """scores [k, n]: k rows over n seeds, in any unit."""

    scores: Matrix

    @property
    def pairs(self) -> int:
        """How many comparisons there are."""
        k = len(self.scores)
        return k * (k - 1) // 2

    @property
    def judged(self) -> bool:
        """Whether there is anything to tell apart, and enough seeds for it."""
        k, n = self.scores.shape
        return bool(k > 1 and n >= FEWEST)

    @cached_property
    def differences(self) -> Matrix:
        """Mean of row i less mean of row j, [k, k]."""
        means = self.scores.mean(axis=1)
        found = means[:, None] - means[None, :]
        return np.where(np.abs(found) <= ROUNDING * np.abs(self.scores).max(initial=1.0), 0.0, found)

    @cached_property
    def _moderated(self) -> tuple[Matrix, float, float]:
        """Variance of a pair's difference [k, k], its degrees of freedom, and those of the prior."""
        k, n = self.scores.shape
        variances = np.zeros((k, k))
        for i in range(k):
            variances[i] = (self.scores[i] - self.scores).var(axis=1, ddof=1)
        variances[variances <= (ROUNDING * np.abs(self.scores).max(initial=1.0)) ** 2] = 0.0
        own = n - 1
        # Of all pairs k / 2 at most are independent of each other.
        degrees, common = prior(variances[np.triu_indices(k, 1)], own, k // 2)
        degrees = min(degrees, max(TRUSTED * (k - 1) * own - own, 0.0))
        mixed = (degrees * common + own * variances) / (degrees + own)
        np.fill_diagonal(mixed, 0.0)
        return mixed, degrees + own, degrees

    @cached_property
    def halves(self) -> Matrix:
        """Half the width of each interval [k, k]; NaN where nothing says how much a difference varies."""
        variances, degrees, _ = self._moderated
        n = self.scores.shape[1]
        limit = float(stdtrit(degrees, 1 - (1 - LEVEL) / (2 * max(self.pairs, 1))))
        unknown = (variances == 0) & (self.differences != 0)
        return np.where(unknown, math.nan, limit * np.sqrt(variances / n))

    @cached_property
    def p(self) -> Matrix:
        """Two-sided p of each pair, adjusted for all of them; 1 where two rows are equal seed by seed."""
        variances, degrees, _ = self._moderated
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(self.differences) / np.sqrt(variances / self.scores.shape[1])
        found = np.minimum(1.0, 2 * stdtr(degrees, -t) * self.pairs)
        found = np.where(np.isnan(self.halves), math.nan, found)
        return np.where((variances == 0) & (self.differences == 0), 1.0, found)

    @cached_property
    def better(self) -> NDArray[np.bool_]:
        """Whether row i is better than row j beyond its interval, [k, k]."""
        return self.differences > np.where(np.isnan(self.halves), math.inf, self.halves)

    @property
    def equivalent(self) -> NDArray[np.bool_]:
        """Whether the interval of i less j lies within the margin, [k, k]: two one-sided tests."""
        return np.abs(self.differences) + np.where(np.isnan(self.halves), math.inf, self.halves) <= MARGIN

    @property
    def best(self) -> int:
        """The row with the highest mean; the first of equal ones."""
        return int(self.differences[:, 0].argmax())

    @property
    def rank_ranges(self) -> list[tuple[int, int]]:
        """The lowest and highest rank of each row: as many are better, and as many are worse.

        1 is open to each that cannot be told from the best, also where a third row, whose scores vary less,
        is better than it.
        """
        better = self.better
        lows = np.where(better[self.best], 1 + better.sum(axis=0), 1)
        highs = len(better) - better.sum(axis=1)
        return [*zip(lows.tolist(), highs.tolist(), strict=True)]

    def detectable(self, seeds: int | None = None, power: float = 0.8) -> float:
        """The true difference that this design finds with this power, for the median pair.

        seeds: as if there were so many, of the same spread. NaN where no pair varies. The other side of the
        test is left out: Cohen (1988), "Statistical Power Analysis for the Behavioral Sciences", chapter 2.
        """
        variances, _, of_prior = self._moderated
        k, n = self.scores.shape
        spread = float(np.median(variances[np.triu_indices(k, 1)])) if k > 1 else 0.0
        n = seeds or n
        if not spread > 0 or n < 2:
            return math.nan
        degrees = of_prior + n - 1
        limit = float(stdtrit(degrees, 1 - (1 - LEVEL) / (2 * self.pairs)))
        return float(nctdtrinc(degrees, 1 - power, limit)) * math.sqrt(spread / n)

    def seeds_for(self, difference: float, power: float = 0.8) -> int | None:
        """How many seeds would show such a true difference; None where no number up to MOST_SEEDS would."""
        low, high = FEWEST, MOST_SEEDS
        if not self.detectable(high, power) <= difference:
            return None
        while low < high:
            middle = (low + high) // 2
            if self.detectable(middle, power) <= difference:
                high = middle
            else:
                low = middle + 1
        return low


def prior(variances: Values, degrees: int, independent: int) -> tuple[float, float]:
    """Degrees of freedom and location of the distribution that these variances come from.

    variances: each estimated with so many degrees of freedom; so many of them are independent. Infinity
    where they differ by no more than chance; (0, 0) where fewer than two are independent, or above 0. Those
    of exactly 0, as of accuracies that a small test set rounds, stand for the smallest of the others: they
    have no logarithm.

    Source: Smyth (2004), section 6.2: moments of the logarithm.
    """
    known = variances[variances > 0]
    if min(len(known), independent) < 2:
        return 0.0, 0.0
    logs = np.log(np.maximum(variances, known.min())) - digamma(degrees / 2) + math.log(degrees / 2)
    centre = float(logs.mean())
    excess = float(logs.var() * independent / (independent - 1) - polygamma(1, degrees / 2))
    if excess <= 0:
        return math.inf, math.exp(centre)
    found = 2 * _inverse_trigamma(excess)
    return found, math.exp(centre + float(digamma(found / 2)) - math.log(found / 2))


def _inverse_trigamma(value: float) -> float:
    """Newton's method on 1 / trigamma, which is nearly straight: Smyth (2004), appendix."""
    x = 0.5 + 1 / value
    for _ in range(50):
        here = float(polygamma(1, x))
        step = here * (1 - here / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-10:
            break
    return x
