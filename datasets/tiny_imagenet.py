"""Tiny ImageNet: 200 classes of ImageNet at 64 x 64 pixels, from its folders of JPEG files.

    tiny-imagenet-200/wnids.txt                          the classes, a WordNet id a line
    tiny-imagenet-200/train/<wnid>/images/*.JPEG         500 pictures a class
    tiny-imagenet-200/val/images/*.JPEG                  50 a class, named in val_annotations.txt
    tiny-imagenet-200/val/<wnid>/...                     or sorted into folders, as is often done

The labels of its folder `test` were never published. So `val` is what is tested on here, as it is in
the literature, and validation pictures are cut out of `train`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.data.augment import compose, crop, flip
from bench.data.frames import Part, frames, track
from bench.data.loading import Request, Split, Splits, dataset, with_ids
from bench.data.pictures import normaliser, torchvision_for
from bench.errors import BenchError

FOLDER = "tiny-imagenet-200"
ARCHIVE = f"http://cs231n.stanford.edu/{FOLDER}.zip"
SIDE, CLASSES = 64, 200
ANNOTATIONS = "val_annotations.txt"
TOTALS = {"train": 100_000, "test": 10_000}
SUFFIXES = (".jpeg", ".jpg")

Sample = tuple[Path, int]
"""A file and its label: the place of its class among the sorted WordNet ids."""


def verify(request: Request) -> list[str]:
    """Decode every file. Raises BenchError at the first that is damaged, missing or unexpected."""
    samples = {part: _samples(request.root / FOLDER, part) for part in TOTALS}
    read = _decoder()
    for file, _ in track([sample for part in samples.values() for sample in part], "reading pictures"):
        read(file)
    return [
        f"{len(samples['train']):,} training and {len(samples['test']):,} test pictures of 3 x 64 x 64",
        f"{CLASSES} classes, as wnids.txt names them",
    ]


@dataset(
    "tiny-imagenet",
    shape=(3, SIDE, SIDE),
    classes=CLASSES,
    licence="none stated; the pictures are ImageNet's, for non-commercial research and education",
    source="Le and Yang, Tiny ImageNet visual recognition challenge, Stanford CS 231N, 2015; pictures of "
    "Deng et al., ImageNet: a large-scale hierarchical image database, CVPR 2009",
    val_fraction=0.1,
    augment={"standard": compose(crop(8), flip())},
    normalise=normaliser((0.4802, 0.4481, 0.3975), (0.2770, 0.2691, 0.2821)),
    files=[f"{FOLDER}/{name}" for name in ("wnids.txt", "train", "val")],
    get=f"{ARCHIVE}, unpacked to {FOLDER}",
    size="248 MB",
    verify=verify,
)
def tiny_imagenet(request: Request) -> Splits:
    """The 100,000 pictures of `train` and the 10,000 of `val`, uint8 [N, 3, 64, 64], decoded once.

    Grey pictures have three equal channels. ids: by class, then by the name of the file; training
    pictures first.
    """
    folder = request.root / FOLDER
    counts: dict[str, int] = {}

    def split(part: str, start: int) -> Split:
        samples = _samples(folder, part)
        counts[part] = len(samples)
        sources = [folder / "wnids.txt", *(file for file, _ in samples)]
        if part == "test" and (folder / "val" / ANNOTATIONS).is_file():
            sources.append(folder / "val" / ANNOTATIONS)

        def parts() -> dict[str, Part]:
            read = _decoder()
            labels = [label for _, label in samples]
            return {part: Part(len(samples), lambda i: read(samples[i][0]), labels)}

        kept = frames(request, "tiny-imagenet", {}, sources, (3, SIDE, SIDE), "uint8", parts)[part]
        return with_ids(kept.x, kept.y, start)

    train = split("train", 0)
    return Splits(train=train, test=lambda: split("test", len(train)), note=lambda: _note(counts))


def _note(counts: Mapping[str, int]) -> str:
    """What is missing, if anything is."""
    if all(count == TOTALS[part] for part, count in counts.items()):
        return ""
    said = (f"{count:,} of {TOTALS[part]:,} {part}" for part, count in counts.items())
    return " and ".join(said) + " pictures"


def _decoder() -> Callable[[Path], npt.NDArray[np.uint8]]:
    """read(file): the picture as torchvision reads it, [3, 64, 64]; raises BenchError."""
    pil_loader = torchvision_for("tiny-imagenet", "torchvision.datasets.folder").pil_loader

    def read(file: Path) -> npt.NDArray[np.uint8]:
        try:
            picture = np.asarray(pil_loader(file))
        except (OSError, SyntaxError, ValueError) as problem:
            raise BenchError(
                f"dataset tiny-imagenet: {file} cannot be decoded "
                f"({' '.join(str(problem).split())}); unpack the archive again"
            ) from problem
        if picture.shape[:2] != (SIDE, SIDE):
            raise BenchError(
                f"dataset tiny-imagenet: {file} has {picture.shape[1]} x {picture.shape[0]} pixels, expected "
                f"{SIDE} x {SIDE}; unpack the archive again"
            )
        return np.ascontiguousarray(picture.transpose(2, 0, 1))

    return read


def _samples(folder: Path, part: str) -> list[Sample]:
    """The files of a part and their labels, by class and then by name. Raises BenchError."""
    if not folder.is_dir():
        raise BenchError(
            f"dataset tiny-imagenet: {folder} is not there; let --data-root or SPIKEGRAD_DATA name the "
            f"folder that holds {FOLDER}, or unpack {ARCHIVE} into {folder.parent}"
        )
    try:
        label = _labels(folder / "wnids.txt")
        if part == "test" and _pictures(folder / "val" / "images"):
            return _annotated(folder / "val", label)
        return _sorted_in_folders(folder / {"train": "train", "test": "val"}[part], label)
    except OSError as problem:
        raise BenchError(
            f"dataset tiny-imagenet: {problem.filename} cannot be read ({problem.strerror}); unpack the "
            "archive again"
        ) from problem


def _labels(file: Path) -> dict[str, int]:
    """The label of each WordNet id: its place among all, sorted, as torchvision's ImageFolder has it."""
    wnids = sorted(set(file.read_text(errors="replace").split()))
    if len(wnids) != CLASSES:
        raise BenchError(
            f"dataset tiny-imagenet: {file} names {len(wnids)} classes, expected {CLASSES}; unpack the "
            "archive again"
        )
    return {wnid: i for i, wnid in enumerate(wnids)}


