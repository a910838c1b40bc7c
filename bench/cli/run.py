"""`spikegrad run` and `spikegrad plan`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bench import api
from bench.cli import completion, progress, render
from bench.errors import BenchError
from bench.records import reading
from bench.show.terminal import DataRoot, Json, ResultsFolder, console, names_in, print_json, say, warn_broken

if TYPE_CHECKING:
    from bench.runner.engines.following import Scheduler
    from bench.runner.plan import Plan

SuiteName = Annotated[
    str,
    typer.Argument(
        metavar="SUITE",
        help="A shipped suite, or a path to a TOML file.",
        autocompletion=completion.suites,
    ),
]
Methods = Annotated[
    str | None,
    typer.Option("--methods", help="Only these, separated by commas.", autocompletion=completion.method_list),
]
Datasets = Annotated[
    str | None,
    typer.Option(
        "--datasets", help="Only these, separated by commas.", autocompletion=completion.dataset_list
    ),
]
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
    typer.Option(
        "--timeout",
        min=1,
        help="Seconds that a cell, or loading a dataset, may take, instead of the suite's own.",
    ),
]
Wait = Annotated[
    bool,
    typer.Option(
        "--wait/--no-wait",
        help="Where several runs divide a suite: wait at the end for what others train, or not.",
    ),
]
Before = Annotated[
    datetime | None,
    typer.Option(
        "--before",
        formats=["%Y-%m-%dT%H:%M:%S%z"],
        help="Run again only what ended before this time: the tasks of one job repeat nothing of each other.",
        hidden=True,
    ),
]
Engine = Annotated[
    Literal["local", "slurm", "ray"],
    typer.Option("--engine", help="Train here, or with Slurm, or on a Ray cluster; see docs/clusters.md."),
]
Hours = Annotated[
    float, typer.Option("--hours", min=0.1, help="The time to ask Slurm for, for each job of its array.")
]


def run(
    suite: SuiteName,
    results: ResultsFolder = None,
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
    wait: Wait = True,
    engine: Engine = "local",
    hours: Hours = 4.0,
    before: Before = None,
    as_json: Json = False,
) -> None:
    """Run what is missing of a suite; show progress; write and show the leaderboard."""
    scheduler = None
    if engine != "local":
        _check_followed(engine, times=times, wait=wait)
        options: dict[str, object] = {"methods": methods, "datasets": datasets, "seeds": seeds}
        options |= {"add": add, "plugin": plugin, "timeout": timeout, "retry": retry, "again": again}
        scheduler = _scheduler(engine, _words(suite, **options), hours, jobs)
        times = False
    plan = _plan(
        suite,
        results,
        data_root,
        methods,
        datasets,
        seeds,
        add,
        plugin,
        device,
        retry,
        again,
        times,
        timeout,
        before,
        elsewhere=scheduler is not None,
    )
    talk = console(stderr=True)
    warn_broken(talk, plan.registry)
    to_time = len(render.to_time(plan, retry=retry) or ())
    say(talk, render.announcement(plan, to_time))
    with progress.listener(talk, len(plan.pending), plan.pending) as listener:
        made = api.execute(plan, jobs=jobs, retry=retry, wait=wait, scheduler=scheduler, listener=listener)
    page = api.report_of_run(plan, made, anything_new=bool(plan.pending or to_time))
    outcome = render.outcome(plan, made, [page] if page else [])
    if as_json:
        print_json(outcome.as_json())
    else:
        outcome.show(console())
    lost = [broken for broken in plan.registry.broken if plugin and broken.given]
    if lost:
        # Again, where it is seen: what was asked for is not in the table.
        warn_broken(talk, plan.registry)
    if outcome.unfinished or lost:
        raise typer.Exit(1)


def plan(
    suite: SuiteName,
    results: ResultsFolder = None,
    data_root: DataRoot = None,
    methods: Methods = None,
    datasets: Datasets = None,
    seeds: Seeds = None,
    add: Add = False,
    plugin: Plugins = None,
    device: Device = None,
    retry: Retry = False,
    again: Again = False,
    sbatch: Annotated[
        bool, typer.Option("--sbatch", help="Print a job script for Slurm that runs the rest.")
    ] = False,
    hours: Hours = 4.0,
    as_json: Json = False,
) -> None:
    """Show the cells of a suite, which are done, and how long the rest may take; train nothing."""
    made = _plan(
        suite, results, data_root, methods, datasets, seeds, add, plugin, device, retry, again, elsewhere=True
    )
    warn_broken(console(stderr=True), made.registry)
    reading.tell(made.store.survey()[1])
    if sbatch:
        options: dict[str, object] = {"methods": methods, "datasets": datasets, "seeds": seeds}
        options |= {"add": add, "plugin": plugin, "retry": retry, "again": again}
        from bench.runner.engines import slurm

        print(slurm.script(made, _words(suite, **options), hours), end="")
    elif as_json:
        print_json(render.plan_as_json(made, retry=retry))
    else:
        render.show_plan(made, console(), retry=retry)


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
    timeout: float | None = None,
    before: datetime | None = None,
    *,
    elsewhere: bool = False,
) -> Plan:

    return api.make_plan(
        suite,
        results=results,
        data_root=data_root,
        methods=names(methods),
        datasets=names(datasets),
        seeds=_numbers(seeds),
        add=add,
        plugins=plugin or (),
        device=device,
        retry=retry,
        again=again,
        times=times,
        timeout=timeout,
        before=before,
        elsewhere=elsewhere,
    )


def _check_followed(engine: str, *, times: bool | None, wait: bool) -> None:
    """Raise BenchError for options of `run` that make no sense where a scheduler trains."""
    if times:
        raise BenchError(f"--times with --engine {engine}: time on the machine that counts, with another run")
    if not wait:
        raise BenchError(
            f"--no-wait with --engine {engine}: it follows its jobs to the end; to submit to Slurm and "
            "leave, use `spikegrad plan SUITE --sbatch`"
        )


def _words(suite: str, **options: object) -> list[str]:
    """What each task of a scheduler is started with; options: those of `run` that it passes on, as typed."""
    words = [str(Path(suite).resolve()) if Path(suite).suffix else suite]
    for name, value in options.items():
        if isinstance(value, list):
            words += [word for file in value for word in (f"--{name}", str(file.resolve()))]
        elif value is True:
            words.append(f"--{name}")
        elif value is not None and value is not False:
            words += [f"--{name}", str(value)]
    return words


def _scheduler(engine: str, words: list[str], hours: float, jobs: int | None) -> Scheduler:
    if engine == "slurm":
        from bench.runner.engines.slurm import Slurm

        return Slurm(words, hours, jobs)
    from bench.runner.engines.ray_cluster import Ray

    return Ray(words, hours, jobs)


def names(text: str | None) -> list[str] | None:
    """The names in an option, which commas separate."""
    return None if text is None else names_in(text)


def _numbers(text: str | None) -> list[int] | None:
    found = names(text)
    if found is None:
        return None
    wrong = [name for name in found if not name.isdecimal()]
    if wrong:
        raise BenchError(f"--seeds: {wrong[0]!r} is not a seed; give whole numbers from 0, as in 0,1,2")
    return [int(name) for name in found]
