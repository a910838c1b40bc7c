"""How values stand on disk, one by one and a column at a time."""

import math

import pandas as pd
import pytest

from bench.tables import columns

LINES = [
    {
        "method": "a",
        "rank": 1,
        "p_adjusted": 0.1234567,
        "delta_vs_baseline": -0.00001,
        "throughput": 123456.789,
    },
    {
        "method": "two\n lines",
        "rank": None,
        "p_adjusted": math.nan,
        "delta_vs_baseline": 2.5,
        "throughput": -0.0,
    },
    {"method": None, "rank": 10, "p_adjusted": 1.0, "throughput": 0.000012345678},
    {"method": "", "rank": 2, "delta_vs_baseline": 100, "throughput": 99999.96},
]
EXPECTED = {
    "method": ["a", "two lines", "", ""],
    "rank": ["1", "", "10", "2"],
    "p_adjusted": ["0.123457", "", "1.000000", ""],
    "delta_vs_baseline": ["0.0000", "2.5000", "", "100.0000"],
    "throughput": ["123456.8", "0", "1.23457e-05", "100000"],
}


@pytest.mark.parametrize("lines", [LINES, LINES[::-1], LINES[:1], []])
def test_a_column_is_written_as_its_values_are_one_by_one(lines):
    table = columns.frame(lines, [*EXPECTED])
    written = columns.printed(table)
    assert [*written.columns] == [*EXPECTED]
    for name in EXPECTED:
        assert [*written[name]] == [columns.printed_cell(name, value) for value in table[name]]


def test_what_stands_on_disk():
    written = columns.printed(columns.frame(LINES, [*EXPECTED]))
    pd.testing.assert_frame_equal(written, pd.DataFrame(EXPECTED, dtype=object))
