"""Compare two leaderboard folders: their accuracy tables, and how far all other numbers moved."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bench.errors import BenchError
from bench.tables import diff
from bench.tables.columns import TEXTS
from bench.tables.table_schemas import KEYS

OTHERS = ("overall", "gradients", "cost", "anytime")
TOLERANCE = 1e-3
"""Numbers whose relative difference is at most this count as the same."""
MOST_NAMED = 3
TIMED = {"inference_ms_p50_batch1": "inference of 1", "train_step_ms_p50": "training step"}


@dataclass(frozen=True)
class Folders:
    """accuracy: comparison of the rows of accuracy.csv; others: a sentence about each other shared table."""

    accuracy: diff.Comparison
    others: list[str]


def compare(old: Path, new: Path) -> Folders:
    """Compare two leaderboard folders, or two files accuracy.csv.

    Raises BenchError if one has no accuracy table, or a table cannot be read.
    """
    before, after = _accuracy(old), _accuracy(new)
    found = diff.compare(diff.read(before), diff.read(after))
    said = []
    if old.is_dir() and new.is_dir():
        said = [_moved(name, old, new) for name in OTHERS] + [_times(old, new)]
    return Folders(found, [sentence for sentence in said if sentence])


def _accuracy(place: Path) -> Path:
    if place.is_dir():
        file = place / "accuracy.csv"
        if not file.is_file():
            inside = " or ".join(sorted(str(path.parent) for path in place.glob("*/accuracy.csv")))
            hint = f"; did you mean {inside}?" if inside else ": give a folder below leaderboards/"
            raise BenchError(f"{place} holds no accuracy.csv{hint}")
        return file
    return place


def _moved(name: str, old: Path, new: Path) -> str:
    """How many numbers of one table differ, and which differ most; "" if a folder lacks the table."""
    read = _read(name, old), _read(name, new)
    if any(table is None or table.empty for table in read):
        return ""
    before, after = (_numbers(name, table) for table in read if table is not None)
    both = before.keys() & after.keys()
    if not both:
        return ""
    apart = {key: _apart(before[key], after[key]) for key in both}
    moved = sorted((key for key in both if apart[key] > TOLERANCE), key=lambda key: (-apart[key], key))
    same = f"{name}.csv: {len(both) - len(moved):,} of {len(both):,} numbers are the same to {TOLERANCE:.1%}"
    if not moved:
        return f"{same}."
    named = [
        f"{column} of {' '.join(row)} {before[row, column]:.4g} → {after[row, column]:.4g}"
        for row, column in moved[:MOST_NAMED]
    ]
    return f"{same}; farthest apart: {', '.join(named)}. These have no test."


def _times(old: Path, new: Path) -> str:
    """Ratios of times on the same hardware; times on different hardware are not compared."""
    read = _read("latency", old), _read("latency", new)
    if any(table is None or table.empty for table in read):
        return ""
    before, after = (table.set_index([*KEYS["latency"]]) for table in read if table is not None)
    both = before.index.intersection(after.index)
    if both.empty and set(before.index.get_level_values(-1)) & set(after.index.get_level_values(-1)):
        return ""
    if both.empty:
        machines = [sorted({str(place[-1]) for place in table.index}) for table in (before, after)]
        return (
            f"latency.csv: times are not compared: {'; '.join(machines[0])} against {'; '.join(machines[1])}."
        )
    said = []
    for column, words in TIMED.items():
        pair = [pd.to_numeric(table.loc[both, column], errors="coerce") for table in (before, after)]
        ratios = (pair[1] / pair[0]).dropna()
        if len(ratios):
            said.append(f"{words} {ratios.median():.2f} times as long (median of {len(ratios)})")
    return f"latency.csv: on the same hardware {', '.join(said)}." if said else ""


def _read(name: str, folder: Path) -> pd.DataFrame | None:
    file = folder / f"{name}.csv"
    if not file.is_file():
        return None
    try:
        table = pd.read_csv(file, dtype=str, keep_default_na=False, encoding="utf-8")
    except (OSError, ValueError) as problem:
        reason = " ".join(str(problem).split())
        raise BenchError(
            f"{file} cannot be read ({reason}): make it again with `spikegrad leaderboard`"
        ) from None
    if missing := [column for column in KEYS[name] if column not in table.columns]:
        raise BenchError(f"{file} lacks the column {missing[0]}: make it again with `spikegrad leaderboard`")
    return table


def _numbers(name: str, table: pd.DataFrame) -> Mapping[tuple[tuple[str, ...], str], float]:
    """Every number of a table by key and column; NaN if it is unknown."""
    columns: Sequence[Any] = [c for c in table.columns if c not in TEXTS and c not in KEYS[name]]
    values = table[columns].apply(pd.to_numeric, errors="coerce")
    keys = [*table[[*KEYS[name]]].itertuples(index=False, name=None)]
    return {
        (key, str(column)): float(value)
        for column in columns
        for key, value in zip(keys, values[column].tolist(), strict=True)
    }


def _apart(a: float, b: float) -> float:
    """The difference of two numbers as a share of the larger; infinite if only one is known."""
    if (math.isnan(a) and math.isnan(b)) or a == b:
        return 0.0
    if math.isnan(a) or math.isnan(b):
        return math.inf
    return abs(a - b) / max(abs(a), abs(b))
