"""CIFAR10-DVS: pictures of CIFAR-10 that move in front of an event camera, as tonic unpacks them."""

from __future__ import annotations

import importlib.util
import itertools
import re
import xml.etree.ElementTree as xml
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bench.data.augment import compose, flip, roll
from bench.data.events import check_events, recordings, slices, to_frames, tonic
from bench.data.frames import Part, frames, track
from bench.data.loading import Request, Split, Splits, dataset, stratified
from bench.errors import BenchError

NAME = "cifar10-dvs"
CAMERA, SIDE = 128, 48
"""Pixels a side of the recordings and of the frames."""
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TOTAL = 10_000
PER_CLASS = 1_000
"""Recordings of a class; their names end in a number below that."""
MAGIC = b"#!AER-DAT4.0\r\n"
GET = (
    "https://figshare.com/ndownloader/files/38023437; unpack it, and the archives in it, so that the .aedat4 "
    "files of airplanes lie in CIFAR10DVS/airplane/ in the data root"
)

Array = npt.NDArray[Any]


def download(root: Path) -> None:
    """Fetch the recordings into <root>/CIFAR10DVS, by tonic."""
    tonic(NAME, "datasets").CIFAR10DVS(str(root))


def verify(request: Request) -> list[str]:
    """Read every recording: whole packets, in the order of time, on the sensor."""
    found = _files(request.root)
    read = _reader()
    events = sum(len(read(file)) for file in track(found, NAME))
    return [_note(found) or f"all {TOTAL:,} recordings", f"{events:,} events"]


@dataset(
    NAME,
    shape=(2, SIDE, SIDE),
    classes=len(CLASSES),
    licence="CC BY 4.0",
    source="Li, Liu, Ji, Li and Shi, CIFAR10-DVS: An Event-Stream Dataset for Object Classification, "
    "Frontiers in Neuroscience 2017",
    events=True,
    val_fraction=0.1,
    augment={"standard": compose(flip(), roll(5))},
    params={"slices": slices("count")},
    files=tuple(f"CIFAR10DVS/{name}" for name in CLASSES),
    get=GET,
    size="several GB",
    download=download,
    verify=verify,
)
def cifar10_dvs(request: Request) -> Splits:
    """Events of <data root>/CIFAR10DVS counted into frames, float32 [N, T, 2, 48, 48]; channel 1 is ON.

    There is no official split: a tenth of each class is the test set, always the same. ids: class and
    number of the file, as in 1000 * class + number.

    Frames are counted at 128 x 128 and then resized to 48 x 48, each polarity of each frame by itself,
    by the bilinear filter that widens as it shrinks a picture (`resize`). MPD-AGL's code (Jiang et al.,
    IJCAI 2025) resizes to the same size, but not the same frames: it turns both polarities of a frame
    into one picture of grey and opacity, 8 bits each. If its frames are stored as real numbers, that
    makes counts of 1, 2 and 10 nearly equal, and ON events vanish where there is no other. Here counts
    stay counts: published numbers on this set were measured on other input.
    """
    found = _files(request.root)

    def make() -> dict[str, Part]:
        read = _reader()
        how = str(request.params["slices"])

        def sample(i: int) -> Array:
            return resize(to_frames(read(found[i]), request.timesteps, (2, CAMERA, CAMERA), how), SIDE)

        return {"all": Part(len(found), sample, [CLASSES.index(file.parent.name) for file in found])}

    shape = (request.timesteps, 2, SIDE, SIDE)
    settings = {"timesteps": request.timesteps, **request.params}
    kept = frames(request, NAME, settings, found, shape, "float32", make)["all"]
    numbers = torch.tensor([_number(file) for file in found])
    every = Split(kept.x, kept.y, kept.y * PER_CLASS + numbers)
    # By the files' numbers: one that is missing must not deal out all others anew.
    test = stratified(every.y, round(len(every) / 10), f"{NAME}, test split", every.ids)
    train = torch.ones(len(every), dtype=torch.bool)
    train[test] = False
    return Splits(train=every.take(train.nonzero().flatten()), test=every.take(test), note=_note(found))


