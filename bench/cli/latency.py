"""`spikegrad latency`: time one neuron layer with each method, and in other libraries.

Exit codes: 0 done; 1 a method failed, or the benchmarks ended early; 2 nothing was started; 130 stopped by
the user.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.cli import completion
from bench.errors import BenchError, Stopped
from bench.files import nearest
from bench.show.terminal import Json, Plugins, ResultsFolder, console, names_in, print_json, say, warn_broken

if TYPE_CHECKING:
    from rich.console import Console

    from bench.records.layer_times import Case
    from bench.registry import Registry
    from bench.runner.timing.layer_session import Job

LARGEST = 2**31 - 1
MOST_THREADS = os.cpu_count() or 1
LAWS = {"eager": "loop", "compiled": "compile"}
"""The law of `bench.check` that a method must pass to be timed in each mode."""

Methods = Annotated[
    str | None,
    typer.Option(
        "--methods",
        help="Only these methods, separated by commas (default: all installed).",
        autocompletion=completion.method_list,
    ),
]


def latency(
    methods: Methods = None,
    timesteps: Annotated[str, typer.Option(help="Time steps, separated by commas.")] = "4",
    batch: Annotated[str, typer.Option(help="Batch sizes, separated by commas.")] = "100",
    units: Annotated[str, typer.Option(help="Numbers of neurons, separated by commas.")] = "512",
    compiled: Annotated[
        bool, typer.Option("--compiled", help="Also time with torch.compile; takes seconds per layer.")
    ] = False,
    peers: Annotated[bool, typer.Option(help="Also time the neurons of other libraries.")] = True,
    seconds: Annotated[
        float, typer.Option(min=0.001, max=3600, help="Seconds to spend on each number.")
    ] = 0.2,
    threads: Annotated[int, typer.Option(min=1, max=MOST_THREADS, help="CPU threads.")] = 1,
    device: Annotated[Literal["auto", "cpu", "cuda"], typer.Option(help="auto: cuda if available.")] = "auto",
    plugin: Plugins = None,
    results: ResultsFolder = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", metavar="FILE.json", help="Write here, not to the results folder."),
    ] = None,
    compare: Annotated[
        Path | None, typer.Option("--compare", metavar="FILE.json", help="Show ratios to saved times.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Time one layer of neurons with each method: forward, backward, and both as in training."""
    from bench.cli import render_latency
    from bench.paths import default_results
    from bench.records import layer_times
    from bench.suite import Suite

    # Find all errors before timing anything.
    earlier = layer_times.load(compare) if compare else None
    sizes = [_numbers("--timesteps", timesteps), _numbers("--batch", batch), _numbers("--units", units)]
    registry, job = _job(methods, sizes, compiled, peers, seconds, threads, device, plugin)
    file = save or layer_times.default_file(results or default_results(), job.hardware)
    _check_writable(file)
    talk = console(stderr=True)
    warn_broken(talk, registry)
    say(talk, f"latency: {len(job.cases)} layers on {job.hardware}")

    with _progress(talk, len(job.cases)) as tell:
        from bench.runner.timing import layer_session

        content = layer_session.measure(job, tell)
    times = layer_times.times(content)
    wrote = _save(content, file, keep=save is None) if any(time.ms for time in times) else None

    compared = None if earlier is None else layer_times.compare(times, earlier)
    baseline: str = Suite.model_fields["baseline"].default
    if as_json:
        rows = render_latency.as_rows(times, baseline, compared)
        print_json(
            {"file": wrote and str(wrote), "rows": rows}
            | (render_latency.remarks_as_json(compared) if compared else {})
        )
    else:
        render_latency.show(times, baseline, compared, console())
    say(talk, f"wrote {wrote}" if wrote else "nothing could be timed: nothing is saved")
    declared = {
        time.case
        for time in times
        if time.case.kind == "peer" or LAWS[time.case.mode] in registry.method(time.case.method).item.breaks
    }
    if any(time.error and time.case not in declared for time in times) or any(
        b.given for b in registry.broken
    ):
        raise typer.Exit(1)


