"""`spikegrad tune`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from bench import api
from bench.cli import progress, render
from bench.cli.run import Again, Datasets, Device, Jobs, Methods, Plugins, Retry, SuiteName, Timeout, names
from bench.errors import counted
from bench.show.terminal import DataRoot, Json, ResultsFolder, console, print_json, say, warn_broken

if TYPE_CHECKING:
    from bench.runner.plan import Plan


def tune(
    suite: SuiteName,
    results: ResultsFolder = None,
    data_root: DataRoot = None,
    methods: Methods = None,
    datasets: Datasets = None,
    plugin: Plugins = None,
    device: Device = None,
    jobs: Jobs = None,
    timeout: Timeout = None,
    retry: Retry = False,
    again: Again = False,
    as_json: Json = False,
) -> None:
    """Run the tuning trials of a suite that are missing, and show what they choose; see docs/fairness.md.

    Each trial is an ordinary training run on the tuning seeds. No test data is loaded.
    """
    options: dict[str, Any] = {
        "results": results,
        "data_root": data_root,
        "methods": names(methods),
        "datasets": names(datasets),
        "plugins": plugin or (),
        "device": device,
        "again": again,
        "timeout": timeout,
    }
    plan = api.make_trial_plan(suite, retry=retry, **options)
    talk = console(stderr=True)
    warn_broken(talk, plan.registry)
    say(talk, _announcement(plan))
    with progress.listener(talk, len(plan.pending), plan.pending) as listener:
        plan = api.tune(
            plan,
            jobs=jobs,
            listener=listener,
            again=lambda: api.make_trial_plan(suite, **options),
        )
    from bench.tables import tuning_tables
    from bench.tables.text import render_tables

    made = api.write_tuning_tables(plan)
    if as_json:
        print_json({name: render.table_as_json(table) for name, table in made.items()})
    else:
        out = console()
        render_tables.show("tuned", made["tuned"], out)
        for sentence in (*tuning_tables.at_the_edge(made["tuning"]), _next(plan)):
            say(out, sentence)
        for name in made:
            say(out, f"wrote {api.tables_of(plan) / name}.csv")
    if plan.pending:
        raise typer.Exit(1)


def _announcement(plan: Plan) -> str:
    assert plan.suite.tune is not None
    tune, pending = plan.suite.tune, len(plan.pending)
    return (
        f"{plan.suite.name}: {counted(tune.trials, 'trial')} for each method in each task, on "
        f"{counted(len(tune.seeds), 'tuning seed')}; {len(plan.cells) - pending} cells finished before, "
        f"{pending} to run; results in {plan.store.results}"
    )


def _next(plan: Plan) -> str:
    if plan.pending:
        return (
            f"{counted(len(plan.pending), 'cell')} did not end well, through no fault of a method: "
            "run the same command again"
        )
    return f"The chosen values run on the suite's own seeds with `spikegrad run {plan.suite.name}`."
