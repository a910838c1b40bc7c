"""Compare all pairs of rows of a task together: which rows differ, and the interval of each difference.

Each row has one score per seed, and all rows have the same seeds. Three to five seeds are too few to estimate
the variance of one pair, but the pairs of a task inform each other: their variances shrink toward a common
one, the more alike they are, the more (Smyth 2004, "Linear models and empirical Bayes methods",
Stat. Appl. Genet. Mol. Biol. 3, sections 3 and 6.2). The Bonferroni correction covers all pairs, since
the best of a task is chosen by the same scores. One family of intervals decides everything: verdicts, ranks,
p and equivalence. docs/tables.md lists the assumptions and the error rates in simulations.

Shapes: k rows, n seeds, and leading dimensions ("...") for any number of tables, each compared on its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, nctdtrinc, polygamma, stdtr, stdtrit

from bench.tables.statistics import LEVEL, Values

Matrix = NDArray[np.float64]

FEWEST = 3
"""With fewer seeds, no two rows are told apart."""
MARGIN = 1.0
"""Rows that differ by less, in the unit of the scores, are practically equal."""
TRUSTED = 1 / 3
"""The largest share of a task's degrees of freedom, (k - 1)(n - 1), that one variance can have.

The prior's degrees of freedom are estimated from few variances: using all of them breaks the level.
"""
BORROWED = 2.0
"""The most degrees of freedom that one variance can borrow, as a multiple of its own.

With three seeds, a row whose scores vary much more than all others sometimes looks as stable as they do. With
more borrowing, such a row is called worse, or the best, too often.
"""
POWER = 0.8
MOST_SEEDS = 1000
"""The largest number of seeds that the search tries."""
ROUNDING = 1e-9
"""Differences below this fraction of the scores are rounding, not measurement."""


@dataclass(frozen=True)
class AllPairs:
    """scores [..., k, n]: k rows over n seeds, in any unit."""

    scores: Matrix

    @property
    def pairs(self) -> int:
        """The number of comparisons in a table."""
        k = int(self.scores.shape[-2])
        return k * (k - 1) // 2

    @property
    def judged(self) -> bool:
        """Whether there are two or more rows, and enough seeds to compare them."""
        k, n = self.scores.shape[-2:]
        return bool(k > 1 and n >= FEWEST)

    @cached_property
    def _rounding(self) -> Matrix:
        """Differences up to this size count as zero, [..., 1, 1]."""
        found: Matrix = ROUNDING * np.abs(self.scores).max(axis=(-2, -1), initial=1.0, keepdims=True)
        return found

    @cached_property
    def differences(self) -> Matrix:
        """Mean of row i minus mean of row j, [..., k, k]."""
        means = self.scores.mean(axis=-1)
        found = means[..., :, None] - means[..., None, :]
        return np.where(np.abs(found) <= self._rounding, 0.0, found)

    @cached_property
    def _moderated(self) -> tuple[Matrix, Matrix, Matrix]:
        """Variance of a pair's difference [..., k, k]; its degrees of freedom and the prior's [..., 1, 1]."""
        *tables, k, n = self.scores.shape
        variances = np.zeros((*tables, k, k))
        for i in range(k):
            variances[..., i, :] = (self.scores[..., i : i + 1, :] - self.scores).var(axis=-1, ddof=1)
        variances[variances <= self._rounding**2] = 0.0
        own = n - 1
        # At most k / 2 pairs are independent of each other.
        degrees, common = prior(_above_diagonal(variances), own, k // 2)
        most = own * min(TRUSTED * (k - 1) - 1, BORROWED)
        degrees = np.minimum(degrees, max(most, 0.0))[..., None, None]
        mixed = (degrees * common[..., None, None] + own * variances) / (degrees + own)
        mixed[..., np.arange(k), np.arange(k)] = 0.0
        return mixed, degrees + own, degrees

    @cached_property
    def halves(self) -> Matrix:
        """Half the width of each interval [..., k, k]; NaN where the variance is unknown."""
        variances, degrees, _ = self._moderated
        n = self.scores.shape[-1]
        limit = stdtrit(degrees, 1 - (1 - LEVEL) / (2 * max(self.pairs, 1)))
        unknown = (variances == 0) & (self.differences != 0)
        return np.where(unknown, math.nan, limit * np.sqrt(variances / n))

    @cached_property
    def p(self) -> Matrix:
        """Two-sided p of each pair, adjusted for all pairs; 1 where two rows are equal seed by seed."""
        variances, degrees, _ = self._moderated
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(self.differences) / np.sqrt(variances / self.scores.shape[-1])
        found = np.minimum(1.0, 2 * stdtr(degrees, -t) * self.pairs)
        found = np.where(np.isnan(self.halves), math.nan, found)
        return np.where((variances == 0) & (self.differences == 0), 1.0, found)

    @cached_property
    def better(self) -> NDArray[np.bool_]:
        """Whether row i is better than row j and their interval excludes zero, [..., k, k]."""
        return self.differences > np.where(np.isnan(self.halves), math.inf, self.halves)

    @property
    def equivalent(self) -> NDArray[np.bool_]:
        """Whether the interval of i minus j lies within the margin, [..., k, k]: two one-sided tests."""
        return np.abs(self.differences) + np.where(np.isnan(self.halves), math.inf, self.halves) <= MARGIN

    @property
    def bests(self) -> NDArray[np.intp]:
        """The row with the highest mean in each table, [...]; the first if several are equal."""
        found: NDArray[np.intp] = self.differences[..., 0].argmax(axis=-1)
        return found

    @property
    def best(self) -> int:
        """The row with the highest mean, for a single table."""
        return int(self.bests)

    def of_bests(self, found: NDArray[Any]) -> NDArray[Any]:
        """From a matrix over pairs, the row that belongs to each table's best: [..., k, k] to [..., k]."""
        return np.take_along_axis(found, self.bests[..., None, None], axis=-2)[..., 0, :]

    @property
    def rank_ranges(self) -> list[tuple[int, int]]:
        """The lowest and highest possible rank of each row of one table, from the rows above and below it.

        A row that cannot be told from the best can have rank 1, even if a third row, whose scores vary less,
        is better than it.
        """
        better = self.better
        lows = np.where(better[self.best], 1 + better.sum(axis=0), 1)
        highs = len(better) - better.sum(axis=1)
        return [*zip(lows.tolist(), highs.tolist(), strict=True)]

    def detectable(self, seeds: int | None = None) -> float:
        """The true difference that the design of one table detects with POWER, for the median pair.

        seeds: a hypothetical number of seeds with the same spread. NaN if no pair varies. Ignores the other
        side of the test: Cohen (1988), "Statistical Power Analysis for the Behavioral Sciences", chapter 2.
        """
        variances, _, of_prior = self._moderated
        k, n = self.scores.shape
        spread = float(np.median(_above_diagonal(variances))) if k > 1 else 0.0
        n = seeds or n
        if not spread > 0 or n < 2:
            return math.nan
        degrees = float(of_prior.item()) + n - 1
        limit = float(stdtrit(degrees, 1 - (1 - LEVEL) / (2 * self.pairs)))
        return float(nctdtrinc(degrees, 1 - POWER, limit)) * math.sqrt(spread / n)

    def seeds_for(self, difference: float) -> int | None:
        """The number of seeds that would show this true difference; None if MOST_SEEDS are too few."""
        low, high = FEWEST, MOST_SEEDS
        if not self.detectable(high) <= difference:
            return None
        while low < high:
            middle = (low + high) // 2
            if self.detectable(middle) <= difference:
                high = middle
            else:
                low = middle + 1
        return low


