"""`spikegrad diff` and `spikegrad import`: compare leaderboards, and import records from other machines."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.errors import BenchError, Stopped
from bench.show.terminal import Json, Results, console, print_json, say
from bench.words import counted

if TYPE_CHECKING:
    from bench.records.exchange.importing import Outcome
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


def import_(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="A results folder, a runs/SUITE folder, or an `export` bundle from another machine.",
        ),
    ],
    results: Results = None,
    keep: Annotated[
        Literal["ours", "theirs", "both"] | None,
        typer.Option(
            "--keep", help="Which record to keep if both finished a cell; both: theirs get separate rows."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check; write nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Validate records from other machines, and import the valid ones."""
    from bench import api, paths
    from bench.records.exchange import bundles, importing
    from bench.runner.code_notes import code_notes

    with tempfile.TemporaryDirectory(prefix="spikegrad-import-") as unpacked:
        if folder.is_file():
            bundles.unpack(folder, Path(unpacked))
            folder = Path(unpacked)
        outcomes = importing.take_in(folder, results or paths.default_results(), keep=keep, dry_run=dry_run)
    notes = code_notes([record for outcome in outcomes for record in outcome.records])
    if as_json:
        print_json({"suites": [_outcome_json(outcome) for outcome in outcomes], "notes": notes})
    else:
        for outcome in outcomes:
            _show_outcome(outcome, dry_run)
        for note in notes:
            say(console(), note)
    if not dry_run:
        new = [each for each in outcomes if each.taken or each.replaced or each.beside or each.timings]
        # Trials are in the tables of their suite.
        for suite in dict.fromkeys(outcome.suite.removesuffix(paths.TRIALS) for outcome in new):
            _make_tables(api, suite, results, as_json)
    if not all(outcome.clean for outcome in outcomes):
        raise typer.Exit(1)


def _show_outcome(outcome: Outcome, dry_run: bool) -> None:
    out = console()
    verb = "would be taken in" if dry_run else "taken in"
    parts = [f"{counted(len(outcome.taken), 'record')} {verb}"]
    if outcome.timings:
        parts.append(f"{counted(outcome.timings, 'timing')} {verb}")
    for those, what in (
        (outcome.replaced, "in the place of those here"),
        (outcome.beside, "beside those here, as rows of their own"),
        (outcome.kept, "not, since ours are kept"),
        (outcome.there, "here already"),
        (outcome.conflicts, "in conflict with what is here"),
        (outcome.refused, "refused"),
    ):
        if those:
            parts.append(f"{len(those)} {what}")
    say(out, f"{outcome.suite}: {', '.join(parts)}")
    for sentence in outcome.conflicts:
        say(out, f"conflict: {sentence}")
    for sentence in outcome.refused:
        say(out, f"refused: {sentence}")


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    lists = ("taken", "replaced", "beside", "there", "kept", "conflicts", "refused")
    return {"suite": outcome.suite, "timings": outcome.timings} | {
        name: getattr(outcome, name) for name in lists
    }


def _make_tables(api: Any, suite: str, results: Path | None, as_json: bool) -> None:
    try:
        api.leaderboard(suite, results=results)
    except Stopped:
        raise
    except BenchError:
        # The suite can be unknown here; its records are imported anyway.
        say(
            console(stderr=as_json),
            f"no suite {suite} is shipped: `spikegrad leaderboard FILE.toml` makes its tables",
        )
