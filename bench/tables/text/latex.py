"""Tables as LaTeX, ready to paste: booktabs, one table per task, over several pages if necessary.

A caption takes a line or two; what else a reader needs is a note below the table.
`bench.tables.text.latex_text` escapes the text; this module does the layout.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import ceil

from bench.tables.columns import TASK
from bench.tables.text.latex_text import escape, number
from bench.tables.text.readable import WORDS, Block

LONG = 35
"""Lines that one page holds; a longer table spans several pages."""
WIDE = 32
"""A text column wider than this, in characters, is wrapped."""
SHARES = (0.0, 0.4, 0.3)
"""The share of the line width of a wrapped column, by the number of wrapped columns: none, one, or more."""
SHARE_IF_LONG = 0.25
LINE = 345
"""The smallest line width, in points."""
SIZES = {r"\small": 4.8, r"\footnotesize": 4.3, r"\scriptsize": 3.8, r"\tiny": 0.0}
"""Font sizes, and the width of a character of each, in points."""


def fragment(
    which: str,
    suite: str,
    found: Iterable[Block],
    caption: Callable[[Block], str],
    note: Callable[[Block], str],
    made_by: str,
    double: bool = False,
) -> str:
    """Every block of the table `which` as LaTeX, to paste or to include in a document.

    made_by: the command that made it, for the comment at the top, which also names the packages needed.
    double: over both columns of a page, unless it goes over several pages.
    """
    blocks = [*found]
    long = any(_is_long(block) for block in blocks)
    needs = ["array", "booktabs", "graphicx", *(["longtable"] if long else [])]
    tables = [
        _table(block, escape(caption(block)), label, escape(note(block)), double)
        for block, label in zip(blocks, labels(which, suite, blocks), strict=True)
    ]
    comments = comments_of(made_by, needs, long, empty=not blocks)
    return "".join([*(f"{line}\n" for line in comments), "\n".join(tables)])


def labels(which: str, suite: str, blocks: Sequence[Block]) -> list[str]:
    """tab:SUITE-DATASET of each block, extended where necessary to be unique."""
    kind = [] if which == "accuracy" else [which]
    if which == "overall":
        # This table belongs to no single task.
        return [f"tab:{slug(suite, which)}"] * len(blocks)
    places = [[str(block.rows[name].iloc[0]) for name in TASK] for block in blocks]
    short = [slug(suite, place[0], *kind) for place in places]
    long = [slug(suite, dataset, backbone, f"T{t}", *kind) for dataset, backbone, t in places]
    fair = [a if short.count(a) == 1 else b for a, b in zip(short, long, strict=True)]
    seen = Counter[str]()
    found = []
    for label in fair:
        seen[label] += 1
        found.append(f"tab:{label}" + f"-{seen[label]}" * (seen[label] > 1))
    return found


def slug(*parts: str) -> str:
    """A part of a label."""
    return re.sub(r"[^a-z0-9.]+", "-", "-".join(parts).lower().encode("ascii", "ignore").decode()).strip("-")


def comments_of(made_by: str, needs: Sequence[str], long: bool = False, *, empty: bool) -> Iterator[str]:
    """The lines at the top: the command, and what the document needs."""
    yield f"% Made by: {' '.join(made_by.encode('ascii', 'backslashreplace').decode().split())}"
    if empty:
        yield "% The table has no rows."
        return
    yield rf"% Needs \usepackage{{{','.join(needs)}}}"
    if long:
        yield "% longtable works in one column only."


def _is_long(block: Block) -> bool:
    folded = [column for column in block.heads if _is_wrapped(block, column)]
    letters = SHARES[min(len(folded), 2)] * LINE / SIZES[r"\small"]
    lines = (max([1, *(ceil(len(line[c]) / letters) for c in folded)]) for line in block.lines)
    return sum(lines) > LONG


def _table(block: Block, caption: str, label: str, note: str, double: bool) -> str:
    """One block; `caption`, `label` and `note` are LaTeX."""
    heads = " & ".join(_head(block, column) for column in block.heads) + r" \\"
    columns = "@{}" + "".join(_alignment(block, column) for column in block.heads) + "@{}"
    top = rf"\caption{{{caption}}}\label{{{label}}}"
    if _is_long(block):
        return "\n".join([*_long(block, top, columns, heads, note), ""])
    return "\n".join([*_floating(block, top, columns, heads, note, "table" + "*" * double), ""])


def note_below(note: str) -> list[str]:
    """The lines of a note below a table; note: LaTeX."""
    if not note:
        return []
    return [
        r"\par\smallskip",
        rf"\begin{{minipage}}{{\linewidth}}\footnotesize\raggedright {note}\end{{minipage}}",
    ]


def _floating(block: Block, top: str, columns: str, heads: str, note: str, kind: str) -> list[str]:
    return [
        rf"\begin{{{kind}}}[t]",
        r"\centering",
        top,
        r"\par\medskip",
        r"\small",
        r"\setlength{\tabcolsep}{4pt}",
        # Shrunk only if it is wider than the line.
        r"\sbox0{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        heads,
        r"\midrule",
        *_lines(block),
        r"\bottomrule",
        r"\end{tabular}}%",
        r"\ifdim\wd0>\linewidth\resizebox{\linewidth}{!}{\usebox0}\else\usebox0\fi",
        *note_below(note),
        rf"\end{{{kind}}}",
    ]


def _long(block: Block, top: str, columns: str, heads: str, note: str) -> list[str]:
    return [
        r"\begingroup",
        _size(block),
        r"\setlength{\tabcolsep}{2pt}",
        rf"\begin{{longtable}}{{{columns}}}",
        rf"{top}\\",
        r"\toprule",
        heads,
        r"\midrule",
        r"\endfirsthead",
        r"\toprule",
        heads,
        r"\midrule",
        r"\endhead",
        rf"\midrule \multicolumn{{{len(block.heads)}}}{{r@{{}}}}{{continued on the next page}} \\",
        r"\endfoot",
        r"\bottomrule",
        r"\endlastfoot",
        *_lines(block),
        r"\end{longtable}",
        *([rf"\noindent{{\footnotesize\raggedright {note}\par}}"] if note else []),
        r"\endgroup",
    ]


def _lines(block: Block) -> Iterator[str]:
    folded = any(_is_wrapped(block, column) for column in block.heads)
    for i in range(len(block.lines)):
        if i and folded:
            yield r"\addlinespace"
        if i and block.apart and block.apart[i] and not block.apart[i - 1]:
            yield r"\midrule"
        cells = " & ".join(_cell(block, i, column) for column in block.heads)
        # LaTeX would read a leading [ or * as an argument of the \\ before it.
        yield f"{'{}' * cells.startswith(('[', '*'))}{cells} " + r"\\"


def _cell(block: Block, i: int, column: str) -> str:
    text = block.lines[i][column]
    if column in WORDS:
        return escape(text)
    first, *rest = number(text).split(" ", 1)
    return (
        " ".join([rf"\textbf{{{first}}}", *rest]) if block.bold and block.bold[i] == column else number(text)
    )


def _alignment(block: Block, column: str) -> str:
    if _is_wrapped(block, column):
        return rf">{{\raggedright\arraybackslash}}p{{{_share(block)}\linewidth}}"
    return "l" if column in WORDS else "r"


def _share(block: Block) -> float:
    """The share of the line width of each wrapped column."""
    folded = sum(_is_wrapped(block, column) for column in block.heads)
    return SHARE_IF_LONG if _is_long(block) else SHARES[min(folded, 2)]


def _is_wrapped(block: Block, column: str) -> bool:
    return column in WORDS and _width(block, column) > WIDE


def _width(block: Block, column: str) -> int:
    """The width of the longest cell, in characters."""
    return max(len(line[column]) for line in block.lines)


def _head(block: Block, column: str) -> str:
    """A heading, wrapped if it is much wider than the cells below it."""
    lines = _head_lines(block, column)
    if len(lines) < 2:
        return escape(block.heads[column])
    side, stacked = "l" if column in WORDS else "r", r" \\ ".join(map(escape, lines))
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{stacked}\end{{tabular}}"


def _head_lines(block: Block, column: str) -> list[str]:
    return textwrap.wrap(block.heads[column], max(10, _width(block, column)), break_long_words=False)


def _size(block: Block) -> str:
    """The largest font size in which the columns are likely to fit."""
    wrapped = sum(_is_wrapped(block, column) for column in block.heads)
    characters = sum(
        max(_width(block, column), *map(len, _head_lines(block, column)))
        for column in block.heads
        if not _is_wrapped(block, column)
    )
    room = LINE * (1 - SHARE_IF_LONG * wrapped) - 4 * len(block.heads)
    return next(size for size, points in SIZES.items() if characters * points <= room or not points)
