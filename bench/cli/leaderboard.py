"""`spikegrad leaderboard` and `spikegrad report`: what is made of records alone.

`--all` belongs to this command, not to `export`: it prints a table, and `export` packs files to send.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench import api
from bench.cli import completion, render
from bench.errors import BenchError
from bench.records import reading
from bench.show.terminal import Json, ResultsFolder, console, names_in, print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd

    from bench.records.store import Store
    from bench.tables.results import Results
    from bench.tables.text.choice import Choice

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
    "tasks",
]
OneOrAll = Annotated[
    str | None,
    typer.Argument(
        metavar="[SUITE]",
        help="A shipped suite, or a path to a TOML file.",
        autocompletion=completion.suites,
    ),
]
FORMS = Literal["table", "csv", "markdown", "latex"]
Methods = Annotated[
    str | None, typer.Option("--methods", help="Show only these, separated by commas; verdicts stay.")
]
Datasets = Annotated[str | None, typer.Option("--datasets", help="Show only these, separated by commas.")]


def leaderboard(
    suite: OneOrAll = None,
    results: ResultsFolder = None,
    which: Annotated[Table, typer.Option("--table", help="Which one to show.")] = "accuracy",
    form: Annotated[
        FORMS | None,
        typer.Option("--format", help="What to print.", show_default="table"),
    ] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            "--baseline",
            help="Compare with METHOD, or METHOD:VARIANT, this once; repeatable. No file is written.",
        ),
    ] = None,
    methods: Methods = None,
    datasets: Datasets = None,
    digits: Annotated[
        int | None,
        typer.Option("--digits", help="After the point, of accuracies and differences.", show_default="2"),
    ] = None,
    columns: Annotated[
        Literal["single", "double"] | None,
        typer.Option("--columns", help="Width of the LaTeX table: one column of a page, or both."),
    ] = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="One CSV of all suites in the results folder, in place of SUITE."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Regenerate the tables of a suite from its records, and show one of them.

    Ends with 1 where a record is left out, as one that was edited.
    """
    from bench.tables.results import OF_TUNING
    from bench.tables.text.choice import Choice
    from bench.tables.text.readable import DIGITS

    _check_options(suite, every, which, form, baseline, digits, columns, as_json)
    chosen_rows = Choice(
        names_in(methods, "--methods") if methods is not None else (),
        names_in(datasets, "--datasets") if datasets is not None else (),
        DIGITS if digits is None else digits,
        columns,
    )
    if suite is None:
        _everything(results, chosen_rows, as_json)
        return
    store, chosen = api.stored(suite, results)
    found = api.read_results(store, chosen, save=not baseline)
    if which in OF_TUNING and not found.trials:
        raise BenchError(
            f"--table {which}: the suite {suite} has no tuning trials; `spikegrad tune` runs them"
        )
    compared = [found.against(each) for each in baseline or ()] or [found]
    for each in compared:
        if form in ("markdown", "latex"):
            sys.stdout.write(api.paste(each, suite, form, which, results=results, choice=chosen_rows))
        elif as_json or form == "csv":
            _print(each.table(which), which, chosen_rows, as_json)
        else:
            if len(compared) > 1:
                say(console(), f"baseline: {each.baseline}")
            _show(store.suite, each, which, chosen_rows)
    _end([store])


def _check_one_or_all(suite: str | None, every: bool, what: str) -> None:
    """Raises BenchError unless either a suite is named or --all is given. what: what --all makes."""
    if every == (suite is not None):
        raise BenchError(
            f"--all is for every suite in the results folder: leave out {suite}, or --all"
            if every
            else f"name a SUITE, or give --all for {what} of every suite in the results folder"
        )


