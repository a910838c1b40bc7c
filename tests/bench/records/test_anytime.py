"""The fewest steps that are nearly enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records.anytime import timesteps_to_99


@pytest.mark.parametrize(
    ("anytime", "steps"),
    [
        ([50.0], 1),
        ([10.0, 50.0, 98.9, 99.0, 100.0], 4),
        ([10.0, 98.999, 100.0], 3),
        ([0.0, 0.0], 1),
        ([90.0, 10.0, 80.0], 1),
        ([10.0, 80.0, 10.0, 80.0], 2),
        ([79.1, 79.2, 80.0], 2),
    ],
)
def test_known_answers(anytime, steps):
    assert timesteps_to_99(anytime) == steps


@given(st.lists(st.floats(0, 100), min_size=1))
def test_it_is_the_first_step_that_arrives(anytime):
    steps = timesteps_to_99(anytime)
    assert 1 <= steps <= len(anytime)
    assert anytime[steps - 1] >= 0.99 * anytime[-1]
    assert all(accuracy < 0.99 * anytime[-1] for accuracy in anytime[: steps - 1])
