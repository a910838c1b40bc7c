"""The interface of a dataset: declared facts, a loader, and checked splits.

A dataset file declares one function:

    @dataset("digits", shape=(1, 8, 8), classes=10, licence="...", source="...")
    def digits(request: Request) -> Splits: ...

Static samples are [N, *shape]. Event samples are [N, T, *shape], declared by `events=True`; the request gives
T. A shape is (C, H, W), or (units,) for data without space. Samples can be float32, uint8 or int16; batches
reach the network as float32.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from bench.data.frames import Stored
from bench.errors import BenchError
from bench.randomness import uniform

SPLIT_SEED = 0x53504C4954
"""Validation splits and subsets do not depend on the cell's seed, so they are the same in every cell. No cell
can have this seed: augmentation draws by the cell's seed and id, and must be independent of the split."""


Value = int | float | str


@dataclass(frozen=True)
class Setting:
    """One parameter of a dataset.

    default: its type is the parameter's type.
    low, high: the range of a number, ends included.
    choices: the allowed strings, if restricted.
    help: a short description.
    """

    default: Value
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    help: str = ""


@dataclass(frozen=True)
class Request:
    """The arguments of a loader.

    root: the data root, for datasets on disk.
    params: a value for each declared `Setting`.
    cache: the folder for frames; None for the default of `bench.data.frames`.
    """

    root: Path
    timesteps: int
    params: Mapping[str, Value] = field(default_factory=dict)
    cache: Path | None = None


@dataclass(frozen=True)
class Split:
    """Samples x [N, ...], labels y [N] (int64), and ids [N] (int64) unique over the whole dataset.

    x: a tensor, or samples that stay on disk until they are needed.
    """

    x: Tensor | Stored
    y: Tensor
    ids: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def take(self, rows: Tensor) -> Split:
        """The given rows, in the given order."""
        x = self.x.take(rows) if isinstance(self.x, Stored) else self.x[rows]
        return Split(x, self.y[rows], self.ids[rows])


@dataclass(frozen=True)
class Splits:
    """Training, validation and test samples.

    test: the samples, or a function that returns them. It is called only if the test data is wanted, which
        tuning never does. Read the files of the test set in this function only.
    val: if a loader leaves it empty, it is split off from the training set, stratified and with a fixed seed.
    shape, classes: set them if the declaration leaves them to the data.
    note: what readers of the results should know about these samples, for example that some are missing.
        It can be a function, called after `test`, to describe what was loaded.
    """

    train: Split
    test: Split | Callable[[], Split]
    val: Split | None = None
    shape: tuple[int, ...] | None = None
    classes: int | None = None
    note: str | Callable[[], str] = ""


