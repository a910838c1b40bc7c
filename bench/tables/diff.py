"""Compare two accuracy tables: which values moved, and whether by more than noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from bench.errors import BenchError, counted, listed
from bench.tables.columns import ACCURACIES, COUNTS, DECIMALS, DECLARED, KEY, WHOLE, printed
from bench.tables.statistics import LEVEL, Summary, Welch, holm, welch
from bench.variants import without_training

Key = tuple[str, ...]

Verdict = Literal["identical", "within noise", "beyond noise", "not judged", "incomparable"]
NEEDED = (*KEY, *DECLARED, "rank", *COUNTS, *ACCURACIES)
"""The columns that an accuracy table must have; tables of earlier versions have them too."""
MOST_NAMED = 8
"""The most rows that a sentence names; it counts the rest."""


@dataclass(frozen=True)
class TableRow:
    """One key in one table; accuracies in percent, NaN where empty.

    shown: its counts and accuracies as printed; two rows are identical if these are. declared: kind, changes
    and fidelity of its method. rank: as printed.
    """

    name: str
    summary: Summary
    half: float
    shown: tuple[str, ...]
    declared: tuple[str, ...]
    rank: str

    def __str__(self) -> str:
        """`98.10 ± 0.30`, without the parts that are unknown."""
        if math.isnan(self.summary.mean):
            return "no ok run"
        return f"{self.summary.mean:.2f}" + ("" if math.isnan(self.half) else f" ± {self.half:.2f}")


@dataclass(frozen=True)
class Pair:
    """The same key in both tables. p_adjusted: Welch's p, Holm-adjusted over all pairs; NaN if untested."""

    old: TableRow
    new: TableRow
    welch: Welch
    p_adjusted: float
    verdict: Verdict

    def __str__(self) -> str:
        """`digits convnet T=4 mpd-agl default 97.20 against 98.10 ± 0.30`."""
        return f"{self.old.name} {self.new} against {self.old}"


@dataclass(frozen=True)
class Comparison:
    """The rows of two tables, matched by key, in the order of the old one."""

    pairs: list[Pair]
    only_old: list[TableRow]
    only_new: list[TableRow]

    def of(self, *verdicts: Verdict) -> list[Pair]:
        """The pairs with one of these verdicts."""
        return [pair for pair in self.pairs if pair.verdict in verdicts]

    @property
    def tested(self) -> int:
        """The number of pairs that have a p, over which the p-values are adjusted."""
        return sum(not math.isnan(pair.p_adjusted) for pair in self.pairs)

    def sentences(self, old: str = "the shipped table", new: str = "the new table") -> list[str]:
        """The report for the user, identical rows first; `old` and `new` name the tables."""
        identical, within, beyond = (
            self.of(verdict) for verdict in ("identical", "within noise", "beyond noise")
        )
        rows = counted(len(self.pairs), "row")
        said = [f"{len(identical)} of {rows} are identical to {old} in every accuracy column."]
        if not self.pairs:
            said = [f"No row is in both {old} and {new}."]
        if within:
            said.append(f"{counted(len(within), 'row')} moved within noise.")
        if beyond:
            test = f"Welch's t-test, adjusted over {counted(self.tested, 'row')}"
            said.append(
                f"{counted(len(beyond), 'row')} moved beyond noise ({test}): {listed(beyond, MOST_NAMED)}."
            )
        if unjudged := self.of("not judged"):
            why = "without two ok runs on both sides, or without any spread"
            said.append(
                f"{counted(len(unjudged), 'row')} cannot be judged {why}: {listed(unjudged, MOST_NAMED)}."
            )
        for pair in self.of("incomparable"):
            apart = [
                f"{b} was {a}" for a, b in zip(pair.old.declared, pair.new.declared, strict=True) if a != b
            ]
            said.append(f"{pair.old.name} is no longer the same method ({', '.join(apart)}).")
        for name, those in ((old, self.only_old), (new, self.only_new)):
            if those:
                names = listed((row.name for row in those), MOST_NAMED)
                said.append(f"{counted(len(those), 'row')} only in {name}: {names}.")
        return said


