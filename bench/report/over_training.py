"""The course of a training: what each probe saw of a quantity, mean and band over the seeds of a row.

The probes of a suite with probe = "all" are one after each epoch; with "ends" they are two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.report.layer_maps import Array, Looks, mean
from bench.show.layer_grids import buckets

QUANTITIES = {
    "width of the surrogate derivative": "width",
    "available fraction": "available",
    "gradient size, log10 of its norm": "norms",
    "height of the surrogate derivative": "height",
    "γ of the norm before the neurons": "gamma_mean",
}
"""What is drawn: the label, and the name of the measured values in `Looks`."""
LAYERS = {"mean over the layers": "mean", "first layer": "first", "last layer": "last"}
DIGITS = 4
"""Significant digits of a number."""
Course = dict[str, Any]


def course(runs: Sequence[Looks], most: int) -> Course | None:
    """The course of one row, at no more than `most` probes; None if there are fewer than two.

    epochs: trained at each probe. values: by quantity and layers, for each probe [mean, lowest seed, highest
    seed], [mean] if all seeds agree, or None if it is unknown; a single item if all probes have the same.
    """
    places = [of[-1] for of in buckets(len(runs[0].epochs), most)] if runs else []
    if len(places) < 2:
        return None
    values: dict[str, dict[str, Any]] = {}
    for name in QUANTITIES.values():
        seen = [found[places] for run in runs if (found := _measured(run).get(name)) is not None]
        if len(seen) != len(runs) or np.isnan(seen).all():
            continue
        whole = np.stack(seen)
        parts = {"mean": mean(np.moveaxis(whole, 2, 0)), "first": whole[..., 0], "last": whole[..., -1]}
        alone = whole.shape[2] == 1
        values[name] = {part: _points(of) for part, of in parts.items() if part == "mean" or not alone}
    return {"epochs": [runs[0].epochs[place] for place in places], "values": values} if values else None


def _measured(run: Looks) -> Mapping[str, Array]:
    return {"available": run.available, "norms": run.norms, **run.state}


def _points(seeds: Array) -> list[list[float] | None]:
    """[S, E] as an item for each probe."""
    points = list[list[float] | None]()
    for at in seeds.T:
        there = at[~np.isnan(at)]
        if not len(there):
            points.append(None)
            continue
        ends = [float(f"{value:.{DIGITS}g}") for value in (there.mean(), there.min(), there.max())]
        points.append(ends if ends[1] != ends[2] else ends[:1])
    return points[:1] if all(point == points[0] for point in points) else points
