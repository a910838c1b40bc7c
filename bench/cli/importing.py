"""`spikegrad import`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.errors import BenchError, Stopped, counted
from bench.show.terminal import Json, ResultsFolder, console, print_json, say

if TYPE_CHECKING:
    from bench.records.exchange.importing import Outcome


def import_(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="A results folder, a runs/SUITE folder, or an `export` bundle from another machine.",
        ),
    ],
    results: ResultsFolder = None,
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
