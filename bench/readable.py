"""The accuracy table for people: short texts in place of columns, on the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.columns import COUNTS, DECLARED, DELTAS, TASK, text
from bench.leaderboards import VERDICTS
from bench.suite import BackboneSpec

OPTIONS = {*BackboneSpec.model_fields, "backbone.width", "subset", "cuda", "float64"} - {"name", "width"}
HEADINGS = {
    "rank": "rank",
    "method": "method",
    "kind": "kind",
    "changes": "changes",
    "fidelity": "fidelity",
    "accuracy": "test accuracy %",
    "delta": "Δ to baseline",
    "best": "indistinguishable from best",
}


@dataclass(frozen=True)
class Block:
    """One task of an accuracy table: a title, and its lines with a text under each of HEADINGS."""

    title: str
    lines: list[dict[str, str]]


def blocks(table: pd.DataFrame) -> Iterator[Block]:
    """The tasks of an accuracy table, in its order; networks and data of other options are other tasks."""
    for title, rows in tasks(table):
        yield Block(title, [_readable(line) for line in rows.to_dict("records")])


def tasks(table: pd.DataFrame, *within: str) -> Iterator[tuple[str, pd.DataFrame]]:
    """Title and rows of each task of any table, and within it of each value of these columns.

    What the variants of all rows share stands once, in the title, and `method` names what is a row's own.
    """
    options = [" ".join(filter(_is_option, _words(variant))) for variant in table["variant"]]
    for place, rows in table.groupby([*TASK, pd.Series(options, table.index), *within]):
        dataset, backbone, timesteps, _, *rest = map(str, place)
        words = [_words(variant) for variant in rows["variant"]]
        shared = [word for word in words[0] if all(word in other for other in words)]
        own = [" ".join(word for word in of if word not in shared) for of in words]
        names = zip(rows["method"], own, strict=True)
        named = rows.assign(method=[f"{method} ({of})" if of else method for method, of in names])
        yield " · ".join([dataset, backbone, f"T = {timesteps}", *shared, *rest]), named


def markdown(table: pd.DataFrame) -> str:
    """An accuracy table as GitHub Markdown: one pipe table a task."""
    heads = [*HEADINGS.values()]
    found = (
        pipe_table(block.title, heads, [[*line.values()] for line in block.lines]) for block in blocks(table)
    )
    return "\n".join(found)


def pipe_table(title: str, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table of GitHub Markdown below its title."""
    rows = [heads, ["---"] * len(heads), *([cell.replace("|", r"\|") for cell in line] for line in lines)]
    return "\n".join([f"### {title}\n", *(f"| {' | '.join(row)} |" for row in rows), ""])


def _is_option(word: str) -> bool:
    """Whether a word of a variant is about the network, the data or the machine, and not the method."""
    return word.split("=")[0] in OPTIONS or word.startswith("dataset.")


def _words(variant: str) -> list[str]:
    return [] if variant == "default" else variant.split(" ")


def _readable(line: Mapping[Any, Any]) -> dict[str, str]:
    best, rank = (text(column, line[column]) for column in VERDICTS)
    return {
        "rank": rank,
        "method": str(line["method"]),
        **{fact: str(line[fact]) for fact in DECLARED},
        "accuracy": _accuracy(line),
        "delta": _delta(line),
        "best": best,
    }


def _accuracy(line: Mapping[Any, Any]) -> str:
    """`98.30 ± 0.41 (n = 3, 1 failed)`: the mean, half its interval, and what stands behind it."""
    n, failed, incomplete = (line[count] for count in COUNTS)
    behind = (
        f"n = {n}" + f", {failed} failed" * bool(failed) + f", {incomplete} incomplete" * bool(incomplete)
    )
    low, high = line["test_accuracy_ci_low"], line["test_accuracy_ci_high"]
    half: str = "" if pd.isna(low) else f" ± {(high - low) / 2:.2f}"
    return f"{_points(line['test_accuracy_mean'])}{half} ({behind})"


def _delta(line: Mapping[Any, Any]) -> str:
    """`+0.28 [-0.10, +0.66]`, or what is known of it."""
    delta, low, high = (line[name] for name in DELTAS)
    if pd.isna(low):
        return _points(delta, "+")
    if low == high and pd.isna(line["p_adjusted"]):
        return f"{_points(delta, '+')} (no variance)"
    return f"{_points(delta, '+')} [{_points(low, '+')}, {_points(high, '+')}]"


def _points(value: float, sign: str = "") -> str:
    return "–" if pd.isna(value) else f"{round(value, 2) + 0:{sign}.2f}"
