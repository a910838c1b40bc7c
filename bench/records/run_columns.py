"""Turns the rows of a run's probes into the columns of its record."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import numpy as np

Row = dict[str, Any]
Columns = dict[str, float | int | None]
VANISHED = 1e-3
"""Share of the gradient at the last spiking layer below which a gradient counts as vanished."""


def run_columns(rows: Sequence[Row], relu: Sequence[Row]) -> Columns:
    """The columns of one run from its rows; relu: rows of the same network with ReLU, untrained.

    Columns refer to the last probe unless the name says otherwise; see docs/tables.md. None if a value is
    undefined, for example a slope over one layer.
    """
    looks = {epoch: list(of) for epoch, of in groupby(rows, key=lambda row: int(row["epoch"]))}
    first, last = looks.get(0, []), looks[max(looks)]
    layers = _layers(last)
    norms = [norm for _, norm in layers]
    # Layers without a gradient are counted separately, so the other columns stay defined.
    live = [norm for norm in norms if norm != 0]
    ends = [math.log10(norm) for norm in (*live[:1], *live[-1:]) if norm] if len(live) > 1 else []
    onset = next((epoch for epoch, look in sorted(looks.items()) if _vanished(look)), None)
    return {
        "vanishing_slope": slope(layers),
        "vanishing_slope_before": slope(_layers(first)),
        "vanishing_slope_ann": slope(_layers(relu)),
        "dead_layers": sum(norm == 0 for norm in norms),
        "first_to_last": ends[0] - ends[1] if len(ends) == 2 else None,
        "available_fraction": _mean(last, "available_fraction"),
        "available_fraction_min": _least(last, "available_fraction"),
        "available_fraction_before": _mean(first, "available_fraction"),
        "participation": _mean(last, "participation"),
        "participation_min": _least(last, "participation"),
        "participation_before": _mean(first, "participation"),
        "gain": _mean(last, "gain"),
        "silent_fraction": _mean(last, "silent_fraction"),
        "gradient_zero_fraction": _mean(last, "gradient_zero_fraction"),
        "vanish_onset_epoch": onset,
    }


def slope(layers: Iterable[tuple[int, float | None]]) -> float | None:
    """Change of the gradient norm per layer away from the loss, in decades.

    layers: (depth, norm) of each. The result is the least-squares slope of log10 norm against depth, without
    layers whose norm is 0 or unknown.
    """
    live = [(depth, math.log10(norm)) for depth, norm in layers if norm]
    if len({depth for depth, _ in live}) < 2:
        return None
    depths, sizes = np.array(live, dtype=float).T
    away = depths - depths.mean()
    return float(away @ (sizes - sizes.mean()) / (away @ away))


def combined(norms: Iterable[float | None]) -> float | None:
    """The norm of a layer over its time steps: the root of the sum of squares; None if one is unknown."""
    found = list(norms)
    known = [norm for norm in found if norm is not None]
    return math.hypot(*known) if len(known) == len(found) else None


def _layers(look: Sequence[Row]) -> list[tuple[int, float | None]]:
    """(depth, norm over time) of each layer of one probe, from the input."""
    by_layer = groupby(look, key=lambda row: int(row["layer"]))
    steps = [list(of) for _, of in by_layer]
    return [(int(of[0]["depth"]), combined(row["gradient_norm"] for row in of)) for of in steps]


def _vanished(look: Sequence[Row]) -> bool:
    norms = [norm for _, norm in _layers(look)]
    least = VANISHED * (norms[-1] or 0.0)
    return any(norm == 0 or norm < least for norm in norms if norm is not None)


def _per_layer(look: Sequence[Row], column: str) -> list[float]:
    """Means over time steps; empty if any value is unknown, since the rest would look too healthy."""
    if any(row[column] is None for row in look):
        return []
    by_layer = groupby(look, key=lambda row: int(row["layer"]))
    return [float(np.mean([row[column] for row in of])) for _, of in by_layer]


def _mean(look: Sequence[Row], column: str) -> float | None:
    values = _per_layer(look, column)
    return float(np.mean(values)) if values else None


def _least(look: Sequence[Row], column: str) -> float | None:
    return min(_per_layer(look, column), default=None)
