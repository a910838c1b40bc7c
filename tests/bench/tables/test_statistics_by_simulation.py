"""What the intervals and tests promise, seen in simulated experiments: normal accuracies, few seeds.

Rates are those of 20,000 experiments with a fixed seed; the formulas themselves are compared with scipy's
elsewhere, so that these are about what a table says and not about a formula.
"""

import numpy as np
import pytest
from scipy import stats

from bench.tables import statistics

EXPERIMENTS = 20_000
FEW = [3, 5]


def experiments(n, methods=1, number=EXPERIMENTS, seed=0):
    """[number, methods, n] accuracies around 90 with sd 1; seeds shared by methods move all alike."""
    random = np.random.default_rng(seed)
    return 90 + random.normal(size=(number, methods, n)) + random.normal(size=(number, 1, n))


@pytest.mark.parametrize("n", FEW)
def test_t_intervals_cover_the_mean_in_95_percent(n):
    hits = sum(low <= 90 <= high for low, high in map(statistics.t_interval, experiments(n)[:, 0]))
    assert hits / EXPERIMENTS == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("n", FEW)
def test_intervals_of_paired_differences_cover_in_95_percent(n):
    found = [statistics.paired(*pair) for pair in experiments(n, methods=2)]
    assert sum(f.low <= 0 <= f.high for f in found) / EXPERIMENTS == pytest.approx(0.95, abs=0.01)


@pytest.mark.parametrize("shift", [1.5, 3.0])
def test_the_power_is_that_of_the_noncentral_t(shift):
    n = 5
    found = np.random.default_rng(1).normal(shift, 1, size=(EXPERIMENTS, n))
    intervals = [statistics.t_interval(d) for d in found]
    power = np.mean([not low <= 0 <= high for low, high in intervals])
    limit, moved = stats.t.ppf(0.975, n - 1), stats.nct(n - 1, shift * np.sqrt(n))
    assert power == pytest.approx(moved.sf(limit) + moved.cdf(-limit), abs=0.01)


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.25])
def test_sign_flips_are_never_too_sure_under_the_null(alpha):
    n = 8
    found = np.random.default_rng(3).normal(size=(5_000, n))
    assert np.mean([statistics.sign_flip(d) <= alpha for d in found]) <= alpha + 0.01
    # Also where differences are skewed, so long as they are symmetric around 0.
    heavy = np.random.default_rng(4).standard_cauchy(size=(5_000, n))
    assert np.mean([statistics.sign_flip(d) <= alpha for d in heavy]) <= alpha + 0.01


@pytest.mark.parametrize(("n", "m"), [(3, 1), (5, 2), (6, 2), (8, 7), (9, 7), (9, 12), (10, 20)])
def test_the_sign_flip_column_is_empty_where_it_could_say_nothing(n, m):
    sure = [np.full(n, 1.0) + 0.01 * np.arange(n)] * m
    found = statistics.sign_flips(sure)
    if 2.0 ** (1 - n) * m <= 0.05:
        assert max(found) <= 0.05
    else:
        assert all(np.isnan(p) for p in found)


@pytest.mark.parametrize("n", FEW)
def test_holm_finds_anything_in_at_most_5_percent_of_tables_where_there_is_nothing(n):
    m, number = 6, 3_000
    alarms = 0
    for table in experiments(n, methods=m + 1, number=number, seed=5):
        ps = stats.ttest_rel(table[1:], table[:1], axis=1).pvalue
        alarms += min(statistics.holm(ps)) <= 0.05
    assert alarms / number <= 0.06
