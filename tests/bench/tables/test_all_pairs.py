"""All pairs of a task compared together: against scipy, by laws, and by simulation."""

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from bench.tables.all_pairs import AllPairs, prior

SIMULATED = runpy.run_path(str(Path(__file__).parents[3] / "docs" / "verdicts.py"), run_name="verdicts")
matrices = arrays.arrays(
    float,
    st.tuples(st.integers(2, 6), st.integers(3, 6)),
    elements=st.integers(0, 360).map(lambda i: i / 3.6),
)


def drawn(k, n, seed=0, spread=1.0):
    return np.random.default_rng(seed).normal(80, spread, (k, n))


def test_one_pair_is_the_paired_t_test():
    scores = drawn(2, 5)
    found, expected = AllPairs(scores), stats.ttest_rel(*scores)
    interval = expected.confidence_interval(0.95)
    assert found.p[0, 1] == pytest.approx(expected.pvalue)
    ends = [found.differences[0, 1] + side * found.halves[0, 1] for side in (-1, 1)]
    assert ends == pytest.approx([interval.low, interval.high])


@pytest.mark.parametrize(("prior_degrees", "own"), [(4.0, 2), (10.0, 4)])
def test_the_prior_of_many_variances_is_found_again(prior_degrees, own):
    """Smyth's model: variances around a common one, each estimated with a few degrees of freedom."""
    random = np.random.default_rng(0)
    true = 2.5 * prior_degrees / random.chisquare(prior_degrees, 200_000)
    variances = true * random.chisquare(own, true.size) / own
    degrees, location = prior(variances, own, variances.size)
    assert degrees == pytest.approx(prior_degrees, rel=0.05) and location == pytest.approx(2.5, rel=0.02)


def test_equal_variances_have_a_prior_without_end_and_few_none():
    random = np.random.default_rng(1)
    even = np.full(50, 2.0)
    degrees, location = prior(even, 4, 50)
    assert degrees == math.inf and location > 0
    assert prior(random.chisquare(2, 3), 2, 1) == (0.0, 0.0)
    assert prior(np.array([0.0, 0.0, 1.0]), 2, 5) == (0.0, 0.0)


@given(matrices)
def test_no_matrix_contradicts_itself(scores):
    found = AllPairs(scores)
    k = len(scores)
    np.testing.assert_array_equal(found.differences, -found.differences.T)
    np.testing.assert_array_equal(found.halves, found.halves.T)
    means = scores.mean(axis=1)
    for i, (low, high) in enumerate(found.rank_ranges):
        rank = 1 + int((found.differences[:, i] > 0).sum())
        assert 1 <= low <= rank <= high <= k
        assert (low == 1) == (not found.better[found.best, i])
    for i in range(k):
        for j in range(k):
            if not math.isnan(found.halves[i, j]) and abs(found.p[i, j] - 0.05) > 1e-9:
                told = bool(found.better[i, j] or found.better[j, i])
                assert told == (found.p[i, j] < 0.05)
    assert not (found.better & found.equivalent & (np.abs(found.differences) > 1)).any()
    assert means[found.best] == pytest.approx(means.max())


@given(matrices, st.floats(-50, 50), st.floats(0.1, 10))
def test_a_shift_changes_nothing_and_a_scale_scales(scores, shift, scale):
    here = AllPairs(scores)
    np.testing.assert_allclose(AllPairs(scores + shift).halves, here.halves, atol=1e-6)
    np.testing.assert_allclose(AllPairs(scores * scale).halves, here.halves * scale, rtol=1e-6, atol=1e-9)


def test_rows_that_are_equal_have_p_one_and_a_constant_difference_needs_others_to_be_judged():
    base = drawn(1, 4)[0]
    alone = AllPairs(np.stack([base, base, base + 1]))
    assert alone.p[0, 1] == 1 and math.isnan(alone.p[0, 2]) and not alone.better.any()
    assert math.isnan(alone.detectable()) and alone.seeds_for(1.0) is None
    among = AllPairs(np.stack([base, base + 9, *drawn(4, 4, seed=5, spread=0.5)]))
    assert among.better[1, 0], "the others say how much accuracies vary"


def test_many_rows_lend_each_other_degrees_of_freedom():
    """31 is told from 74 with three seeds among thirty rows, which no pair alone could do."""
    alone = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        scores = random.normal(np.linspace(31, 74, 30)[:, None], 3.0, (30, 3))
        found = AllPairs(scores)
        assert found.better[found.best, 0]
        assert found.differences[found.best][~found.better[found.best]].max() < 30
        t = stats.ttest_rel(scores[found.best], scores[0])
        alone += t.confidence_interval(1 - 0.05 / 29).low > 0
    assert alone < 20, "the case no longer shows what a pair alone knows"


@pytest.mark.parametrize("n", [3, 5, 10])
def test_what_is_called_detectable_is_found_in_80_percent(n):
    """Two rows, where the variance is the pair's own and its expectation is known: a difference of sd √2."""
    power, number = 0, 4_000
    design = AllPairs(np.stack([np.zeros(n), np.sqrt(2) * stats.zscore(np.arange(n), ddof=1)]))
    shift = design.detectable()
    for seed in range(number):
        scores = np.random.default_rng([n, seed]).normal([[0.0], [shift]], 1.0, (2, n))
        power += AllPairs(scores).better[1, 0]
    assert power / number == pytest.approx(0.8, abs=0.03)
    needed = design.seeds_for(shift)
    assert needed == n or n == 3


def test_more_seeds_see_less():
    found = AllPairs(drawn(9, 5))
    seen = [found.detectable(n) for n in (3, 5, 10, 50)]
    assert seen == sorted(seen, reverse=True)
    needed = found.seeds_for(1.0)
    assert found.detectable(needed) <= 1.0 < found.detectable(needed - 1)


@pytest.mark.parametrize("kind", ["equal", "unequal", "one louder", "failing"])
@pytest.mark.parametrize(("k", "n"), [(9, 3), (9, 5), (20, 3), (30, 3)])
def test_what_a_table_says_is_wrong_in_at_most_5_percent(k, n, kind):
    """With four standard errors of so few tables on top; docs/tables.md has 20,000 of each design."""
    number = 2_000
    found = SIMULATED["rates"](SIMULATED["Design"](k, n, kind), number, seed=1)
    most = 0.05 + 4 * math.sqrt(0.05 * 0.95 / number)
    assert 1 - found.covered <= most
    assert found.wrong_no <= most and found.wrong_equal <= most
    assert found.told >= found.told_before - 0.05
