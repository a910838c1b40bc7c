"""Output of the commands: readable tables, and the same data as JSON."""

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

from bench.cli.progress import duration
from bench.errors import counted, ranges
from bench.paths import shipped_leaderboard
from bench.records.record_files import SEAL
from bench.records.store import OK
from bench.show.terminal import say, table_width
from bench.show.terminal_table import print_table
from bench.suite import shipped_suites
from bench.tables import failures
from bench.variants import full_name, own_words

if TYPE_CHECKING:
    import pandas as pd

    from bench.registry import Registry
    from bench.runner.plan import Plan, Planned
    from bench.runner.timing.times import Measurement
    from bench.tables.results import Results
    from bench.tables.text.choice import Choice

NOT_DONE = {"compile": "trained without being compiled:"}
"""Phrases for things that were not done but are not measurements."""
STATES = ("done", "failed", "missing", "stale")


@dataclass(frozen=True)
class RunOutcome:
    """The outcome of a run for its user: cells by status, the table, and notes."""

    suite: str
    statuses: dict[str, int]
    accuracy: pd.DataFrame
    notes: list[str]
    files: list[Path]

    @property
    def unfinished(self) -> int:
        """The number of cells that are not ok."""
        return sum(n for status, n in self.statuses.items() if status != OK)

    def as_json(self) -> dict[str, Any]:
        """The outcome, ready for JSON."""
        return {
            "suite": self.suite,
            "statuses": self.statuses,
            "accuracy": table_as_json(self.accuracy),
            "notes": self.notes,
            "files": [str(path) for path in self.files],
        }

    def show(self, console: Console) -> None:
        """Print the leaderboard, then the notes."""
        show_accuracy(self.accuracy, console)
        for note in self.notes:
            say(console, note)
        counts = ", ".join(f"{n} {status}" for status, n in sorted(self.statuses.items()))
        console.print(f"cells: {counts}", highlight=False)
        for path in self.files:
            say(console, f"wrote {path}")


def outcome(plan: Plan, results: Results, files: Sequence[Path] = ()) -> RunOutcome:
    """The outcome of a run that has just ended.

    results: of the whole suite. files: written in addition to the tables.
    """
    from bench.tables.text import readable

    ids = {planned.id for planned in plan.cells}
    own = [record for record in results.records if record["id"] in ids]
    there = {record[SEAL] for record in own}
    kept = [
        planned
        for planned in plan.pending
        if planned.record is not None and planned.record["status"] == OK and planned.record[SEAL] in there
    ]
    statuses = Counter(record["status"] for record in own)
    if kept:
        statuses = statuses - Counter({OK: len(kept)}) + Counter({"stale": len(kept)})
    accuracy = results.table("accuracy")
    return RunOutcome(
        suite=plan.suite.name,
        statuses=dict(statuses),
        accuracy=accuracy,
        notes=[
            *results.notes,
            readable.bold_note(accuracy),
            *against_shipped(plan, results.records),
            *_unfinished(own),
            *map(_kept, kept),
            *_unmeasured(own),
        ],
        files=[*sorted(plan.store.leaderboards.glob("*.csv")), *files],
    )


def _unfinished(records: Sequence[Any]) -> list[str]:
    """Which runs failed, and why."""
    return [
        f"{ending.status}: {full_name(ending.method, own_words(ending.variant))} on {ending.dataset}, "
        f"seed {ranges(seeds)}: {ending.error or 'no reason was left'}"
        for ending, seeds in failures.failures(records)
    ]


def _kept(planned: Planned) -> str:
    cell, method = planned.cell, full_name(planned.cell.method.name, own_words(planned.variant))
    return (
        f"stale: {method} on {cell.dataset.name}, seed {cell.seed}: training it again was stopped, "
        "so that the record of its older code is kept"
    )


