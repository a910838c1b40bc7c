"""Fronts that count only differences beyond noise: by laws, on small whole numbers, where ties are many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.fronts import faster, front, lower

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
    return lambda a, b: any(x > y + noise for x, y in zip(values[a], values[b], strict=True))


@given(points)
def test_without_noise_it_is_the_classical_front(values):
    assert front(values, beyond(values, 0)) == classical(values)


@given(points, noises, noises)
def test_more_noise_takes_nobody_off_and_what_is_off_is_dominated_beyond_it(values, one, other):
    less, more = sorted((one, other))
    few, many = (front(values, beyond(values, noise)) for noise in (less, more))
    assert classical(values) <= few <= many
    for i in values.keys() - few:
        assert any(
            all(a >= b for a, b in zip(values[o], values[i], strict=True)) and beyond(values, less)(o, i)
            for o in values
        )


@given(points)
def test_where_nothing_can_be_told_all_are_on_it(values):
    assert front(values, lambda a, b: False) == {*values}


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
