"""What a run of the measurements found: a table of the budgets, and a CSV file of everything."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from rich.console import Console

from bench.environment import describe
from bench.files import write_atomic
from bench.suite import Profile
from bench.terminal_table import print_table

ALONE = ["what", "subject", "against"]
"""What tells one measurement from another."""


@dataclass(frozen=True)
class Measured:
    """One figure.

    budget: the promise that it is held against, "" for none. what: the thing measured; subject: of whom;
    against: what it is a ratio to, "" for a figure of its own. value in `unit`; low, high: its quartiles
    over the rounds. limit: what the budget allows, in the sense "at most" or "at least".
    """

    budget: str
    what: str
    subject: str
    against: str
    value: float
    unit: str
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    sense: str = "at most"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the budget is kept; None where there is none."""
        if self.limit is None:
            return None
        return self.value <= self.limit if self.sense == "at most" else self.value >= self.limit


class Ledger:
    """The figures of one run."""

    def __init__(self) -> None:
        self.rows: list[Measured] = []

    def add(self, measured: Measured) -> None:
        """Note a figure."""
        self.rows.append(measured)

    def show(self, console: Console) -> None:
        """The figures that have a budget, in the order of the budgets."""
        lines = [
            [
                row.budget,
                f"{row.what}: {row.subject}" + (f" / {row.against}" if row.against else ""),
                number(row.value, row.unit),
                f"{'≤' if row.sense == 'at most' else '≥'} {number(row.limit, row.unit)}",
                "yes" if row.met else "no",
            ]
            for row in sorted(self.rows, key=lambda row: row.budget)
            if row.limit is not None
        ]
        heads = ["budget", "measured", "figure", "limit", "kept"]
        print_table(console, heads, lines, words=["budget", "measured", "kept"], title="Budgets")

    def save(self, folder: Path, device: str) -> Path:
        """Put the figures into this machine's file, in place of earlier ones of the same things.

        Raises OSError.
        """
        facts = describe(Profile(device=device))
        where = facts["gpu"]["name"] if facts["gpu"] else facts["cpu"]
        file = folder / f"{re.sub('[^a-z0-9]+', '-', where.lower()).strip('-')}.csv"
        new = pd.DataFrame([asdict(row) | {"met": row.met} for row in self.rows])
        commit = facts["git"]
        new["commit"] = commit and commit["commit"][:12] + "+" * commit["dirty"]
        new["torch"], new["day"] = facts["packages"]["torch"], f"{datetime.now(UTC):%Y-%m-%d}"
        if file.exists():
            old = pd.read_csv(file, keep_default_na=False, na_values={"value": [""], "limit": [""]})
            again = old[ALONE].apply(tuple, axis=1).isin(set(new[ALONE].apply(tuple, axis=1)))
            new = pd.concat([old[~again].astype(object), new.astype(object)])
        columns = [*(field.name for field in fields(Measured)), "met", "commit", "torch", "day"]
        text = new[columns].sort_values(ALONE, kind="stable").to_csv(index=False, lineterminator="\n")
        write_atomic(file, text.encode())
        write_atomic(file.with_suffix(".json"), (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode())
        return file


def number(value: float, unit: str) -> str:
    """A figure for people: 1.53 x, 12.4 s, 869 MB."""
    digits = f"{value:.0f}" if value >= 100 else f"{value:.3g}" if value < 10 else f"{value:.1f}"
    return f"{digits} {unit}"
