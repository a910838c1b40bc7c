"""`spikegrad leaderboard` and `spikegrad report`: what is made of records alone."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench import api
from bench.cli import render
from bench.cli.run import SuiteName
from bench.errors import BenchError
from bench.records import reading
from bench.show.terminal import Json, ResultsFolder, console, print_json, say

if TYPE_CHECKING:
    from bench.records.store import Store

Table = Literal[
    "accuracy",
    "pairs",
    "overall",
    "gradients",
    "latency",
    "cost",
    "anytime",
    "runs",
    "published",
    "tuning",
    "tuned",
]


def leaderboard(
    suite: SuiteName,
    results: ResultsFolder = None,
    which: Annotated[Table, typer.Option("--table", help="Which one to show.")] = "accuracy",
    form: Annotated[
        Literal["table", "csv", "markdown", "latex"] | None,
        typer.Option("--format", help="What to print.", show_default="table"),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline",
            help="Compare with METHOD, or METHOD:VARIANT, this once; repeatable. No file is written.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Regenerate the tables of a suite from its records, and show one of them.

    Ends with 1 where a record is left out, as one that was edited.
    """
    from bench.tables import columns
    from bench.tables.results import OF_TUNING
    from bench.tables.text import render_tables

    if as_json and form:
        raise BenchError(f"--json and --format {form} are two forms of one table: give one of them")
    if baseline and len(baseline) > 1 and (as_json or form == "csv"):
        wanted = "--json" if as_json else "--format csv"
        raise BenchError(
            f"--baseline {' --baseline '.join(baseline)}: {wanted} gives one table; "
            "name one baseline, or take --table pairs, which compares every two rows"
        )
    store, chosen = api.stored(suite, results)
    found = api.read_results(store, chosen, save=not baseline)
    if which in OF_TUNING and not found.trials:
        raise BenchError(
            f"--table {which}: the suite {suite} has no tuning trials; `spikegrad tune` runs them"
        )
    compared = [found.against(each) for each in baseline or ()] or [found]
    for each in compared:
        table = each.table(which)
        if form in ("markdown", "latex"):
            sys.stdout.write(api.paste(each, suite, form, which, results=results))
        elif as_json:
            print_json(render.table_as_json(table))
        elif form == "csv":
            sys.stdout.write(columns.csv(table))
        else:
            if len(compared) > 1:
                say(console(), f"baseline: {each.baseline}")
            if which == "accuracy":
                render.show_accuracy(table, console())
            else:
                render_tables.show(which, table, console())
    _end(store)


def report(
    suite: SuiteName,
    results: ResultsFolder = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="Compare with METHOD, or METHOD:VARIANT, instead of the suite's."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one HTML page of a suite, from its records alone: leaderboard, figures, failures.

    Ends with 1 where a record is left out, as one that was edited.
    """
    from bench.report import page

    store, chosen = api.stored(suite, results)
    found = api.read_results(store, chosen, save=False, tell=False)
    file = page.write(chosen, store, found if baseline is None else found.against(baseline))
    if as_json:
        print_json({"suite": suite, "file": str(file)})
    else:
        say(console(), f"wrote {file}")
    reading.tell(store.left_out)
    _end(store)


def _end(store: Store) -> None:
    """With 1 where records are left out of what was written; which and why has been told."""
    if store.left_out:
        raise typer.Exit(1)
