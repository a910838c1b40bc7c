"""CIFAR-10 and CIFAR-100 as torchvision reads them, with the augmentation that is usual for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.data.augment import autoaugment, compose, crop, flip
from bench.data.loading import Request, Split, Splits, dataset, with_ids
from bench.data.pictures import how_to_get, normaliser, torchvision_for
from bench.errors import BenchError

SIDE = 32
FOLDERS = {"CIFAR10": "cifar-10-batches-py", "CIFAR100": "cifar-100-python"}
"""Where torchvision's classes look, under the data root."""
CLASSES = {"CIFAR10": 10, "CIFAR100": 100}
SOURCE = (
    "Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, "
    "https://www.cs.toronto.edu/~kriz/cifar.html"
)
AUGMENT = {
    # He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2.
    "standard": compose(crop(4), flip()),
    # As in the code of Jiang et al. (MPD-AGL, IJCAI 2025).
    "auto": compose(crop(4), flip(), autoaugment()),
}


def download_cifar10(root: Path) -> None:
    """Put cifar-10-batches-py under the data root."""
    torchvision_for("cifar10").CIFAR10(root, download=True)


def download_cifar100(root: Path) -> None:
    """Put cifar-100-python under the data root."""
    torchvision_for("cifar100").CIFAR100(root, download=True)


def verify_cifar10(request: Request) -> list[str]:
    """What `_verify` finds in CIFAR-10."""
    return _verify("cifar10", "CIFAR10", request.root)


def verify_cifar100(request: Request) -> list[str]:
    """What `_verify` finds in CIFAR-100."""
    return _verify("cifar100", "CIFAR100", request.root)


@dataset(
    "cifar10",
    shape=(3, SIDE, SIDE),
    classes=CLASSES["CIFAR10"],
    licence="none stated by its authors",
    source=SOURCE,
    val_fraction=0.1,  # 45,000 and 5,000, as in He et al. 2016
    augment=AUGMENT,
    # The values that spiking networks are published with; the deviation is the mean over images of
    # each one's own, not that of all pixels (0.2470, ...).
    normalise=normaliser((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    files=[
        f"{FOLDERS['CIFAR10']}/{name}"
        for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
    ],
    get=f"https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz, unpacked to {FOLDERS['CIFAR10']}",
    size="170 MB, unpacked 186 MB",
    download=download_cifar10,
    verify=verify_cifar10,
)
def cifar10(request: Request) -> Splits:
    """The 50,000 and 10,000 images, uint8 [N, 3, 32, 32], from <data root>/cifar-10-batches-py.

    ids: training images in the order of the batches, then test images.
    """
    return _load("cifar10", "CIFAR10", request.root)


@dataset(
    "cifar100",
    shape=(3, SIDE, SIDE),
    classes=CLASSES["CIFAR100"],
    licence="none stated by its authors",
    source=SOURCE,
    val_fraction=0.1,
    augment=AUGMENT,
    normalise=normaliser((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    files=[f"{FOLDERS['CIFAR100']}/{name}" for name in ("train", "test", "meta")],
    get=f"https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz, unpacked to {FOLDERS['CIFAR100']}",
    size="169 MB, unpacked 186 MB",
    download=download_cifar100,
    verify=verify_cifar100,
)
def cifar100(request: Request) -> Splits:
    """The 50,000 and 10,000 images, uint8 [N, 3, 32, 32], from <data root>/cifar-100-python.

    Labels are the 100 fine ones; ids: training images, then test images.
    """
    return _load("cifar100", "CIFAR100", request.root)


def _load(name: str, kind: str, root: Path) -> Splits:
    cifar = getattr(torchvision_for(name), kind)

    def split(part: str, other: str, start: int) -> Split:
        # Each time it reads, torchvision compares the md5 of all batches before it opens one: they
        # are pickles, which may run code. Without those of the other part it leaves their files alone.
        one = type(kind, (cifar,), {f"{other}_list": []})
        try:
            read = one(root, train=part == "train", download=False)
        except (RuntimeError, OSError) as problem:
            raise _refusal(name, cifar, root, problem) from problem
        return with_ids(_pixels(read), read.targets, start)

    train = split("train", "test", start=0)
    return Splits(train=train, test=lambda: split("test", "train", start=len(train)))


def _pixels(read: Any) -> torch.Tensor:
    """Images [N, 3, 32, 32]; torchvision has the channels last."""
    return torch.from_numpy(read.data).permute(0, 3, 1, 2).contiguous()


def _verify(name: str, kind: str, root: Path) -> list[str]:
    """Read every file on its own: md5, shape and labels. Raises BenchError, with file and record."""
    cifar = getattr(torchvision_for(name), kind)
    counts = {"train": 0, "test": 0}
    for part, entries in (("train", cifar.train_list), ("test", cifar.test_list)):
        for entry in entries:
            file = root / cifar.base_folder / entry[0]
            alone = type("OneFile", (cifar,), {"train_list": [entry], "test_list": []})
            try:
                one = alone(root, train=True, download=False)
            except (RuntimeError, OSError) as problem:
                raise _refusal(name, cifar, root, problem) from problem
            labels = np.asarray(one.targets)
            if len(labels) != len(one.data):
                raise BenchError(
                    f"dataset {name}: {file} has {len(one.data)} images and {len(labels)} labels"
                )
            wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES[kind]))
            if len(wrong):
                raise BenchError(
                    f"dataset {name}: {file}, record {wrong[0]}: label {labels[wrong[0]]} is not one of the "
                    f"{CLASSES[kind]} classes from 0; get the set again with {how_to_get(root, kind)}"
                )
            counts[part] += len(labels)
    return [
        f"{len(list(_published(cifar)))} files have the published md5",
        f"{counts['train']:,} training and {counts['test']:,} test images of 3 x {SIDE} x {SIDE}",
        f"labels are from 0 to {CLASSES[kind] - 1}",
    ]


def _published(cifar: Any) -> Iterator[tuple[str, str | None]]:
    """Every file and its md5."""
    yield from (tuple(entry) for entry in (*cifar.train_list, *cifar.test_list))
    yield cifar.meta["filename"], cifar.meta["md5"]


def _refusal(name: str, cifar: Any, root: Path, problem: Exception) -> BenchError:
    """Which file is at fault: torchvision says only that one is."""
    check = torchvision_for(name, "torchvision.datasets.utils").check_integrity
    folder, command = root / cifar.base_folder, how_to_get(root, cifar.__name__)
    if not folder.is_dir():
        return BenchError(
            f"dataset {name}: {folder} is not there; let --data-root or SPIKEGRAD_DATA name the folder "
            f"that holds {cifar.base_folder}, or download it with {command}"
        )
    for file, md5 in _published(cifar):
        path = folder / file
        try:
            if check(path, md5):
                continue
            size = f"{path.stat().st_size:,} bytes" if path.is_file() else None
        except OSError as unreadable:
            return BenchError(f"dataset {name}: {path} cannot be read ({unreadable.strerror})")
        state = f"is damaged: its {size} do not have the md5 {md5}" if size else "is missing"
        return BenchError(
            f"dataset {name}: {path} {state}; remove {folder} and get the set again with {command}"
        )
    return BenchError(f"dataset {name}: torchvision cannot read {folder} ({problem})")
