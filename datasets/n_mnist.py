"""N-MNIST: handwritten digits in front of a moving event camera, from the files that tonic unpacks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench.data.events import check_events, recordings, slices, to_frames, tonic
from bench.data.frames import Part, frames, track
from bench.data.loading import Request, Split, Splits, dataset
from bench.errors import BenchError

NAME = "n-mnist"
SENSOR = (2, 34, 34)
EVENT_BYTES = 5
FIELDS = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
GET = (
    "https://www.garrickorchard.com/datasets/n-mnist; unpack train.zip and test.zip so that "
    "NMNIST/Train/0/00002.bin lies in the data root"
)
FOLDERS = {"training": ("Train", 60_000), "test": ("Test", 10_000)}
"""Folder and number of recordings of each part, when complete."""

Array = npt.NDArray[Any]


def download(root: Path) -> None:
    """Fetch both parts into <root>/NMNIST, by tonic."""
    datasets = tonic(NAME, "datasets")
    for train in (True, False):
        datasets.NMNIST(str(root), train=train)


def verify(request: Request) -> list[str]:
    """Read every recording: complete, in the order of time, on the sensor."""
    parts = {part: _files(request.root, part) for part in FOLDERS}
    read = _reader()
    events = sum(len(read(file)) for file in track([f for found in parts.values() for f in found], NAME))
    return [_note(parts) or "all 60,000 training and 10,000 test recordings", f"{events:,} events"]


@dataset(
    NAME,
    shape=SENSOR,
    classes=10,
    licence="CC BY-SA 4.0",
    source="Orchard, Jayawant, Cohen and Thakor, Converting Static Image Datasets to Spiking Neuromorphic "
    "Datasets Using Saccades, Frontiers in Neuroscience 2015",
    events=True,
    val_fraction=0.1,
    params={"slices": slices("time")},
    files=("NMNIST/Train", "NMNIST/Test"),
    get=GET,
    size="about 1 GB",
    download=download,
    verify=verify,
)
def n_mnist(request: Request) -> Splits:
    """Events of <data root>/NMNIST counted into frames, uint8 [N, T, 2, 34, 34]; channel 1 is ON.

    The folders may hold any share of the recordings; the note says so. ids: the file's number, that
    of test files plus 60,000.
    """
    parts = {part: _files(request.root, part) for part in FOLDERS}
    settings = {"timesteps": request.timesteps, **request.params}
    shape = (request.timesteps, *SENSOR)

    def split(part: str, start: int) -> Split:
        found = parts[part]

        def make() -> dict[str, Part]:
            read = _reader()
            how = str(request.params["slices"])

            def counted(i: int) -> Array:
                return to_frames(read(found[i]), request.timesteps, SENSOR, how)

            return {part: Part(len(found), counted, [int(file.parent.name) for file in found])}

        kept = frames(request, NAME, settings, found, shape, "uint8", make)[part]
        return Split(kept.x, kept.y, torch.tensor([start + int(file.stem) for file in found]))

    return Splits(
        train=split("training", 0),
        test=lambda: split("test", FOLDERS["training"][1]),
        note=_note(parts),
    )


def _files(root: Path, part: str) -> list[Path]:
    """The recordings of one part, in the order of their numbers, which are those of MNIST's images."""
    name, total = FOLDERS[part]
    found = recordings(NAME, root / "NMNIST" / name, "*/*.bin", GET)
    for file in found:
        if file.parent.name not in set("0123456789"):
            raise BenchError(f"{file}: its folder should be a digit, 0 to 9; unpack the archive again")
        if not file.stem.isdecimal() or not 1 <= int(file.stem) <= total:
            raise BenchError(
                f"{file}: its name should be a number from 1 to {total}; unpack the archive again"
            )
    found.sort(key=lambda file: (int(file.stem), file))
    for one, other in itertools.pairwise(found):
        if int(one.stem) == int(other.stem):
            raise BenchError(f"{one} and {other} have the same number; unpack the archive again")
    return found


def _note(parts: dict[str, list[Path]]) -> str:
    """What is missing, if anything is."""
    if all(len(found) == FOLDERS[part][1] for part, found in parts.items()):
        return ""
    counts = (f"{len(found):,} of {FOLDERS[part][1]:,} {part}" for part, found in parts.items())
    return " and ".join(counts) + " recordings"


def _reader() -> Callable[[Path], Array]:
    """read(file): its events, checked, times in microseconds."""
    io = tonic(NAME, "io")

    def read(file: Path) -> Array:
        try:
            size = file.stat().st_size
            if size % EVENT_BYTES:
                raise BenchError(
                    f"{file} has {size} bytes, and its event at byte {size - size % EVENT_BYTES} is cut "
                    f"short: events have {EVENT_BYTES} bytes each; fetch it again"
                )
            events: Array = io.read_mnist_file(str(file), FIELDS)
        except OSError as problem:
            raise BenchError(f"{file} cannot be read ({problem.strerror}); fetch it again") from problem
        check_events(str(file), events, SENSOR, "us")
        return events

    return read
