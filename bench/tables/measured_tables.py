"""Gradient health, cost, and accuracy over time steps: means over the seeds of a configuration.

n_seeds of a row counts the runs that are ok and have at least one of its numbers; docs/tables.md explains
the columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from bench.tables import statistics
from bench.tables.columns import ANYTIME, DECLARED, KEY, Line, frame, named
from bench.tables.rows import Record, Row, base, settings

GRADIENTS = (
    "available_fraction",
    "available_fraction_min",
    "available_fraction_before",
    "participation",
    "participation_min",
    "participation_before",
    "gain",
    "vanishing_slope",
    "vanishing_slope_before",
    "vanishing_slope_ann",
    "vanishing_slope_excess",
    "vanishing_slope_excess_before",
    "first_to_last",
    "dead_layers",
    "silent_fraction",
    "gradient_zero_fraction",
    "vanish_onset_epoch",
    *(f"descent_gain_{step}{when}" for step in ("1e-3", "1e-2") for when in ("", "_before")),
    *(f"descent_gain_random_{step}{when}" for step in ("1e-3", "1e-2") for when in ("", "_before")),
    *(f"finite_difference_agreement{when}" for when in ("", "_before")),
)
COMPARED = ("available_fraction", "participation", "vanishing_slope", "descent_gain_1e-2")
"""The metrics that are compared with the baseline, paired by seed."""
COSTS = ("spikes_per_sample", "sops_per_sample", "macs_per_sample", "energy_uj")
SPREAD = ("mean", "sd")
DELTA = ("delta", "delta_ci_low", "delta_ci_high")


def _spread(metric: str) -> tuple[str, ...]:
    return tuple(f"{metric}_{what}" for what in SPREAD)


def _delta(metric: str) -> tuple[str, ...]:
    return tuple(f"{metric}_{what}" for what in DELTA)


GRADIENTS_COLUMNS = (
    *(*KEY, *DECLARED, "n_seeds", "n_unmeasured", "n_vanished"),
    *(column for metric in GRADIENTS for column in _spread(metric)),
    *(column for metric in COMPARED for column in _delta(metric)),
)
COST_COLUMNS = (
    *(*KEY, *DECLARED, "n_seeds", "test_accuracy_mean"),
    *(column for metric in COSTS for column in _spread(metric)),
)
ANYTIME_COLUMNS = (*KEY, *DECLARED, "n_seeds", "t", *ANYTIME, "timesteps_to_99_mean")


def gradients_of(of: Sequence[Row], baseline: str) -> pd.DataFrame:
    """A row per configuration, with differences to the same baseline row as in accuracy.csv."""
    lines: list[Line] = []
    for comparable in settings(replace(row, records=with_excess(row.records)) for row in of):
        against = base(comparable, baseline)
        lines += [_gradients(row, against if row is not against else None) for row in comparable]
    return frame(sorted(lines, key=_place), GRADIENTS_COLUMNS)


def cost_of(of: Sequence[Row]) -> pd.DataFrame:
    """A row per configuration: the cost of one inference."""
    lines = []
    for row in of:
        accuracy = {"test_accuracy_mean": statistics.mean(row.values("test_accuracy"))}
        lines.append(row.identity() | _counted(row, COSTS) | accuracy | _means(row, COSTS))
    return frame(lines, COST_COLUMNS)


def anytime_of(of: Sequence[Row]) -> pd.DataFrame:
    """A row per configuration and t: accuracy when the output is averaged over the first t steps."""
    lines: list[Line] = []
    for row in of:
        known = (metrics.get("anytime_accuracy") for metrics in row.worked.values())
        steps = [np.array(values, float) for values in zip(*filter(None, known), strict=True)]
        arrived = {"timesteps_to_99_mean": statistics.mean(row.values("timesteps_to_99"))}
        for t, (values, spread) in enumerate(zip(steps, statistics.means_and_sds(steps), strict=True), 1):
            there = {"n_seeds": values.size, "t": t}
            lines.append(row.identity() | there | named(ANYTIME, spread) | arrived)
    return frame(lines, ANYTIME_COLUMNS)


def with_excess(records: Iterable[Record]) -> list[Record]:
    """The records, plus each slope's difference to that of the same network with ReLU, if both are known."""
    found: list[Record] = []
    for record in records:
        metrics = dict(record["metrics"])
        healthy = metrics.get("vanishing_slope_ann")
        for when in ("", "_before"):
            slope = metrics.get(f"vanishing_slope{when}")
            if slope is not None and healthy is not None:
                metrics[f"vanishing_slope_excess{when}"] = slope - healthy
        found.append({**record, "metrics": metrics})
    return found


def _gradients(row: Row, against: Row | None) -> Line:
    line = row.identity() | _counted(row, GRADIENTS) | _means(row, GRADIENTS)
    line["n_unmeasured"] = sum(
        bool(set(r.get("unmeasured") or ()) - {"cost", "compile"}) for r in row.records
    )
    # Without a probe, it is unknown whether a gradient has vanished.
    looked = row.measured("available_fraction")
    line["n_vanished"] = len(row.measured("vanish_onset_epoch")) if looked else None
    return line | (_differences(row, against) if against else {})


def _differences(row: Row, against: Row) -> Line:
    line: Line = {}
    for metric in COMPARED:
        found = statistics.paired(*row.pairs(against, metric))
        line |= named(_delta(metric), (found.mean, found.low, found.high))
    return line


def _counted(row: Row, metrics: Sequence[str]) -> Line:
    there = (any(found.get(metric) is not None for metric in metrics) for found in row.worked.values())
    return {"n_seeds": sum(there)}


def _means(row: Row, metrics: Sequence[str]) -> Line:
    spreads = statistics.means_and_sds([row.values(metric) for metric in metrics])
    columns = (column for metric in metrics for column in _spread(metric))
    return named([*columns], [value for spread in spreads for value in spread])


def _place(line: Line) -> tuple[object, ...]:
    return tuple(line[name] for name in KEY)
