"""Event recordings: finding them, checking them, and counting events into frames.

Events are a structured array with one entry per event, ordered by time: t (whole numbers), and p (polarity),
y and x for camera recordings. A frame is the number of events at each position, [2, height, width].

The time slices are those of tonic (`SliceByTimeBins`, `SliceByEventBins`) and SpikingJelly
(`cal_fixed_frames_number_segment_index`), which published results use. Tonic's own frames lose some events:
both of its slicers round the slice down and drop the remainder, which is at least the last event, and
everything if there are fewer events than frames. SpikingJelly adds the remainder to the last frame, and so
does `to_frames`. It differs from SpikingJelly in one case, in which theirs drops all events except the
remainder: here a slice is never shorter than one event or one unit of time.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.data.loading import Setting
from bench.errors import BenchError

Array = npt.NDArray[Any]
FIELDS = ("p", "y", "x")
"""In the order of a frame's axes."""


def slices(default: str) -> Setting:
    """The setting `slices`: how recordings are cut into frames."""
    return Setting(
        default, choices=("time", "count"), help="frames of equal duration, or with equal numbers of events"
    )


def to_frames(events: Array, timesteps: int, sensor: Sequence[int], slices: str) -> Array:
    """Count events into int64 frames [T, *sensor], each event once; sensor is (2, height, width).

    slices "time": frame i has the events from i·w to (i+1)·w after the first one; w is the time from the
    first to the last event over T, rounded down to whole units but at least 1.
    slices "count": events i·n to (i+1)·n; n is the number of events over T, rounded in the same way.

    The last frame also gets the remainder. Without events, frames are empty. The events must have passed
    `check_events`.
    """
    if slices == "count":
        place = np.arange(len(events)) // max(1, len(events) // timesteps)
    else:
        elapsed = events["t"].astype(np.int64)
        elapsed -= elapsed[:1].sum()
        place = elapsed // max(1, int(elapsed[-1:].sum()) // timesteps)
    place = np.minimum(place, timesteps - 1)
    shape = (timesteps, *sensor)
    cells = np.ravel_multi_index([place, *(events[field].astype(np.int64) for field in FIELDS)], shape)
    return np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)


def check_events(where: str, events: Array, sensor: Sequence[int], unit: str) -> None:
    """Raises BenchError unless there are events, times never decrease, and p, y, x lie on the sensor.

    where: the file.
    unit: that of the times, for the message.

    Events are numbered from 0.
    """
    remedy = "the file is damaged: fetch it again"
    if len(events) == 0:
        raise BenchError(f"{where} has no events; {remedy}")
    backward = np.flatnonzero(events["t"][1:] < events["t"][:-1])
    if len(backward):
        first = int(backward[0]) + 1
        now, before = int(events["t"][first]), int(events["t"][first - 1])
        raise BenchError(
            f"{where}, event {first}: t = {now} {unit} comes after t = {before} {unit}; {remedy}"
        )
    for field, size in zip(FIELDS, sensor, strict=True):
        outside = np.flatnonzero((events[field] < 0) | (events[field] >= size))
        if len(outside):
            first = int(outside[0])
            raise BenchError(
                f"{where}, event {first}: {field} = {int(events[field][first])} is not in 0 to {size - 1}; "
                f"{remedy}"
            )


def recordings(name: str, folder: Path, pattern: str, get: str) -> list[Path]:
    """The files in a folder that match, in no particular order.

    Raises BenchError if there are none. The message names the dataset `name` and the folder, and says in
    `get` what to do.
    """
    found = list(folder.glob(pattern))
    if not found:
        state = f"holds no {pattern}" if folder.is_dir() else "is not there"
        raise BenchError(
            f"dataset {name}: {folder} {state}; let --data-root or SPIKEGRAD_DATA name the data root "
            f"that holds it, or get them from {get}"
        )
    return found


def tonic(name: str, module: str) -> Any:
    """The module tonic.<module>, which takes seconds to import; raises BenchError if it is missing."""
    try:
        return importlib.import_module(f"tonic.{module}")
    except ImportError as error:
        raise BenchError(
            f"dataset {name}: tonic reads it and cannot be imported ({error}); pip install tonic"
        ) from error
