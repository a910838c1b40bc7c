"""The command line: arguments in, rendered text out. The work is done in `bench.api`.

Exit codes: 0 done; 1 done with cells that failed, or stopped on the way; 2 nothing was started;
130 stopped by the user. Progress goes to stderr, results to stdout.
"""

from __future__ import annotations

import gc
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from bench.cli import compare, data, export, latency, show, verify
from bench.errors import BenchError, Stopped
from bench.show.terminal import (
    STOPPED_BY_USER,
    DataRoot,
    Json,
    Results,
    console,
    names_in,
    print_json,
    say,
    warn_broken,
)

if TYPE_CHECKING:
    from bench.records.store import Store
    from bench.registry import Registry
    from bench.run.plan import Plan

app = typer.Typer(
    help="Compare surrogate-gradient methods for spiking neural networks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data")
app.command()(latency.latency)
app.command("diff")(compare.diff)
app.command("import")(compare.import_)
app.command("export")(export.export)
app.command("verify")(verify.verify)

SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A shipped suite, or a path to a TOML file.")]
Methods = Annotated[str | None, typer.Option("--methods", help="Only these, separated by commas.")]
Datasets = Annotated[str | None, typer.Option("--datasets", help="Only these, separated by commas.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="Only these, separated by commas.")]
Add = Annotated[
    bool,
    typer.Option("--add", help="Let --methods, --datasets and --seeds name what the suite does not have."),
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin", help="A Python file, or a folder of them; repeatable. Its methods join the suite."
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"] | None, typer.Option("--device", help="Instead of the suite's own.")
]
Retry = Annotated[bool, typer.Option("--retry", help="Run cells again that have failed or diverged.")]
Again = Annotated[
    bool, typer.Option("--again", help="Repeat what was made with another minor version of torch.")
]
Times = Annotated[
    bool | None,
    typer.Option(
        "--times/--no-times",
        help="Time inference and training steps after the trainings, or not (default: as the suite says).",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, help="Trainings at a time (default: as cores and memory allow)."),
]
Timeout = Annotated[
    float | None,
    typer.Option("--timeout", min=1, help="Seconds a cell may take, instead of the suite's own."),
]
Table = Literal[
    "accuracy", "pairs", "overall", "gradients", "latency", "cost", "anytime", "runs", "published"
]
Kind = Literal["methods", "datasets", "backbones", "suites"]


def main() -> NoReturn:
    """The entry point of `spikegrad` and `python -m bench`."""
    # Thousands of records are no garbage, and every look for some goes through all of them.
    gc.set_threshold(200_000, 20, 50)
    try:
        app()
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1 if isinstance(error, Stopped) else 2)
    except SystemExit as end:
        if end.code == STOPPED_BY_USER:
            kept = "; trainings that had finished are kept, the same command goes on from there"
            print(f"stopped{kept * (sys.argv[1:2] == ['run'])}", file=sys.stderr)
        raise
    sys.exit(0)


@app.command()
def run(
    suite: SuiteName,
    results: Results = None,
    data_root: DataRoot = None,
    methods: Methods = None,
    datasets: Datasets = None,
    seeds: Seeds = None,
    add: Add = False,
    plugin: Plugins = None,
    device: Device = None,
    jobs: Jobs = None,
    timeout: Timeout = None,
    retry: Retry = False,
    again: Again = False,
    times: Times = None,
    as_json: Json = False,
) -> None:
    """Run what is missing of a suite; show progress; write and show the leaderboard."""
    from bench import api
    from bench.cli import progress, render

    plan = _plan(
        suite, results, data_root, methods, datasets, seeds, add, plugin, device, retry, again, times
    )
    talk = console(stderr=True)
    warn_broken(talk, plan.found)
    to_time = render.to_time(plan, retry=retry) or 0
    say(talk, render.announcement(plan, to_time))
    with progress.listener(talk, len(plan.pending)) as listener:
        made = api.execute(plan, jobs=jobs, timeout=timeout, retry=retry, listener=listener)
    page = api.report_of_run(plan, anything_new=bool(plan.pending or to_time))
    outcome = render.outcome(plan, made["accuracy"], [page] if page else [])
    if as_json:
        print_json(outcome.as_json())
    else:
        outcome.show(console())
    lost = [broken for broken in plan.found.broken if plugin and broken.given]
    if lost:
        # Again, where it is seen: what was asked for is not in the table.
        warn_broken(talk, plan.found)
    if outcome.unfinished or lost:
        raise typer.Exit(1)


@app.command()
def plan(
    suite: SuiteName,
    results: Results = None,
    data_root: DataRoot = None,
    methods: Methods = None,
    datasets: Datasets = None,
    seeds: Seeds = None,
    add: Add = False,
    plugin: Plugins = None,
    device: Device = None,
    retry: Retry = False,
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Show the cells of a suite, which are done, and how long the rest may take; train nothing."""
    from bench.cli import render
    from bench.records import reading

    made = _plan(
        suite, results, data_root, methods, datasets, seeds, add, plugin, device, retry, again, elsewhere=True
    )
    warn_broken(console(stderr=True), made.found)
    reading.tell(made.store.survey()[1])
    if as_json:
        print_json(render.plan_as_json(made, retry=retry))
    else:
        render.show_plan(made, console(), retry=retry)


@app.command("list")
def list_(
    what: Annotated[Kind, typer.Argument(help="methods, datasets, backbones or suites")],
    plugin: Plugins = None,
    conversions: Annotated[
        bool, typer.Option("--conversions", help="Methods: which of ours equals which of the libraries'.")
    ] = False,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", help="Methods: draw all derivatives into this .svg, .png, .pdf or .html."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List methods, datasets, backbones or suites."""
    from bench.cli import render

    if figure and as_json and not conversions:
        raise BenchError(
            "--figure writes a picture and lists nothing: leave out --json, or add --conversions"
        )
    if what != "methods" and (conversions or figure):
        option = "--conversions" if conversions else "--figure"
        raise BenchError(f"{option} is about methods, not {what}: spikegrad list methods {option}")
    if conversions or figure:
        _list_more(plugin, conversions, figure, as_json)
        return
    if what == "suites":
        rows = render.suite_rows()
    else:
        from bench import registry

        found = registry.load(tuple(plugin or ()))
        warn_broken(console(stderr=True), found)
        # Methods are built to look at their derivatives, and may print.
        with redirect_stdout(sys.stderr):
            rows = render.rows(found, what)
    if as_json:
        print_json(rows)
    else:
        render.show_rows(rows, console())


def _list_more(plugin: list[Path] | None, conversions: bool, figure: Path | None, as_json: bool) -> None:
    if figure is not None:
        from bench.show import figure_files

        # Before torch is imported, and every method.
        figure_files.check(figure)
    from bench import registry
    from bench.cli import render

    found = registry.load(tuple(plugin or ()))
    warn_broken(console(stderr=True), found)
    if figure is not None:
        from bench.cli import gallery

        with redirect_stdout(sys.stderr):
            gallery.save(found, figure)
        say(console(stderr=True), f"wrote {figure}")
    if conversions:
        from bench.measures.conversions import conversions as compare

        with redirect_stdout(sys.stderr):
            rows = compare(found)
        if as_json:
            print_json(rows)
        else:
            render.show_conversions(rows, console())


@app.command()
def check(
    methods: Annotated[list[str] | None, typer.Argument(metavar="METHOD...", show_default=False)] = None,
    every: Annotated[bool, typer.Option("--all", help="Every installed method.")] = False,
    plugin: Plugins = None,
    compiler: Annotated[
        Literal["inductor", "aot_eager"],
        typer.Option("--compiler", help="aot_eager is faster and needs no C++ compiler."),
    ] = "inductor",
    as_json: Json = False,
) -> None:
    """Check that methods keep the laws every method must keep; with only --plugin, those it brings."""
    from bench import registry
    from bench.check import laws
    from bench.cli import verdicts

    found = registry.load(tuple(plugin or ()))
    talk = console(stderr=True)
    warn_broken(talk, found)
    names = _to_check(methods, every, bool(plugin), found)
    checked: dict[str, list[Any]] = {}
    stopped = False
    try:
        for number, name in enumerate(names, 1):
            case = laws.Case(found.method(name).item, found, compiler)
            if len(names) > 1:
                talk.print(f"{number}/{len(names)} {name}", markup=False, highlight=False)
            with redirect_stdout(sys.stderr):
                checked[name] = list(laws.check(case))
    except KeyboardInterrupt:
        stopped = True
    if as_json:
        print_json(verdicts.as_json(checked))
    elif checked:
        verdicts.show(checked, console())
    if stopped:
        raise typer.Exit(STOPPED_BY_USER)
    broken = any(verdict.outcome == "broken" for laws in checked.values() for verdict in laws)
    if broken or any(lost.given for lost in found.broken):
        raise typer.Exit(1)


def _to_check(methods: list[str] | None, every: bool, plugin: bool, found: Registry) -> list[str]:
    from bench.registry import missing_packages

    if every and methods:
        raise BenchError(f"check: --all or names ({', '.join(methods)}), not both")
    if every:
        return [name for name, entry in found.methods.items() if not missing_packages(entry.item)]
    if methods:
        for name in methods:
            found.method(name)
        return list(dict.fromkeys(methods))
    given = [name for name, entry in found.methods.items() if entry.given]
    if not given:
        what = "the plugin brings no method" if plugin else "nothing to check"
        raise BenchError(f"check: {what}; give names of methods, --all, or --plugin FILE")
    return given


@app.command()
def new(
    what: Annotated[Literal["method", "dataset"], typer.Argument(help="method or dataset")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
    folder: Annotated[Path, typer.Option("--folder", help="Where the file is written.")] = Path(),
) -> None:
    """Write a file with a small method or dataset that passes its check, ready to edit."""
    from bench.check import template

    if what == "method":
        file = template.new_method(name, folder)
        check, run = f"check --plugin {file}", f"run smoke --plugin {file}"
    else:
        file = template.new_dataset(name, folder)
        check, run = (
            f"data check --plugin {file}",
            f"run smoke --plugin {file} --datasets {shlex.quote(name)} --add",
        )
    say(console(), f"wrote {file}\ncheck it: spikegrad {check}\nrun it:   spikegrad {run}")


app.command("show")(show.show)


@app.command()
def leaderboard(
    suite: SuiteName,
    results: Results = None,
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
    """Make the tables of a suite anew from its records, and show one of them.

    Ends with 1 where a record is left out, as one that was edited.
    """
    from bench import api
    from bench.cli import render
    from bench.tables import columns
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
    compared = [api.against(store, chosen, each) for each in baseline or ()] or [chosen]
    for each in compared:
        made = api.write_tables(store, each, save=not baseline)
        table = made[which]
        if form in ("markdown", "latex"):
            sys.stdout.write(api.paste(store, each, suite, form, which, table, results=results))
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


def _end(store: Store) -> None:
    """With 1 where records are left out of what was written; which and why has been told."""
    if store.left_out:
        raise typer.Exit(1)


@app.command()
def report(
    suite: SuiteName,
    results: Results = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="Compare with METHOD, or METHOD:VARIANT, instead of the suite's."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write one HTML page of a suite, from its records alone: leaderboard, figures, failures.

    Ends with 1 where a record is left out, as one that was edited.
    """
    from bench import api
    from bench.records import reading
    from bench.report import page

    store, chosen = api.stored(suite, results)
    if baseline is not None:
        chosen = api.against(store, chosen, baseline)
    file = page.write(chosen, store)
    if as_json:
        print_json({"suite": suite, "file": str(file)})
    else:
        say(console(), f"wrote {file}")
    reading.tell(store.left_out)
    _end(store)


def _plan(
    suite: str,
    results: Path | None,
    data_root: Path | None,
    methods: str | None,
    datasets: str | None,
    seeds: str | None,
    add: bool,
    plugin: list[Path] | None,
    device: str | None,
    retry: bool,
    again: bool = False,
    times: bool | None = None,
    *,
    elsewhere: bool = False,
) -> Plan:
    from bench import api

    return api.make_plan(
        suite,
        results=results,
        data_root=data_root,
        methods=_names(methods),
        datasets=_names(datasets),
        seeds=_numbers(seeds),
        add=add,
        plugins=plugin or (),
        device=device,
        retry=retry,
        again=again,
        times=times,
        elsewhere=elsewhere,
    )


def _names(text: str | None) -> list[str] | None:
    return None if text is None else names_in(text)


def _numbers(text: str | None) -> list[int] | None:
    names = _names(text)
    if names is None:
        return None
    wrong = [name for name in names if not name.isdecimal()]
    if wrong:
        raise BenchError(f"--seeds: {wrong[0]!r} is not a seed; give whole numbers from 0, as in 0,1,2")
    return [int(name) for name in names]
