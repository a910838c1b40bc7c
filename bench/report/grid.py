"""A table of the page: headings, and cells with a text to show and a value to sort by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from bench.tables.text.readable import WORDS, Block
from bench.tables.text.render_tables import blocks


class Cell(NamedTuple):
    """text: the text shown. value: a number to sort by; "" to sort by the text."""

    text: str
    value: str = ""


@dataclass(frozen=True)
class Grid:
    """id: the table's name in the page; words: the headings of text columns."""

    id: str
    caption: str
    heads: Sequence[str]
    lines: Sequence[Sequence[Cell]]
    words: frozenset[str] = frozenset()


def grids(name: str, table: pd.DataFrame) -> list[Grid]:
    """A grid for each task of a table, formatted by `bench.tables.text.render_tables`."""
    return [_grid(f"{name}-{number}", block) for number, block in enumerate(blocks(name, table))]


def _grid(id: str, block: Block) -> Grid:
    lines = [
        [Cell(line[column], _value(row[column])) for column in block.heads]
        for line, row in zip(block.lines, block.rows.to_dict("records"), strict=True)
    ]
    words = frozenset(head for column, head in block.heads.items() if column in WORDS)
    return Grid(id, block.title, [*block.heads.values()], lines, words)


def _value(value: Any) -> str:
    return "" if isinstance(value, str) else number(value).value


def number(value: Any, form: str = "") -> Cell:
    """A number, with four significant digits unless `form` gives another format; a dash if it is unknown."""
    if value is None or pd.isna(value) or not math.isfinite(value):
        return Cell("–")
    if isinstance(value, int) or float(value).is_integer():
        return Cell(f"{value + 0:{form or ',.0f'}}", str(value))
    shown = (
        f"{value + 0:{form}}" if form else f"{value + 0:,.0f}" if abs(value) >= 999.5 else f"{value + 0:#.4g}"
    )
    return Cell(shown, f"{value:.6g}")
