"""The statistics against scipy's own, brute force, and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from bench.tables import statistics
from bench.tables.statistics import Values

accuracies = st.lists(st.integers(0, 1000), min_size=2, max_size=9).map(lambda v: np.array(v) / 10)
probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=6)


def sample(n: int, seed: int = 0, centre: float = 0.0) -> Values:
    return np.random.default_rng(seed).normal(centre, 1.0, n)


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_t_interval_is_scipys(n: int) -> None:
    values = sample(n, centre=90)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert statistics.t_interval(values) == pytest.approx((expected.low, expected.high), rel=1e-12)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_values_have_no_interval(n: int) -> None:
    assert all(math.isnan(end) for end in statistics.t_interval(np.ones(n)))
    assert math.isnan(statistics.sd(np.ones(n)))


@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=40), max_size=12))
def test_samples_together_are_the_same_to_the_last_bit_as_one_by_one(samples: list[list[float]]) -> None:
    # Equal values too, whose mean may be another number.
    groups = [np.array(of, float) for of in (*samples, [0.1] * 3, [0.1] * 11)]
    found = np.array(statistics.means_and_sds(groups))
    one_by_one = [(statistics.mean(values), statistics.sd(values)) for values in groups]
    np.testing.assert_array_equal(found, one_by_one)


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_paired_is_scipys(n: int) -> None:
    a, b = sample(n, 1, 98), sample(n, 2, 97)
    found, expected = statistics.paired(a, b), stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    assert found == pytest.approx((n, (a - b).mean(), interval.low, interval.high))


def test_paired_without_enough_pairs() -> None:
    none, one = (
        statistics.paired(np.empty(0), np.empty(0)),
        statistics.paired(np.array([3.0]), np.array([1.0])),
    )
    assert none.n == 0 and math.isnan(none.mean)
    assert (one.n, one.mean) == (1, 2.0)
    assert math.isnan(one.low) and math.isnan(one.high)


def test_paired_without_any_difference_has_no_width() -> None:
    assert statistics.paired(sample(3), sample(3)) == (3, 0, 0, 0)


def test_paired_without_variance_has_no_width() -> None:
    """355/360 - 354/360 and 354/360 - 353/360 are not the same number in binary."""
    a, b = np.array([355, 354, 351]) / 3.6, np.array([354, 353, 350]) / 3.6
    assert np.ptp(a - b) > 0, "the case no longer tests rounding"
    found = statistics.paired(a, b)
    assert found.mean == found.low == found.high == pytest.approx(1 / 3.6)


def test_differences_whose_squares_vanish_have_no_variance() -> None:
    found = statistics.paired(np.array([0.0, 0.0, 0.0, 1.7e-227]), np.zeros(4))
    assert found.mean == found.low == found.high > 0


@given(st.floats(-1e6, 1e6), st.integers(2, 9))
def test_equal_values_do_not_vary(value: float, n: int) -> None:
    assert statistics.sd(np.full(n, value)) == 0


def test_a_small_real_variance_is_not_taken_for_rounding() -> None:
    a, b = np.array([98.0, 98.0, 98.00001]), np.array([97.0, 97.0, 97.0])
    expected = stats.ttest_rel(a, b).confidence_interval()
    assert statistics.paired(a, b)[2:] == pytest.approx((expected.low, expected.high), rel=1e-12)


@given(accuracies, st.integers(-50, 50), st.sampled_from([0.5, 2.0, 10.0]), st.integers(0, 5))
def test_shift_and_scale(a: Values, shift: int, scale: float, seed: int) -> None:
    b = np.random.default_rng(seed).integers(0, 1000, a.size) / 10
    old = statistics.paired(a, b)
    both = statistics.paired(a + shift, b + shift)
    one = statistics.paired(scale * a, scale * b)
    assert both[1:] == pytest.approx(old[1:], abs=1e-9)
    assert one[1:] == pytest.approx([scale * v for v in old[1:]], abs=1e-9)
    low, high = statistics.t_interval(a)
    assert statistics.t_interval(scale * a + shift) == pytest.approx(
        (scale * low + shift, scale * high + shift)
    )


@given(accuracies)
def test_swapping_the_sides_mirrors_the_answer(a: Values) -> None:
    b = a[::-1]
    there, back = statistics.paired(a, b), statistics.paired(b, a)
    assert (back.mean, back.low, back.high) == pytest.approx((-there.mean, -there.high, -there.low), abs=1e-9)


def closed_holm(p_values: list[float]) -> list[float]:
    """Holm by its definition: closed testing with Bonferroni on every subset that holds the hypothesis."""
    indices = range(len(p_values))
    subsets = [s for k in indices for s in itertools.combinations(indices, k + 1)]
    return [max(min(1.0, len(s) * min(p_values[j] for j in s)) for s in subsets if i in s) for i in indices]


@given(probabilities)
def test_holm_is_closed_testing(p_values: list[float]) -> None:
    assert statistics.holm(p_values) == pytest.approx(closed_holm(p_values))


@given(probabilities)
def test_holm_keeps_the_order_and_never_lowers(p_values: list[float]) -> None:
    adjusted = statistics.holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    by_raw = [q for _, q in sorted(zip(p_values, adjusted, strict=True))]
    assert by_raw == sorted(by_raw)


@given(probabilities, st.integers(0, 5))
def test_holm_counts_a_comparison_without_p_as_one(p_values: list[float], at: int) -> None:
    place = min(at, len(p_values))
    with_gap = statistics.holm([*p_values[:place], math.nan, *p_values[place:]])
    as_one = closed_holm([*p_values, 1.0])[:-1]
    assert math.isnan(with_gap.pop(place))
    assert with_gap == pytest.approx(as_one)


def test_holm_of_nothing() -> None:
    assert statistics.holm([]) == []


@pytest.mark.parametrize("n", [2, 3, 7, 10])
@pytest.mark.parametrize("centre", [0.0, 0.7, 3.0])
def test_sign_flip_is_scipys_exact_permutation(n: int, centre: float) -> None:
    values = np.round(sample(n, n, centre), 1)
    expected = stats.permutation_test(
        (values, np.zeros(n)),
        lambda x, y: np.mean(x - y),
        permutation_type="samples",
        n_resamples=np.inf,
    )
    assert statistics.sign_flip(values) == pytest.approx(expected.pvalue, rel=1e-12)


@given(st.lists(st.integers(-8, 8), min_size=1, max_size=8).map(lambda v: np.array(v) / 3.6))
def test_sign_flip_counts_every_flip(values: Values) -> None:
    """In integers, where ties are ties."""
    whole = [round(v * 3.6) for v in values]
    flips = [abs(sum(s * v for s, v in zip(signs, whole, strict=True))) for signs in flips_of(len(whole))]
    p = statistics.sign_flip(values)
    assert p == sum(f >= abs(sum(whole)) for f in flips) / len(flips)
    assert p >= 2.0 ** (1 - values.size)


def flips_of(n: int) -> list[tuple[int, ...]]:
    return list(itertools.product((1, -1), repeat=n))


def test_sign_flip_reaches_its_floor_at_many_seeds() -> None:
    assert statistics.sign_flip(np.arange(1.0, 31.0)) == 2.0**-29
    assert math.isnan(statistics.sign_flip(np.empty(0)))
    with pytest.raises(ValueError, match="at most 40"):
        statistics.sign_flip(np.ones(41))


def test_sign_flips_where_they_could_survive() -> None:
    """8 pairs reach 2^-7, too much for 7 comparisons; 9 pairs do not."""
    nine, eight = [sample(9, i, 1.0) for i in range(7)], sample(8, 7, 1.0)
    assert statistics.sign_flips(nine) == pytest.approx(closed_holm([statistics.sign_flip(d) for d in nine]))
    mixed = statistics.sign_flips([*nine[:6], eight])
    assert math.isnan(mixed.pop()) and not any(map(math.isnan, mixed))
    assert math.isnan(statistics.sign_flips([np.ones(41)])[0])


@pytest.mark.parametrize("n", [3, 5])
def test_t_interval_covers_where_a_bootstrap_does_not(n: int) -> None:
    """The claim that METRICS makes: 95 % for the t-interval, 75 to 85 % for the percentile bootstrap."""
    draws = np.random.default_rng(n).normal(0, 1, (4000, n))
    ends = np.array([statistics.t_interval(row) for row in draws])
    covered = np.mean((ends[:, 0] <= 0) & (ends[:, 1] >= 0))
    assert covered == pytest.approx(0.95, abs=0.015)  # 4.4 standard errors
    resamples = np.array(list(itertools.product(range(n), repeat=n)))
    means = draws[:800, resamples].mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1, method="inverted_cdf")
    assert 0.72 < np.mean((low <= 0) & (high >= 0)) < 0.88


@given(accuracies)
def test_the_t_test_and_its_interval_agree(a: Values) -> None:
    found = statistics.paired(a, np.full_like(a, 50.0))
    assume(np.ptp(a) > 0)
    p = stats.ttest_1samp(a, 50.0).pvalue
    assume(abs(p - 0.05) > 1e-9)
    assert (p < 0.05) == (not found.low <= 0 <= found.high)


@given(
    st.lists(st.floats(0, 100), min_size=2, max_size=6, unique=True),
    st.lists(st.floats(0, 100), min_size=2, max_size=6, unique=True),
)
def test_welch_is_scipys(a, b):
    mine, theirs = (statistics.Summary(np.mean(v), np.std(v, ddof=1), len(v)) for v in (a, b))
    if not min(mine.sd, theirs.sd) > 1e-6:
        return
    found = statistics.welch(mine, theirs)
    expected = stats.ttest_ind(a, b, equal_var=False)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()), rel=1e-6, abs=1e-6)


def test_welch_has_no_scale_where_nothing_varies_or_there_is_one_value():
    still, one = statistics.Summary(90.0, 0.0, 3), statistics.Summary(91.0, math.nan, 1)
    for pair in ((still, still), (still, one), (one, one)):
        found = statistics.welch(*pair)
        assert math.isnan(found.p) and math.isnan(found.low) and not math.isnan(found.difference)
