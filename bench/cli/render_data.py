"""Display of datasets and checks for `spikegrad data`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.cli.render import dataset_row
from bench.errors import counted
from bench.show.terminal import say

if TYPE_CHECKING:
    from bench.data.datacheck import Check
    from bench.data.holdings import Holding

SIGNS = {"ok": "✓", "problem": "✗", "nothing to check": "–"}
UNKNOWN = "from the data"


def show(holdings: Sequence[Holding], root: Path, console: Console) -> None:
    """A table of all datasets, then the missing files of each, then licences and sources."""
    there = "" if root.is_dir() else ", which is not there"
    say(console, f"data root: {root}{there}\n")
    drawn = Table(box=None, pad_edge=False)
    for name in ("name", "state", "size", "shape", "classes"):
        drawn.add_column(name, no_wrap=name != "size", overflow="fold")
    for each in holdings:
        dataset = each.dataset
        texts = (dataset.name, each.state, size(each), shape(each), str(dataset.classes or UNKNOWN))
        drawn.add_row(*map(escape, texts))
    console.print(drawn)
    lacking = [each for each in holdings if not each.complete]
    if lacking:
        console.print("\nmissing", highlight=False)
        show_pairs([(each.dataset.name, missing(each)) for each in lacking], console)
    console.print("\nlicences and sources", highlight=False)
    show_pairs([(d.name, f"{d.licence}. {d.source}") for d in (each.dataset for each in holdings)], console)


def missing(holding: Holding) -> str:
    """The missing files of a dataset, and how to get them."""
    command = f"spikegrad data prepare {holding.dataset.name}"
    if holding.unset:
        return f"it reads your own files: {command} --set {holding.unset[0]}=FOLDER"
    first = holding.missing[0]
    count = f"{len(holding.missing)} of {len(holding.files)}, the first " if len(holding.files) > 1 else ""
    return f"{count}{first}: {command}"


def size(holding: Holding) -> str:
    """The measured size if any file exists, otherwise the declared size."""
    if holding.complete or holding.bytes:
        return megabytes(holding.bytes) if holding.files else "–"
    return holding.dataset.size or "–"


def megabytes(number: int) -> str:
    """A readable size, of files or of frames."""
    unit, letter = (1e9, "G") if number >= 1e9 else (1e6, "M")
    return f"{number / unit:,.{1 if number < 10 * unit else 0}f} {letter}B"


def shape(holding: Holding) -> str:
    """The shape of a sample, with T if it has time steps."""
    declared = holding.dataset.shape
    time = ["T"] if holding.dataset.events else []
    return " x ".join([*time, *map(str, declared)]) if declared else UNKNOWN


def show_pairs(pairs: Sequence[tuple[str, str]], console: Console) -> None:
    """Names and texts in two columns."""
    drawn = Table(box=None, pad_edge=False, show_header=False)
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for name, text in pairs:
        drawn.add_row(escape(name), escape(text))
    console.print(drawn)


def as_json(holding: Holding) -> dict[str, Any]:
    """Everything that is known about a dataset."""
    dataset = holding.dataset
    return {
        **dataset_row(dataset),
        "state": holding.state,
        "root": str(holding.root),
        "files": holding.files,
        "missing": holding.missing,
        "bytes": holding.bytes,
        "size": dataset.size,
        "get": dataset.get,
        "download": dataset.download is not None,
    }


def show_checks(checked: dict[str, list[Check]], console: Console) -> None:
    """A line per check, under the name of its dataset."""
    for name, checks in checked.items():
        console.print(name, markup=False, highlight=False, style="bold")
        drawn = Table(box=None, pad_edge=False, show_header=False)
        drawn.add_column(no_wrap=True)
        drawn.add_column(no_wrap=True)
        drawn.add_column(overflow="fold")
        for check in checks:
            style = "red" if check.outcome == "problem" else None
            drawn.add_row(SIGNS[check.outcome], check.name, escape(check.detail), style=style)
        console.print(drawn)
        console.print()
    problems = sum(check.outcome == "problem" for checks in checked.values() for check in checks)
    say(console, f"{counted(len(checked), 'dataset')}, {counted(problems, 'problem')}")


def checks_as_json(checked: dict[str, list[Check]]) -> list[dict[str, str]]:
    """One flat dictionary per dataset and check."""
    return [
        {"dataset": name, "check": check.name, "outcome": check.outcome, "detail": check.detail}
        for name, checks in checked.items()
        for check in checks
    ]
