"""A table of a suite as text to paste: Markdown or LaTeX, with captions."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from typing import Literal

import pandas as pd

from bench.tables.results import Results
from bench.tables.text import latex, readable, render_tables
from bench.tables.text.captions import Captions
from bench.tables.text.readable import Block

Form = Literal["markdown", "latex"]


def to_paste(
    form: Form,
    which: str,
    results: Results,
    *,
    suite: str,
    command: Iterable[str],
) -> str:
    """The table `which` of a suite's results in this format, one block per task.

    command: the command that produces this text, for a comment.
    """
    captions, table = Captions(suite, results), results.table(which)

    def caption(block: Block) -> str:
        return captions.of(which, block)

    if form == "markdown":
        return readable.markdown_of(_blocks(which, table, readable.HEADINGS), caption)
    found = _blocks(which, table, readable.PAPER_HEADINGS)
    return latex.fragment(which, suite, found, caption, shlex.join(command))


def _blocks(which: str, table: pd.DataFrame, heads: dict[str, str]) -> Iterable[Block]:
    if which == "accuracy":
        return readable.blocks(table, heads)
    # Skip blocks without any measurement.
    return [found for found in render_tables.blocks(which, table) if found.heads.keys() - {"method", "kind"}]
