"""Fronts that count only differences beyond noise: by laws, on small whole numbers, where ties are many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.tables.fronts import faster, front, lower

points = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12).map(
    lambda found: dict(enumerate(found))
)
noises = st.integers(0, 6)


def classical(values):
    return {
        i
        for i, v in values.items()
        if not any(all(a >= b for a, b in zip(o, v, strict=True)) and o != v for o in values.values())
    }


def beyond(values, noise):
    return [lambda a, b, i=i: values[a][i] > values[b][i] + noise for i in (0, 1)]


def found(values, better):
    return front({i: float(accuracy) for i, (accuracy, _) in values.items()}, better)


@given(points)
def test_without_noise_it_is_the_classical_front(values):
    assert found(values, beyond(values, 0)) == classical(values)


@given(points, noises)
def test_who_is_off_is_dominated_beyond_noise_and_the_most_accurate_stay(values, noise):
    on = found(values, beyond(values, noise))
    for i in values.keys() - on:
        gains = [[o[axis] - values[i][axis] for axis in (0, 1)] for o in values.values()]
        assert any(first >= 0 and max(g) > noise and min(g) >= -noise for g in gains for first in g[:1])
    tops = [i for i, v in values.items() if v[0] == max(w[0] for w in values.values())]
    assert not values or on & {*tops}


@given(points)
def test_where_nothing_can_be_told_all_are_on_it(values):
    assert found(values, [lambda a, b: False]) == {*values}


def test_a_hair_of_a_price_puts_nobody_on_it():
    """The second is less accurate beyond noise, and cheaper within it."""
    values = {0: (90.0, -10.0), 1: (50.0, -9.99)}
    assert found(values, beyond(values, 1)) == {0} and classical(values) == {0, 1}


@pytest.mark.parametrize("shift", [0.1, 5.0])
def test_lower_is_by_scipys_intervals(shift):
    a, b = np.random.default_rng(0).normal([[1.0], [1.0 + shift]], 0.5, (2, 5))
    mine, theirs = (stats.ttest_1samp(v, 0).confidence_interval(0.95) for v in (a, b))
    assert lower(a, b) == (mine.high < theirs.low) == (shift == 5.0)
    assert not lower(b, a)


def test_one_value_has_no_spread_and_equal_ones_none():
    assert not lower(np.array([1.0]), np.array([9.0])) and not lower(np.array([]), np.array([9.0, 9.0]))
    assert lower(np.array([1.0, 1.0]), np.array([1.1, 1.1]))
    assert faster(8.9, 10.0) and not faster(9.1, 10.0) and not faster(float("nan"), 1.0)
