"""Fit a table on the pages of a LaTeX document: split into floats, and what is too wide into parts.

One text must do for documents of one and of two columns, so nothing needs a package such as longtable, which
works in one column only. Widths are estimated here for the smallest font; LaTeX chooses the font.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

from bench.tables.text.latex_text import escape, printed

Float = Literal["single", "double"]
ROOMS: Mapping[Float, float] = {"single": 229, "double": 469}
"""The line widths of a two-column article, in points, for a float that is known to stand in one."""
ONE_COLUMN = 345
"""The line width of a one-column article, in points: what any document has for a float over its page."""
EM = 7.97
r"""Points of an em in \scriptsize, the smallest font that is used."""
EMS = {
    **dict.fromkeys("ijl.,:;'[]!|", 0.28),
    " ": 0.34,
    **dict.fromkeys("frst()`-", 0.39),
    **dict.fromkeys("+±=<>×−–→~^", 0.79),
    **dict.fromkeys("mw%#&", 0.83),
    **dict.fromkeys("MW—@", 1.03),
    **dict.fromkeys("hknpuvxbdgqyT_\\", 0.56),
    **dict.fromkeys('0123456789aceoz/$*?{}"', 0.5),
}
"""Widths of characters in Computer Modern, in em, rounded up."""
OTHER = 0.78
BOLD = 1.12
"""A column with bold numbers is wider by this factor."""
GAP = 6.0
"""Points between two columns; LaTeX begins with 8, and ends with 4 if it must."""
NARROW = 68.0
"""Points that a column of text needs at least, if its cells are wrapped."""
LONGEST = 10
"""Longer words of a wrapped cell can be broken."""
PAGE = 520.0
r"""The points of a page of an article that are used; the rest is a margin for wrapped cells."""
ROW, APART, RULES, CAPTION, NOTE = 11.0, 4.6, 26.0, 12.0, 9.5
r"""Points, in \small: of a row, between rows of wrapped cells, of rules and gaps; of a line of text."""
FEWEST = 4
"""So many rows of a part, if it has them, stand in one float."""
MANY = 16
"""After so many floats LaTeX is told to set them: it holds back only a limited number."""


@dataclass(frozen=True)
class Column:
    """heads: the lines of the heading; texts: the cells as plain text.

    cells: the cells as LaTeX; None for a column of words, which may be wrapped. key: names the row, and is
    repeated in every part; joined: not parted from the column before it.
    """

    heads: Sequence[str]
    texts: Sequence[str]
    cells: Sequence[str] | None = None
    key: bool = False
    joined: bool = False


@dataclass(frozen=True)
class Grid:
    """A table. apart: by row, whether it stands below a line, if the row before it does not."""

    columns: Sequence[Column]
    apart: Sequence[bool]


@dataclass(frozen=True)
class _Part:
    """Some of the columns; caps: by column, the width of a wrapped one in points, or None."""

    columns: Sequence[Column]
    caps: Sequence[float | None]


def floats(grid: Grid, caption: str, label: str, note: str, width: Float | None) -> list[str]:
    r"""The lines of a table: one float, or several if it takes more than a page.

    caption, note: plain text. width: of the float in a document of two columns; None for the narrower one in
    which all columns stand side by side, or both columns of the page.
    """
    parts, width, room = _chosen(grid, width)
    kind = "table" if width == "single" else "table*"
    pages = [*_pages(grid, parts, lines_of(caption, 10, room) * CAPTION, lines_of(note, 8.5, room) * NOTE)]
    lines = list[str]()
    for number, page in enumerate(pages):
        lines += [rf"\begin{{{kind}}}[tp]", r"\centering", r"\emergencystretch=2em"]
        if number:
            lines.append(rf"Table~\ref{{{label}}}, continued.")
        else:
            lines.append(rf"\caption{{{escape(caption)}}}\label{{{label}}}")
        for part, rows in page:
            lines += [r"\par\medskip", *_fitted(_tabular(grid, part, rows))]
        if number == len(pages) - 1:
            lines += _below(escape(note))
        lines.append(rf"\end{{{kind}}}")
    return lines


def flushed(lines: Iterable[str]) -> Iterator[str]:
    """The lines, with a command to set all floats after every MANY of them."""
    count = 0
    for line in lines:
        yield line
        if line.startswith(r"\end{table"):
            count += 1
            yield from [r"\clearpage"] * (count % MANY == 0)


def width_of(text: str) -> float:
    r"""The width of a text in \scriptsize, in points."""
    return EM * sum(EMS.get(character, OTHER) for character in printed(text))


def lines_of(text: str, em: float, room: float) -> int:
    """The lines that a text takes. em: points of an em of the font. room: their width, in points."""
    return ceil(1.05 * width_of(text) * em / EM / room)


def _chosen(grid: Grid, width: Float | None) -> tuple[list[_Part], Float, float]:
    if width:
        return _parts(grid, ROOMS[width]), width, ROOMS[width]
    narrow = _parts(grid, ROOMS["single"])
    if len(narrow) == 1 and not any(narrow[0].caps):
        return narrow, "single", ROOMS["single"]
    return _parts(grid, ONE_COLUMN), "double", ONE_COLUMN


def _parts(grid: Grid, room: float) -> list[_Part]:
    """The columns of each part: as many as fit next to the keys, which all parts have."""
    keys = [column for column in grid.columns if column.key]
    groups = list[list[Column]]()
    for column in grid.columns:
        if not column.key and (column.joined and groups):
            groups[-1].append(column)
        elif not column.key:
            groups.append([column])
    found = [keys]
    for group in groups:
        if found[-1] != keys and _part([*found[-1], *group], room) is None:
            found.append(keys)
        found[-1] = [*found[-1], *group]
    return [_part(columns, room) or _squeezed(columns, room) for columns in found]


def _part(columns: Sequence[Column], room: float) -> _Part | None:
    """These columns, with the widest columns of words wrapped if they must be; None if they do not fit."""
    widths = [_width(column) for column in columns]
    left = room - GAP * (len(columns) - 1)
    if sum(widths) <= left:
        return _Part(columns, [None] * len(columns))
    words = sorted(width for width, column in zip(widths, columns, strict=True) if column.cells is None)
    left -= sum(width for width, column in zip(widths, columns, strict=True) if column.cells is not None)
    while words and words[0] <= left / len(words):
        left -= words.pop(0)
    if not words or left / len(words) < NARROW:
        return None
    return _capped(columns, widths, left / len(words))


def _squeezed(columns: Sequence[Column], room: float) -> _Part:
    """Columns that do not fit even alone: the words get what the numbers leave, with a narrow gap."""
    widths = [_width(column) for column in columns]
    numbers = sum(width for width, column in zip(widths, columns, strict=True) if column.cells is not None)
    words = sum(column.cells is None for column in columns)
    left = room - numbers - 4 * (len(columns) - 1)
    return _capped(columns, widths, max(left / max(words, 1), NARROW / 2))


def _capped(columns: Sequence[Column], widths: Sequence[float], cap: float) -> _Part:
    wrapped = [c.cells is None and width > cap for c, width in zip(columns, widths, strict=True)]
    return _Part(columns, [cap if each else None for each in wrapped])


def _width(column: Column) -> float:
    bold = column.cells is not None and any(r"\textbf" in cell for cell in column.cells)
    # Numbers have signs as wide as a plus.
    texts = column.texts if column.cells is None else [text.replace("-", "−") for text in column.texts]
    cells = max(map(width_of, texts), default=0) * (BOLD if bold else 1)
    return max(cells, *map(width_of, column.heads))


def _pages(
    grid: Grid, parts: Sequence[_Part], caption: float, note: float
) -> Iterator[list[tuple[_Part, range]]]:
    """Which rows of which parts stand in each float. caption, note: their heights, in points."""
    page, left, count = list[tuple[_Part, range]](), PAGE - caption, len(grid.apart)
    for part in parts:
        top = ROW * max(len(column.heads) for column in part.columns) + RULES
        first = 0
        while first < count:
            last, room = first, left - top
            while last < count and (room := room - _height(part, last)) >= 0:
                last += 1
            if page and last - first < min(FEWEST, count - first):
                yield page
                page, left = [], PAGE - CAPTION
                continue
            last = max(last, first + 1)
            page.append((part, range(first, last)))
            left -= top + sum(_height(part, row) for row in range(first, last))
            first = last
    if page and note > left:
        yield page
        page = []
    yield page


def _height(part: _Part, row: int) -> float:
    lines = [
        1.1 * width_of(column.texts[row]) / cap
        for column, cap in zip(part.columns, part.caps, strict=True)
        if cap
    ]
    return ROW * max(1, *map(ceil, lines)) + APART if lines else ROW


def _fitted(tabular: Sequence[str]) -> list[str]:
    r"""The table in the largest font in which it fits the line, chosen by LaTeX, since documents differ."""
    # Without \resizebox, which needs a package and makes fonts of odd sizes.
    sizes = [r"\footnotesize", r"\scriptsize", r"\setlength{\tabcolsep}{2pt}"]
    smaller = [rf"\ifdim\wd0>\linewidth{size}\sbox0{{\benchtable}}\fi" for size in sizes]
    return [
        r"\def\benchtable{%",
        *tabular[:-1],
        f"{tabular[-1]}}}%",
        r"{\setlength{\tabcolsep}{4pt}\small\sbox0{\benchtable}%",
        *(f"{line}%" for line in smaller),
        r"\usebox0}",
    ]


def _tabular(grid: Grid, part: _Part, rows: range) -> list[str]:
    columns = [*zip(part.columns, part.caps, strict=True)]
    aligned = "".join(_alignment(column, cap) for column, cap in columns)
    lines = [
        rf"\begin{{tabular}}{{@{{}}{aligned}@{{}}}}",
        r"\toprule",
        rf"{' & '.join(map(_head, part.columns))} \\",
        r"\midrule",
    ]
    for row in rows:
        if row > rows.start:
            lines += [r"\addlinespace"] * any(part.caps)
            lines += [r"\midrule"] * (grid.apart[row] and not grid.apart[row - 1])
        cells = " & ".join(_cell(column, cap, row) for column, cap in columns)
        # LaTeX would read a leading [ or * as an argument of the \\ before it.
        lines.append(f"{'{}' * cells.startswith(('[', '*'))}{cells} " + r"\\")
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _alignment(column: Column, cap: float | None) -> str:
    if cap:
        # In em, so that it grows with the font.
        return rf">{{\raggedright\arraybackslash}}p{{{cap / EM:.2f}em}}"
    return "l" if column.cells is None else "r"


def _cell(column: Column, cap: float | None, row: int) -> str:
    if column.cells is not None:
        return column.cells[row]
    return escape(column.texts[row], LONGEST) if cap else escape(column.texts[row])


def _head(column: Column) -> str:
    if len(column.heads) < 2:
        return escape("".join(column.heads))
    side = "l" if column.cells is None else "r"
    stacked = r" \\ ".join(map(escape, column.heads))
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{stacked}\end{{tabular}}"


def _below(note: str) -> list[str]:
    if not note:
        return []
    return [
        r"\par\smallskip",
        rf"\begin{{minipage}}{{\linewidth}}\footnotesize\raggedright {note}\end{{minipage}}",
    ]
