"""What all commands share: where text goes, and the options that several of them have."""

from __future__ import annotations

import json
import sys
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
    typer.Option("--data-root", help="Where data sets are (default: $SPIKEGRAD_DATA or ~/.cache/spikegrad)."),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of tables.")]
Results = Annotated[Path | None, typer.Option("--results", help="Results folder (default: results/local).")]
Plugins = Annotated[
    list[Path] | None,
    typer.Option("--plugin", help="A Python file, or a folder of them; repeatable."),
]
STOPPED_BY_USER = 130
"""What typer makes of Ctrl-C, as shells do."""


def console(*, stderr: bool = False) -> Console:
    """Stdout, or stderr, for text; wide where it is no terminal."""
    from rich.console import Console

    found = Console(stderr=stderr)
    # Off a terminal nobody sees an edge: a row must not be folded at 80 characters.
    return found if found.is_terminal else Console(stderr=stderr, width=200)


def warn_broken(to: Console, found: Registry) -> None:
    """A line for each plugin that could not be imported."""
    for broken in found.broken:
        say(to, f"warning: plugin {broken.source} could not be imported: {broken.error}")


def say(to: Console, text: str) -> None:
    """The text as it is, never cut into lines."""
    to.print(text, markup=False, highlight=False, soft_wrap=True)


def print_json(content: Any) -> None:
    """To stdout."""
    sys.stdout.write(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def names_in(text: str, option: str = "") -> list[str]:
    """The names in a text that separates them by commas, each once.

    option: what the text was given as, for the message. Raises BenchError if there is none.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise BenchError(f"{option and f'{option}: '}{text!r} names nothing: give names separated by commas")
    return names


def table_width(columns: Sequence[Sequence[str]]) -> int:
    """Of a table without borders, two spaces between columns."""
    return sum(max(map(len, column)) + 2 for column in columns) - 2