def _unmeasured(records: Sequence[Any]) -> list[str]:
    """What could not be measured in successful runs, and why."""
    return [
        f"{NOT_DONE.get(each.what, f'not measured: {each.what} of')} {each}"
        for each in failures.unmeasured(records)
    ]


def against_shipped(plan: Plan, records: Sequence[Any]) -> list[str]:
    """How the table of these records compares with the shipped one.

    Empty if none is shipped, or if this table lacks some of its rows or seeds.
    """
    from bench.tables import diff

    shipped = shipped_leaderboard(plan.suite.name) / "accuracy.csv"
    mine = plan.store.leaderboards / "accuracy.csv"
    if not shipped.is_file() or shipped.resolve() == mine.resolve():
        return []
    compared = diff.compare(diff.read(shipped), diff.read(mine))
    if compared.only_old or any(pair.old.summary.n != pair.new.summary.n for pair in compared.pairs):
        return []
    alike = len(compared.of("identical")) == len(compared.pairs)
    return [
        *compared.sentences(),
        *([] if alike else _made_elsewhere(plan.suite.name, records, shipped.parent)),
    ]


def _made_elsewhere(suite: str, records: Sequence[Any], shipped: Path) -> list[str]:
    """A sentence if the shipped tables were made on other hardware or with another torch than these."""
    import pandas as pd

    from bench.records.store import Store
    from bench.records.timings import hardware

    def places(records: Sequence[Any]) -> dict[str, set[str]]:
        torches = {str((r["environment"].get("packages") or {}).get("torch") or "") for r in records}
        return {
            "": {hardware(record["environment"]) for record in records},
            "torch ": {torch.partition("+")[0] for torch in torches if torch},
        }

    here = places(records)
    # In a checkout the records are next to the tables; a wheel has only the tables.
    there = places(Store(shipped.parents[1], suite).records())
    if not there[""] and (shipped / "latency.csv").is_file():
        there[""] = set(pd.read_csv(shipped / "latency.csv")["hardware"])
    apart = [
        f"{what}{'/'.join(sorted(there[what]))} against {what}{'/'.join(sorted(of))} here"
        for what, of in here.items()
        if of and there[what] and of != there[what]
    ]
    if not apart:
        return []
    why = "where the last bits of a training differ, and grow into other accuracies"
    return [f"The shipped table was made elsewhere ({', '.join(apart)}), {why}."]


def show_accuracy(table: pd.DataFrame, console: Console, choice: Choice | None = None) -> None:
    """Print the accuracy table, or what is chosen of it, one block per task, best first."""
    from bench.tables.text import readable
    from bench.tables.text.choice import EVERYTHING

    choice = choice or EVERYTHING
    words = [readable.HEADINGS[name] for name in ("method", "kind")]
    for block in choice.of(readable.blocks(table, digits=choice.digits)):
        shown = [
            name
            for name in ("rank", "method", "kind", "accuracy", "delta", "p", "to_best")
            if name in block.heads
        ]
        print_table(
            console,
            [readable.HEADINGS[name] for name in shown],
            [[line[name] for name in shown] for line in block.lines],
            words=words,
            title=block.title,
            styles=[
                "bold" if best else "dim" if apart else None
                for best, apart in zip(block.bold, block.apart, strict=True)
            ],
        )


