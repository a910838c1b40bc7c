"""The command line: the commands, and what becomes of errors. The work is done in `bench.api`.

Exit codes: 0 done; 1 done with cells that failed, or stopped on the way; 2 nothing was started;
130 stopped by the user. Progress goes to stderr, results to stdout.
"""

from __future__ import annotations

import ast
import gc
import os
import signal
import sys
from contextlib import redirect_stderr, suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bench import __version__
from bench.errors import BenchError, Stopped
from bench.files import open_streams
from bench.show.terminal import STOPPED_BY_USER

COMMANDS = {
    "run": "run:run",
    "plan": "run:plan",
    "tune": "tune:tune",
    "leaderboard": "leaderboard:leaderboard",
    "report": "leaderboard:report",
    "figure": "figure:figure",
    "advise": "advise:advise",
    "show": "show:show",
    "list": "listing:list_",
    "new": "check:new",
    "check": "check:check",
    "data": "data:data",
    "doctor": "doctor:doctor",
    "latency": "latency:latency",
    "diff": "diff:diff",
    "verify": "verify:verify",
    "export": "export:export",
    "import": "importing:import_",
}
"""MODULE:FUNCTION of each command, in bench/cli. Only the module of the called command is imported."""
COMPLETE = "_SPIKEGRAD_COMPLETE"
"""Set by a shell that asks what a line can go on with."""


def main() -> NoReturn:
    """The entry point of `spikegrad` and `python -m bench`."""
    open_streams()
    if COMPLETE in os.environ:
        _complete()
    if sys.argv[1:] == ["--version"]:
        # Without building the list of commands.
        _say_version(True)
    # Schedulers end a program so: what it has in hand is recorded, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Thousands of records are no garbage, and every look for some goes through all of them.
    gc.set_threshold(200_000, 20, 50)
    try:
        commands(next((word for word in sys.argv[1:] if word != "--"), ""))(prog_name="spikegrad")
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1 if isinstance(error, Stopped) else 2)
    except SystemExit as end:
        if end.code == STOPPED_BY_USER:
            kept = "; finished runs are kept: rerun the same command to resume"
            print(f"stopped{kept * (sys.argv[1:2] in (['run'], ['tune']))}", file=sys.stderr)
        raise
    sys.exit(0)


def _complete() -> NoReturn:
    """Print what the line can go on with, and nothing else whatever happens: the user is still typing."""
    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS", "")
    with open(os.devnull, "w") as nowhere, redirect_stderr(nowhere), suppress(Exception):
        commands(next(iter(line.split()[1:]), ""))(prog_name="spikegrad")
    sys.exit(0)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            torch = version("torch")
        except PackageNotFoundError:
            torch = "not installed"
        print(f"spikegrad-bench {__version__}, Python {sys.version.split()[0]}, torch {torch}")
        sys.exit(0)


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_say_version,
            is_eager=True,
            help="Show the versions of spikegrad-bench, Python and torch, and exit.",
        ),
    ] = False,
) -> None:
    """Compare surrogate-gradient methods for spiking neural networks."""


def commands(called: str) -> typer.Typer:
    """The command line. Commands other than the one that is called are stubs with a line of help."""
    app = typer.Typer(
        callback=_options,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for name, place in COMMANDS.items():
        module, _, function = place.partition(":")
        if name != called:
            # Nobody reads the list of commands where one of them is called.
            app.command(name, help="" if called in COMMANDS else _first_line(module, function))(_stub)
            continue
        loaded = import_module(f"bench.cli.{module}")
        if hasattr(loaded, "app"):
            app.add_typer(loaded.app, name=name)
        else:
            app.command(name)(getattr(loaded, function))
    return app


def _first_line(module: str, function: str) -> str:
    """The first paragraph of a command's docstring, read without importing its module."""
    tree = ast.parse(Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8"))
    (found,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return (ast.get_docstring(found) or "").split("\n\n")[0]


def _stub() -> None:
    """Stands in the list of commands."""
