"""One flat table over all suites of a results folder: a line per row of each accuracy.csv."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pandas as pd

from bench.tables.columns import COUNTS, DECLARED, DELTAS, HALF, KEY, RANKS, Line, frame, named
from bench.tables.results import Results
from bench.tables.rows import Row
from bench.tables.statistics import mean
from bench.tables.text.readable import interval_of

MEASURED = ("energy_uj", "sops_per_sample", "macs_per_sample", "train_seconds")
"""Metrics of a record of which a line has the mean over its successful runs."""
FLAT_COLUMNS = (
    *("suite", *KEY, *DECLARED, *COUNTS[:2], "test_accuracy_mean", HALF),
    *("baseline", *DELTAS, *RANKS, "sweep", "parameters"),
    *(f"{metric}_mean" for metric in MEASURED),
)


def flat(of: Iterable[tuple[str, Results]]) -> pd.DataFrame:
    """The rows of these suites, one suite after the other, each in the order of its accuracy.csv.

    of: names and results. test_accuracy_half: half the interval that printed tables show. parameters: of the
    network, empty if its runs differ or do not say.
    """
    return frame([line for suite, results in of for line in _lines(suite, results)], FLAT_COLUMNS)


def _lines(suite: str, results: Results) -> Iterable[Line]:
    rows = {row.key: row for row in results.rows}
    for line in results.table("accuracy").to_dict("records"):
        row, ends = rows[tuple(line[name] for name in KEY)], interval_of(line)
        yield (
            {name: line[name] for name in FLAT_COLUMNS if name in line}
            | {"suite": suite, "baseline": results.baseline, "parameters": _parameters(row)}
            | {HALF: math.nan if ends is None else (ends[1] - ends[0]) / 2}
            | named([f"{metric}_mean" for metric in MEASURED], (mean(row.values(m)) for m in MEASURED))
        )


def _parameters(row: Row) -> int | None:
    counts = {*row.measured("parameters").values()}
    return int(counts.pop()) if len(counts) == 1 else None
