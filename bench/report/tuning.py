"""Tuning on the page: the trials of each task as heat maps and best-of-k curves, and the table `tuned`."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench.report.grid import Grid, grids
from bench.report.tasks import Line, distinct, rounded
from bench.tables.text.readable import tasks
from bench.tables.tuning_tables import best_of


@dataclass(frozen=True)
class Tuning:
    """One task. scale: lowest and highest accuracy of a trial; trials, curves: the rows of the figures."""

    title: str
    grid: Grid
    trials: list[Line]
    scale: tuple[float, float]
    curves: list[Line]


def tunings(tuning: pd.DataFrame, tuned: pd.DataFrame) -> list[Tuning]:
    """The tasks of the tables `tuning` and `tuned`, in their order."""
    found = zip(tasks(tuning), grids("tuned", tuned), strict=True)
    return [_tuning(title, rows, grid) for (title, rows), grid in found]


def _tuning(title: str, rows: pd.DataFrame, grid: Grid) -> Tuning:
    by_method: dict[tuple[Any, ...], list[dict[Any, Any]]] = defaultdict(list)
    for line in rows.to_dict("records"):
        by_method[line["alone"], line["variant"], line["method"]].append(line)
    methods = dict(zip(distinct(name for *_, name in by_method), by_method.values(), strict=True))
    known = [line["val_accuracy_mean"] for lines in methods.values() for line in _known(lines)]
    return Tuning(
        title,
        replace(grid, caption=f"What tuning chose and gained, {title}"),
        [_trial(name, line) for name, lines in methods.items() for line in lines],
        (min(known, default=0.0), max(known, default=100.0)),
        [row for name, lines in methods.items() for row in _curve(name, lines)],
    )


def _trial(name: str, line: dict[Any, Any]) -> Line:
    """A cell of a heat map; without a value if the method has no parameter of its own."""
    return {
        "method": name,
        "learning_rate": rounded(line["learning_rate"]),
        "parameter": line["parameter"],
        "value": "" if math.isnan(line["value"]) else rounded(line["value"]),
        "accuracy": rounded(line["val_accuracy_mean"]),
        "failed": int(line["n_failed"]),
        "chosen": line["chosen"],
    }


def _curve(name: str, lines: list[dict[Any, Any]]) -> list[Line]:
    scores = [line["val_accuracy_mean"] for line in _known(lines)]
    return [{"method": name, "k": k, "best": rounded(best_of(scores, k))} for k in range(1, len(scores) + 1)]


def _known(lines: Iterable[dict[Any, Any]]) -> list[dict[Any, Any]]:
    return [line for line in lines if not math.isnan(line["val_accuracy_mean"])]
