"""What a dataset is to the harness: declared facts, a loader, and checked, split tensors.

A dataset file declares one function:

    @dataset("digits", shape=(1, 8, 8), classes=10, licence="...", source="...")
    def digits(request: Request) -> Splits: ...

Static samples are [N, C, H, W]; events are [N, T, C, H, W], declared by `events=True`, with T
given by the request. Anything of float32 or uint8 goes; batches reach the network as float32.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from bench.errors import BenchError
from bench.randomness import uniform

SPLIT_SEED = 0
"""Validation splits and subsets are the same in every cell: they never follow the cell's seed."""


@dataclass(frozen=True)
class Request:
    """What a loader is asked for. root: the data root, for sets that live on disk."""

    root: Path
    timesteps: int


@dataclass(frozen=True)
class Split:
    """Samples x [N, ...], labels y [N] (int64), and ids [N] (int64) unique over the whole dataset."""

    x: Tensor
    y: Tensor
    ids: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Tensor) -> Split:
        """The given rows, in the given order."""
        return Split(self.x[rows], self.y[rows], self.ids[rows])


@dataclass(frozen=True)
class Splits:
    """Training, validation and test samples.

    A loader may leave `val` empty: it is then cut out of the training set, stratified and with a
    fixed seed.
    """

    train: Split
    test: Split
    val: Split | None = None


Augment = Callable[[Tensor, Tensor, int, int], Tensor]
"""augment(x [B, ...] float32, ids [B], epoch, seed) -> x: each sample's change depends on (seed,
epoch, id) alone, never on what else is in the batch."""
Normalise = Callable[[Tensor], Tensor]
"""normalise(x [B, ...]) -> float32, applied to every batch, after augmentation."""


@dataclass(frozen=True)
class Dataset:
    """A dataset as the registry knows it.

    shape: one sample at one time step, (C, H, W). classes: the number of labels.
    val_fraction: the share of the training set kept for validation.
    """

    name: str
    load: Callable[[Request], Splits]
    shape: tuple[int, ...]
    classes: int
    licence: str
    source: str
    events: bool = False
    val_fraction: float = 0.2
    augment: Augment | None = None
    normalise: Normalise | None = None


Loader = TypeVar("Loader", bound=Callable[[Request], Splits])


def dataset(
    name: str,
    *,
    shape: Sequence[int],
    classes: int,
    licence: str,
    source: str,
    events: bool = False,
    val_fraction: float = 0.2,
    augment: Augment | None = None,
    normalise: Normalise | None = None,
) -> Callable[[Loader], Loader]:
    """Declare a loader as the dataset `name`; the registry finds the declaration on it."""

    def declare(load: Loader) -> Loader:
        found = Dataset(
            name, load, tuple(shape), classes, licence, source, events, val_fraction, augment, normalise
        )
        load.declared = (*vars(load).get("declared", ()), found)  # type: ignore[attr-defined]
        return load

    return declare


@dataclass(frozen=True)
class Prepared:
    """Data ready for training: three checked splits, and the checksum that names them."""

    dataset: Dataset
    train: Split
    val: Split
    test: Split
    checksum: str


def prepare(found: Dataset, request: Request, subset: int | None = None) -> Prepared:
    """Load, check, split, and cut down to `subset` training and validation samples in all.

    The test set is never cut. Raises BenchError where the data is missing, or is not what the
    dataset declares: wrong shape, labels out of range, splits that overlap, with the numbers.
    """
    splits = found.load(request)
    train, val = splits.train, splits.val
    for name, split in (("train", train), ("val", val), ("test", splits.test)):
        if split is not None:
            _check(found, name, split, request.timesteps)
    if val is None:
        total = len(train)
        if subset is not None:
            train = train.take(stratified(train.y, _wanted(found, subset, total), found.name))
        chosen = stratified(train.y, round(found.val_fraction * len(train)), f"{found.name}, val split")
        kept = torch.ones(len(train), dtype=torch.bool)
        kept[chosen] = False
        train, val = train.take(kept.nonzero().flatten()), train.take(chosen)
    elif subset is not None:
        total = len(train) + len(val)
        kept_val = round(_wanted(found, subset, total) * len(val) / total)
        train = train.take(stratified(train.y, subset - kept_val, f"{found.name}, train split"))
        val = val.take(stratified(val.y, kept_val, f"{found.name}, val split"))
    _check_disjoint(found.name, {"train": train, "val": val, "test": splits.test})
    return Prepared(found, train, val, splits.test, _checksum(train, val, splits.test))