def read(path: Path) -> pd.DataFrame:
    """Read an accuracy table from disk. Raises BenchError if the file is missing or is not one."""
    try:
        # A method can be called "none" or "NA": only an empty cell is an unknown value.
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
    """Match two accuracy tables by key. Raises BenchError if one lacks a column or has a key twice.

    Welch's test compares the means of a pair as if their runs were independent. Runs of the same seeds
    agree more closely than independent runs, so the test can miss a real change and rarely reports noise as
    a change. The p-values are Holm-adjusted over all pairs that can be tested, including identical ones.
    """
    before, after = _by_key(old, "the old table"), _by_key(new, "the new table")
    matched = _matched([*before], [*after])
    both = [(before[key], after[other]) for key, other in matched.items()]
    tests = [welch(b.summary, a.summary) for a, b in both]
    tested = [
        i
        for i, test in enumerate(tests)
        if not math.isnan(test.p) and both[i][0].declared == both[i][1].declared
    ]
    adjusted = dict(zip(tested, holm([tests[i].p for i in tested]), strict=True))
    pairs = [
        Pair(a, b, test, adjusted.get(i, math.nan), _verdict(a, b, adjusted.get(i, math.nan)))
        for i, ((a, b), test) in enumerate(zip(both, tests, strict=True))
    ]
    return Comparison(
        pairs,
        only_old=[row for key, row in before.items() if key not in matched],
        only_new=[row for key, row in after.items() if key not in matched.values()],
    )


def _matched(before: Sequence[Key], after: Sequence[Key]) -> dict[Key, Key]:
    """Which row of a table is which row of the other.

    A row says how it was trained if another row of its task was trained otherwise. Rows that have no exact
    counterpart are therefore matched without those words, if that leaves one candidate on each side.
    """
    found = {key: key for key in before if key in {*after}}
    left, right = (_by_short([k for k in keys if k not in found]) for keys in (before, after))
    for short, keys in left.items():
        others = right.get(short, [])
        if len(keys) == len(others) == 1:
            found[keys[0]] = others[0]
    return {key: found[key] for key in before if key in found}


def _by_short(keys: Iterable[Key]) -> dict[Key, list[Key]]:
    found: dict[Key, list[Key]] = {}
    for key in keys:
        found.setdefault((*key[:-1], without_training(key[-1])), []).append(key)
    return found


def _verdict(old: TableRow, new: TableRow, p: float) -> Verdict:
    if old.declared != new.declared:
        return "incomparable"
    if old.shown == new.shown:
        return "identical"
    if math.isnan(p):
        return "not judged"
    return "beyond noise" if p <= 1 - LEVEL else "within noise"


def _by_key(table: pd.DataFrame, name: str) -> dict[Key, TableRow]:
    _require_columns(table, name)
    rows: dict[Key, TableRow] = {}
    for texts in printed(table[[*NEEDED]]).to_numpy():
        cells = iter(texts)
        key, declared = (tuple(next(cells) for _ in part) for part in (KEY, DECLARED))
        rank, shown = next(cells), tuple(cells)
        if key in rows:
            raise BenchError(f"{name} has two rows {_name(key)}: make it again with `spikegrad leaderboard`")
        mean, sd, low, high, *_ = (float(text or "nan") for text in shown[len(COUNTS) :])
        summary = Summary(mean, sd, int(shown[0] or 0))
        rows[key] = TableRow(_name(key), summary, (high - low) / 2, shown, declared, rank)
    return rows


def _require_columns(table: pd.DataFrame, name: str) -> None:
    if missing := [column for column in NEEDED if column not in table.columns]:
        raise BenchError(f"{name} is not an accuracy table: it lacks {missing[0]}; give an accuracy.csv")


def _name(key: tuple[str, ...]) -> str:
    dataset, backbone, timesteps, method, variant = key
    return f"{dataset} {backbone} T={timesteps} {method} {variant}"