def resize(frames: Array, side: int) -> Array:
    """Counts [..., n, n] to float32 [..., side, side], side at most n.

    The bilinear filter of Pillow, and of torch with antialias: a pixel is the mean of those around its
    centre, weighted by a triangle that reaches n/side pixels either way. The weights are made whole
    numbers, so that sums are exact and every machine gets the same bytes.
    """
    n = frames.shape[-1]
    centres = (2 * np.arange(side) + 1) * n
    distance = np.abs((2 * np.arange(n) + 1) * side - centres[:, None])
    weights = np.maximum(0, 2 * n - distance).astype(np.float64)
    totals = weights.sum(1)
    sums = weights @ frames.astype(np.float64) @ weights.T
    resized: Array = (sums / np.outer(totals, totals)).astype(np.float32)
    return resized


def _files(root: Path) -> list[Path]:
    """All recordings, by class and then by the numbers in their names."""
    found = recordings(NAME, root / "CIFAR10DVS", "*/*.aedat4", GET)
    for file in found:
        if file.parent.name not in CLASSES:
            raise BenchError(
                f"{file}: its folder should be a class, one of {', '.join(CLASSES)}; move it away"
            )

    found.sort(key=lambda file: (CLASSES.index(file.parent.name), _number(file), file.name))
    for one, other in itertools.pairwise(found):
        if one.parent == other.parent and _number(one) == _number(other):
            raise BenchError(f"{one} and {other} have the same number; unpack the archive again")
    return found


def _number(file: Path) -> int:
    """N of cifar10_airplane_N.aedat4."""
    numbers = re.findall("[0-9]+", file.stem)
    if not numbers or int(numbers[-1]) >= PER_CLASS:
        raise BenchError(
            f"{file}: its name should end in a number below {PER_CLASS}, as cifar10_airplane_0.aedat4 does; "
            "unpack the archive again"
        )
    return int(numbers[-1])


def _note(found: list[Path]) -> str:
    """What is missing, if anything is."""
    return "" if len(found) == TOTAL else f"{len(found):,} of {TOTAL:,} recordings"


def _reader() -> Callable[[Path], Array]:
    """read(file): its events, checked, times in microseconds."""
    io = tonic(NAME, "io")
    if importlib.util.find_spec("aedat") is None:
        raise BenchError(
            f"dataset {NAME}: tonic reads it by the package aedat, which is missing; pip install aedat"
        )

    def read(file: Path) -> Array:
        _check_header(file)
        try:
            events: Array = io.read_aedat4(str(file))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as problem:  # the decoder panics on some files, and its panic is no Exception
            why = " ".join(str(problem).split())
            raise BenchError(
                f"{file} cannot be decoded ({why}); the file is damaged: fetch it again"
            ) from problem
        events.dtype.names = ("t", "x", "y", "p")
        check_events(str(file), events, (2, CAMERA, CAMERA), "us")
        return events

    return read


def _check_header(file: Path) -> None:
    """Raise BenchError where the header is damaged: the decoder then ends the whole process."""
    start = len(MAGIC) + 4
    try:
        with file.open("rb") as content:
            head = content.read(start)
            length = int.from_bytes(head[len(MAGIC) :], "little")
            header = content.read(min(length, file.stat().st_size))
    except OSError as problem:
        raise BenchError(f"{file} cannot be read ({problem.strerror}); fetch it again") from problem
    if not head.startswith(MAGIC):
        raise BenchError(f"{file} does not start with {MAGIC.strip().decode()} at byte 0; fetch it again")
    description = re.search(b"<dv.*</dv>", header, re.DOTALL)
    try:
        if len(header) < length or description is None:
            raise ValueError("cut short")
        xml.fromstring(description.group().decode())
    except (ValueError, xml.ParseError) as problem:
        raise BenchError(
            f"{file}: its header, {length} bytes from byte {start} on, is damaged ({problem}); fetch it again"
        ) from problem
