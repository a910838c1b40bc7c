"""Human-readable tables, one block per task: shared by terminal, Markdown and LaTeX; also writes Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.tables.accuracy_table import VERDICTS
from bench.tables.columns import (
    COUNTS,
    DECLARED,
    DELTAS,
    EXTRA,
    OF_IMAGES,
    RANKS,
    TASK,
    TO_BEST,
    printed_cell,
)
from bench.variants import TUNED, is_option, words

HEADINGS = {
    "rank": "rank",
    "method": "method",
    "kind": "kind",
    "changes": "changes",
    "fidelity": "fidelity",
    "accuracy": "test accuracy %",
    "delta": "Δ to baseline",
    "p": "p",
    "to_best": "Δ to best",
    "best": "indistinguishable from best",
}
PAPER_HEADINGS = {
    "method": "method",
    "changes": "changes",
    "fidelity": "fidelity",
    "mean": "test accuracy (%)",
    "n": "n",
    "delta": "Δ to baseline",
    "p": "p",
}
"""The columns for a paper: rows are in the order of ranks, and bold replaces the verdict."""
WORDS = frozenset(
    (
        *("method", "other_method", "other_variant", "kind", "changes", "fidelity", "best", "equivalent"),
        *("status", "id", "error", "parameter", "chosen"),
        *("params", "source", "source_kind", "same_protocol", "differs", "note"),
    )
)
"""Columns that contain text, not only numbers."""
DIGITS = 2
"""Digits after the point of accuracies and differences."""
MARKDOWN_SIGNS = re.compile(r"[\\`*_<>|~$&]")


@dataclass(frozen=True)
class Block:
    """The rows of one task of a table, as text.

    heads: the headings of the columns shown; lines: the text of each row shown, by column; rows: all rows of
    the task in the table. bold: by line, the column whose number is among the best, or None. apart: by
    line, whether it is not ranked among the others.
    """

    title: str
    heads: Mapping[str, str]
    lines: list[dict[str, str]]
    rows: pd.DataFrame
    bold: Sequence[str | None] = ()
    apart: Sequence[bool] = ()


def blocks(table: pd.DataFrame, heads: Mapping[str, str] = HEADINGS, digits: int = DIGITS) -> Iterator[Block]:
    """The tasks of an accuracy table, in its order; other network or data options make another task.

    A task in which nothing is tested has no column p. digits: after the point of accuracies.
    """
    column = "accuracy" if "accuracy" in heads else "mean"
    for title, rows in tasks(table):
        found = rows.to_dict("records")
        tested = rows["p_adjusted"].notna().any()
        shown = {name: head for name, head in heads.items() if name != "p" or tested}
        bold = [column if best else None for best in best_of(found)]
        apart = [pd.isna(line["rank"]) for line in found]
        yield Block(title, shown, [_readable(line, digits) for line in found], rows, bold, apart)


def tasks(table: pd.DataFrame, *within: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Title and rows of each task of any table, split further by the values of the columns `within`.

    Words that the variants of all rows share appear once, in the title. The column `method` adds a row's own
    words to the method's name; `alone` is the name without them. So do `other_method` and `other_alone` in a
    table of pairs. Rows without a variant, of methods that were not run, are grouped with the first network
    of their task.
    """
    options = _options(table)
    for place, rows in table.groupby([*TASK, options, *within]):
        dataset, backbone, timesteps, _, *rest = map(str, place)
        parts = [words(variant) for variant in rows["variant"]]
        run = [of for of, variant in zip(parts, rows["variant"], strict=True) if variant] or [[]]
        shared = [word for word in run[0] if all(word in other for other in run)]
        named = rows.assign(method=_named(rows["method"], parts, shared), alone=rows["method"])
        if "other_method" in rows:
            others = [words(variant) for variant in rows["other_variant"]]
            named = named.assign(
                other_method=_named(rows["other_method"], others, shared), other_alone=rows["other_method"]
            )
        yield " · ".join([dataset, backbone, f"T = {timesteps}", *shared, *rest]), named


def _named(methods: Iterable[str], parts: Iterable[Iterable[str]], shared: Sequence[str]) -> list[str]:
    """The names of methods, each with the words of its variant that not all rows share."""
    own = (" ".join(word for word in of if word not in shared) for of in parts)
    return [f"{method} ({of})" if of else method for method, of in zip(methods, own, strict=True)]


def _options(table: pd.DataFrame) -> pd.Series[Any]:
    """The options of each row's network, data and machine, as one text."""
    found, of_task = list[str](), dict[tuple[Any, ...], str]()
    places = [*table[[*TASK]].itertuples(index=False, name=None)]
    for place, variant in zip(places, table["variant"], strict=True):
        found.append(" ".join(word for word in words(variant) if is_option(word) or word == TUNED))
        if variant:
            of_task.setdefault(place, found[-1])
    there = zip(places, table["variant"], found, strict=True)
    return pd.Series(
        [own if v else of_task.get(place, "") for place, v, own in there], table.index, dtype=object
    )


def best_of(rows: Sequence[Mapping[Any, Any]]) -> list[bool]:
    """Which rows of a task cannot be told from the best: none if that holds for all of them.

    Rows with failed seeds are never among them.
    """
    verdicts = [printed_cell(VERDICTS[0], row[VERDICTS[0]]) for row in rows]
    told = "no" in verdicts
    return [told and said == "yes" and not row["n_failed"] for said, row in zip(verdicts, rows, strict=True)]


