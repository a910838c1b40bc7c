"""The columns of a run, from rows written by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records.run_columns import combined, run_columns, slope


def rows_of(norms, epoch=0, **same):
    """A look: norms of each layer at each step, from the input; the last layer has depth 0."""
    filled = {
        "available_fraction": 0.5,
        "participation": 0.25,
        "gain": 0.75,
        "silent_fraction": 0.0,
        "gradient_zero_fraction": 0.0,
    }
    return [
        {"epoch": epoch, "layer": i, "depth": len(norms) - 1 - i, "t": t, "gradient_norm": norm}
        | filled
        | {name: of[i][t] for name, of in same.items()}
        for i, steps in enumerate(norms)
        for t, norm in enumerate(steps)
    ]


def test_columns_by_hand():
    before = rows_of([[1.0, 0.0], [3.0, 4.0], [0.6, 0.8]])
    shares = [[0.1, 0.3], [0.6, 0.8], [0.9, 0.9]]
    last = rows_of([[0.006, 0.008], [0.1, 0.0], [1.0, 0.0]], 2, available_fraction=shares, gain=shares)
    found = run_columns(before + last, rows_of([[1.0], [10.0], [100.0]]))
    assert found == {
        # 1/100, 1/10 and 1 at depths 2, 1 and 0; before 1, 5 and 1.
        "vanishing_slope": pytest.approx(-1),
        "vanishing_slope_before": pytest.approx(0),
        "vanishing_slope_ann": pytest.approx(-1),
        "dead_layers": 0,
        "first_to_last": pytest.approx(-2),
        "available_fraction": pytest.approx((0.2 + 0.7 + 0.9) / 3),
        "available_fraction_min": pytest.approx(0.2),
        "available_fraction_before": 0.5,
        "participation": 0.25,
        "participation_min": 0.25,
        "participation_before": 0.25,
        "gain": pytest.approx((0.2 + 0.7 + 0.9) / 3),
        "silent_fraction": 0,
        "gradient_zero_fraction": 0,
        "vanish_onset_epoch": None,
    }


def test_what_is_unknown_in_one_layer_is_unknown_of_the_network():
    shares = [[0.5, 0.5], [None, 0.5]]
    rows = rows_of([[1.0, 1.0], [1.0, 1.0]], available_fraction=shares, gradient_zero_fraction=shares)
    found = run_columns(rows, rows)
    for column in ("available_fraction", "available_fraction_min", "gradient_zero_fraction"):
        assert found[column] is None, column
    assert found["participation"] == 0.25


@pytest.mark.parametrize(
    ("norms", "expected"),
    [
        ((1e-6, 5.0, 1.0), -6),
        ((0.0, 1e-3, 1.0), -3),
        ((0.0, 0.0, 1.0), None),
        ((None, 1e-6, 1.0), None),
        ((1.0, 1e-6, None), None),
        ((1e-250, 1.0, 1e250), -500),
        ((1.0,), None),
    ],
)
def test_first_to_last_is_of_the_ends_that_have_a_gradient(norms, expected):
    rows = rows_of([[norm] for norm in norms])
    assert run_columns(rows, rows)["first_to_last"] == (None if expected is None else pytest.approx(expected))


@given(st.floats(-3, 3), st.lists(st.integers(0, 30), min_size=2, max_size=20, unique=True))
def test_the_slope_of_a_power_is_its_exponent(exponent, depths):
    layers = [(depth, 10 ** (exponent * depth)) for depth in depths]
    assert slope(layers) == pytest.approx(exponent, abs=1e-9)
    # Layers without a gradient, or with one that is not known, change nothing.
    assert slope([*layers, (31, 0.0), (32, None)]) == slope(layers)


@pytest.mark.parametrize(
    "layers", [[], [(0, 1.0)], [(1, 1.0), (1, 2.0)], [(0, 1.0), (1, 0.0)], [(0, 1.0), (1, None)]]
)
def test_there_is_no_slope_over_fewer_than_two_depths(layers):
    assert slope(layers) is None


@given(st.lists(st.floats(0, 1e200), min_size=1, max_size=8))
def test_norms_over_time_combine_as_one_vector(norms):
    assert combined(norms) == pytest.approx(math.hypot(*norms))
    assert combined([*norms, None]) is None


@pytest.mark.parametrize(
    ("norms", "vanished"),
    [
        ([[1.1e-3], [1.0], [1.0]], False),
        ([[0.9e-3], [1.0], [1.0]], True),
        ([[1.0], [1.0], [1001.0]], True),
        ([[0.0], [1.0], [1.0]], True),
        ([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0]], False),
        ([[1e-9], [1.0], [None]], False),
        ([[0.0], [1.0], [None]], True),
        ([[None], [1.0], [1.0]], False),
        ([[None], [None], [None]], False),
        ([[0.0], [0.0], [0.0]], True),
    ],
)
def test_when_a_layer_counts_as_vanished(norms, vanished):
    found = run_columns(rows_of([[1.0]] * 3) + rows_of(norms, 4), rows_of(norms))
    assert found["vanish_onset_epoch"] == (4 if vanished else None)
    assert found["dead_layers"] == sum(all(norm == 0 for norm in steps) for steps in norms)
    assert all(value is None or math.isfinite(value) for value in found.values())


def test_the_onset_is_the_first_of_several():
    fine, gone = [[1.0], [1.0]], [[1e-9], [1.0]]
    looks = [
        row for epoch, norms in enumerate([fine, fine, gone, fine, gone]) for row in rows_of(norms, epoch)
    ]
    assert run_columns(looks, rows_of(fine))["vanish_onset_epoch"] == 2
