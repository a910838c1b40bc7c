"""Cells of the page's tables: what is read, and what they are sorted by."""

import math

import pandas as pd
import pytest

from bench.report.grid import Cell, cell, grid, number


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


def test_a_text_is_one_line_and_a_dash_where_there_is_none():
    assert cell("error", "it\n said") == Cell("it said")
    assert cell("error", "") == Cell("–")


def test_columns_that_are_empty_everywhere_are_left_out():
    table = pd.DataFrame(
        {"method": ["a", "b"], "energy_uj_mean": [1.5, math.nan], "gain_mean": [math.nan] * 2}
    )
    found = grid("t", "A table", table, {"method": "method", "energy_uj_mean": "energy", "gain_mean": "gain"})
    assert list(found.heads) == ["method", "energy"] and found.words == {"method"}
    assert found.lines == [[Cell("a"), Cell("1.500", "1.5")], [Cell("b"), Cell("–")]]
