"""A table of a suite as text to paste: Markdown or LaTeX, with captions."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Literal

import pandas as pd

from bench.errors import counted
from bench.tables.columns import TASK
from bench.tables.results import Results
from bench.tables.text import by_task, latex, readable, render_tables
from bench.tables.text.captions import Captions
from bench.tables.text.choice import EVERYTHING, Choice
from bench.tables.text.readable import Block

Form = Literal["markdown", "latex"]


def to_paste(
    form: Form,
    which: str,
    results: Results,
    *,
    suite: str,
    command: Iterable[str],
    choice: Choice = EVERYTHING,
) -> str:
    """The table `which` of a suite's results in this format, one block per task.

    command: the command that produces this text, for a comment. choice: what of the table is shown, and how.

    Raises BenchError if the choice names what the table does not have.
    """
    made_by = shlex.join([*command, *choice.arguments()])
    if which == by_task.NAME:
        return by_task.text(form, suite, by_task.table(results, choice), choice, made_by)
    captions, table = Captions(suite, results), results.table(which)
    choice.check(which, table)

    def caption(block: Block) -> str:
        return captions.of(which, block)

    def note(block: Block) -> str:
        return captions.note(which, block)

    if form == "markdown":
        return readable.markdown_of(_blocks(which, table, readable.HEADINGS, choice), caption, note)
    if which != "published":
        found = _blocks(which, table, readable.PAPER_HEADINGS, choice)
        return latex.fragment(which, suite, found, caption, note, made_by, choice.columns)
    measured = _measured(table)

    def with_number_left_out(block: Block) -> str:
        left_out = len(_of_task(table, block)) - len(_of_task(measured, block))
        said = f"Left out: {counted(left_out, 'published number')} of methods that were not run."
        return " ".join(filter(None, (note(block), said * bool(left_out))))

    found = _blocks(which, measured, readable.PAPER_HEADINGS, choice)
    return latex.fragment(which, suite, found, caption, with_number_left_out, made_by, choice.columns)


def _measured(published: pd.DataFrame) -> pd.DataFrame:
    """The published numbers that a run here stands beside, and all of a task that has none."""
    there = published["measured_mean"].notna()
    return published[there | ~there.groupby([published[name] for name in TASK]).transform("any")]


def _of_task(table: pd.DataFrame, block: Block) -> pd.DataFrame:
    task = block.rows.iloc[0]
    return table[(table[[*TASK]] == task[[*TASK]]).all(axis=1)]


def _blocks(which: str, table: pd.DataFrame, heads: dict[str, str], choice: Choice) -> Iterable[Block]:
    if which == "accuracy":
        return choice.of(readable.blocks(table, heads, choice.digits))
    # Skip blocks without any measurement.
    measured = (b for b in render_tables.blocks(which, table) if b.heads.keys() - {"method", "kind"})
    return choice.of(measured)