Augment = Callable[[Tensor, Tensor, int, int], Tensor]
"""augment(x [B, ...], ids [B], epoch, seed) -> x, same dtype. Each sample's change depends only on (seed,
epoch, id), never on the other samples in the batch."""
POLICIES = ("auto-paper", "rand")
"""What recipes can ask for with every dataset that has "auto"."""
Normalise = Callable[[Tensor], Tensor]
"""normalise(x [B, ...]) -> float32, applied to every batch after augmentation."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """A dataset as the registry knows it.

    shape: that of one sample at one time step, (C, H, W) or (units,); None if it follows from the data.
    classes: the number of labels; None if it follows from the data.
    val_fraction: the share of the training set kept for validation.
    augment: by the name that recipes use.
    params: what a suite can set.

    For datasets read from disk:

    files: the required files, relative to the data root ({name} stands for a parameter).
    get: where to get them.
    size: how large they are.
    download(root): downloads them.
    verify(request): reads all of them and returns what it found, in a few words each; raises BenchError at
        the first error, naming file and record.
    """

    name: str
    load: Callable[[Request], Splits]
    shape: tuple[int, ...] | None
    classes: int | None
    licence: str
    source: str
    events: bool = False
    val_fraction: float = 0.2
    augment: Mapping[str, Augment] = field(default_factory=dict)
    normalise: Normalise | None = None
    params: Mapping[str, Setting] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    get: str = ""
    size: str = ""
    download: Callable[[Path], None] | None = None
    verify: Callable[[Request], list[str]] | None = None

    def settle(self, given: Mapping[str, Value]) -> dict[str, Value]:
        """Every parameter: the given value, otherwise the default.

        Raises BenchError for an unknown name, a wrong type, or a value out of range.
        """
        for name in given:
            if name not in self.params:
                has = f"it has {', '.join(self.params)}" if self.params else "it has none"
                raise BenchError(f"dataset {self.name} has no parameter {name!r}: {has}")
        return {
            name: _settled(f"dataset {self.name}: {name}", setting, given.get(name, setting.default))
            for name, setting in self.params.items()
        }


Loader = TypeVar("Loader", bound=Callable[[Request], Splits])


def dataset(
    name: str,
    *,
    shape: Sequence[int] | None,
    classes: int | None,
    licence: str,
    source: str,
    events: bool = False,
    val_fraction: float = 0.2,
    augment: Mapping[str, Augment] | None = None,
    normalise: Normalise | None = None,
    params: Mapping[str, Setting] | None = None,
    files: Sequence[str] = (),
    get: str = "",
    size: str = "",
    download: Callable[[Path], None] | None = None,
    verify: Callable[[Request], list[str]] | None = None,
) -> Callable[[Loader], Loader]:
    """Declare a loader as the dataset `name`; the registry finds the declaration on it.

    Raises BenchError if `augment` has a name that is taken.
    """
    if taken := set(augment or {}) & set(POLICIES):
        raise BenchError(
            f"the dataset {name} declares an augmentation {min(taken)!r}, which every dataset with 'auto' "
            "has already; give it another name"
        )

    def declare(load: Loader) -> Loader:
        found = Dataset(
            name,
            load,
            None if shape is None else tuple(shape),
            classes,
            licence,
            source,
            events,
            val_fraction,
            dict(augment or {}),
            normalise,
            dict(params or {}),
            tuple(files),
            get,
            size,
            download,
            verify,
        )
        load.declared = (*vars(load).get("declared", ()), found)  # type: ignore[attr-defined]
        return load

    return declare


def _settled(where: str, setting: Setting, value: Value) -> Value:
    wanted = type(setting.default)
    if wanted is float and isinstance(value, int):
        value = float(value)
    if type(value) is not wanted:
        kinds = {int: "a whole number", float: "a number", str: "a text"}
        raise BenchError(f"{where} must be {kinds[wanted]}, got {value!r}")
    if setting.choices and value not in setting.choices:
        raise BenchError(f"{where} must be {' or '.join(setting.choices)}, got {value!r}")
    low = -math.inf if setting.low is None else setting.low
    high = math.inf if setting.high is None else setting.high
    if not isinstance(value, str) and not low <= value <= high:
        raise BenchError(f"{where} must lie between {low:g} and {high:g}, got {value!r}")
    return value


@dataclass(frozen=True)
class Facts:
    """Facts about data that do not require the data itself: its checksum, and the fields of `Splits`.

    train_samples, test_samples: the numbers of samples; 0 if not known yet, or not loaded.
    """

    checksum: str
    shape: tuple[int, ...]
    classes: int
    note: str
    train_samples: int = field(default=0, kw_only=True)
    test_samples: int = field(default=0, kw_only=True)


@dataclass(frozen=True)
class Prepared(Facts):
    """Data ready for training: three checked splits, or two in a tuning trial.

    test: raises RuntimeError if the test data was not loaded.
    """

    dataset: Dataset
    train: Split
    val: Split
    _test: Split | None

    @property
    def test(self) -> Split:
        """The test split."""
        if self._test is None:
            name = self.dataset.name
            raise RuntimeError(f"the test data of {name} was not loaded: this is a tuning trial")
        return self._test

    @property
    def facts(self) -> Facts:
        """The facts alone."""
        return Facts(
            self.checksum,
            self.shape,
            self.classes,
            self.note,
            train_samples=len(self.train),
            test_samples=0 if self._test is None else len(self._test),
        )


def prepare(found: Dataset, request: Request, subset: int | None = None, *, test: bool = True) -> Prepared:
    """Load, check, split, and reduce to `subset` training and validation samples in total.

    The test set is never reduced. With `test=False` it is neither loaded nor checked, and the checksum covers
    only training and validation samples.

    Raises BenchError, with the numbers, if the data is missing, or does not match the dataset's declaration:
    wrong shape, labels out of range, overlapping splits.
    """
    splits = found.load(request)
    train, val = splits.train, splits.val
    tested = None
    if test:
        tested = splits.test if isinstance(splits.test, Split) else splits.test()
    note = splits.note if isinstance(splits.note, str) else splits.note()
    shape = splits.shape if found.shape is None else found.shape
    classes = splits.classes if found.classes is None else found.classes
    if shape is None or classes is None:
        what = "shape" if shape is None else "number of classes"
        raise BenchError(f"dataset {found.name}: neither its declaration nor its loader gives the {what}")
    if classes < 2:
        raise BenchError(f"dataset {found.name}: it has {classes} class; with fewer than 2 all are right")
    expected = (request.timesteps, *shape) if found.events else shape
    for name, split in (("train", train), ("val", val), ("test", tested)):
        if split is not None:
            _check(f"dataset {found.name}, {name} split", split, expected, classes)
    if val is None:
        total = len(train)
        if subset is not None:
            train = train.take(stratified(train.y, _wanted(found, subset, total), found.name, train.ids))
        count = round(found.val_fraction * len(train))
        chosen = stratified(train.y, count, f"{found.name}, val split", train.ids)
        kept = torch.ones(len(train), dtype=torch.bool)
        kept[chosen] = False
        train, val = train.take(kept.nonzero().flatten()), train.take(chosen)
    elif subset is not None:
        total = len(train) + len(val)
        kept_val = round(_wanted(found, subset, total) * len(val) / total)
        train = train.take(stratified(train.y, subset - kept_val, f"{found.name}, train split", train.ids))
        val = val.take(stratified(val.y, kept_val, f"{found.name}, val split", val.ids))
    parts = {"train": train, "val": val} | ({} if tested is None else {"test": tested})
    _check_disjoint(found.name, parts)
    checksum = _checksum(*parts.values())
    return Prepared(checksum, shape, classes, note, found, train, val, tested)


def stratified(labels: Tensor, count: int, name: str, ids: Tensor | None = None) -> Tensor:
    """Sorted indices of `count` samples, class shares kept to within one sample; fixed seed.

    ids: determine the random selection; without them, the position does. With fixed ids, removing a sample
    hardly affects the others.

    Largest-remainder rounding assigns the odd samples. Raises BenchError if a class would get none.
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
    # A hash, not numpy's generator, whose stream can differ between versions.
    numbers = torch.arange(len(y)) if ids is None else ids
    luck = uniform(SPLIT_SEED, 0, numbers, draws=1).numpy()[:, 0]
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


