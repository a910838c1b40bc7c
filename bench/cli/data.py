"""`spikegrad data`: list, fetch and check datasets.

Exit codes: 0 done; 1 a check failed; 2 nothing was started; 130 stopped by the user.
"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import completion
from bench.errors import BenchError
from bench.show.terminal import (
    STOPPED_BY_USER,
    DataRoot,
    Json,
    Plugins,
    console,
    print_json,
    say,
    warn_broken,
)

if TYPE_CHECKING:
    from bench.data.holdings import Holding
    from bench.registry import Registry

app = typer.Typer(no_args_is_help=True)

Timesteps = Annotated[int, typer.Option("--timesteps", min=1, help="Time steps; only for event data.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter; repeatable.")
]


@app.callback()
def data() -> None:
    """List, fetch and check datasets."""


@app.command("list")
def list_(data_root: DataRoot = None, plugin: Plugins = None, as_json: Json = False) -> None:
    """List all datasets: available and missing files, licence and source."""
    from bench.cli import render_data
    from bench.data import holdings

    registry, root = _start(data_root, plugin)
    all_ = [holdings.holding(registry.datasets[name].item, root) for name in sorted(registry.datasets)]
    if as_json:
        print_json([render_data.as_json(each) for each in all_])
    else:
        render_data.show(all_, root, console())


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(metavar="NAME", autocompletion=completion.datasets)],
    data_root: DataRoot = None,
    timesteps: Timesteps = 4,
    settings: Settings = None,
    plugin: Plugins = None,
    as_json: Json = False,
) -> None:
    """Download missing files, load the dataset, cache its frames on disk, and report what it contains."""
    from bench.cli import render_data
    from bench.data import datacheck, holdings

    registry, root = _start(data_root, plugin)
    holding = _holding(registry, name, root, settings)
    if not holding.complete:
        if holding.dataset.download is not None and not holding.unset:
            size = f" ({holding.dataset.size})" if holding.dataset.size else ""
            say(console(stderr=True), f"dataset {name}: downloading it{size} into {root}")
        holding = holdings.fetch(holding)
    with redirect_stdout(sys.stderr):
        report = datacheck.prepare(holding, timesteps)
    if as_json:
        print_json(vars(report))
    else:
        render_data.show_pairs(datacheck.report_lines(report), console())


@app.command()
def check(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", show_default=False, autocompletion=completion.datasets),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every complete dataset.")] = False,
    data_root: DataRoot = None,
    timesteps: Timesteps = 4,
    settings: Settings = None,
    plugin: Plugins = None,
    as_json: Json = False,
) -> None:
    """Read all files and samples of datasets, and report; with --plugin and no names, check the plugin's."""
    from bench.cli import render_data
    from bench.data import datacheck

    registry, root = _start(data_root, plugin)
    chosen = _to_check(registry, names, every, bool(plugin), root, settings)
    checked: dict[str, list[Any]] = {}
    stopped = False
    try:
        for number, holding in enumerate(chosen, 1):
            if len(chosen) > 1:
                say(console(stderr=True), f"{number}/{len(chosen)} {holding.dataset.name}")
            done = checked.setdefault(holding.dataset.name, [])
            with redirect_stdout(sys.stderr):
                for each in _checks(holding, timesteps, datacheck, alone=len(chosen) == 1):
                    done.append(each)
    except KeyboardInterrupt:
        stopped = True
    if as_json:
        print_json(render_data.checks_as_json(checked))
    else:
        render_data.show_checks(checked, console())
    if stopped:
        raise typer.Exit(STOPPED_BY_USER)
    failed = any(each.outcome == "problem" for done in checked.values() for each in done)
    if failed or any(lost.given for lost in registry.broken):
        raise typer.Exit(1)


def _checks(holding: Holding, timesteps: int, datacheck: Any, alone: bool) -> Any:
    """The checks; with several datasets, one that cannot start becomes a line among the others."""
    try:
        yield from datacheck.check(holding, timesteps)
    except BenchError as error:
        if alone:
            raise
        yield datacheck.Check("start", "problem", str(error))


def _to_check(
    registry: Registry,
    names: list[str] | None,
    every: bool,
    plugin: bool,
    root: Path,
    settings: list[str] | None,
) -> list[Holding]:
    from bench.data.holdings import holding

    if every and names:
        raise BenchError(f"data check: --all or names ({', '.join(names)}), not both")
    chosen = list(dict.fromkeys(names or ()))
    if not chosen and not every:
        chosen = [name for name, entry in registry.datasets.items() if entry.given]
        if not chosen:
            what = "the plugin brings no dataset" if plugin else "nothing to check"
            raise BenchError(f"data check: {what}; give names of datasets, --all, or --plugin FILE")
    if settings and len(chosen) != 1:
        raise BenchError(f"data check: --set {settings[0]} is for one dataset: name it")
    if every:
        held = [holding(entry.item, root) for entry in registry.datasets.values()]
        return [each for each in held if each.complete]
    held = [_holding(registry, name, root, settings) for name in chosen]
    for each in held:
        each.require()
    return held


def _start(data_root: Path | None, plugin: list[Path] | None) -> tuple[Registry, Path]:
    from bench import paths

    root = paths.data_root(data_root)
    if root.exists() and not root.is_dir():
        raise BenchError(f"the data root {root} is not a folder: give the folder that holds the datasets")
    from bench.runner.vetting import load

    registry = load(tuple(plugin or ()))
    warn_broken(console(stderr=True), registry)
    return registry, root


def _holding(registry: Registry, name: str, root: Path, settings: list[str] | None) -> Holding:
    from bench.data import holdings

    dataset = registry.dataset(name).item
    return holdings.holding(dataset, root, holdings.parse(dataset, settings or []))
