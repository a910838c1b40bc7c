"""Statistics over several tasks that have few runs each and differ in difficulty.

The runs of a method are a sequence of 1-D float arrays, one array per task and one value per run; tasks can
have different numbers of runs. Random numbers come from numpy's legacy generator, which is frozen, so the
same runs give the same interval on any machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.tables.statistics import LEVEL, Interval, Values

RESAMPLES = 1000
FEWEST_TASKS = 5
"""With fewer tasks, a critical difference says nothing: it counts tasks, not seeds."""
Runs = Sequence[Values]


class Estimate(NamedTuple):
    """A number with its bootstrap interval."""

    value: float
    low: float
    high: float


class Critical(NamedTuple):
    """Friedman's test and Nemenyi's critical difference of average ranks.

    ranks: average rank of each method, 1 is best. difference: two methods whose ranks differ by less
    cannot be told apart. p: of Friedman's test, with the null hypothesis that all methods are alike.
    groups: the largest sets of two or more methods, as positions, in which no two can be told apart.
    """

    ranks: list[float]
    difference: float
    p: float
    groups: list[list[int]]


def interquartile_mean(runs: Runs) -> Estimate:
    """The mean of the middle half of all runs of all tasks, with its stratified bootstrap interval.

    Runs are resampled within each task. NaN without runs; no interval if no task has two runs.

    Source: Agarwal et al. (2021), "Deep RL at the edge of the statistical precipice", section 4.
    """
    if not sum(task.size for task in runs):
        return Estimate(math.nan, math.nan, math.nan)
    tasks = [task for task in runs if task.size]
    value = float(_middle(np.concatenate(tasks)[None])[0])
    if not any(task.size > 1 for task in tasks):
        return Estimate(value, math.nan, math.nan)
    (places,) = _draws((tuple(task.size for task in tasks),))
    drawn = np.concatenate([task[of] for task, of in zip(tasks, places, strict=True)], axis=1)
    return Estimate(value, *_ends(_middle(drawn)))


def probability_of_improvement(runs: Runs, other: Runs) -> Estimate:
    """The chance that a run is better than one of `other` on the same task, mean over tasks; ties count half.

    0.5 means that neither is better. Both arguments list the tasks in the same order; a task without runs
    of both is left out. The interval comes from a stratified bootstrap.

    Source: Agarwal et al. (2021), section 4.3; Mann and Whitney (1947), Ann. Math. Stat. 18.
    """
    both = [(x, y) for x, y in zip(runs, other, strict=True) if x.size and y.size]
    if not both:
        return Estimate(math.nan, math.nan, math.nan)
    better = [(x[:, None] > y) + 0.5 * (x[:, None] == y) for x, y in both]
    value = float(np.mean([pairs.mean() for pairs in better]))
    if not any(pairs.size > 1 for pairs in better):
        return Estimate(value, math.nan, math.nan)
    mine, theirs = _weights(tuple(tuple(sizes) for sizes in zip(*(w.shape for w in better), strict=True)))
    drawn = [((w @ pairs) * v).sum(axis=1) for w, pairs, v in zip(mine, better, theirs, strict=True)]
    return Estimate(value, *_ends(np.mean(drawn, axis=0)))


def performance_profile(runs: Runs, levels: Sequence[float]) -> list[float]:
    """For each level, the share of all runs of all tasks that reach it.

    Source: Dolan and Moré (2002), Math. Program. 91; Agarwal et al. (2021), section 4.2.
    """
    ordered = np.sort(np.concatenate(runs))
    return [float(1 - np.searchsorted(ordered, level) / ordered.size) for level in levels]


def average_ranks(scores: NDArray[np.float64]) -> list[float]:
    """The mean over tasks of each method's rank; scores: [tasks, methods], more is better.

    1 is best; equal scores share the mean of their ranks, as in Friedman's test.
    """
    ranks = pd.DataFrame(-np.asarray(scores, float)).rank(axis=1, na_option="bottom")
    return [float(rank) for rank in ranks.to_numpy().mean(axis=0)]


def critical_difference(scores: NDArray[np.float64]) -> Critical | None:
    """Nemenyi's test of all methods with all others; scores: [tasks, methods], more is better.

    None with fewer than FEWEST_TASKS tasks or three methods: they are too few for the test.

    Source: Demšar (2006), "Statistical comparisons of classifiers over multiple data sets", JMLR 7,
    section 3.2.2.
    """
    tasks, methods = np.shape(scores)
    if tasks < FEWEST_TASKS or methods < 3:
        return None
    # Both take a second to import, and most suites have fewer tasks.
    from scikit_posthocs import posthoc_nemenyi_friedman
    from scipy.stats import friedmanchisquare, studentized_range

    ranks = average_ranks(scores)
    if all(np.ptp(task) == 0 for task in scores):
        return Critical(ranks, math.inf, 1.0, [list(range(methods))])
    alike = posthoc_nemenyi_friedman(scores).to_numpy() > 1 - LEVEL
    quantile = float(studentized_range.ppf(LEVEL, methods, np.inf)) / math.sqrt(2)
    difference = quantile * math.sqrt(methods * (methods + 1) / (6 * tasks))
    p = float(friedmanchisquare(*scores.T).pvalue)
    if not p <= 1 - LEVEL:
        # Nemenyi's test applies only if Friedman's test finds that not all methods are alike.
        alike = np.ones_like(alike)
    return Critical(ranks, difference, p, _groups(ranks, alike))


def _groups(ranks: Sequence[float], alike: NDArray[np.bool_]) -> list[list[int]]:
    """The largest groups of methods with neighbouring ranks whose ends cannot be told apart."""
    order = sorted(range(len(ranks)), key=lambda method: ranks[method])
    found: list[list[int]] = []
    for start, first in enumerate(order):
        end = max(i for i in range(start, len(order)) if alike[first, order[i]] or i == start)
        group = order[start : end + 1]
        if len(group) > 1 and not (found and set(group) <= set(found[-1])):
            found.append(group)
    return found


def _ends(found: NDArray[np.float64]) -> Interval:
    """The ends of the percentile interval of a statistic over resampled runs."""
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


@lru_cache(maxsize=8)
def _draws(sizes: tuple[tuple[int, ...], ...]) -> list[list[NDArray[np.intp]]]:
    """Resampled positions in tasks of these sizes, [RESAMPLES, size] each; the same for all methods."""
    random = np.random.RandomState(0)
    return [[random.randint(size, size=(RESAMPLES, size)) for size in of] for of in sizes]


@lru_cache(maxsize=8)
def _weights(sizes: tuple[tuple[int, ...], ...]) -> list[list[NDArray[np.float64]]]:
    """The share of the draws that fall on each run: [RESAMPLES, size] each."""
    return [[_shares(places) for places in of] for of in _draws(sizes)]


def _shares(places: NDArray[np.intp]) -> NDArray[np.float64]:
    count, size = places.shape
    flat = np.bincount((places + size * np.arange(count)[:, None]).ravel(), minlength=count * size)
    shares: NDArray[np.float64] = flat.reshape(count, size) / size
    return shares


def _middle(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each row without its lowest and its highest quarter: [B, N] to [B]."""
    size = values.shape[1]
    cut = size // 4
    # The middle values can be in any order: sorting takes three times as long.
    apart = np.partition(values, (cut, size - cut - 1), axis=1)
    found: NDArray[np.float64] = apart[:, cut : size - cut].mean(axis=1)
    return found
