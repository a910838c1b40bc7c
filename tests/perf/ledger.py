"""The ledger: what one session measured, set against the budgets, printed at its end and kept as CSV."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from budgets import Budget, Sense
from in_turn import Spread
from rich.console import Console

from bench.files import write_atomic
from bench.show.terminal_table import print_table

HEADS = ("what", "subject", "against", "measured", "kept")


@dataclass(frozen=True)
class Measured:
    """One figure, and the limit that it is held against, if any.

    budget: the name of a budget, or "" where there is none. what: the work; all figures of one `what` are
    taken together, and replaced together. subject: who does it; against: of a ratio, who else, and "" of
    an absolute figure. unit: "x", "s", "MB" or "%". low, high: the quartiles of the rounds, where there
    were several. limit, sense: what the budget allows.
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
    sense: Sense = "at most"
    note: str = ""

    @classmethod
    def spread(cls, found: Spread, unit: str, against: str = "", **about: Any) -> Measured:
        """A figure without a limit."""
        low, high = found.low, found.high
        return cls("", against=against, value=found.value, unit=unit, low=low, high=high, **about)

    @classmethod
    def under(cls, budget: Budget, found: Spread, **about: Any) -> Measured:
        """A figure with the limit of a budget."""
        row = cls.spread(found, budget.unit, **about)
        return replace(row, budget=budget.name, limit=budget.limit, sense=budget.sense)

    @property
    def met(self) -> bool | None:
        """Whether the limit is kept; None without one."""
        if self.limit is None:
            return None
        return self.value <= self.limit if self.sense == "at most" else self.value >= self.limit


@dataclass
class Ledger:
    """The figures of a session. Where it is closed, as when nothing is timed, adding does nothing.

    left_out: sentences on what could not be measured.
    """

    open: bool = True
    rows: list[Measured] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, measured: Measured) -> None:
        """Take in a figure."""
        if self.open:
            self.rows.append(measured)

    def leave_out(self, sentence: str) -> None:
        """Name what is missing, once."""
        if self.open and sentence not in self.left_out:
            self.left_out.append(sentence)

    def show(self, console: Console) -> None:
        """Print every figure that has a limit, a table a budget, and what was left out."""
        held = [row for row in self.rows if row.limit is not None]
        for budget in dict.fromkeys(row.budget for row in held):
            rows = [row for row in held if row.budget == budget]
            lines = [_line(row) for row in rows]
            title = f"{budget}: {limit(rows[0])}"
            print_table(console, HEADS, lines, words=("what", "subject", "against"), title=title)
        for sentence in self.left_out:
            console.print(f"Left out: {sentence}", markup=False, highlight=False)

    def write(self, folder: Path, environment: dict[str, Any]) -> str:
        """Write the rows to the file of this machine; one sentence on what became of earlier ones.

        environment: as `bench.runner.environment.describe` gives it. Rows of an earlier file stay where their
        `what` was not measured now. Beside the CSV a JSON file says, for the `measured` of every row,
        with what machine and versions it was made.
        """
        name = slug(f"{environment['cpu']} {(environment['gpu'] or {}).get('name', '')}")
        table, companion = folder / f"{name}.csv", folder / f"{name}.json"
        now = datetime.now(UTC).isoformat(timespec="seconds")
        new = pd.DataFrame([{**asdict(row), "met": row.met} for row in self.rows], columns=COLUMNS)
        new = new.assign(measured=now, commit=_commit(environment["git"]))
        kept = _kept(table, set(new["what"]))
        environments = json.loads(companion.read_text(encoding="utf-8")) if companion.exists() else {}
        environments = {made: environments[made] for made in environments if made in set(kept["measured"])}
        environments[now] = environment
        frame = new if kept.empty else pd.concat([kept.astype(object), new.astype(object)])
        # The JSON first: it may say more than the table needs, but never less.
        write_atomic(companion, (json.dumps(environments, indent=2) + "\n").encode())
        write_atomic(table, frame.to_csv(index=False, lineterminator="\n").encode())
        return (
            f"{table}: {len(new)} figures of this run, {len(kept)} of earlier ones, "
            "of what was not measured now; the column `measured` tells them apart."
        )


COLUMNS = (*(f.name for f in fields(Measured)), "met")


def slug(text: str) -> str:
    """A name for a file."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def figure(value: float, unit: str) -> str:
    """A number with its unit, to three digits or so."""
    if unit == "MB":
        return f"{value:.0f} MB"
    return f"{value:.2f} {'×' if unit == 'x' else unit}"


def limit(row: Measured) -> str:
    """What the budget allows."""
    return f"{row.sense} {figure(row.limit or 0.0, row.unit)}"


def _line(row: Measured) -> Sequence[str]:
    measured = figure(row.value, row.unit)
    if row.low is not None and row.high is not None:
        measured += f" ({row.low:.2f}–{row.high:.2f})"
    return row.what, row.subject, row.against or "–", measured, "yes" if row.met else "no"


def _kept(table: Path, replaced: Iterable[str]) -> pd.DataFrame:
    """The rows of an earlier file that stay."""
    columns = [*COLUMNS, "measured", "commit"]
    if not table.exists():
        return pd.DataFrame(columns=columns)
    earlier = pd.read_csv(table, dtype=str, keep_default_na=False)
    return earlier[~earlier["what"].isin(replaced)].reindex(columns=columns)


def _commit(git: dict[str, Any] | None) -> str:
    """The commit that was measured; with a plus where the code differed from it."""
    return "" if git is None else git["commit"] + ("+" if git["dirty"] else "")
