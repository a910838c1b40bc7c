"""`spikegrad diff`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.show.terminal import Json, console, print_json, say

if TYPE_CHECKING:
    from bench.tables.diff import Pair
    from bench.tables.diff_folders import Folders

HEADS = ("row", "old", "new", "difference", "p, adjusted", "rank", "verdict")
Place = Annotated[Path, typer.Argument(help="A folder of tables, leaderboards/SUITE, or an accuracy.csv.")]


def diff(
    old: Place,
    new: Place,
    form: Annotated[Literal["table", "markdown"], typer.Option("--format", help="Output format.")] = "table",
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="Exit with 1 if a row moved beyond noise, or vanished.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare two leaderboards: what moved, and whether by more than noise."""
    from bench.tables import diff_folders

    found = diff_folders.compare(old, new)
    lines = [_texts(pair) for pair in found.accuracy.pairs if pair.verdict != "identical"]
    said = [*found.accuracy.sentences(str(old), str(new)), *found.others]
    if as_json:
        print_json(_json(found))
    elif form == "markdown":
        print(_markdown(lines, said))
    else:
        _show(lines, said)
    if exit_code and (found.accuracy.of("beyond noise", "incomparable") or found.accuracy.only_old):
        raise typer.Exit(1)


def _show(lines: list[list[str]], said: list[str]) -> None:
    from bench.show.terminal_table import print_table

    out = console()
    print_table(out, HEADS, lines, words=("row", "verdict"))
    for sentence in said:
        say(out, sentence)


def _markdown(lines: list[list[str]], said: list[str]) -> str:
    from bench.tables.text.readable import escaped

    rows = [HEADS, ["---"] * len(HEADS), *([escaped(cell) for cell in line] for line in lines)]
    table = [f"| {' | '.join(row)} |" for row in rows] if lines else []
    return "\n".join([*table, *([""] if table else []), *(f"- {escaped(sentence)}" for sentence in said)])


def _texts(pair: Pair) -> list[str]:
    test = pair.welch
    difference = "–" if math.isnan(test.difference) else f"{test.difference:+.2f}"
    interval = "" if math.isnan(test.low) else f" [{test.low:+.2f}, {test.high:+.2f}]"
    p = "–" if math.isnan(pair.p_adjusted) else f"{pair.p_adjusted:.3f}"
    before, after = (row.rank or "–" for row in (pair.old, pair.new))
    rank = before if before == after else f"{before} → {after}"
    return [pair.old.name, str(pair.old), str(pair.new), difference + interval, p, rank, pair.verdict]


def _json(found: Folders) -> dict[str, Any]:
    def known(number: float) -> float | None:
        return None if math.isnan(number) else number

    comparison = found.accuracy
    return {
        "rows": [
            {
                "row": pair.old.name,
                "verdict": pair.verdict,
                "old": known(pair.old.summary.mean),
                "new": known(pair.new.summary.mean),
                "difference": known(pair.welch.difference),
                "ci_low": known(pair.welch.low),
                "ci_high": known(pair.welch.high),
                "p_adjusted": known(pair.p_adjusted),
                "old_rank": pair.old.rank,
                "new_rank": pair.new.rank,
            }
            for pair in comparison.pairs
        ],
        "only_old": [row.name for row in comparison.only_old],
        "only_new": [row.name for row in comparison.only_new],
        "others": found.others,
    }