def _above_diagonal(of: Matrix) -> Matrix:
    """Each pair once: [..., k, k] to [..., pairs]."""
    i, j = np.triu_indices(of.shape[-1], 1)
    return of[..., i, j]


def prior(variances: Matrix, degrees: int, independent: int) -> tuple[Values, Values]:
    """Degrees of freedom and location of the distribution that these variances come from: both [...].

    variances [..., pairs]: each estimated with `degrees` degrees of freedom; `independent` of them are
    independent. Infinite degrees of freedom where they differ by no more than chance; (0, 0) where fewer
    than two are independent, or above 0. A variance of exactly 0, as from accuracies that a small test set
    rounds, has no logarithm and counts as the smallest of the others.

    Source: Smyth (2004), section 6.2: moments of the logarithm.
    """
    above = variances > 0
    few = np.minimum(above.sum(axis=-1), independent) < 2
    if independent < 2:
        return np.zeros(few.shape), np.zeros(few.shape)
    smallest = np.where(above, variances, math.inf).min(axis=-1, keepdims=True, initial=math.inf)
    known = np.maximum(variances, np.where(np.isfinite(smallest), smallest, 1.0))
    logs = np.log(known) - digamma(degrees / 2) + math.log(degrees / 2)
    centre = logs.mean(axis=-1)
    excess = logs.var(axis=-1) * independent / (independent - 1) - polygamma(1, degrees / 2)
    found = 2 * _inverse_trigamma(np.where(excess > 0, excess, 1.0))
    location = np.exp(centre + np.where(excess > 0, digamma(found / 2) - np.log(found / 2), 0.0))
    return np.where(few, 0.0, np.where(excess > 0, found, math.inf)), np.where(few, 0.0, location)


def _inverse_trigamma(values: Values) -> Values:
    """Newton's method on 1 / trigamma, which is nearly linear: Smyth (2004), appendix."""
    x = 0.5 + 1 / values
    for _ in range(50):
        here = polygamma(1, x)
        step = here * (1 - here / values) / polygamma(2, x)
        x = x + step
        if np.all(-step / x < 1e-10):
            break
    return x