def _check(where: str, split: Split, shape: tuple[int, ...], classes: int) -> None:
    if tuple(split.x.shape[1:]) != shape:
        raise BenchError(f"{where}: samples have shape {tuple(split.x.shape[1:])}, declared is {shape}")
    if not len(split.x) == len(split.y) == len(split.ids):
        raise BenchError(
            f"{where}: {len(split.x)} samples, {len(split.y)} labels and {len(split.ids)} ids differ in "
            "number"
        )
    if len(split) == 0:
        raise BenchError(f"{where}: it is empty")
    if split.x.dtype not in (torch.float32, torch.uint8, torch.int16):
        raise BenchError(f"{where}: samples are {split.x.dtype}; make them float32, uint8 or int16")
    if (unique := len(np.unique(split.ids.numpy()))) < len(split):
        raise BenchError(f"{where}: {len(split)} samples have only {unique} ids; each needs its own")
    low, high = int(split.y.min()), int(split.y.max())
    if low < 0 or high >= classes:
        wrong = int(((split.y < 0) | (split.y >= classes)).nonzero()[0])
        raise BenchError(
            f"{where}: labels run from {low} to {high}, declared are {classes} classes from 0; the first "
            f"wrong one is {int(split.y[wrong])}, of the sample with id {int(split.ids[wrong])}"
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
        for part in (split.x, split.y, split.ids):
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
            if isinstance(part, Stored):
                # Its own checksum covers every byte and was computed when it was written.
                digest.update(part.checksum.encode())
            else:
                digest.update(np.ascontiguousarray(part.numpy()).data)
    return digest.hexdigest()[:16]


def with_ids(x: Any, y: Any, start: int) -> Split:
    """A split whose ids count up from `start`, as most loaders need."""
    x = x if isinstance(x, Stored) else torch.as_tensor(x)
    y = torch.as_tensor(y, dtype=torch.int64)
    return Split(x, y, torch.arange(start, start + len(y)))
