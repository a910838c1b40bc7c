"""The tables of parameters and costs: means over the seeds of each row, with the columns that are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.report.grid import Cell, Grid, number
from bench.report.tasks import Key, Task
from bench.tables.rows import Row

HEADS = {
    "parameters": "parameters",
    "spikes_per_sample": "spikes",
    "sops_per_sample": "synaptic operations",
    "macs_per_sample": "MACs",
    "energy_uj": "energy, µJ",
    "train_seconds": "training, s",
    "search_seconds": "searching, s",
}
"""By metric of a record, the heading of its column. Spikes to energy are of one inference."""


def cost_grids(tasks: Sequence[Task], of: Mapping[Key, Row]) -> list[Grid]:
    """A table for each task in which a run has any of these; a search of no seconds is no column."""
    found = [_grid(place, task, of) for place, task in enumerate(tasks)]
    return [grid for grid in found if grid is not None]


def _grid(place: int, task: Task, of: Mapping[Key, Row]) -> Grid | None:
    rows = [(entry.name, of[entry.key]) for entry in task.entries if entry.key in of]
    means = [
        {metric: float(values.mean()) for metric in HEADS if len(values := row.values(metric))}
        for _, row in rows
    ]
    searched = any(line.get("search_seconds") for line in means)
    metrics = [
        metric
        for metric in HEADS
        if any(metric in line for line in means) and (metric != "search_seconds" or searched)
    ]
    if not metrics:
        return None
    lines = [
        [Cell(name), *(number(line.get(metric)) for metric in metrics)]
        for (name, _), line in zip(rows, means, strict=True)
    ]
    heads = ["method", *(HEADS[metric] for metric in metrics)]
    return Grid(f"costs-{place}", f"Parameters and costs, {task.title}", heads, lines, frozenset({"method"}))