def _job(
    methods: str | None,
    sizes: Sequence[Sequence[int]],
    compiled: bool,
    peers: bool,
    seconds: float,
    threads: int,
    device: str,
    plugin: list[Path] | None,
) -> tuple[Registry, Job]:
    import torch

    from bench.records.layer_times import Case, Mode
    from bench.records.timings import hardware
    from bench.runner.environment import describe
    from bench.runner.timing import timed_layers
    from bench.runner.timing.layer_session import Job
    from bench.runner.vetting import load
    from bench.suite import Profile

    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise BenchError("device cuda asked for, but torch finds none here: use --device cpu")
    on: Literal["cpu", "cuda"] = "cuda" if there and device != "cpu" else "cpu"
    registry = load(tuple(plugin or ()))
    chosen = _chosen(methods, registry)
    layers = [(name, str(registry.method(name).item.kind)) for name in chosen]
    layers += [(name, "peer") for name in timed_layers.peers() if peers]
    modes: list[Mode] = ["eager", "compiled"] if compiled else ["eager"]
    cases = tuple(
        Case(name, kind, steps, samples, neurons, mode)
        for steps, samples, neurons in itertools.product(*sizes)
        for mode in modes
        for name, kind in layers
    )
    profile = Profile(device=on, threads=threads)
    requires = {package for name in chosen for package in registry.method(name).item.requires}
    environment = describe(profile, sorted(requires))
    versions = {"python": environment["python"], **environment["packages"]}
    plugins = tuple(path.resolve() for path in plugin or ())
    return registry, Job(cases, profile, plugins, seconds, hardware(environment), versions)


def _chosen(methods: str | None, registry: Registry) -> list[str]:
    from bench.registry import missing_packages

    if methods is None:
        return [name for name, entry in registry.methods.items() if not missing_packages(entry.item)]
    names = names_in(methods, "--methods")
    for name in names:
        registry.method(name)
    return names


def _numbers(option: str, text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not (part.isascii() and part.isdecimal() and 0 < int(part) <= LARGEST):
            raise BenchError(
                f"{option}: {part!r} is no number from 1 to {LARGEST:,}; give such numbers, as in 2,4,8"
            )
    return list(dict.fromkeys(map(int, parts)))


def _check_writable(file: Path) -> None:
    if file.is_dir():
        raise BenchError(f"cannot write {file}: it is a folder; give the name of a file with --save")
    place = nearest(file.parent)
    if not place.is_dir():
        raise BenchError(f"cannot write {file}: {place} is not a folder; give another place")
    if not os.access(place, os.W_OK | os.X_OK):
        raise BenchError(f"cannot write {file}: no permission in {place}; give another place")


def _save(content: dict[str, Any], file: Path, keep: bool) -> Path:
    """Write the file; keep: merge it with other cases already in the file."""
    from bench.files import write_atomic
    from bench.records import layer_times

    if keep and file.exists():
        try:
            layer_times.load(file)
        except BenchError as error:
            say(console(stderr=True), f"warning: {error}; it is replaced")
        else:
            content = layer_times.merged(layer_times.content(file), content)
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    try:
        write_atomic(file, text.encode())
    except OSError as error:
        raise Stopped(
            f"cannot write {file}: {error.strerror or error}; give another place with --save"
        ) from None
    return file


@contextmanager
def _progress(to: Console, total: int) -> Iterator[Callable[[Case], None]]:
    """A bar on a terminal, otherwise a line per case."""
    if not to.is_terminal:
        count = itertools.count(1)
        yield lambda case: say(to, f"[{next(count)}/{total}] {case}")
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.description}"), console=to, transient=True) as progress:
        task = progress.add_task("starting", total=total)
        begun = itertools.count()

        def tell(case: Case) -> None:
            progress.update(task, completed=next(begun), description=str(case))

        yield tell
