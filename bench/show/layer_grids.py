"""Layers against epochs for one run: two grids of numbers, and which cells are silent or dead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from bench.records.run_columns import VANISHED, combined

Row = dict[str, Any]
Values = tuple[tuple[float | None, ...], ...]
"""A row per layer from the input, a value per column; None if it is unknown."""

SILENT, DEAD, BOTH = "○", "×", "⊗"
MEANING = {
    SILENT: "silent: no neuron fires",
    DEAD: "dead: the gradient is exactly zero",
    BOTH: "silent and dead: no neuron fires, and the gradient is exactly zero",
}
"""The meaning of each sign that marks a layer at one probe."""


@dataclass(frozen=True)
class Grids:
    """The data of the heat maps. Each column is one epoch, or several if there are many.

    layers: names from the input. columns: the first and last epoch of each, in epochs trained; 0 is before
    training. available: mean over time steps of the available fraction. sizes: log10 of the gradient's norm,
    over all time steps, relative to that of the last spiking layer at the same epoch. marks: "" or a sign of
    MEANING for each cell; a column of several epochs has the marks of all of them.
    """

    layers: tuple[str, ...]
    columns: tuple[tuple[int, int], ...]
    available: Values
    sizes: Values
    marks: tuple[tuple[str, ...], ...]
    per_column: int = 1
    """The most probes that share one column."""

    @property
    def signs(self) -> list[str]:
        """The signs that occur in the marks."""
        seen = {mark for line in self.marks for mark in line}
        return [sign for sign in MEANING if sign in seen]

    def fitted(self, width: int) -> Grids:
        """The same grids in at most `width` columns, each the mean over its epochs."""
        groups = buckets(len(self.columns), width)
        return Grids(
            self.layers,
            tuple((self.columns[of[0]][0], self.columns[of[-1]][1]) for of in groups),
            tuple(tuple(_mean([line[i] for i in of]) for of in groups) for line in self.available),
            tuple(tuple(_mean([line[i] for i in of]) for of in groups) for line in self.sizes),
            tuple(tuple(_union([line[i] for i in of]) for of in groups) for line in self.marks),
            max(map(len, groups), default=1),
        )


def grids(rows: Sequence[Row]) -> Grids:
    """The grids of a run's layers.parquet, with a column per probe.

    rows: sorted by epoch, layer and time step.
    """
    looks = {epoch: _look(list(of)) for epoch, of in groupby(rows, key=lambda row: int(row["epoch"]))}
    names = {int(row["layer"]): str(row["name"]) for row in rows}
    layers, epochs = sorted(names), sorted(looks)
    nothing = _Cell(None, None, None)
    cells = [[looks[epoch].get(layer, nothing) for epoch in epochs] for layer in layers]
    last = cells[-1] if cells else []
    return Grids(
        tuple(names[layer] for layer in layers),
        tuple((epoch, epoch) for epoch in epochs),
        tuple(tuple(cell.available for cell in line) for line in cells),
        tuple(tuple(_relative(a.norm, b.norm) for a, b in zip(line, last, strict=True)) for line in cells),
        tuple(tuple(cell.mark for cell in line) for line in cells),
    )


def buckets(number: int, most: int) -> list[range]:
    """0 .. number - 1 in at most `most` consecutive groups; the first and the last hold one number each.

    The groups between them are as even as possible. If `most` is 2, the numbers between the first and the
    last are left out; if it is 1, so is the first.
    """
    if number <= most:
        return [range(i, i + 1) for i in range(number)]
    first, last = range(0, 1), range(number - 1, number)
    if most < 3:
        return [first, last][-max(1, most) :]
    inner = most - 2
    edges = [1 + (number - 2) * i // inner for i in range(inner + 1)]
    return [first, *(range(a, b) for a, b in pairwise(edges)), last]


def size_scale(sizes: Values) -> tuple[int, int]:
    """The decades that the colours of gradient sizes span.

    From the size at which a gradient counts as vanished to ten times that of the last layer; extended in
    whole decades to include all sizes.
    """
    known = [size for line in sizes for size in line if size is not None]
    low, high = round(math.log10(VANISHED)), 1
    return min(low, *(math.floor(s) for s in known), low), max(high, *(math.ceil(s) for s in known), high)


@dataclass(frozen=True)
class _Cell:
    """One layer at one probe; norm: of its gradient, over all time steps."""

    available: float | None
    norm: float | None
    silent: float | None

    @property
    def mark(self) -> str:
        return SIGN[self.silent == 1, self.norm == 0]


SIGN = {(False, False): "", (True, False): SILENT, (False, True): DEAD, (True, True): BOTH}
"""The sign of a layer that is (silent, dead)."""


def _look(rows: Sequence[Row]) -> dict[int, _Cell]:
    by_layer = groupby(rows, key=lambda row: int(row["layer"]))
    return {layer: _cell(list(of)) for layer, of in by_layer}


def _cell(steps: Sequence[Row]) -> _Cell:
    available = _mean([row["available_fraction"] for row in steps])
    return _Cell(available, combined(row["gradient_norm"] for row in steps), steps[0]["silent_fraction"])


def _relative(norm: float | None, last: float | None) -> float | None:
    return math.log10(norm / last) if norm and last else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None


def _union(marks: Sequence[str]) -> str:
    return SIGN[any(mark in (SILENT, BOTH) for mark in marks), any(mark in (DEAD, BOTH) for mark in marks)]
