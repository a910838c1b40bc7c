"""Every pair of rows of a task, compared together: who is told from whom, and by what interval.

Each row has one score a seed, and all rows have the same seeds. With three to five seeds a pair alone knows
too little of its own variance, but the pairs of a task inform each other: their variances are drawn toward a
common one, by as much as they resemble each other (Smyth 2004, "Linear models and empirical Bayes methods",
Stat. Appl. Genet. Mol. Biol. 3, sections 3 and 6.2). All pairs are adjusted for, by Bonferroni, since
the best of a task is chosen by the same scores. One family of intervals decides everything: verdicts, ranks,
p and equivalence. What it assumes, and how often it errs in simulations: docs/tables.md.

Shapes: k rows, n seeds, and before them any number of tables ("...") that are compared one by one.
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
"""Seeds below which nothing is told apart."""
MARGIN = 1.0
"""In the unit of the scores: rows that differ by less are practically equal."""
TRUSTED = 1 / 3
"""The most of the degrees of freedom of a whole task, (k - 1)(n - 1), that one variance may have.

The prior's own degrees are estimated from few variances: with all of them the level is not held.
"""
BORROWED = 2.0
"""The most degrees of freedom that one variance may borrow, as a multiple of its own.

A row whose scores vary much more than all others' looks like them in some tables of three seeds. Whoever
borrows more calls it worse, or the best, in too many of these.
"""
MOST_SEEDS = 1000
"""Where the search for a number of seeds ends."""
ROUNDING = 1e-9
"""Of the scores: smaller differences are rounding, not measurement."""


@dataclass(frozen=True)
class AllPairs:
    """scores [..., k, n]: k rows over n seeds, in any unit."""

    scores: Matrix

    @property
    def pairs(self) -> int:
        """How many comparisons there are in a table."""
        k = int(self.scores.shape[-2])
        return k * (k - 1) // 2

    @property
    def judged(self) -> bool:
        """Whether there is anything to tell apart, and enough seeds for it."""
        k, n = self.scores.shape[-2:]
        return bool(k > 1 and n >= FEWEST)

    @cached_property
    def _rounding(self) -> Matrix:
        """Differences up to it are none, [..., 1, 1]."""
        found: Matrix = ROUNDING * np.abs(self.scores).max(axis=(-2, -1), initial=1.0, keepdims=True)
        return found

    @cached_property
    def differences(self) -> Matrix:
        """Mean of row i less mean of row j, [..., k, k]."""
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
        # Of all pairs k / 2 at most are independent of each other.
        degrees, common = prior(_above_diagonal(variances), own, k // 2)
        most = own * min(TRUSTED * (k - 1) - 1, BORROWED)
        degrees = np.minimum(degrees, max(most, 0.0))[..., None, None]
        mixed = (degrees * common[..., None, None] + own * variances) / (degrees + own)
        mixed[..., np.arange(k), np.arange(k)] = 0.0
        return mixed, degrees + own, degrees

    @cached_property
    def halves(self) -> Matrix:
        """Half the width of each interval [..., k, k]; NaN where nothing says how much it varies."""
        variances, degrees, _ = self._moderated
        n = self.scores.shape[-1]
        limit = stdtrit(degrees, 1 - (1 - LEVEL) / (2 * max(self.pairs, 1)))
        unknown = (variances == 0) & (self.differences != 0)
        return np.where(unknown, math.nan, limit * np.sqrt(variances / n))

    @cached_property
    def p(self) -> Matrix:
        """Two-sided p of each pair, adjusted for all of them; 1 where two rows are equal seed by seed."""
        variances, degrees, _ = self._moderated
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(self.differences) / np.sqrt(variances / self.scores.shape[-1])
        found = np.minimum(1.0, 2 * stdtr(degrees, -t) * self.pairs)
        found = np.where(np.isnan(self.halves), math.nan, found)
        return np.where((variances == 0) & (self.differences == 0), 1.0, found)

    @cached_property
    def better(self) -> NDArray[np.bool_]:
        """Whether row i is better than row j beyond its interval, [..., k, k]."""
        return self.differences > np.where(np.isnan(self.halves), math.inf, self.halves)

    @property
    def equivalent(self) -> NDArray[np.bool_]:
        """Whether the interval of i less j lies within the margin, [..., k, k]: two one-sided tests."""
        return np.abs(self.differences) + np.where(np.isnan(self.halves), math.inf, self.halves) <= MARGIN

    @property
    def bests(self) -> NDArray[np.intp]:
        """The row with the highest mean of each table, [...]; the first of equal ones."""
        found: NDArray[np.intp] = self.differences[..., 0].argmax(axis=-1)
        return found

    @property
    def best(self) -> int:
        """The row with the highest mean, of one table."""
        return int(self.bests)

    def of_bests(self, found: NDArray[Any]) -> NDArray[Any]:
        """The row of each table's best in something that there is of every pair: [..., k, k] to [..., k]."""
        return np.take_along_axis(found, self.bests[..., None, None], axis=-2)[..., 0, :]

    @property
    def rank_ranges(self) -> list[tuple[int, int]]:
        """The lowest and highest rank of each row of one table: as many are better, and as many are worse.

        1 is open to each that cannot be told from the best, also where a third row, whose scores vary less,
        is better than it.
        """
        better = self.better
        lows = np.where(better[self.best], 1 + better.sum(axis=0), 1)
        highs = len(better) - better.sum(axis=1)
        return [*zip(lows.tolist(), highs.tolist(), strict=True)]

    def detectable(self, seeds: int | None = None, power: float = 0.8) -> float:
        """The true difference that the design of one table finds with this power, for the median pair.

        seeds: as if there were so many, of the same spread. NaN where no pair varies. The other side of the
        test is left out: Cohen (1988), "Statistical Power Analysis for the Behavioral Sciences", chapter 2.
        """
        variances, _, of_prior = self._moderated
        k, n = self.scores.shape
        spread = float(np.median(_above_diagonal(variances))) if k > 1 else 0.0
        n = seeds or n
        if not spread > 0 or n < 2:
            return math.nan
        degrees = float(of_prior.item()) + n - 1
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


def _above_diagonal(of: Matrix) -> Matrix:
    """Each pair once: [..., k, k] to [..., pairs]."""
    i, j = np.triu_indices(of.shape[-1], 1)
    return of[..., i, j]


def prior(variances: Matrix, degrees: int, independent: int) -> tuple[Values, Values]:
    """Degrees of freedom and location of the distribution that these variances come from: both [...].

    variances [..., pairs]: each estimated with so many degrees of freedom; so many of them are independent.
    Infinity where they differ by no more than chance; (0, 0) where fewer than two are independent, or above
    0. Those of exactly 0, as of accuracies that a small test set rounds, stand for the smallest of the
    others: they have no logarithm.

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
    """Newton's method on 1 / trigamma, which is nearly straight: Smyth (2004), appendix."""
    x = 0.5 + 1 / values
    for _ in range(50):
        here = polygamma(1, x)
        step = here * (1 - here / values) / polygamma(2, x)
        x = x + step
        if np.all(-step / x < 1e-10):
            break
    return x