def _sorted_in_folders(folder: Path, label: Mapping[str, int]) -> list[Sample]:
    """Of <folder>/<wnid>/*.JPEG, or <folder>/<wnid>/images/*.JPEG."""
    found = {entry.name for entry in os.scandir(folder) if entry.is_dir()} - {"images"}
    for wnid in sorted(found ^ label.keys()):
        fault = "names no class of wnids.txt" if wnid in found else "is missing"
        raise BenchError(f"dataset tiny-imagenet: {folder / wnid} {fault}; unpack the archive again")
    samples: list[Sample] = []
    for wnid, number in label.items():
        files = _pictures(folder / wnid / "images") or _pictures(folder / wnid)
        if not files:
            raise BenchError(
                f"dataset tiny-imagenet: {folder / wnid} holds no JPEG file; unpack the archive again"
            )
        samples += [(file, number) for file in files]
    return samples


def _annotated(folder: Path, label: Mapping[str, int]) -> list[Sample]:
    """Of <folder>/images/*.JPEG, by val_annotations.txt: file, WordNet id and four more, tab between."""
    annotations = folder / ANNOTATIONS
    left = {file.name: file for file in _pictures(folder / "images")}
    samples: list[Sample] = []
    for i, line in enumerate(annotations.read_text(errors="replace").splitlines(), start=1):
        name, wnid, *_ = [*line.split("\t"), "", ""]
        if wnid not in label:
            raise BenchError(
                f"dataset tiny-imagenet: {annotations}, line {i}: {name} has the class {wnid!r}, which "
                "wnids.txt does not name; unpack the archive again"
            )
        if name not in left:
            raise BenchError(
                f"dataset tiny-imagenet: {annotations}, line {i}: {folder / 'images' / name} is missing or "
                "named twice; unpack the archive again"
            )
        samples.append((left.pop(name), label[wnid]))
    for file in left.values():
        raise BenchError(f"dataset tiny-imagenet: {file} is not in {annotations}; unpack the archive again")
    return sorted(samples, key=lambda sample: (sample[1], sample[0].name))


def _pictures(folder: Path) -> list[Path]:
    """The JPEG files in a folder, by name; none where there is no folder."""
    if not folder.is_dir():
        return []
    return [folder / name for name in sorted(os.listdir(folder)) if name.lower().endswith(SUFFIXES)]
