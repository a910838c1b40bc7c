"""Shared by all commands: output to the terminal, and common options."""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import BenchError

if TYPE_CHECKING:
    from rich.console import Console

    from bench.registry import Registry

DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root", help="Where the datasets are (default: $SPIKEGRAD_DATA or ~/.cache/spikegrad)."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of tables.")]
ResultsFolder = Annotated[
    Path | None, typer.Option("--results", help="Results folder (default: results/local).")
]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A Python file, or a folder of them; repeatable."),
]
STOPPED_BY_USER = 130
"""The exit code of typer, and of shells, after Ctrl-C."""


def console(*, stderr: bool = False) -> Console:
    """A console for text on stdout or stderr; wide if that is not a terminal."""
    from rich.console import Console

    found = Console(stderr=stderr)
    # Output to a file or pipe has no edge: rows must not wrap at 80 characters.
    return found if found.is_terminal else Console(stderr=stderr, width=200)


def warn_broken(to: Console, registry: Registry) -> None:
    """Print a line for each plugin that could not be imported."""
    for broken in registry.broken:
        say(to, f"warning: plugin {broken.source} could not be imported: {broken.error}")


def say(to: Console, text: str, style: str | None = None) -> None:
    """Print the text as it is: wrapped between words on a terminal, and not at all elsewhere.

    A word that is longer than a line, such as a path, is left whole, so that it can be copied.
    """
    if to.is_terminal:
        # rich wraps between words only where it cuts long ones.
        wrapped = textwrap.TextWrapper(to.width, break_long_words=False, break_on_hyphens=False)
        text = "\n".join(map(wrapped.fill, text.split("\n")))
    to.print(text, markup=False, highlight=False, soft_wrap=True, style=style)


def print_json(content: Any) -> None:
    """Print JSON to stdout."""
    sys.stdout.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def names_in(text: str, option: str = "") -> list[str]:
    """The names in a comma-separated text, without duplicates.

    option: the option that the text was given for, for the message. Raises BenchError if there are no names.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise BenchError(f"{option and f'{option}: '}{text!r} names nothing: give names separated by commas")
    return names


def table_width(columns: Sequence[Sequence[str]]) -> int:
    """The width of a table without borders, with two spaces between columns."""
    return sum(max(map(len, column)) + 2 for column in columns) - 2
