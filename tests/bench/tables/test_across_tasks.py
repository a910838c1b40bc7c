"""Statistics over tasks, against scipy, scikit-posthocs, plain loops, and simulation."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.tables import across_tasks

accuracy = st.integers(0, 40).map(lambda n: n * 2.5)
task = st.lists(accuracy, min_size=1, max_size=6).map(lambda values: np.array(values, float))
runs = st.lists(task, min_size=1, max_size=5)


@given(runs)
def test_the_interquartile_mean_is_scipy_s_trimmed_mean(given_runs):
    found = across_tasks.interquartile_mean(given_runs)
    assert found.value == pytest.approx(stats.trim_mean(np.concatenate(given_runs), 0.25))
    if any(t.size > 1 for t in given_runs):
        assert found.low <= found.high
    else:
        assert math.isnan(found.low) and math.isnan(found.high)


def test_nothing_has_no_interquartile_mean():
    assert all(math.isnan(value) for value in across_tasks.interquartile_mean([np.array([])]))
    assert all(math.isnan(value) for value in across_tasks.interquartile_mean([]))


def test_equal_runs_have_an_interval_without_width():
    assert across_tasks.interquartile_mean([np.full(3, 90.0)] * 4) == (90.0, 90.0, 90.0)


def test_the_interval_resamples_within_tasks():
    # Tasks far apart, runs alike within each: all the spread is between tasks, and none of it counts.
    found = across_tasks.interquartile_mean([np.full(3, value) for value in (10.0, 40.0, 60.0, 90.0)])
    assert found.low == found.value == found.high


def test_the_interval_covers_as_a_percentile_bootstrap_of_many_runs_does():
    random = np.random.default_rng(5)
    hits = 0
    for _ in range(300):
        sample = [random.normal(centre, 2.0, 20) for centre in (70.0, 70.0, 70.0, 70.0)]
        found = across_tasks.interquartile_mean(sample)
        hits += found.low <= 70.0 <= found.high
    assert 0.90 <= hits / 300 <= 0.98


@given(runs, st.data())
def test_improvement_is_mann_whitney_s_statistic_over_its_pairs(mine, data):
    theirs = data.draw(st.lists(task, min_size=len(mine), max_size=len(mine)))
    expected = np.mean(
        [stats.mannwhitneyu(x, y).statistic / (x.size * y.size) for x, y in zip(mine, theirs, strict=True)]
    )
    found = across_tasks.probability_of_improvement(mine, theirs)
    assert found.value == pytest.approx(expected)
    back = across_tasks.probability_of_improvement(theirs, mine)
    assert found.value + back.value == pytest.approx(1.0)


def test_improvement_over_itself_is_even_and_over_what_is_worse_is_sure():
    sample = [np.array([90.0, 91.0, 92.0]), np.array([50.0, 60.0])]
    assert across_tasks.probability_of_improvement(sample, sample).value == 0.5
    worse = [values - 50 for values in sample]
    assert across_tasks.probability_of_improvement(sample, worse) == (1.0, 1.0, 1.0)
    assert math.isnan(across_tasks.probability_of_improvement([np.array([])], [np.array([1.0])]).value)


def test_a_task_that_one_of_both_lacks_is_left_out():
    both, lacks = np.array([2.0]), np.array([])
    found = across_tasks.probability_of_improvement([both, both], [np.array([1.0]), lacks])
    assert found.value == 1.0


@given(runs, st.lists(st.floats(-10, 110), min_size=1))
def test_profiles_are_shares_of_all_runs(given_runs, levels):
    every = np.concatenate(given_runs)
    found = across_tasks.performance_profile(given_runs, levels)
    assert found == pytest.approx([float((every >= level).mean()) for level in levels])


@given(st.integers(1, 4), st.integers(1, 5), st.data())
def test_average_ranks_are_scipy_s(tasks, methods, data):
    row = st.lists(accuracy, min_size=methods, max_size=methods)
    scores = np.array(data.draw(st.lists(row, min_size=tasks, max_size=tasks)))
    expected = np.mean([stats.rankdata(-values) for values in scores], axis=0)
    assert across_tasks.average_ranks(scores) == pytest.approx(expected)


def test_below_five_tasks_there_is_no_critical_difference():
    scores = np.arange(12.0).reshape(4, 3)
    assert across_tasks.critical_difference(scores) is None
    assert across_tasks.critical_difference(np.arange(10.0).reshape(5, 2)) is None


def test_the_critical_difference_is_demsar_s():
    # Demšar (2006), section 3.2.2: 14 data sets, 4 classifiers, CD = 2.569 sqrt(4 * 5 / (6 * 14)) = 1.25.
    scores = np.random.default_rng(0).normal(size=(14, 4))
    found = across_tasks.critical_difference(scores)
    assert found.difference == pytest.approx(1.25, abs=0.005)
    assert found.p == pytest.approx(stats.friedmanchisquare(*scores.T).pvalue)


@pytest.mark.parametrize("seed", range(8))
def test_groups_are_all_largest_sets_of_neighbours_within_the_critical_difference(seed):
    random = np.random.default_rng(seed)
    scores = random.normal(size=(8, 6)) + np.linspace(0, 5, 6) * (0.5 + random.random())
    found = across_tasks.critical_difference(scores)
    order = np.argsort(found.ranks)

    assert found.p <= 0.05

    def alike(group):
        return max(found.ranks[i] for i in group) - min(found.ranks[i] for i in group) < found.difference

    spans = [order[a:b].tolist() for a, b in product(range(6), range(7)) if b - a > 1]
    wanted = [set(s) for s in spans if alike(s)]
    largest = [s for s in wanted if not any(s < other for other in wanted)]
    assert sorted(map(sorted, found.groups)) == sorted(map(sorted, largest))


def test_where_friedman_finds_nothing_no_two_are_told_apart():
    random = np.random.default_rng(2)
    for _ in range(100):
        found = across_tasks.critical_difference(random.normal(size=(10, 4)))
        if found.p > 0.05:
            assert [sorted(group) for group in found.groups] == [[0, 1, 2, 3]]


def test_methods_that_are_always_equal_are_one_group():
    found = across_tasks.critical_difference(np.full((5, 3), 90.0))
    assert (found.groups, found.p, found.ranks) == ([[0, 1, 2]], 1.0, [2.0, 2.0, 2.0])


def test_under_the_null_few_pairs_are_told_apart():
    # Nemenyi holds the rate of any false difference at 5 % over all pairs.
    random = np.random.default_rng(1)
    apart = 0
    for _ in range(400):
        found = across_tasks.critical_difference(random.normal(size=(10, 4)))
        apart += max(found.ranks) - min(found.ranks) >= found.difference
    assert apart / 400 <= 0.08


def test_the_same_runs_give_the_same_interval_to_the_last_bit():
    sample = [np.array([90.0, 91.5, 92.0]), np.array([55.0, 60.0, 58.0])]
    # numpy's legacy generator: these numbers must never change, or tables made elsewhere differ.
    assert across_tasks.interquartile_mean(sample) == (74.875, 72.875, 75.875)
    better = across_tasks.probability_of_improvement(sample, [values - 1 for values in sample])
    assert better == pytest.approx((13 / 18, 0.3875, 1.0), abs=1e-12)
