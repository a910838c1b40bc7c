"""A table on the terminal: if it is too wide, its columns are split into blocks, and nothing is cut."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = 2
"""Spaces between columns."""
LONG = 24
"""A text longer than this can be wrapped."""


def print_table(
    console: Console,
    heads: Sequence[str],
    lines: Sequence[Sequence[str]],
    *,
    words: Sequence[str] = (),
    title: str = "",
    styles: Sequence[str | None] = (),
) -> None:
    """Print a table and an empty line; print nothing if there are no lines.

    lines: texts, one for each of the heads. words: heads of text columns. styles: one per line. The column
    "method", or the first column if there is none, identifies a line: every block repeats it, and it is
    wrapped if it does not fit next to even one other column.
    """
    if not lines:
        return
    widths = [_width(head, [line[i] for line in lines]) for i, head in enumerate(heads)]
    first = list(heads).index("method") if "method" in heads else 0
    blocks = _blocks(widths, first, console.width)
    longest = max(len(heads[first]), *(len(line[first]) for line in lines))
    if title:
        # Not the table's own: a narrow table would wrap it.
        console.print(Text(title, "italic"))
    for block in blocks:
        drawn = Table(box=None, pad_edge=False)
        for i in block:
            drawn.add_column(
                heads[i],
                justify="left" if heads[i] in words else "right",
                overflow="fold",
                width=_fixed(widths, block, i, first, longest, console.width) if len(blocks) > 1 else None,
            )
        for line, style in zip(lines, styles or [None] * len(lines), strict=True):
            drawn.add_row(*(Text(line[i]) for i in block), style=style)
        console.print(drawn)
        console.print()


def _blocks(widths: Sequence[int], first: int, room: int) -> list[list[int]]:
    """The columns of each block, in their order; as many as fit next to the first."""
    if sum(widths) + GAP * (len(widths) - 1) <= room:
        return [list(range(len(widths)))]
    blocks: list[list[int]] = []
    left = 0
    for i, width in enumerate(widths):
        if i == first:
            continue
        if not blocks or left < width + GAP:
            blocks.append([first])
            left = room - widths[first]
        blocks[-1].append(i)
        left -= width + GAP
    # Columns left of the names, such as a rank, stay left of them.
    return [sorted(block) for block in blocks]


def _fixed(widths: Sequence[int], block: Sequence[int], i: int, first: int, longest: int, room: int) -> int:
    """The width of column i in its block: what it needs; the names get at most what the others leave.

    longest: what the names need to stand on one line each.
    """
    others = sum(widths[j] + GAP for j in block if j != first)
    return max(1, min(longest, room - others) if i == first else min(widths[i], room))


def _width(head: str, cells: Sequence[str]) -> int:
    """The width that a column needs: heads and long texts wrap between words."""
    longest = max(map(len, cells))
    folded = (
        longest if longest <= LONG else max(LONG, *(len(word) for cell in cells for word in cell.split()))
    )
    return max(folded, *map(len, head.split()))
