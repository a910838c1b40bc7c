"""Predictions on disk: exact, small, and nothing else is taken for them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records import predictions

ROWS = st.integers(2, 1000).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(
            st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1, max_size=50
        ),
    )
)


@given(ROWS)
def test_what_is_written_is_read_in_its_order(rows):
    classes, pairs = rows
    label, predicted = np.array(pairs).T
    found = predictions.of_bytes(predictions.to_bytes(predictions.of_numbers(label, predicted, classes)))
    kind = np.uint8 if classes <= 256 else np.uint16
    assert found.label.dtype == found.predicted.dtype == kind
    assert found.label.tolist() == label.tolist() and found.predicted.tolist() == predicted.tolist()
    assert found.accuracy == 100 * sum(a == b for a, b in pairs) / len(pairs)


@pytest.mark.parametrize(("classes", "bytes_each"), [(10, 1.1), (100, 2.0)])
def test_a_sample_takes_about_a_byte(classes, bytes_each):
    random = np.random.default_rng(0)
    label = random.integers(0, classes, 10_000)
    predicted = np.where(random.random(10_000) < 0.9, label, random.integers(0, classes, 10_000))
    made = predictions.to_bytes(predictions.of_numbers(label, predicted, classes))
    assert len(made) < 10_000 * bytes_each


def test_the_same_predictions_are_the_same_bytes():
    made = [predictions.to_bytes(predictions.of_numbers([0, 1], [1, 1], 2)) for _ in range(2)]
    assert made[0] == made[1]


@pytest.mark.parametrize("columns", [{"label": [1]}, {"label": [0.5], "predicted": [0.5]}, {}])
def test_another_table_is_none(columns, tmp_path):
    import pandas as pd

    file = tmp_path / "other.parquet"
    pd.DataFrame(columns).to_parquet(file)
    with pytest.raises((ValueError, KeyError)):
        predictions.of_bytes(file.read_bytes())


def test_no_rows_are_none():
    with pytest.raises(ValueError, match="no rows"):
        predictions.of_bytes(predictions.to_bytes(predictions.of_numbers([], [], 2)))