def _check_options(
    suite: str | None,
    every: bool,
    which: str,
    form: str | None,
    baseline: list[str] | None,
    digits: int | None,
    columns: str | None,
    as_json: bool,
) -> None:
    """Raises BenchError for options that contradict each other."""
    _check_one_or_all(suite, every, "one CSV")
    if as_json and form:
        raise BenchError(f"--json and --format {form} are two forms of one table: give one of them")
    if baseline and len(baseline) > 1 and (as_json or form == "csv"):
        wanted = "--json" if as_json else "--format csv"
        raise BenchError(
            f"--baseline {' --baseline '.join(baseline)}: {wanted} gives one table; "
            "name one baseline, or take --table pairs, which compares every two rows"
        )
    if every and (form not in (None, "csv") or which != "accuracy" or baseline):
        raise BenchError("--all prints one CSV, or JSON: leave out --table, --baseline and other formats")
    if which == "tasks" and (as_json or form == "csv"):
        wanted = "--json" if as_json else "--format csv"
        raise BenchError(
            f"--table tasks is a table to read; the numbers for {wanted} are in --table accuracy, a row each"
        )
    if digits is not None and (as_json or form == "csv" or every):
        raise BenchError("--digits is for tables to read: CSV and JSON have all digits")
    if columns and form != "latex":
        raise BenchError(f"--columns {columns} is the width of a LaTeX table: add --format latex")


def _everything(results: Path | None, choice: Choice, as_json: bool) -> None:
    from bench.tables.text.flat import flat

    found = api.everything(results)
    _print(flat((store.suite, each) for store, each in found.items()), "of all suites", choice, as_json)
    _end(found)


def _print(table: pd.DataFrame, which: str, choice: Choice, as_json: bool) -> None:
    """The chosen rows of a table as JSON or CSV."""
    from bench.tables import columns

    choice.check(which, table)
    shown = table.loc[choice.among(table)]
    if as_json:
        print_json(render.table_as_json(shown))
    else:
        sys.stdout.write(columns.csv(shown))


def _show(suite: str, found: Results, which: Table, choice: Choice) -> None:
    """Print a table on the terminal."""
    from bench.tables.text import by_task, render_tables

    if which == by_task.NAME:
        by_task.show(suite, by_task.table(found, choice), console())
        return
    table = found.table(which)
    choice.check(which, table)
    if which == "accuracy":
        render.show_accuracy(table, console(), choice)
    else:
        render_tables.show(which, table, console(), choice)


def report(
    suite: OneOrAll = None,
    results: ResultsFolder = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="Compare with METHOD, or METHOD:VARIANT, instead of the suite's."),
    ] = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="Reports of all suites in the results folder, and index.html over them."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Write one HTML page of a suite, from its records alone: what was found, leaderboard, figures.

    Ends with 1 where a record is left out, as one that was edited.
    """
    from bench.report import page

    _check_one_or_all(suite, every, "a report")
    if suite is None:
        if baseline is not None:
            raise BenchError(f"--baseline {baseline} is for one suite: name it, and leave out --all")
        _all_reports(results, as_json)
        return
    store, chosen = api.stored(suite, results)
    found = api.read_results(store, chosen, save=False, tell=False)
    file = page.write(chosen, store, found if baseline is None else found.against(baseline))
    if as_json:
        print_json({"suite": suite, "file": str(file)})
    else:
        say(console(), f"wrote {file}")
    reading.tell(store.left_out)
    _end([store])


def _all_reports(results: Path | None, as_json: bool) -> None:
    from bench.records import kept_suites
    from bench.report import index, page

    found = api.everything(results)
    files = {}
    for store, each in found.items():
        files[store.suite] = page.write(kept_suites.find(store.suite, store.results)[0], store, each)
    file = index.write(next(iter(found)).results, found.items())
    if as_json:
        print_json({"index": str(file), "files": {name: str(each) for name, each in files.items()}})
    else:
        for written in (*files.values(), file):
            say(console(), f"wrote {written}")
    _end(found)


def _end(stores: Iterable[Store]) -> None:
    """With 1 where records are left out of what was written; which and why has been told."""
    if any(store.left_out for store in stores):
        raise typer.Exit(1)
