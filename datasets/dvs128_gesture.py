"""DVS128 Gesture: hand gestures in front of an event camera, from the files that tonic unpacks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from bench.data.events import check_events, recordings, slices, to_frames, tonic
from bench.data.frames import Part, frames, track
from bench.data.loading import Request, Setting, Split, Splits, dataset, with_ids
from bench.errors import BenchError

NAME = "dvs128-gesture"
CAMERA = 128
SIDES = (32, 64, 128)
CLASSES = 11
FOLDERS = {"training": "ibmGestureTrain", "test": "ibmGestureTest"}
VALIDATION_USERS = (20, 21, 22, 23)
"""The last of the 23 people of the training set."""
MICROSECONDS = 1000
"""The files' times are milliseconds; tonic makes them microseconds."""
COLUMNS = np.dtype([("x", np.int64), ("y", np.int64), ("p", np.int64), ("t", np.int64)])
GET = (
    "https://figshare.com/ndownloader/files/38022171 and https://figshare.com/ndownloader/files/38020584; "
    "unpack them so that DVSGesture/ibmGestureTrain/user01_fluorescent/0.npy lies in the data root"
)

Array = npt.NDArray[Any]


class Recording(NamedTuple):
    """One gesture of one person; they are ordered by person, then light, then gesture."""

    user: int
    light: str
    label: int
    file: Path


def download(root: Path) -> None:
    """Fetch both parts into <root>/DVSGesture, by tonic."""
    datasets = tonic(NAME, "datasets")
    for train in (True, False):
        datasets.DVSGesture(str(root), train=train)


def verify(request: Request) -> list[str]:
    """Read every recording: whole numbers, in the order of time, on the sensor."""
    parts = {part: _recordings(request.root, part) for part in FOLDERS}
    events = sum(len(read(r.file)) for r in track([r for found in parts.values() for r in found], NAME))
    counts = " and ".join(f"{len(found):,} {part}" for part, found in parts.items())
    return [f"{counts} recordings", f"{events:,} events"]


@dataset(
    NAME,
    shape=None,
    classes=CLASSES,
    licence="CC BY 4.0",
    source="Amir et al., A Low Power, Fully Event-Based Gesture Recognition System, CVPR 2017",
    events=True,
    params={
        "slices": slices("count"),
        "side": Setting(CAMERA, low=min(SIDES), high=CAMERA, help="pixels a side: 32, 64 or 128"),
    },
    files=tuple(f"DVSGesture/{name}" for name in FOLDERS.values()),
    get=GET,
    size="several GB",
    download=download,
    verify=verify,
)
def dvs128_gesture(request: Request) -> Splits:
    """Events of <data root>/DVSGesture counted into frames, int16 [N, T, 2, side, side]; channel 1 is ON.

    A side below 128 adds up the counts of 2 x 2 or 4 x 4 pixels. The test set is the official one, of
    other people than the training set; users 20 to 23 of the training set are the validation set, so
    that it too asks about people who were not seen. Where they lack a gesture, or are all there is,
    the usual stratified part is taken. ids count the files by person, light and gesture.
    """
    side = int(request.params["side"])
    if side not in SIDES:
        raise BenchError(f"dataset {NAME}: side must be 32, 64 or 128, got {side}")
    parts = {part: _recordings(request.root, part) for part in FOLDERS}
    shape = (2, side, side)
    settings = {"timesteps": request.timesteps, **request.params}

    def split(part: str, start: int) -> Split:
        found = parts[part]

        def make() -> dict[str, Part]:
            how = str(request.params["slices"])

            def counted(i: int) -> Array:
                return to_frames(pool(read(found[i].file), CAMERA // side), request.timesteps, shape, how)

            return {part: Part(len(found), counted, [r.label for r in found])}

        files = [r.file for r in found]
        kept = frames(request, NAME, settings, files, (request.timesteps, *shape), "int16", make)[part]
        return with_ids(kept.x, kept.y, start)

    def test() -> Split:
        return split("test", start=len(parts["training"]))

    train = split("training", start=0)
    # How many there are depends on who cut them; that of tonic's archives could not be looked up.
    note = " and ".join(f"{len(found):,} {part}" for part, found in parts.items()) + " recordings"
    held_out = torch.tensor([r.user in VALIDATION_USERS for r in parts["training"]])
    if set(train.y[held_out].tolist()) == set(train.y[~held_out].tolist()):
        val = train.take(held_out.nonzero().flatten())
        train = train.take((~held_out).nonzero().flatten())
        return Splits(train, test, val, shape=shape, note=note)
    lacking = ", ".join(str(user) for user in VALIDATION_USERS)
    return Splits(
        train, test, shape=shape, note=f"{note}; validation stratified: users {lacking} lack gestures"
    )


def read(file: Path) -> Array:
    """The events of a file, checked, times in microseconds; see tonic's `DVSGesture`.

    Raises BenchError, naming file and event, unless it is an array [N, 4] of whole numbers x, y, p, t.
    """
    try:
        table = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise BenchError(f"{file} cannot be read as an array ({problem}); fetch it again") from problem
    if table.ndim != 2 or table.shape[1] != 4 or table.dtype.kind not in "iuf":
        raise BenchError(
            f"{file} has an array {list(table.shape)} of {table.dtype}; expected are numbers "
            "[events, 4]: x, y, p, t"
        )
    broken = np.flatnonzero(~(np.isfinite(table) & (table == np.floor(table))).all(axis=1))
    if len(broken):
        row = table[broken[0]].tolist()
        raise BenchError(f"{file}, event {broken[0]}: {row} are not whole numbers; fetch it again")
    events = np.empty(len(table), dtype=COLUMNS)
    for column, field in enumerate(COLUMNS.names or ()):
        events[field] = table[:, column]
    check_events(str(file), events, (2, CAMERA, CAMERA), "ms")
    events["t"] *= MICROSECONDS
    return events


def pool(events: Array, factor: int) -> Array:
    """The events as a sensor whose pixels are factor x factor of these would place them."""
    coarse = events.copy()
    coarse["x"] //= factor
    coarse["y"] //= factor
    return coarse


def _recordings(root: Path, part: str) -> list[Recording]:
    found = []
    for file in recordings(NAME, root / "DVSGesture" / FOLDERS[part], "*/*.npy", GET):
        person = re.fullmatch(r"user([0-9]+)_(\w+)", file.parent.name)
        if person is None:
            raise BenchError(
                f"{file}: its folder should be named as user01_fluorescent is; unpack the archive again"
            )
        if not file.stem.isdecimal() or int(file.stem) >= CLASSES:
            raise BenchError(
                f"{file}: its name should be a gesture, 0 to {CLASSES - 1}; unpack the archive again"
            )
        found.append(Recording(int(person[1]), person[2], int(file.stem), file))
    return sorted(found)