def bold_note(rows: pd.DataFrame) -> str:
    """What bold means in a table of these rows of an accuracy table, or why nothing is bold."""
    verdicts = {*rows["indistinguishable_from_best"].fillna("")}
    if verdicts <= {""}:
        return "Nothing is bold: with fewer than 3 seeds in common nothing is tested."
    least = sorted({*rows["detectable"].dropna().round(2)})
    points = " or ".join(f"{each:.2f}" for each in least) or "unknown"
    if "no" not in verdicts:
        return (
            "Nothing is bold: no method is distinguishable from another; this design detects differences of "
            f"{points} points."
        )
    return (
        "Bold: the methods that are indistinguishable from the best. The interval of their difference to the "
        "best covers zero, which does not prove that they are equal."
    )


def markdown(table: pd.DataFrame) -> str:
    """An accuracy table as GitHub Markdown: one pipe table per task."""
    return markdown_of(blocks(table))


def markdown_of(
    found: Iterable[Block],
    caption: Callable[[Block], str] = lambda _: "",
    note: Callable[[Block], str] = lambda _: "",
) -> str:
    """Blocks of any table as GitHub Markdown, each under its title and caption, and above its note."""
    return "\n".join(_pipe_table(block, caption(block), note(block)) for block in found)


def _pipe_table(block: Block, caption: str, note: str) -> str:
    cells = [[_markdown_cell(block, i, column) for column in block.heads] for i in range(len(block.lines))]
    return pipe_table(block.title, caption, [*block.heads.values()], cells, note)


def pipe_table(
    title: str, caption: str, heads: Sequence[str], cells: Iterable[Sequence[str]], note: str
) -> str:
    """A table as GitHub Markdown. heads, cells: as they are, escaped where necessary."""
    rows = [heads, ["---"] * len(heads), *cells]
    above = f"### {escaped(title)}\n" + f"\n{escaped(caption)}\n" * bool(caption)
    below = [f"{escaped(note)}\n"] if note else []
    return "\n".join([above, *(f"| {' | '.join(row)} |" for row in rows), "", *below])


def _markdown_cell(block: Block, i: int, column: str) -> str:
    cell = block.lines[i][column]
    if column in WORDS:
        return escaped(cell)
    number, *rest = cell.split(" ", 1)
    return " ".join([f"**{number}**", *rest]) if block.bold and block.bold[i] == column else cell


def escaped(words: str) -> str:
    """Text escaped for Markdown."""
    return MARKDOWN_SIGNS.sub(r"\\\g<0>", words)


def _readable(line: Mapping[Any, Any], digits: int) -> dict[str, str]:
    mean, n = accuracy_text(line, digits), behind(line)
    return {
        "rank": _rank(line),
        "method": str(line["method"]),
        **{fact: str(line[fact]) for fact in DECLARED},
        "accuracy": f"{mean} (n = {n})",
        "mean": mean,
        "n": n,
        "delta": _delta(line, DELTAS, digits),
        "to_best": _delta(line, TO_BEST, digits),
        "p": p_text(line["p_adjusted"]),
        "best": printed_cell(VERDICTS[0], line[VERDICTS[0]]),
    }


def _rank(line: Mapping[Any, Any]) -> str:
    """`2–5`: the ranks that the row can have; "–" if that is not tested, "" if it is not ranked."""
    rank, low, high = (printed_cell(name, line[name]) for name in RANKS)
    if low == "":
        return "–" if rank else ""
    return low if low == high else f"{low}–{high}"


def interval_of(line: Mapping[Any, Any]) -> tuple[float, float] | None:
    """The ends of the interval that tables show: over seeds and images, or over seeds alone."""
    return next(
        (
            (float(line[low]), float(line[high]))
            for low, high in (OF_IMAGES, ("test_accuracy_ci_low", "test_accuracy_ci_high"))
            if not pd.isna(line[low])
        ),
        None,
    )


def accuracy_text(line: Mapping[Any, Any], digits: int = DIGITS) -> str:
    """`98.30 ± 0.41`: the mean ± half the interval over seeds and images, or over seeds alone."""
    ends = interval_of(line)
    half = "" if ends is None else f" ± {(ends[1] - ends[0]) / 2:.{digits}f}"
    return f"{_points(line['test_accuracy_mean'], digits)}{half}"


def p_text(value: Any) -> str:
    """`0.034`; `<0.001`."""
    return "–" if pd.isna(value) else "<0.001" if value < 0.001 else f"{value:.3f}"


def behind(line: Mapping[Any, Any]) -> str:
    """`3, 1 failed`: the number of runs in a mean, and of those that are not."""
    n, *others = (line[count] for count in (*COUNTS, EXTRA))
    said = zip(others, ("failed", "incomplete", "more"), strict=True)
    return ", ".join([f"{n}", *(f"{number} {what}" for number, what in said if number)])


def _delta(line: Mapping[Any, Any], names: Sequence[str], digits: int) -> str:
    """`+0.28 [-0.10, +0.66]`, without the parts that are unknown."""
    delta, *ends = (line[name] for name in names)
    if pd.isna(ends[0]):
        return _points(delta, digits, "+")
    return f"{_points(delta, digits, '+')} [{', '.join(_points(end, digits, '+') for end in ends)}]"


def _points(value: float, digits: int, sign: str = "") -> str:
    return "–" if pd.isna(value) else f"{round(value, digits) + 0:{sign}.{digits}f}"
