"""Heat maps of a report: layers against epochs, mean over the seeds of a configuration.

Arrays are [E, L, T]: probes, layers from the input, time steps, before reduction over T. NaN is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.records.record_files import reason
from bench.show.layer_grids import SIGN, Grids

Array = NDArray[np.float64]
PLACES = ("epoch", "layer", "t")
MEASURED = ("available_fraction", "gradient_norm", "silent_fraction")
STATE = ("width", "height", "gamma_mean")
"""Columns of a method's state, which records of other tools can lack."""


@dataclass(frozen=True)
class Looks:
    """One run. epochs: trained at each probe; available, sizes, norms, silent, dead: [E, L].

    sizes: see `Grids`. norms: log10 of the gradient's norm over all time steps. state: the columns of STATE
    that are there, mean over time steps, [E, L].
    """

    epochs: tuple[int, ...]
    layers: tuple[str, ...]
    available: Array
    sizes: Array
    silent: NDArray[np.bool_]
    dead: NDArray[np.bool_]
    norms: Array
    state: Mapping[str, Array]


def read(folders: Sequence[Path], tell: Callable[[str], None]) -> list[Looks]:
    """The layer probes of the runs in these folders; runs without probes are skipped.

    tell: called with a sentence about each file that is left out because it cannot be used.
    """
    found: list[Looks] = []
    for folder in folders:
        file = folder / "layers.parquet"
        try:
            looks = _looks(file)
        except FileNotFoundError:
            continue
        except Exception as problem:
            # Each layer of the Parquet reader raises its own errors.
            tell(f"{file} is damaged ({reason(problem)}): its layers are not drawn")
            continue
        if found and (looks.epochs, looks.layers) != (found[0].epochs, found[0].layers):
            tell(f"{file} has other layers or epochs than the other seeds': they are not drawn")
            continue
        found.append(looks)
    return found


def mean_over(runs: Sequence[Looks]) -> Grids:
    """The grids of one or more runs: means over the runs with a known value, and the marks of any run."""
    first = runs[0]
    available, sizes = (
        mean(np.stack([getattr(run, name) for run in runs])) for name in ("available", "sizes")
    )
    silent: Any = np.stack([run.silent for run in runs]).any(axis=0).T.tolist()
    dead: Any = np.stack([run.dead for run in runs]).any(axis=0).T.tolist()
    return Grids(
        first.layers,
        tuple((epoch, epoch) for epoch in first.epochs),
        _values(available),
        _values(sizes),
        tuple(
            tuple(SIGN[each] for each in zip(*line, strict=True)) for line in zip(silent, dead, strict=True)
        ),
    )


def _looks(file: Path) -> Looks:
    import pyarrow.parquet as pq

    if not file.exists():
        raise FileNotFoundError(file)
    # Takes a third of the time of pandas; there can be thousands of files.
    with pq.ParquetFile(file) as parquet:
        table = parquet.read(columns=[*PLACES, "name", *MEASURED, *STATE])
    missing = [name for name in (*PLACES, "name", *MEASURED) if name not in table.column_names]
    if missing:
        raise ValueError(f"it lacks the column {missing[0]}")
    epoch, layer, step = (table[name].to_numpy().astype(int) for name in PLACES)
    order = np.lexsort((step, layer, epoch))
    epochs, layers, steps = (np.unique(values) for values in (epoch, layer, step))
    shape = (len(epochs), len(layers), len(steps))
    whole = len(order) == np.prod(shape) and all(
        np.array_equal(values[order].reshape(shape), np.broadcast_to(expected, shape))
        for values, expected in (
            (epoch, epochs[:, None, None]),
            (layer, layers[None, :, None]),
            (step, steps[None, None, :]),
        )
    )
    if not whole or not len(order):
        raise ValueError("it has not one row for each look, layer and time step")
    names = np.array(table["name"].to_pylist(), object)[order].reshape(shape)[0, :, 0]
    available, norm, silent = (_column(table, name)[order].reshape(shape) for name in MEASURED)
    # As in `bench.records.run_columns.combined`: unknown if it is unknown in one step.
    norms = np.sqrt((norm**2).sum(axis=2))
    last = norms[:, -1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = np.where((norms > 0) & (last > 0), np.log10(norms / last), np.nan)
        own = np.where(norms > 0, np.log10(norms), np.nan)
    state = {
        name: mean(np.moveaxis(_column(table, name)[order].reshape(shape), 2, 0))
        for name in STATE
        if name in table.column_names
    }
    return Looks(
        tuple(int(e) for e in epochs),
        tuple(str(name) for name in names),
        mean(np.moveaxis(available, 2, 0)),
        sizes,
        silent[:, :, 0] == 1,
        norms == 0,
        own,
        state,
    )


def _column(table: Any, name: str) -> Array:
    found: Array = table[name].to_numpy().astype(np.float64)
    return np.where(np.isfinite(found), found, np.nan)


def mean(values: Array) -> Array:
    """Mean over the first axis, ignoring unknown values."""
    known = ~np.isnan(values)
    count = known.sum(axis=0)
    total = np.where(known, values, 0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _values(of: Array) -> tuple[tuple[float | None, ...], ...]:
    """[E, L] as one row per layer."""
    return tuple(tuple(None if np.isnan(v) else float(v) for v in line) for line in of.T)
