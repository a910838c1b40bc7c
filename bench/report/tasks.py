"""The leaderboard of a report: its tasks, their rows by name, and the matching rows of other tables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench import variants
from bench.tables.columns import KEY, printed_cell
from bench.tables.rows import BEST, OTHERS
from bench.tables.text.readable import tasks

Line = dict[str, Any]
Key = tuple[Any, ...]
REFERENCE = "reference"


@dataclass(frozen=True)
class Entry:
    """A row of the leaderboard. name: the method, with the words of its variant that not all rows share."""

    key: Key
    name: str
    line: Line

    @property
    def kind(self) -> str:
        """The kind that its method declares."""
        return str(self.line["kind"])

    @property
    def other(self) -> bool:
        """Whether it is one of the rows of a sweep that are not compared with other methods."""
        return bool(self.line["sweep"] == OTHERS)

    @property
    def names(self) -> set[str]:
        """What a baseline may be called that is this row, as in `bench.tables.rows.Row.names`."""
        method, variant = self.key[-2:]
        stands = self.line["sweep"] == BEST or variants.TUNED in variants.words(variant)
        return variants.names(method, variant) | ({method} if stands else set())


@dataclass(frozen=True)
class Task:
    """A block of the leaderboard; id: its name in the page."""

    id: str
    title: str
    dataset: str
    entries: Sequence[Entry]

    @property
    def compared(self) -> list[Entry]:
        """The entries without those of sweeps that do not stand for their method."""
        return [entry for entry in self.entries if not entry.other]


def page_tasks(accuracy: pd.DataFrame) -> list[Task]:
    """The tasks of an accuracy table, in its order."""
    found = []
    for number, (title, rows) in enumerate(tasks(accuracy)):
        # `tasks` has lengthened the method names; the index leads back to the key.
        originals = accuracy.loc[rows.index].to_dict("records")
        entries = [
            Entry(_key(line), name, {str(k): v for k, v in line.items()})
            for line, name in zip(originals, distinct(map(_short, rows["method"])), strict=True)
        ]
        found.append(Task(f"t{number}", title, str(originals[0]["dataset"]), entries))
    return found


def by_key(table: pd.DataFrame) -> dict[Key, list[Line]]:
    """The rows of any table, by the key of the leaderboard."""
    found: dict[Key, list[Line]] = defaultdict(list)
    for line in table.to_dict("records"):
        found[_key(line)].append({str(column): value for column, value in line.items()})
    return found


def known(value: Any) -> Any:
    """A value for JSON: None if it is unknown."""
    return None if pd.isna(value) else value


def rounded(value: Any) -> float | None:
    """A number for JSON, with six significant digits; None if it is unknown."""
    return None if pd.isna(value) else float(f"{float(value):.6g}")


def seeds(runs: Iterable[Line]) -> list[list[Any]]:
    """For each run of an entry: seed, status, test, last and validation accuracy, best epoch, id, error."""
    accuracies = ("test_accuracy", "test_accuracy_last", "val_accuracy")
    return [
        [
            int(run["seed"]),
            run["status"],
            *(printed_cell(name, run[name]) for name in accuracies),
            known(run["best_epoch"]),
            run["id"],
            printed_cell("error", run["error"]),
        ]
        for run in runs
    ]


def _key(line: Mapping[Any, Any]) -> Key:
    return tuple(line[name] for name in KEY)


def _short(name: str) -> str:
    """The name without the prefix of what a sweep varies in the recipe."""
    return name.replace(f" {variants.RECIPE}", " ").replace(f"({variants.RECIPE}", "(")


def distinct(names: Iterable[str]) -> list[str]:
    """Unique names: a repeated name gets a number."""
    seen: dict[str, int] = defaultdict(int)
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found
