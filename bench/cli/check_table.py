"""Display of the outcome of `spikegrad check`: one line per law, or a matrix of methods and laws."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.errors import counted
from bench.show.terminal import say, table_width

SIGNS = {"holds": "✓", "no claim": "–", "declared": "!", "broken": "✗"}
KEY = "✓ holds   – says nothing about it   ! does not hold, as declared   ✗ broken"


def show(checked: dict[str, list[Any]], console: Console) -> None:
    """A table with a sign and a reason for each law; for several methods, a matrix with the reasons below."""
    if len(checked) == 1:
        ((name, verdicts),) = checked.items()
        say(console, name)
        _show_laws(verdicts, console)
    else:
        _show_matrix(checked, console)
    broken = sum(v.outcome == "broken" for verdicts in checked.values() for v in verdicts)
    console.print(f"{counted(len(checked), 'method')}, {counted(broken, 'law')} broken", highlight=False)


def _show_laws(verdicts: list[Any], console: Console) -> None:
    from bench.check.laws import MEANING

    drawn = Table(box=None, pad_edge=False, show_header=False)
    drawn.add_column(no_wrap=True)
    drawn.add_column(no_wrap=True)
    drawn.add_column(overflow="fold")
    for verdict in verdicts:
        text = MEANING[verdict.law] + (f": {verdict.detail}" if verdict.detail else "")
        drawn.add_row(SIGNS[verdict.outcome], verdict.law, escape(text))
    console.print(drawn)
    console.print(f"\n{KEY}", highlight=False)


def _show_matrix(checked: dict[str, list[Any]], console: Console) -> None:
    from bench.check.laws import LAWS

    wide = table_width([list(checked), *([law] for law in LAWS)]) <= console.width
    drawn = Table(box=None, pad_edge=False)
    drawn.add_column("method", no_wrap=True)
    for number, law in enumerate(LAWS, 1):
        drawn.add_column(law if wide else str(number), justify="center")
    for name, verdicts in checked.items():
        drawn.add_row(escape(name), *(SIGNS[verdict.outcome] for verdict in verdicts))
    console.print(drawn)
    if not wide:
        console.print("\n" + "   ".join(f"{n} {law}" for n, law in enumerate(LAWS, 1)), highlight=False)
    console.print(f"\n{KEY}\n", highlight=False)
    for name, verdicts in checked.items():
        for verdict in verdicts:
            if verdict.outcome in ("declared", "broken"):
                say(console, f"{SIGNS[verdict.outcome]} {name}, {verdict.law}: {verdict.detail}")


def as_json(checked: dict[str, list[Any]]) -> list[dict[str, str]]:
    """One flat dictionary per method and law."""
    return [
        {"method": name, "law": v.law, "outcome": v.outcome, "detail": v.detail}
        for name, verdicts in checked.items()
        for v in verdicts
    ]
