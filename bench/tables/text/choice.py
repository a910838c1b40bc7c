"""What of a table is shown, and how: rows, data sets, digits, and the width of a LaTeX float."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.errors import BenchError
from bench.tables.text.latex_layout import Float
from bench.tables.text.readable import DIGITS, Block
from bench.variants import names

MOST_DIGITS = 4


@dataclass(frozen=True)
class Choice:
    """methods: names, METHOD or METHOD:VARIANT; datasets: names; all of them if empty.

    columns: the width of a LaTeX float, one column of the page or both; None for what the table suggests.
    Nothing that is left out changes a verdict: all rows of a task are compared before any is.
    """

    methods: Sequence[str] = ()
    datasets: Sequence[str] = ()
    digits: int = DIGITS
    columns: Float | None = None

    def check(self, which: str, rows: pd.DataFrame) -> None:
        """Raises BenchError for what the table `which` cannot show. rows: those of the table."""
        if not 0 <= self.digits <= MOST_DIGITS:
            raise BenchError(f"--digits {self.digits}: give a number from 0 to {MOST_DIGITS}")
        if self.digits != DIGITS and which not in ("accuracy", "tasks"):
            raise BenchError(f"--digits: only the tables accuracy and tasks have it, not {which}")
        if self.datasets and "dataset" not in rows:
            raise BenchError(f"--datasets: the table {which} is over all tasks; leave the option out")
        there = set[str]().union(*_called(rows))
        _known("--methods", self.methods, there, {str(name) for name in rows["method"]}, which)
        if self.datasets:
            _known("--datasets", self.datasets, there := {*rows["dataset"]}, there, which)

    def among(self, rows: pd.DataFrame) -> list[bool]:
        """For each row of a table, or of a block of one, whether it is shown."""
        shown = [not self.methods or not called.isdisjoint(self.methods) for called in _called(rows)]
        if self.methods and "other_method" in rows:
            others = _called(rows, "other_method", "other_variant")
            shown = [a and not b.isdisjoint(self.methods) for a, b in zip(shown, others, strict=True)]
        if self.datasets:
            shown = [a and b in self.datasets for a, b in zip(shown, rows["dataset"], strict=True)]
        return shown

    def of(self, blocks: Iterable[Block]) -> Iterator[Block]:
        """The blocks with only the lines that are shown; without those that have none."""
        for block in blocks:
            places = [place for place, shown in enumerate(self.among(block.rows)) if shown]
            if places:
                yield replace(
                    block,
                    lines=[block.lines[place] for place in places],
                    bold=[block.bold[place] for place in places] if block.bold else (),
                    apart=[block.apart[place] for place in places] if block.apart else (),
                )

    def arguments(self) -> list[str]:
        """The options of the command line that say the same."""
        found = []
        for option in ("methods", "datasets"):
            if said := getattr(self, option):
                found += [f"--{option}", ",".join(said)]
        found += ["--digits", str(self.digits)] if self.digits != DIGITS else []
        return found + (["--columns", self.columns] if self.columns else [])


EVERYTHING = Choice()


def _known(option: str, asked: Iterable[str], there: set[str], shown: set[str], which: str) -> None:
    for name in asked:
        if name not in there:
            close = difflib.get_close_matches(name, sorted(there), n=4, cutoff=0.4) or sorted(shown)
            raise BenchError(f"{option}: the table {which} has no {name}; there are {', '.join(close)}")


def _called(rows: pd.DataFrame, method: str = "method", variant: str = "variant") -> list[set[str]]:
    """The names of each row: METHOD, and METHOD:VARIANT."""
    # The rows of a block have longer names in the column "method".
    alone = method.replace("method", "alone")
    own: Iterable[Any] = rows[alone if alone in rows else method]
    return [{str(m), *names(str(m), str(v))} for m, v in zip(own, rows[variant], strict=True)]
