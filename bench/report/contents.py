"""Contents of a suite's report: the tables of the page, and the data of its figures."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.errors import ranges
from bench.measures import kept_derivatives
from bench.records.store import OK, Store
from bench.report import figure_rows, layer_maps, over_tasks, over_training
from bench.report.costs import cost_grids
from bench.report.findings import findings
from bench.report.formula import mathml
from bench.report.grid import Cell, Grid, grids, number
from bench.report.provenance import Provenance, facts, provenance
from bench.report.tasks import Key, Line, Task, by_key, page_tasks, seeds
from bench.report.tuning import Tuning, tunings
from bench.show.layer_grids import Grids, buckets, size_scale
from bench.suite import Suite
from bench.tables import failures
from bench.tables.latency_table import training_steps
from bench.tables.results import Results
from bench.tables.rows import Row
from bench.tables.text.readable import blocks
from bench.variants import DEFAULT, full_name

MOST_CELLS = 400_000
"""The most cells of all heat maps together: with more, several epochs share a column."""
MOST_COLUMNS, FEWEST_COLUMNS = 60, 8
MOST_POINTS, FEWEST_EPOCHS = 150_000, 20
"""The most points of all learning curves together: with more, a curve leaves out epochs, evenly."""
MOST_PROBES = 8_000
"""The most probes of all rows together in the figure over training: with more, it leaves out some, evenly."""
FEWEST_PROBES = 6
DIGITS = 3
"""Digits after the point of a number in a heat map, and of a learning curve."""
HEADS = (
    "rank",
    "method",
    "test accuracy %",
    "Δ to baseline",
    "Δ to best",
    "p, adjusted",
    "indistinguishable from best",
    "kind",
    "changes",
    "fidelity",
    "energy, µJ",
    "training step, ms",
    "vanishing slope",
)
DEFAULT_COLUMNS = (
    *("rank", "method", "test accuracy %", "Δ to baseline", "p, adjusted", "kind"),
    *("energy, µJ", "training step, ms"),
)
"""Those that the page shows before its reader has chosen; the verdict is the bold type."""
HIGHER = frozenset(("test accuracy %", "Δ to baseline", "Δ to best", "interquartile mean %"))
"""A first click sorts these from the highest down."""
Kept = Mapping[str, kept_derivatives.StoredCurve]
MEANINGS = {
    "kind": {
        "fixed": "the same derivative throughout a training",
        "adaptive": "the surrogate, the threshold or the loss follows the network",
        "control": "made to explain another method",
        "library": "calls the function of a library",
        "reference": "no spiking network with a surrogate: a bound to compare with, and not ranked",
    },
    "changes": {
        "gradient": "only the gradient differs from plain training",
        "forward": "the forward pass differs from plain training",
        "loss": "the loss differs from plain training",
        "network": "the network differs from plain training",
    },
    "fidelity": {
        "official-code": "checked against the authors' code",
        "library": "a library's own function, called as shipped",
        "paper": "from the published formula, not checked against the authors' code",
        "reconstructed": "part of the rule had to be inferred",
        "own": "unpublished: there is no original to match",
    },
}
"""What the declarations of a method mean."""
WORDS = frozenset(("method", "kind", "changes", "fidelity", "indistinguishable from best"))


@dataclass(frozen=True)
class Block:
    """A task with its table. lines: a row of cells for each entry; best: whether the entry is bold."""

    task: Task
    lines: Sequence[Sequence[Cell]]
    best: Sequence[bool]


@dataclass(frozen=True)
class Contents:
    """Everything that the page shows. data: ready for JSON; the rest is for the template."""

    suite: Suite
    found: Sequence[str]
    facts: str
    records: int
    statuses: Mapping[str, int]
    blocks: Sequence[Block]
    notes: Sequence[str]
    overall: Sequence[Grid]
    critical: Mapping[str, Any] | None
    tuning: Sequence[Tuning]
    costs: Sequence[Grid]
    published: Sequence[Grid]
    sources: Sequence[str]
    failures: Grid | None
    unmeasured: Sequence[str]
    left_out: Sequence[str]
    provenance: Provenance
    data: Mapping[str, Any]


def contents(suite: Suite, store: Store, results: Results) -> Contents:
    """The contents of a suite's report. store: the results folder that the results were read from."""
    left_out, records, tables = [*results.left_out], results.records, results.tables
    tasks = page_tasks(tables["accuracy"])
    of = {row.key: row for row in results.rows}
    lines = {name: by_key(tables[name]) for name in ("anytime", "cost", "gradients", "runs")}
    steps = training_steps(tables["latency"])
    told = figure_rows.better(tables["pairs"])
    maps, courses = _layers(tasks, of, store, left_out)
    epochs = max(FEWEST_EPOCHS, MOST_POINTS // max(1, sum(len(task.compared) for task in tasks)))
    kept = kept_derivatives.read(store.results, store.suite, kept_derivatives.wanted(records))
    critical = over_tasks.critical(results)
    several = (tables["overall"][["n_tasks", "n_tasks_missing"]].sum(axis=1) > 1).any()
    tuning = tunings(tables["tuning"], tables["tuned"]) if "tuning" in tables else []
    return Contents(
        suite=suite,
        found=findings(tasks, of, results.baseline),
        facts=facts(records),
        records=len(records),
        statuses={s: sum(r["status"] == s for r in records) for s in sorted({r["status"] for r in records})},
        blocks=_blocks(tasks, tables["accuracy"], lines, steps),
        notes=results.notes,
        overall=grids("overall", tables["overall"]) if several else [],
        critical=critical,
        tuning=tuning,
        costs=cost_grids(tasks, of),
        published=grids("published", tables["published"]),
        sources=_sources(tables["published"]),
        failures=_failures(records),
        unmeasured=[f"{each.what} of {each}" for each in failures.unmeasured(records)],
        left_out=left_out,
        provenance=provenance(records),
        data={
            "suite": suite.name,
            "baseline": results.baseline,
            "tasks": [
                {
                    "id": task.id,
                    "title": task.title,
                    "methods": [entry.name for entry in task.entries],
                    "others": [entry.name for entry in task.entries if entry.other],
                    "compared": _compared(task, results.baseline),
                    "accuracy": figure_rows.accuracy(task),
                    "differences": figure_rows.differences(task),
                    **_curves(figure_rows.curves(task, of, store), epochs),
                    "anytime": figure_rows.anytime(task, lines["anytime"]),
                    "cost": figure_rows.costs(task, of, steps, told),
                    "slope": figure_rows.slopes(task, lines["gradients"]),
                    "swept": figure_rows.swept(task, of),
                    "maps": maps.get(task.id, {}),
                    "courses": courses.get(task.id, {}),
                }
                for task in tasks
            ],
            **_cards(tasks, of, kept),
            "tuning": [
                {"title": t.title, "trials": t.trials, "scale": t.scale, "curves": t.curves} for t in tuning
            ],
            "seeds": {
                f"{task.id}-{number}": seeds(lines["runs"].get(entry.key, ()))
                for task in tasks
                for number, entry in enumerate(task.entries)
            },
            "quantities": over_training.QUANTITIES,
            "layers": over_training.LAYERS,
            "shapes": _shapes(kept, records),
            "profiles": over_tasks.profiles(results),
            "critical": critical,
        },
    )


def _blocks(
    tasks: Sequence[Task],
    accuracy: pd.DataFrame,
    lines: Mapping[str, figure_rows.Lines],
    steps: Mapping[Key, float],
) -> list[Block]:
    found = []
    for task, block in zip(tasks, blocks(accuracy), strict=True):
        rows = []
        for place, (entry, said) in enumerate(zip(task.entries, block.lines, strict=True)):
            cost, gradients = (figure_rows.only_line(lines[name], entry) for name in ("cost", "gradients"))
            rows.append(
                [
                    # Sorted by rank, the table is in its own order: other rows of a sweep follow its best.
                    Cell(said["rank"], str(place)),
                    Cell(entry.name),
                    Cell(said["accuracy"], number(entry.line["test_accuracy_mean"]).value),
                    Cell(said["delta"], number(entry.line["delta_vs_baseline"]).value),
                    Cell(said["to_best"], number(entry.line["delta_to_best"]).value),
                    Cell(said["p"], number(entry.line["p_adjusted"]).value),
                    Cell(said["best"] or "–"),
                    *(Cell(said[name]) for name in ("kind", "changes", "fidelity")),
                    number(cost.get("energy_uj_mean")),
                    number(steps.get(entry.key)),
                    number(gradients.get("vanishing_slope_mean"), "+.3f"),
                ]
            )
        found.append(Block(task, rows, [each is not None for each in block.bold]))
    return found


def _curves(rows: Sequence[Line], most: int) -> dict[str, Any]:
    """By method: mean, lowest and highest after each of `curve_epochs`, at most `most`; None if unknown.

    Rows with names would fill most of a page.
    """
    epochs = [of[-1] + 1 for of in buckets(max((row["epoch"] for row in rows), default=0), most)]
    found: dict[str, dict[int, list[float]]] = defaultdict(dict)
    for row in rows:
        found[row["method"]][row["epoch"]] = [round(row[name], DIGITS) for name in ("mean", "low", "high")]
    curves = {method: [of.get(epoch) for epoch in epochs] for method, of in found.items()}
    return {"curve_epochs": epochs, "curves": curves}


def _cards(tasks: Sequence[Task], of: Mapping[Key, Row], kept: Kept) -> dict[str, Any]:
    """What each row's method declares, from its records and its kept curve: headings and texts, and more.

    card_of: by row, its place in `cards`. A method has the same card in every task.
    """
    cards, card_of, places = list[dict[str, Any]](), dict[str, int](), dict[str, int]()
    for task in tasks:
        for place, entry in enumerate(task.entries):
            if entry.key in of:
                card = _card(of[entry.key].records[0], entry.line, kept)
                number = places.setdefault(json.dumps(card), len(cards))
                if number == len(cards):
                    cards.append(card)
                card_of[f"{task.id}-{place}"] = number
    return {"cards": cards, "card_of": card_of}


def _card(record: Mapping[str, Any], declared: Mapping[str, Any], kept: Kept) -> dict[str, Any]:
    curve = next((kept[name] for name in kept_derivatives.wanted([record]) if name in kept), None)
    method, source = record["method"], record.get("sources", {}).get("method") or {}
    params = record["cell"]["method"]["params"]
    file = f"{source['file']}{'' if source['shipped'] else ', a plugin'}" if source.get("file") else ""
    return {
        "lines": [
            # First: its text gives place to `math`, if there is any.
            ["Formula", curve.formula if curve else ""],
            ["Paper", method.get("paper") or ""],
            ["Note", method.get("note") or ""],
            *([name.capitalize(), _with_meaning(name, str(declared[name]))] for name in MEANINGS),
            ["Code", file],
        ],
        "math": mathml(curve.latex) if curve else None,
        "link": curve.link if curve else "",
        "params": ", ".join(f"{k} = {v:g}" for k, v in params.items() if v is not None),
    }


def _with_meaning(name: str, value: str) -> str:
    meaning = MEANINGS[name].get(value)
    return f"{value}: {meaning}" if meaning else value


def _layers(
    tasks: Sequence[Task], of: Mapping[Key, Row], store: Store, left_out: list[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """By task: heat maps by method name, with the scale of gradient sizes that they share; and courses."""
    grids, courses = {}, defaultdict[str, dict[str, Any]](dict)
    most = max(FEWEST_PROBES, MOST_PROBES // max(1, sum(len(task.entries) for task in tasks)))
    for task in tasks:
        for entry in task.entries:
            row = of.get(entry.key)
            folders = [store.folder(r["id"]) for r in row.records if r["status"] == OK] if row else []
            if looks := layer_maps.read(folders, left_out.append):
                grids[task.id, entry.name] = (layer_maps.mean_over(looks), len(looks))
                if course := over_training.course(looks, most):
                    courses[task.id][entry.name] = course
    return _maps(grids), courses


def _maps(grids: Mapping[tuple[str, str], tuple[Grids, int]]) -> dict[str, dict[str, Any]]:
    width = _width([(len(whole.layers), len(whole.columns)) for whole, _ in grids.values()])
    found: dict[str, dict[str, Any]] = defaultdict(lambda: {"methods": {}})
    for (task_id, name), (whole, runs) in grids.items():
        shown = whole.fitted(width)
        found[task_id]["methods"][name] = {
            "runs": runs,
            "layers": shown.layers,
            "columns": [first if first == last else f"{first}–{last}" for first, last in shown.columns],
            "available": [[_short(v) for v in line] for line in shown.available],
            "sizes": [[_short(v) for v in line] for line in shown.sizes],
            "marks": shown.marks,
        }
    for those in found.values():
        sizes = [tuple(line) for each in those["methods"].values() for line in each["sizes"]]
        those["scale"] = size_scale(tuple(sizes))
    return found


def _width(sizes: Sequence[tuple[int, int]]) -> int:
    """The most columns per map that keep maps of these (layers, columns) within the limit of cells."""
    for width in range(MOST_COLUMNS, FEWEST_COLUMNS, -1):
        if sum(layers * min(columns, width) for layers, columns in sizes) <= MOST_CELLS:
            return width
    return FEWEST_COLUMNS


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, DIGITS)


def _compared(task: Task, baseline: str) -> list[str]:
    """The two methods selected at first: MPD-AGL, or the best if it is absent, and the baseline."""
    entries = task.compared or task.entries
    first = next((entry for entry in entries if "mpd-agl" in entry.names), entries[0])
    rest = [entry for entry in entries if entry is not first]
    second = next((entry for entry in rest if baseline in entry.names), rest[0] if rest else first)
    return [first.name, second.name]


def _shapes(there: Kept, records: Sequence[Any]) -> list[Line]:
    wanted = kept_derivatives.wanted(records)
    kinds = {r["cell"]["method"]["name"]: r["method"]["kind"] for r in records}
    shapes = []
    for name, of in sorted(wanted.items(), key=lambda item: (item[1].method, str(item[1].params))):
        curve = there.get(name)
        alone = sum(other.method == of.method for other in wanted.values()) == 1
        params = "" if alone else " ".join(f"{k}={v:g}" for k, v in of.params.items() if v is not None)
        shapes.append(
            {
                "method": f"{of.method} {params}".strip(),
                "kind": kinds[of.method],
                "x": curve.x if curve else [],
                "h": curve.h if curve else [],
                "problem": curve.problem if curve else "not drawn yet: spikegrad run draws it",
            }
        )
    return shapes


def _sources(published: pd.DataFrame) -> list[str]:
    """The source of each published number, in the order of the table."""
    lines = published[["method", "params", "year", "published", "source", "note"]].to_dict("records")
    said = [
        f"{full_name(line['method'], line['params'] or DEFAULT)} {line['published']:.2f} "
        f"({line['year']}): {line['source']}" + (f"; {line['note']}" if line["note"] else "")
        for line in lines
    ]
    return list(dict.fromkeys(said))


def _failures(records: Sequence[Any]) -> Grid | None:
    found = failures.failures(records)
    heads = ("status", "method", "dataset", "backbone", "T", "variant", "seeds", "reason")
    lines = [
        [
            *(Cell(value) for value in (e.status, e.method, e.dataset, e.backbone)),
            number(e.timesteps),
            Cell(e.variant),
            Cell(ranges(seeds)),
            Cell(e.error or "no reason was left"),
        ]
        for e, seeds in found
    ]
    words = frozenset(heads) - {"T"}
    return Grid("failures", "Trainings that did not end well", heads, lines, words) if lines else None
