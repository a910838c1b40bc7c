"""Cells of the page's tables: what is read, and what they are sorted by."""

import math

import pandas as pd
import pytest
from written_records import GOOD, runs

from bench.report.grid import Cell, grids, number
from bench.tables.results import Results


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, Cell("–")),
        (math.nan, Cell("–")),
        (pd.NA, Cell("–")),
        (math.inf, Cell("–")),
        (12.3456, Cell("12.35", "12.3456")),
        (0.1930001, Cell("0.1930", "0.193")),
        (3, Cell("3", "3")),
        (123456.7, Cell("123,457", "123457")),
        (-0.0, Cell("0", "-0.0")),
    ],
)
def test_a_number_is_read_with_four_digits_and_sorted_by_all(value, shown):
    assert number(value) == shown


def test_grids_have_the_texts_of_the_terminal_and_numbers_to_sort_by():
    records = [r for task in ("digits", "blobs") for r in runs("rectangle", GOOD, task=(task, "mlp", 2))]
    (found,) = grids("overall", Results(records).tables["overall"])
    (line,) = found.lines
    shown = dict(zip(found.heads, line, strict=True))
    assert shown["method"] == Cell("rectangle") and "method" in found.words
    assert shown["interquartile mean %"] == Cell("98.30", "98.3")
    assert shown["average rank"] == Cell("1.00", "1.0")
    assert "Pareto-optimal" not in found.heads
