"""The rows that the figures of a report draw, by task; see `bench.report.figures` for what each needs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from bench.report.tasks import NOTHING, REFERENCE, Entry, Key, Line, Task, known, rounded
from bench.rows import Row

Lines = Mapping[Key, Sequence[Line]]
STEP = "train_step_ms_p50"
COSTS = {
    "energy_uj_mean": "energy of an inference, µJ (estimate)",
    "sops_per_sample_mean": "synaptic operations of an inference",
    STEP: "training step, ms",
}
FULL = 100.0


def accuracy(task: Task) -> list[Line]:
    """Best first, as in the table; what has no accuracy has no row."""
    return [
        {
            "method": entry.name,
            "kind": entry.kind,
            "mean": rounded(entry.line["test_accuracy_mean"]),
            "low": rounded(entry.line["test_accuracy_ci_low"]),
            "high": rounded(entry.line["test_accuracy_ci_high"]),
            "end": rounded(min(entry.line["test_accuracy_ci_high"], FULL)),
            "seeds": int(entry.line["n_seeds"]),
            "failed": int(entry.line["n_failed"]),
        }
        for entry in task.entries
        if known(entry.line["test_accuracy_mean"]) is not None
    ]


def anytime(task: Task, lines: Lines) -> list[Line]:
    """Accuracy after each number of time steps; none where there is one step alone."""
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


def costs(task: Task, cost: Lines, steps: Mapping[Key, float]) -> dict[str, list[Line]]:
    """By what is paid: the methods with accuracy and price, and whether they are on the front.

    steps: milliseconds of a training step. Reference rows are drawn and are not on the front.
    """
    found: dict[str, list[Line]] = {}
    for column, label in COSTS.items():
        prices = (
            steps if column == STEP else {e.key: _one(cost, e).get(column, math.nan) for e in task.entries}
        )
        rows: list[Line] = []
        for entry in task.entries:
            price = rounded(prices.get(entry.key, math.nan))
            accuracy = rounded(entry.line["test_accuracy_mean"])
            # A network without spikes has no synaptic operations: that is no price.
            if price and accuracy is not None:
                rows.append({"method": entry.name, "kind": entry.kind, "x": price, "accuracy": accuracy})
        on_front = front([(row["x"], row["accuracy"]) for row in rows if row["kind"] != REFERENCE])
        for row in rows:
            ranked = row["kind"] != REFERENCE and (row["x"], row["accuracy"]) in on_front
            row["front"] = "yes" if ranked else "no"
        if rows:
            found[label] = sorted(rows, key=lambda row: (row["x"], row["accuracy"]))
    return found


def front(points: Sequence[tuple[float, float]]) -> set[tuple[float, float]]:
    """Of (price, gain) those that no other matches in both and beats in one."""
    best, kept = -math.inf, set[tuple[float, float]]()
    for price, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if gain > best:
            best = gain
            kept.add((price, gain))
    return kept


def slopes(task: Task, gradients: Lines) -> list[Line]:
    """Vanishing slope, in the order of the table."""
    found: list[Line] = []
    for entry in task.entries:
        line = _one(gradients, entry)
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
    """Accuracy over the parameter that most methods take several values of here, and of these methods alone.

    Methods are named without it. A method that varies several at once has no place on one axis.
    """
    by_method: dict[str, list[tuple[Entry, Mapping[str, Any]]]] = defaultdict(list)
    for entry in task.entries:
        if row := of.get(entry.key):
            by_method[row.method].append((entry, row.records[0]["cell"]["method"]["params"]))
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
                low, high = (rounded(entry.line[f"test_accuracy_ci_{end}"]) for end in ("low", "high"))
                found[varied[0]].append(point | {"low": low, "high": high})
    chosen = max(sorted(found), key=lambda name: len({row["method"] for row in found[name]}), default="")
    return sorted(found[chosen], key=lambda row: (row["method"], row["value"]))


def _one(lines: Lines, entry: Entry) -> Mapping[str, Any]:
    there = lines.get(entry.key, ())
    return there[0] if there else NOTHING
