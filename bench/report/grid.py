"""A table of the page: headings, and cells with what is read and what is sorted by."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from bench.columns import TEXTS, text


class Cell(NamedTuple):
    """text: what is read. value: a number to sort by; "" where the text is to be sorted by."""

    text: str
    value: str = ""


@dataclass(frozen=True)
class Grid:
    """id: the page's name of it; words: the headings of columns of text."""

    id: str
    caption: str
    heads: Sequence[str]
    lines: Sequence[Sequence[Cell]]
    words: frozenset[str] = frozenset()


def grid(id: str, caption: str, table: pd.DataFrame, shown: Mapping[str, str]) -> Grid:
    """The columns of a table that are to be shown, by heading; without those that are empty everywhere."""
    there = {name: head for name, head in shown.items() if any(text(name, v) for v in table[name])}
    lines = [[cell(name, line[name]) for name in there] for line in table.to_dict("records")]
    words = frozenset(head for name, head in there.items() if name in TEXTS or table[name].dtype == object)
    return Grid(id, caption, [*there.values()], lines, words)


def cell(column: str, value: Any) -> Cell:
    """A value for people: four digits that count."""
    if isinstance(value, str):
        return Cell(text(column, value) or "–")
    return number(value)


def number(value: Any, form: str = "") -> Cell:
    """A number, of four digits that count unless `form` says how it is written; a dash where unknown."""
    if value is None or pd.isna(value) or not math.isfinite(value):
        return Cell("–")
    if isinstance(value, int) or float(value).is_integer():
        return Cell(f"{value + 0:{form or ',.0f'}}", str(value))
    shown = (
        f"{value + 0:{form}}" if form else f"{value + 0:,.0f}" if abs(value) >= 1e4 else f"{value + 0:#.4g}"
    )
    return Cell(shown, f"{value:.6g}")
