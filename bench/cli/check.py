"""`spikegrad check` and `spikegrad new`: for those who add a method or a dataset."""

from __future__ import annotations

import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bench.cli import check_table, completion
from bench.cli.run import Plugins
from bench.errors import BenchError
from bench.show.terminal import STOPPED_BY_USER, Json, console, print_json, say, warn_broken

if TYPE_CHECKING:
    from bench.registry import Registry


def check(
    methods: Annotated[
        list[str] | None,
        typer.Argument(metavar="METHOD...", show_default=False, autocompletion=completion.methods),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every installed method.")] = False,
    plugin: Plugins = None,
    compiler: Annotated[
        Literal["inductor", "aot_eager"],
        typer.Option("--compiler", help="aot_eager is faster and needs no C++ compiler."),
    ] = "inductor",
    as_json: Json = False,
) -> None:
    """Check that methods keep the laws every method must keep; with only --plugin, those it brings."""
    from bench.check import laws
    from bench.runner.vetting import load

    registry = load(tuple(plugin or ()))
    talk = console(stderr=True)
    warn_broken(talk, registry)
    names = _to_check(methods, every, bool(plugin), registry)
    checked: dict[str, list[Any]] = {}
    stopped = False
    try:
        for number, name in enumerate(names, 1):
            entry = registry.method(name)
            if len(names) > 1:
                talk.print(f"{number}/{len(names)} {name}", markup=False, highlight=False)
            with redirect_stdout(sys.stderr):
                if entry.shipped:
                    verdicts = laws.check(laws.Case(entry.item, registry, compiler))
                else:
                    verdicts = laws.check_apart(name, tuple(plugin or ()), compiler)
                checked[name] = list(verdicts)
    except KeyboardInterrupt:
        stopped = True
    if as_json:
        print_json(check_table.as_json(checked))
    elif checked:
        check_table.show(checked, console())
    if stopped:
        raise typer.Exit(STOPPED_BY_USER)
    broken = any(verdict.outcome == "broken" for laws in checked.values() for verdict in laws)
    if broken or any(lost.given for lost in registry.broken):
        raise typer.Exit(1)


def _to_check(methods: list[str] | None, every: bool, plugin: bool, registry: Registry) -> list[str]:
    from bench.registry import missing_packages

    if every and methods:
        raise BenchError(f"check: --all or names ({', '.join(methods)}), not both")
    if every:
        return [name for name, entry in registry.methods.items() if not missing_packages(entry.item)]
    if methods:
        for name in methods:
            registry.method(name)
        return list(dict.fromkeys(methods))
    given = [name for name, entry in registry.methods.items() if entry.given]
    if not given:
        what = "the plugin brings no method" if plugin else "nothing to check"
        raise BenchError(f"check: {what}; give names of methods, --all, or --plugin FILE")
    return given


def new(
    what: Annotated[Literal["method", "dataset"], typer.Argument(help="method or dataset")],
    name: Annotated[str, typer.Argument(metavar="NAME")],
    folder: Annotated[Path, typer.Option("--folder", help="Where the file is written.")] = Path(),
    adaptive: Annotated[
        bool,
        typer.Option("--adaptive", help="A method whose width follows a running average of the potential."),
    ] = False,
) -> None:
    """Write a file with a small method or dataset that passes its check, ready to edit."""
    from bench.check import template

    if adaptive and what != "method":
        raise BenchError(
            f"--adaptive is about methods: leave it out, or spikegrad new method {name} --adaptive"
        )
    if what == "method":
        file = template.new_method(name, folder, adaptive=adaptive)
        check, run = f"check --plugin {file}", f"run smoke --plugin {file}"
    else:
        file = template.new_dataset(name, folder)
        check, run = (
            f"data check --plugin {file}",
            f"run smoke --plugin {file} --datasets {shlex.quote(name)} --add",
        )
    say(console(), f"wrote {file}\ncheck it: spikegrad {check}\nrun it:   spikegrad {run}")
