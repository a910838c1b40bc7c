"""What the commands show: tables for people, and the same as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.paths import shipped_leaderboard
from bench.progress import duration
from bench.store import OK
from bench.suite import shipped_suites

if TYPE_CHECKING:
    import pandas as pd

    from bench.plan import Plan
    from bench.registry import Registry

STATES = ("done", "failed", "missing", "stale")


@dataclass(frozen=True)
class RunOutcome:
    """What a run leaves for its user to see: cells by status, the table, and what to know of it."""

    suite: str
    statuses: dict[str, int]
    accuracy: pd.DataFrame
    notes: list[str]
    files: list[Path]

    @property
    def unfinished(self) -> int:
        """Cells that are not ok."""
        return sum(n for status, n in self.statuses.items() if status != OK)

    def as_json(self) -> dict[str, Any]:
        """The same, JSON-ready."""
        return {
            "suite": self.suite,
            "statuses": self.statuses,
            "accuracy": table_as_json(self.accuracy),
            "notes": self.notes,
            "files": [str(path) for path in self.files],
        }

    def show(self, console: Console) -> None:
        """The leaderboard, then the notes."""
        show_accuracy(self.accuracy, console)
        for note in self.notes:
            console.print(note, markup=False, highlight=False, soft_wrap=True)
        counts = ", ".join(f"{n} {status}" for status, n in sorted(self.statuses.items()))
        console.print(f"cells: {counts}", highlight=False)
        for path in self.files:
            console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)


def outcome(plan: Plan) -> RunOutcome:
    """The outcome of a run that has just ended, from its records."""
    from bench import leaderboards

    records = plan.store.records()
    ids = {planned.id for planned in plan.cells}
    accuracy = leaderboards.accuracy_table(records, plan.suite.baseline)
    return RunOutcome(
        suite=plan.suite.name,
        statuses=dict(Counter(record["status"] for record in records if record["id"] in ids)),
        accuracy=accuracy,
        notes=[*leaderboards.design_note(records, plan.suite.baseline), *against_shipped(plan)],
        files=sorted(plan.store.leaderboards.glob("*.csv")),
    )


def against_shipped(plan: Plan) -> list[str]:
    """How this table compares with the one that the project ships.

    Nothing where it ships none, or where this one has not all of its rows and seeds.
    """
    from bench import diff, leaderboards

    shipped = shipped_leaderboard(plan.suite.name) / "accuracy.csv"
    mine = plan.store.leaderboards / "accuracy.csv"
    if not shipped.is_file() or shipped.resolve() == mine.resolve():
        return []
    old, new = diff.read(shipped), diff.read(mine)
    key = [*leaderboards.KEY, "n_seeds"]
    whole = set(old[key].itertuples(index=False, name=None)) <= set(
        new[key].itertuples(index=False, name=None)
    )
    return diff.compare(old, new).sentences() if whole else []


def show_accuracy(table: pd.DataFrame, console: Console) -> None:
    """The accuracy table, one block a task, best first."""
    from bench import readable

    shown = ("rank", "method", "kind", "accuracy", "delta", "best")
    for block in readable.blocks(table):
        drawn = Table(title=block.title, title_justify="left", box=None, pad_edge=False)
        for name in shown:
            numeric = name in ("rank", "accuracy", "delta")
            drawn.add_column(
                readable.HEADINGS[name], justify="right" if numeric else "left", no_wrap=name == "method"
            )
        for line in block.lines:
            style = {"1": "bold", "": "dim"}.get(line["rank"])
            drawn.add_row(*(escape(line[name]) for name in shown), style=style)
        console.print(drawn)
        console.print()


def table_as_json(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table; what is unknown is null."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=6))
    return rows


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """A plan, JSON-ready."""
    return {
        "suite": plan.suite.name,
        "results": str(plan.store.results),
        "counts": {state: sum(p.state == state for p in plan.cells) for state in STATES},
        "estimated_cpu_seconds": _estimate(plan),
        "cells": [
            {"id": p.id, "configuration": p.configuration, "state": p.state, **p.cell.model_dump(mode="json")}
            for p in plan.cells
        ],
    }


def show_plan(plan: Plan, console: Console) -> None:
    """A line a configuration: its seeds by state."""
    drawn = Table(box=None, pad_edge=False)
    for column in ("dataset", "backbone", "T", "method", "parameters", "seeds", "state"):
        drawn.add_column(column, no_wrap=column == "method")
    configurations: dict[str, list[Any]] = {}
    for planned in plan.cells:
        configurations.setdefault(planned.configuration, []).append(planned)
    for group in configurations.values():
        cell = group[0].cell
        states = Counter(planned.state for planned in group)
        params = ", ".join(f"{k}={v:g}" for k, v in cell.method.params.items() if v is not None)
        drawn.add_row(
            *(
                escape(text)
                for text in (cell.dataset.name, cell.backbone.name, str(cell.timesteps), cell.method.name)
            ),
            escape(params),
            ",".join(str(planned.cell.seed) for planned in group),
            ", ".join(f"{states[state]} {state}" for state in STATES if states[state]),
        )
    console.print(drawn)
    seconds = _estimate(plan)
    time = (
        "unknown until a first cell has run"
        if seconds is None
        else f"{duration(seconds)} of one worker's time"
    )
    console.print(f"\n{len(plan.cells)} cells, {len(plan.pending)} to run: {time}", highlight=False)
    stale: set[tuple[str, str]] = set()
    for planned in plan.cells:
        if planned.state == "stale":
            cell = planned.cell
            names = {"method": cell.method.name, "dataset": cell.dataset.name, "backbone": cell.backbone.name}
            stale |= {(what, names.get(what, "bench")) for what in planned.changed(plan.found)}
    for what, name in sorted(stale):
        console.print(
            f"stale: the code of the {what} {name} has changed; run repeats what was made with it",
            highlight=False,
        )


def rows(found: Registry, what: str) -> list[dict[str, Any]]:
    """What `spikegrad list` lists: one flat dictionary an entry."""
    if what == "methods":
        return [_method_row(entry.item) for entry in found.methods.values()]
    if what == "datasets":
        return [
            {
                "name": d.name,
                "shape": list(d.shape),
                "classes": d.classes,
                "events": d.events,
                "augmented": d.augment is not None,
                "licence": d.licence,
                "source": d.source,
            }
            for d in (entry.item for entry in found.datasets.values())
        ]
    return [{"name": e.item.name, "description": e.item.description} for e in found.backbones.values()]


def suite_rows() -> list[dict[str, Any]]:
    """The shipped suites."""
    return [
        {
            "name": suite.name,
            "methods": [m.name for m in suite.methods],
            "datasets": [d.name for d in suite.datasets],
            "backbones": [b.name for b in suite.backbones],
            "seeds": list(suite.seeds),
            "description": suite.description,
        }
        for suite in shipped_suites()
    ]


IN_JSON_ONLY = ("paper", "link", "note", "source", "licence")
"""What would make a table too wide to read."""


def show_rows(listed: Sequence[dict[str, Any]], console: Console) -> None:
    """The same as a table, without what only JSON has room for."""
    columns = [name for name in listed[0] if name not in IN_JSON_ONLY]
    drawn = Table(box=None, pad_edge=False)
    for name in columns:
        drawn.add_column(name, no_wrap=name == "name", overflow="fold")
    for row in listed:
        drawn.add_row(*(escape(_short(row[name])) for name in columns))
    console.print(drawn)
    left_out = [name for name in listed[0] if name in IN_JSON_ONLY]
    if left_out:
        console.print(f"\n--json adds {', '.join(left_out)}", highlight=False)


def _method_row(method: Any) -> dict[str, Any]:
    from bench.registry import missing_packages

    missing = missing_packages(method)
    return {
        "name": method.name,
        "kind": method.kind,
        "changes": method.changes,
        "fidelity": method.fidelity,
        "formula": method.formula,
        "params": {
            name: {"default": p.default, "search": list(p.search) if p.search else None}
            for name, p in method.params.items()
        },
        "installed": not missing,
        "paper": method.paper,
        "link": method.link,
        "note": method.note,
    }


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(
            name if p["default"] is None else f"{name}={p['default']:g}" for name, p in value.items()
        )
    if isinstance(value, list):
        return ", ".join(str(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _estimate(plan: Plan) -> float | None:
    each = plan.seconds_each()
    return None if each is None else each * len(plan.pending)