def table_as_json(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of a table; unknown values are null."""
    # pandas counts digits after the point, and a small number needs many.
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return rows


def to_time(plan: Plan, *, retry: bool = False) -> list[Measurement] | None:
    """The timings at the end of a run; None if the plan's GPU is not on this machine.

    retry: include failed timings.
    """
    from bench.runner.timing import times

    return None if _gpu_is_missing(plan) else times.expected(plan, retry=retry)


def announcement(plan: Plan, timings: int) -> str:
    """A line on what a run is about to do, and lines on results that it keeps; timings: their number."""
    to_run = len(plan.pending)
    todo = f"{to_run} to run" + f", {timings} to time" * plan.suite.times
    if not to_run and not timings:
        todo = "nothing left to do"
    line = (
        f"{plan.suite.name}: {counted(len(plan.cells), 'cell')}, "
        f"{len(plan.cells) - to_run} finished before, {todo}; "
        f"results in {plan.store.results}"
    )
    return "\n".join([line, *_untuned(plan), *plan.why_apart()])


def _untuned(plan: Plan) -> list[str]:
    """A sentence if tuned variants wait for their trials."""
    if not plan.untuned:
        return []
    return [
        f"{counted(plan.untuned, 'cell')} of the tuning still to run: `spikegrad tune {plan.suite.name}`; "
        "until then, methods that lack some of theirs run at their defaults alone"
    ]


def plan_as_json(plan: Plan, *, retry: bool = False) -> dict[str, Any]:
    """A plan, ready for JSON; unknown times are None. estimated_elapsed_seconds does not include timings.

    retry: failed timings count as still to be measured.
    """
    from bench.runner import forecast

    left, timings = forecast.forecast(plan), to_time(plan, retry=retry)
    return {
        "suite": plan.suite.name,
        "results": str(plan.store.results),
        "counts": {state: sum(p.state == state for p in plan.cells) for state in STATES},
        "estimated_cpu_seconds": left and left.seconds,
        "estimated_elapsed_seconds": left and left.elapsed,
        "trainings_at_once": left and left.at_once,
        "estimated_from": left and left.basis,
        "to_time": None if timings is None else len(timings),
        "estimated_timing_seconds": None if timings is None else forecast.timing_seconds(plan, timings),
        "stale": plan.why_stale(),
        "kept_apart": plan.why_apart(),
        "cells": [
            {"id": p.id, "configuration": p.configuration, "state": p.state, **p.cell.model_dump(mode="json")}
            for p in plan.cells
        ],
    }


def show_plan(plan: Plan, console: Console, *, retry: bool = False) -> None:
    """Print a line per configuration, with its seeds by state. retry: as in `plan_as_json`."""
    from bench.runner.forecast import timing_seconds

    lines = [["dataset", "backbone", "T", "method", "variant", "seeds", "state"]]
    configurations: dict[str, list[Any]] = {}
    for planned in plan.cells:
        configurations.setdefault(planned.configuration, []).append(planned)
    for group in configurations.values():
        cell = group[0].cell
        states = Counter(planned.state for planned in group)
        lines.append(
            [
                *(cell.dataset.name, cell.backbone.name, str(cell.timesteps), cell.method.name),
                group[0].variant,
                ranges(planned.cell.seed for planned in group),
                ", ".join(f"{states[state]} {state}" for state in STATES if states[state]),
            ]
        )
    drawn = Table(box=None, pad_edge=False)
    for head, width in zip(lines[0], _widths([*zip(*lines, strict=True)], console.width), strict=True):
        drawn.add_column(head, no_wrap=head == "method", overflow="fold", width=width)
    for line in lines[1:]:
        drawn.add_row(*map(escape, line))
    console.print(drawn)
    timings = to_time(plan, retry=retry)
    timed = timing_seconds(plan, timings) if timings else None
    left = "nothing left to run"
    if plan.pending:
        left = f"{len(plan.pending)} to run: {_time_left(plan, timed or 0.0)}"
    elif timings:
        left = "nothing left to train"
    console.print(f"\n{counted(len(plan.cells), 'cell')}, {left}", highlight=False)
    if _gpu_is_missing(plan):
        console.print("planned for a GPU, and torch finds none here: run it where there is one")
    if modes := _compile_modes(plan):
        console.print(modes, highlight=False)
    if timings:
        known = "" if timed is None else f": {duration(timed)}" + " of it" * bool(plan.pending)
        console.print(f"{len(timings)} to time after the trainings, one at a time{known}", highlight=False)
    for why in plan.why_stale():
        console.print(f"stale: {why}; run repeats what was", markup=False, highlight=False)
    for apart in (*_untuned(plan), *plan.why_apart()):
        console.print(apart, markup=False, highlight=False)


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int | None]:
    """Widths at which texts are wrapped at blanks alone; None where even the longest words do not fit."""
    widths = [max(map(len, column)) for column in columns]
    words = [max(len(word) for text in column for word in text.split()) for column in columns]
    excess = table_width(columns) - room
    for place in sorted(range(len(columns)), key=lambda i: words[i] - widths[i]):
        cut = max(0, min(excess, widths[place] - words[place]))
        widths[place] -= cut
        excess -= cut
    return [*widths] if excess <= 0 else [None] * len(columns)


def _time_left(plan: Plan, timed: float) -> str:
    """The estimated time left, in words, with the basis of the estimate. timed: seconds of the timings."""
    from bench.runner.forecast import forecast

    left = forecast(plan)
    if left is None:
        return "unknown until a first cell has run"
    together = f" with up to {left.at_once} side by side" * (left.at_once > 1)
    elapsed = duration(left.elapsed + timed)
    return (
        f"{duration(left.seconds)} of training, {elapsed} from start to end{together}\n"
        f"estimated from {left.basis}"
    )


def _gpu_is_missing(plan: Plan) -> bool:
    """Whether the plan needs a GPU and this machine has none."""
    import torch

    wanted = any(planned.cell.profile.device == "cuda" for planned in plan.cells)
    return wanted and not torch.cuda.is_available()


def _compile_modes(plan: Plan) -> str:
    """How many cells train compiled, and in which mode; "" if none does."""
    modes = Counter(planned.cell.profile.compile for planned in plan.cells)
    compiled = [f"{n} by {mode}" for mode, n in sorted(modes.items()) if mode != "off"]
    return (
        f"compiled: {', '.join(compiled)}; the first of each kind takes a minute longer" if compiled else ""
    )


def rows(registry: Registry, what: str, plugins: tuple[Path, ...] = ()) -> list[dict[str, Any]]:
    """The output of `spikegrad list`: one flat dictionary per entry."""
    if what == "methods":
        from bench.measures.single_layer import properties
        from bench.runner import vetting

        entries = sorted(registry.methods.values(), key=_by_kind)
        found = vetting.of_each(properties, entries, plugins)
        return [_method_row(entry.item, found[entry.item.name]) for entry in entries]
    if what == "datasets":
        return [dataset_row(entry.item) for entry in _by_name(registry.datasets)]
    return [{"name": e.item.name, "description": e.item.description} for e in _by_name(registry.backbones)]


def dataset_row(dataset: Any) -> dict[str, Any]:
    """The declarations of a dataset."""
    from bench.data.loading import POLICIES

    return {
        "name": dataset.name,
        "shape": list(dataset.shape) if dataset.shape else None,
        "classes": dataset.classes,
        "events": dataset.events,
        "augmented": [*dataset.augment, *(POLICIES if "auto" in dataset.augment else ())],
        "params": {name: vars(setting) for name, setting in dataset.params.items()},
        "licence": dataset.licence,
        "source": dataset.source,
    }


def suite_rows() -> list[dict[str, Any]]:
    """The shipped suites."""
    return [
        {
            "name": suite.name,
            "methods": [m.name for m in suite.methods],
            "datasets": list(dict.fromkeys(d.name for m in suite.matrices for d in m.datasets)),
            "backbones": list(dict.fromkeys(b.name for m in suite.matrices for b in m.backbones)),
            "seeds": list(suite.seeds),
            "description": suite.description,
        }
        for suite in shipped_suites()
    ]


IN_JSON_ONLY = ("formula", "paper", "link", "note", "problem", "source", "licence")
"""Columns that would make a table too wide to read."""


UNKNOWN = {"shape": "from the data", "classes": "from the data"}
"""Placeholders for missing values, if not a dash."""

LESS_NEEDED = ("params", "installed", "tail", "changes", "fidelity")
"""Columns that a narrow terminal drops, in this order."""


def show_rows(listed: Sequence[dict[str, Any]], console: Console) -> None:
    """Print the rows as a table, without the columns that only JSON has room for."""
    columns = [name for name in listed[0] if name not in IN_JSON_ONLY]
    texts = {name: [_short(row[name], UNKNOWN.get(name, "–")) for row in listed] for name in columns}
    for name in LESS_NEEDED:
        if name in columns and table_width([[name, *texts[name]] for name in columns]) > console.width:
            columns.remove(name)
    drawn = Table(box=None, pad_edge=False)
    for name in columns:
        numeric = name in FACTS
        drawn.add_column(
            name,
            no_wrap=numeric or name == "name",
            overflow="fold",
            justify="right" if numeric else "left",
        )
    for line in zip(*(texts[name] for name in columns), strict=True):
        drawn.add_row(*map(escape, line))
    console.print(drawn)
    left_out = [name for name in listed[0] if name not in columns]
    if left_out:
        console.print(f"\n--json adds {', '.join(left_out)}", highlight=False)


KINDS = ("adaptive", "control", "fixed", "library", "reference")
FACTS = ("height", "fwhm", "area", "tail")


def _by_name(table: dict[str, Any]) -> list[Any]:
    return [table[name] for name in sorted(table)]


def _by_kind(entry: Any) -> int:
    """Sort key by kind; within a kind, methods keep the order in which they were found."""
    return KINDS.index(entry.item.kind)


def _method_row(method: Any, found: Any) -> dict[str, Any]:
    from bench.measures.single_layer import Properties
    from bench.registry import missing_packages
    from bench.runner.engines.process import NoAnswer

    if isinstance(found, NoAnswer):
        found = Properties(problem=found.why)
    return {
        "name": method.name,
        "kind": method.kind,
        "changes": method.changes,
        "fidelity": method.fidelity,
        **{fact: _rounded(getattr(found, fact)) for fact in FACTS},
        "formula": method.formula,
        "params": {
            name: {"default": p.default, "search": list(p.search) if p.search else None}
            for name, p in method.params.items()
        },
        "installed": not missing_packages(method),
        "paper": method.paper,
        "link": method.link,
        "note": method.note,
        "problem": found.problem,
    }


def _rounded(number: float | None) -> float | None:
    """Rounded to the digits that the integration resolves; adding 0 turns -0 into 0."""
    return None if number is None else round(number, 5) + 0.0


def show_conversions(listed: Sequence[dict[str, Any]], console: Console) -> None:
    """Print which of our methods equals each library's, or why none does."""
    drawn = Table(box=None, pad_edge=False)
    for name in ("library", "here", "with", "largest difference"):
        drawn.add_column(name, no_wrap=name in ("library", "here"), overflow="fold")
    for row in listed:
        drawn.add_row(*map(escape, conversion_texts(row)))
    console.print(drawn)


def conversion_texts(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """A row of `bench.measures.conversions` as four texts."""
    params = ", ".join(f"{name} = {value:.6g}" for name, value in row["params"].items())
    if row["difference"] is None:
        return (
            row["theirs"],
            row["ours"] or "none",
            params or row["why"],
            "" if row["installed"] else "not installed",
        )
    # The last digits depend on the machine.
    size = next((f"< {bound:g}" for bound in (1e-9, 1e-6) if row["difference"] < bound), None)
    return row["theirs"], row["ours"], params, size or f"{row['difference']:.1g}"


def _short(value: Any, unknown: str = "–") -> str:
    if value is None or value == []:
        return unknown
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, dict):
        return ", ".join(
            name if p["default"] in (None, "") else f"{name}={_short(p['default'])}"
            for name, p in value.items()
        )
    if isinstance(value, list):
        return ", ".join(str(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