def stratified(labels: Tensor, count: int, name: str) -> Tensor:
    """Sorted indices of `count` samples, class shares kept to within one sample; fixed seed.

    Largest-remainder rounding decides who gets the odd sample. Raises BenchError if a class
    would get none.
    """
    y = labels.numpy()
    classes, sizes = np.unique(y, return_counts=True)
    exact = sizes * count / len(y)
    take = np.floor(exact).astype(int)
    order = np.argsort(-(exact - take), kind="stable")
    take[order[: count - take.sum()]] += 1
    if take.min() < 1:
        raise BenchError(
            f"dataset {name}: {count} of {len(y)} samples leave class {classes[take.argmin()]} with none; "
            f"take at least {int(np.ceil(len(y) / sizes.min()))}"
        )
    # A hash, not numpy's generator, whose stream may differ from one version to the next.
    luck = uniform(SPLIT_SEED, 0, torch.arange(len(y)), draws=1).numpy()[:, 0]
    members = [np.flatnonzero(y == c) for c in classes]
    rows = [m[np.argsort(luck[m], kind="stable")[:n]] for m, n in zip(members, take, strict=True)]
    return torch.from_numpy(np.sort(np.concatenate(rows)))


def _wanted(found: Dataset, subset: int, available: int) -> int:
    if subset > available:
        raise BenchError(
            f"dataset {found.name}: subset = {subset} asks for more than the {available} training samples "
            "it has"
        )
    return subset


def _check(found: Dataset, name: str, split: Split, timesteps: int) -> None:
    where = f"dataset {found.name}, {name} split"
    shape = (timesteps, *found.shape) if found.events else found.shape
    if tuple(split.x.shape[1:]) != shape:
        raise BenchError(f"{where}: samples have shape {tuple(split.x.shape[1:])}, declared is {shape}")
    if not len(split.x) == len(split.y) == len(split.ids):
        raise BenchError(
            f"{where}: {len(split.x)} samples, {len(split.y)} labels and {len(split.ids)} ids differ in "
            "number"
        )
    if len(split) == 0:
        raise BenchError(f"{where}: it is empty")
    if split.x.dtype not in (torch.float32, torch.uint8):
        raise BenchError(f"{where}: samples are {split.x.dtype}; make them float32 or uint8")
    if (unique := len(np.unique(split.ids.numpy()))) < len(split):
        raise BenchError(f"{where}: {len(split)} samples have only {unique} ids; each needs its own")
    low, high = int(split.y.min()), int(split.y.max())
    if low < 0 or high >= found.classes:
        raise BenchError(
            f"{where}: labels run from {low} to {high}, declared are {found.classes} classes from 0"
        )


def _check_disjoint(name: str, splits: dict[str, Split]) -> None:
    names = list(splits)
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            common = np.intersect1d(splits[first].ids.numpy(), splits[second].ids.numpy())
            if len(common):
                raise BenchError(
                    f"dataset {name}: {len(common)} samples are both in {first} and in {second}, "
                    f"the first with id {common[0]}; splits must not overlap"
                )


def _checksum(*splits: Split) -> str:
    digest = hashlib.sha256()
    for split in splits:
        for tensor in (split.x, split.y, split.ids):
            digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()[:16]


def with_ids(x: Any, y: Any, start: int) -> Split:
    """A split whose ids count up from `start`: what most loaders need."""
    x, y = torch.as_tensor(x), torch.as_tensor(y, dtype=torch.int64)
    return Split(x, y, torch.arange(start, start + len(y)))
