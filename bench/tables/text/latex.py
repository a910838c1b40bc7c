"""Tables as LaTeX, ready to paste: booktabs, one table per task, over several floats if necessary.

A caption takes a line or two; what else a reader needs is a note below the table.
`bench.tables.text.latex_text` escapes the text; `bench.tables.text.latex_layout` fits it on the page.
"""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from bench.tables.columns import TASK
from bench.tables.text.latex_layout import Column, Float, Grid, floats, flushed
from bench.tables.text.latex_text import number
from bench.tables.text.readable import WORDS, Block

KEYS = ("method", "other_method", "params", "seed", "t", "learning_rate", "parameter", "value")
"""Columns that say what a row is about: as many of them as are needed to tell the rows apart."""
JOINED = {
    *(
        "n",
        "p",
        "p_adjusted",
        "published_sd",
        "n_seeds",
        "inference_ms_p50_batch100",
        "layer_backward_ms_p50",
    ),
    *("layer_step_ms_p50", "val_accuracy_median", "val_accuracy_worst", "tuned_accuracy_mean"),
}
"""Columns that cannot be understood without the one before them; ends of intervals are others."""


def fragment(
    which: str,
    suite: str,
    found: Iterable[Block],
    caption: Callable[[Block], str],
    note: Callable[[Block], str],
    made_by: str,
    width: Float | None = None,
) -> str:
    """Every block of the table `which` as LaTeX, to paste or to include in a document.

    made_by: the command that made it, for the comment at the top, which also names the packages needed.
    width: of the floats; None for what each block takes.
    """
    blocks = [*found]
    lines = list[str]()
    for block, label in zip(blocks, labels(which, suite, blocks), strict=True):
        lines += [*([""] if lines else []), *floats(_grid(block), caption(block), label, note(block), width)]
    return "\n".join([*comments_of(made_by, lines), *flushed(lines), ""])


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


def comments_of(made_by: str, lines: Sequence[str]) -> Iterator[str]:
    """The comments above these lines: the command, and the packages that the document needs."""
    yield f"% Made by: {' '.join(made_by.encode('ascii', 'backslashreplace').decode().split())}"
    if not lines:
        yield "% The table has no rows."
        return
    wrapped = any(r"\arraybackslash" in line for line in lines)
    yield rf"% Needs \usepackage{{{'array,' * wrapped}booktabs}}"


def _grid(block: Block) -> Grid:
    keys = _keys(block)
    columns = [_column(block, name, name in keys) for name in block.heads]
    return Grid(columns, block.apart or [False] * len(block.lines))


def _keys(block: Block) -> list[str]:
    there, keys = [name for name in KEYS if name in block.heads], list[str]()
    while there and len({tuple(line[key] for key in keys) for line in block.lines}) < len(block.lines):
        keys.append(there.pop(0))
    return keys or there[:1]


def _column(block: Block, name: str, key: bool) -> Column:
    texts = [line[name] for line in block.lines]
    cells = None if name in WORDS else [_number(block, row, name) for row in range(len(texts))]
    joined = name in JOINED or name.endswith(("_ci_low", "_ci_high"))
    # A heading is not much wider than the cells below it.
    heads = textwrap.wrap(block.heads[name], max(10, *map(len, texts)), break_long_words=False)
    return Column(heads, texts, cells, key, joined)


def _number(block: Block, row: int, name: str) -> str:
    first, *rest = (text := number(block.lines[row][name])).split(" ", 1)
    bold = bool(block.bold) and block.bold[row] == name
    return " ".join([rf"\textbf{{{first}}}", *rest]) if bold else text
