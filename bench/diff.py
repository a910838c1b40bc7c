"""Two accuracy tables side by side: what moved, and whether by more than its interval allows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from bench.columns import ACCURACIES, COUNTS, DECIMALS, KEY, WHOLE, printed
from bench.errors import BenchError
from bench.leaderboards import ACCURACY_COLUMNS

Verdict = Literal["identical", "within", "outside", "unjudged"]

MOST_NAMED = 8
"""Rows that a sentence names before it counts the rest."""


@dataclass(frozen=True)
class Row:
    """One key in one table; accuracies in percent, NaN where empty.

    shown: its counts and accuracies as printed, by which two rows are identical.
    """

    name: str
    mean: float
    low: float
    high: float
    shown: tuple[str, ...]

    @property
    def has_interval(self) -> bool:
        """One run has none."""
        return not math.isnan(self.low)

    def __str__(self) -> str:
        """`98.1 [97.8, 98.4]`, as far as it is known."""
        if math.isnan(self.mean):
            return "no ok run"
        return (
            f"{self.mean:.2f} [{self.low:.2f}, {self.high:.2f}]" if self.has_interval else f"{self.mean:.2f}"
        )


@dataclass(frozen=True)
class Pair:
    """The same key in both tables."""

    old: Row
    new: Row

    def __str__(self) -> str:
        """`digits convnet T=4 mpd-agl default 97.20 against 98.10 [97.80, 98.40]`."""
        return f"{self.old.name} {self.new} against {self.old}"


@dataclass(frozen=True)
class Comparison:
    """The rows of two tables, matched by key, in the order of the old one.

    identical: every count and accuracy is the same as printed. Of the others, within: the new mean
    lies in the old interval, or the two intervals overlap; outside: neither, though both have an
    interval; unjudged: an interval is missing, as for a single run.
    """

    identical: list[Pair]
    within: list[Pair]
    outside: list[Pair]
    unjudged: list[Pair]
    only_old: list[Row]
    only_new: list[Row]

    def sentences(self, old: str = "the shipped table", new: str = "the new table") -> list[str]:
        """What to tell the user, identical rows first; `old` and `new` name the tables."""
        matched = len(self.identical) + len(self.within) + len(self.outside) + len(self.unjudged)
        said = [f"{len(self.identical)} of {_rows(matched)} are identical to {old} in every accuracy column."]
        if not matched:
            said = [f"No row is in both {old} and {new}."]
        if self.within:
            said.append(f"{_rows(len(self.within))} moved within their intervals.")
        if self.outside:
            said.append(f"{_rows(len(self.outside))} outside their intervals: {_named(self.outside)}.")
        if self.unjudged:
            count = f"{_rows(len(self.unjudged))} cannot be judged without two ok runs on both sides"
            said.append(f"{count}: {_named(self.unjudged)}.")
        for name, rows in ((old, self.only_old), (new, self.only_new)):
            if rows:
                said.append(f"{_rows(len(rows))} only in {name}: {_named(row.name for row in rows)}.")
        return said


def read(path: Path) -> pd.DataFrame:
    """An accuracy table from disk; BenchError if the file is missing or is not one."""
    try:
        # A method may be called "none" or "NA": only an empty cell is an unknown value.
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
        _require_columns(table, str(path))
        numbers = [name for name in table.columns if name in DECIMALS or name in WHOLE]
        for name in numbers:
            table[name] = pd.to_numeric(table[name].replace("", None))
        return table.astype({name: "Int64" for name in numbers if name in WHOLE})
    except OSError as error:
        raise BenchError(f"cannot read {path} ({error.strerror or error}): give an accuracy.csv") from error
    except (ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise BenchError(f"{path} is not an accuracy table ({reason}): give an accuracy.csv") from error


def compare(old: pd.DataFrame, new: pd.DataFrame) -> Comparison:
    """Match two accuracy tables by key; BenchError if one lacks a column or has a key twice."""
    before, after = _by_key(old, "the old table"), _by_key(new, "the new table")
    pairs = [Pair(row, after[key]) for key, row in before.items() if key in after]
    verdicts = [_verdict(pair) for pair in pairs]

    def found(wanted: Verdict) -> list[Pair]:
        return [pair for pair, verdict in zip(pairs, verdicts, strict=True) if verdict == wanted]

    return Comparison(
        identical=found("identical"),
        within=found("within"),
        outside=found("outside"),
        unjudged=found("unjudged"),
        only_old=[row for key, row in before.items() if key not in after],
        only_new=[row for key, row in after.items() if key not in before],
    )


def _verdict(pair: Pair) -> Verdict:
    old, new = pair.old, pair.new
    if old.shown == new.shown:
        return "identical"
    if old.low <= new.mean <= old.high or (old.low <= new.high and new.low <= old.high):
        return "within"
    return "outside" if old.has_interval and new.has_interval else "unjudged"


def _by_key(table: pd.DataFrame, name: str) -> dict[tuple[str, ...], Row]:
    _require_columns(table, name)
    rows: dict[tuple[str, ...], Row] = {}
    for texts in printed(table[[*KEY, *COUNTS, *ACCURACIES]]).to_numpy():
        key, shown = tuple(texts[: len(KEY)]), tuple(texts[len(KEY) :])
        if key in rows:
            raise BenchError(f"{name} has two rows {_name(key)}: make it again with `spikegrad leaderboard`")
        mean, _, low, high, *_ = (float(text or "nan") for text in shown[len(COUNTS) :])
        rows[key] = Row(_name(key), mean, low, high, shown)
    return rows


def _require_columns(table: pd.DataFrame, name: str) -> None:
    if missing := [column for column in ACCURACY_COLUMNS if column not in table.columns]:
        raise BenchError(f"{name} is not an accuracy table: it lacks {missing[0]}; give an accuracy.csv")


def _name(key: tuple[str, ...]) -> str:
    dataset, backbone, timesteps, method, variant = key
    return f"{dataset} {backbone} T={timesteps} {method} {variant}"


def _rows(count: int) -> str:
    return f"{count} row{'s' * (count != 1)}"


def _named(things: Iterable[object]) -> str:
    names = [str(thing) for thing in things]
    rest = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f", and {rest} more" if rest > 0 else "")
