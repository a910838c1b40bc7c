"""The rows that the figures of a report draw, by task; `bench.report.figures` lists what each needs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from bench.records.store import OK, Store
from bench.report import layer_maps
from bench.report.tasks import REFERENCE, Entry, Key, Line, Task, known, rounded
from bench.tables import statistics
from bench.tables.columns import DELTAS, KEY, OTHER, TASK
from bench.tables.fronts import faster, front, lower
from bench.tables.rows import Row
from bench.tables.statistics import Values
from bench.tables.text.readable import interval_of
from bench.variants import DEFAULT, RECIPE, full_name

Lines = Mapping[Key, Sequence[Line]]
STEP = "train_step_ms_p50"
COSTS = {
    "energy_uj": "energy of an inference, µJ (estimate)",
    "sops_per_sample": "synaptic operations of an inference",
    STEP: "training step, ms",
}
FULL = 100.0


def accuracy(task: Task) -> list[Line]:
    """Best first, as in the table, with its intervals; an entry without an accuracy has no row."""
    found: list[Line] = []
    for entry in task.compared:
        if known(entry.line["test_accuracy_mean"]) is None:
            continue
        low, high = interval_of(entry.line) or (math.nan, math.nan)
        found.append(
            {
                "method": entry.name,
                "kind": entry.kind,
                "mean": rounded(entry.line["test_accuracy_mean"]),
                "low": rounded(low),
                "high": rounded(high),
                "end": rounded(min(high, FULL)),
                "seeds": int(entry.line["n_seeds"]),
                "failed": int(entry.line["n_failed"]),
            }
        )
    return found


def differences(task: Task) -> list[Line]:
    """The differences to the baseline that have an interval, best first."""
    return [
        {"method": entry.name, "kind": entry.kind}
        | {key: rounded(entry.line[name]) for key, name in zip(("delta", "low", "high"), DELTAS, strict=True)}
        for entry in task.compared
        if known(entry.line["delta_ci_low"]) is not None
    ]


def curves(task: Task, of: Mapping[Key, Row], store: Store) -> list[Line]:
    """Validation accuracy after each epoch: mean, lowest and highest of the seeds that reached it."""
    found: list[Line] = []
    for entry in task.compared:
        seeds = [_validation(folder) for folder in _folders(of.get(entry.key), store)]
        by_epoch = zip_longest(*seeds, fillvalue=math.nan)
        for epoch, values in enumerate(by_epoch, 1):
            if there := [value for value in values if not math.isnan(value)]:
                ends = (math.fsum(there) / len(there), min(there), max(there))
                numbers = {k: rounded(v) for k, v in zip(("mean", "low", "high"), ends, strict=True)}
                found.append({"method": entry.name, "epoch": epoch} | numbers)
    return found


def layers(task: Task, of: Mapping[Key, Row], store: Store, tell: Callable[[str], None]) -> list[Line]:
    """What the last probe saw of each layer, mean over seeds: see `bench.show.layer_grids.Grids`.

    tell: called with a sentence about each file that cannot be used.
    """
    found: list[Line] = []
    for entry in task.compared:
        if runs := layer_maps.read(_folders(of.get(entry.key), store), tell):
            grids = layer_maps.mean_over(runs)
            last = zip(grids.available, grids.sizes, strict=True)
            for number, (available, sizes) in enumerate(last, 1):
                seen = {"available": available[-1], "size": sizes[-1]}
                found.append({"method": entry.name, "layer": number} | seen)
    return found


def better(pairs: pd.DataFrame) -> set[tuple[Key, Key]]:
    """The pairs of a suite, by key, in which the first row is better and the interval excludes zero."""
    apart = pairs[pairs["ci_low"] > 0]
    first = apart[[*KEY]].itertuples(index=False, name=None)
    second = apart[[*TASK, *OTHER]].itertuples(index=False, name=None)
    return {*zip(first, second, strict=True)}


def _folders(row: Row | None, store: Store) -> list[Path]:
    """Those of the successful runs of a row."""
    return [store.folder(r["id"]) for r in row.records if r["status"] == OK] if row else []


def _validation(folder: Path) -> list[float]:
    """Validation accuracy by epoch; none if the run left no epochs."""
    import pyarrow.parquet as pq

    file = folder / "epochs.parquet"
    if not file.exists():
        return []
    with pq.ParquetFile(file) as parquet:
        values = parquet.read(columns=["val_accuracy"])["val_accuracy"].to_pylist()
    return [math.nan if value is None else float(value) for value in values]


def anytime(task: Task, lines: Lines) -> list[Line]:
    """Accuracy after each number of time steps; empty if there is only one step."""
    found: list[Line] = [
        {
            "method": entry.name,
            "t": int(line["t"]),
            "accuracy": rounded(line["anytime_accuracy_mean"]),
            "sd": rounded(line["anytime_accuracy_sd"]),
        }
        for entry in task.entries
        for line in lines.get(entry.key, ())
    ]
    return found if any(row["t"] > 1 for row in found) else []


def costs(
    task: Task, of: Mapping[Key, Row], steps: Mapping[Key, float], told: Collection[tuple[Key, Key]]
) -> dict[str, list[Line]]:
    """For each kind of cost, the methods with accuracy and cost, and whether they are on the front.

    steps: milliseconds of a training step. told: pairs of rows in which the first is more accurate, with an
    interval that excludes zero. `front`: see `bench.tables.fronts`; `edge`: the rows of `front` that are on
    the front by their means alone, which a line can join. Reference rows are drawn but are neither.
    """
    found = {}
    for column, label in COSTS.items():
        if column == STEP:
            rows = _priced(task, steps, lambda a, b: faster(steps[a], steps[b]), told)
        else:
            runs = {e.key: of[e.key].values(column) for e in task.entries if e.key in of}
            prices = {key: statistics.mean(values) for key, values in runs.items()}
            rows = _priced(task, prices, partial(_cheaper, runs), told)
        if rows:
            found[label] = rows
    return found


def _cheaper(runs: Mapping[Key, Values], a: Key, b: Key) -> bool:
    return lower(runs[a], runs[b])


def _priced(
    task: Task,
    prices: Mapping[Key, float],
    cheaper: Callable[[Key, Key], bool],
    told: Collection[tuple[Key, Key]],
) -> list[Line]:
    """The rows of `costs` for one kind of cost, cheapest first."""
    rows: dict[Key, Line] = {}
    for entry in task.compared:
        price = rounded(prices.get(entry.key, math.nan))
        accuracy = rounded(entry.line["test_accuracy_mean"])
        # A network without spikes has no synaptic operations, so it has no such cost.
        if price and accuracy is not None:
            rows[entry.key] = {"method": entry.name, "kind": entry.kind, "x": price, "accuracy": accuracy}
    ranked = {key: row["accuracy"] for key, row in rows.items() if row["kind"] != REFERENCE}
    best = front(ranked, [lambda a, b: (a, b) in told, cheaper])
    edge = front(
        {key: ranked[key] for key in best},
        [lambda a, b: ranked[a] > ranked[b], lambda a, b: bool(rows[a]["x"] < rows[b]["x"])],
    )
    for key, row in rows.items():
        row["front"], row["edge"] = ("yes" if key in those else "no" for those in (best, edge))
    return sorted(rows.values(), key=lambda row: (row["x"], row["accuracy"]))


def slopes(task: Task, gradients: Lines) -> list[Line]:
    """Vanishing slope, in the order of the table."""
    found: list[Line] = []
    for entry in task.compared:
        line = only_line(gradients, entry)
        mean = rounded(line.get("vanishing_slope_mean", math.nan))
        if mean is None:
            continue
        sd = rounded(line["vanishing_slope_sd"])
        found.append(
            {
                "method": entry.name,
                "kind": entry.kind,
                "mean": mean,
                "sd": sd,
                "low": mean - (sd or 0),
                "high": mean + (sd or 0),
                "before": rounded(line["vanishing_slope_before_mean"]),
                "ann": rounded(line["vanishing_slope_ann_mean"]),
            }
        )
    return found


def swept(task: Task, of: Mapping[Key, Row]) -> list[Line]:
    """Accuracy over the parameter that most methods vary in this task, for these methods alone.

    The parameter is not part of their names, but what a sweep varies in the recipe is. Methods that vary
    several parameters at once are left out: they do not fit on one axis.
    """
    by_method: dict[str, list[tuple[Entry, Mapping[str, Any]]]] = defaultdict(list)
    for entry in task.entries:
        if row := of.get(entry.key):
            recipe = " ".join(w.removeprefix(RECIPE) for w in row.words if w.startswith(RECIPE))
            name = full_name(row.method, recipe or DEFAULT)
            by_method[name].append((entry, row.records[0]["cell"]["method"]["params"]))
    found: dict[str, list[Line]] = defaultdict(list)
    for method, entries in by_method.items():
        names = {name for _, params in entries for name in params}
        varied = [n for n in names if len({params.get(n) for _, params in entries}) > 1]
        if len(varied) != 1:
            continue
        for entry, params in entries:
            value, mean = params.get(varied[0]), rounded(entry.line["test_accuracy_mean"])
            if value is not None and value > 0 and mean is not None:
                point = {"method": method, "parameter": varied[0], "value": value, "accuracy": mean}
                point["entry"] = entry.name
                low, high = (rounded(entry.line[f"test_accuracy_ci_{end}"]) for end in ("low", "high"))
                found[varied[0]].append(point | {"low": low, "high": high})
    chosen = max(sorted(found), key=lambda name: len({row["method"] for row in found[name]}), default="")
    return sorted(found[chosen], key=lambda row: (row["method"], row["value"]))


def only_line(lines: Lines, entry: Entry) -> Mapping[str, Any]:
    """The line of an entry in a table with at most one for each; empty without one."""
    return next(iter(lines.get(entry.key, ())), {})
