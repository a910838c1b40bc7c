"""Templates of `spikegrad new`: a small working method or dataset for users to modify."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.files import write_atomic
from bench.registry import Entry, load

# {braces} are filled in; everything else is written as it is.
_METHOD = '''\
"""A surrogate derivative under the name {name}.

Put your formula into `derivative` and into the first line of its docstring. Then:

    spikegrad check {name} --plugin {file}
    spikegrad run smoke --plugin {file}

docs/add-a-method.md shows parameters that adapt or are learned.
"""

from torch import Tensor

from bench.surrogate import Param, method


@method(
    "{name}",
    paper="unpublished",
    width=Param(1.0, search=(0.25, 4.0), per_threshold=1),
    height=Param(None),
)
def derivative(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = max(0, 1 - |x|/width) / width.

    x: membrane potential less threshold, any shape. width: full width at half maximum, in units of
    the potential. The area under h is 1, unless `height` sets h(0) instead.
    """
    peak = 1 / width if height is None else height
    return (1 - x.abs() / width).clamp(min=0) * peak
'''

_ADAPTIVE = '''\
"""The surrogate derivative {name}, whose width follows the potential.

Measure what your rule needs in `params`, and put its formula there and into the class's docstring. Then:

    spikegrad check {name} --plugin {file}
    spikegrad run smoke --plugin {file}

docs/add-a-method.md shows other rules: schedules, learned parameters, a state over time steps.
"""

import torch
from torch import Tensor

from bench.shapes import triangle
from bench.surrogate import Param, Site, Surrogate, Values, method

NEW = 0.1
"""The share of the newest measurement in the running average."""


@method(
    "{name}",
    paper="unpublished",
    kind="adaptive",
    width=Param(1.0, search=(0.25, 4.0), per_threshold=1),
)
class Adaptive(Surrogate):
    """h(x) = max(0, 1 - |x|/w) / w; w = width r/v_th, r a running average of the root of mean((u - v_th)^2).

    The mean is over batch and layer. r starts at v_th, and takes one part in ten from each time step of
    training; w is detached.
    """

    shape = staticmethod(triangle)
    distance: Tensor  # r, a number

    def bind(self, site: Site) -> None:
        super().bind(site)
        # A buffer is kept in checkpoints, and moves to the GPU with the network.
        self.register_buffer("distance", torch.tensor(site.neuron.threshold))

    def params(self, u: Tensor, t: int) -> Values:
        threshold = self.site.neuron.threshold
        if self.training:
            measured = (u.detach() - threshold).square().mean().sqrt()
            # A new tensor: the backward pass of this step needs the old one as it was.
            self.distance = torch.lerp(self.distance, measured.to(self.distance.dtype), NEW)
        return {{"width": self.values["width"] * self.distance / threshold}}
'''


_DATASET = '''\
"""Noisy pictures of bars under the name {name}.

Put your own samples into `bars`, and what they are into the declaration above it. Then:

    spikegrad data check --plugin {file}
    spikegrad run smoke --plugin {file} --datasets {name} --add

A set that is read from disk is read from `request.root`, and declares `files`, `get` and `verify`;
one of events declares `events=True` and gives [N, T, C, H, W]: bench/data/loading.py tells of each.
"""

import torch

from bench.data import Request, Splits, dataset, with_ids
from bench.randomness import uniform

TRAIN, TEST = 800, 200
SIDE = 8
NOISE = 0.5


@dataset(
    "{name}",
    shape=(1, SIDE, SIDE),
    classes=2 * SIDE,
    licence="CC0",
    source="computed, unpublished",
)
def bars(request: Request) -> Splits:
    """A bar of ones in each picture, noise up to 0.5 all over; float32 [N, 1, 8, 8], in [0, 1.5].

    The label is the row of a lying bar, or 8 and the column of an upright one. Validation samples are
    cut out of the training set, the same ones each time.
    """
    ids = torch.arange(TRAIN + TEST)
    labels = ids % (2 * SIDE)
    x = NOISE * uniform(0, 0, ids, draws=SIDE * SIDE).view(-1, 1, SIDE, SIDE)
    for picture, label in zip(x[:, 0], labels.tolist(), strict=True):
        bar = picture[label] if label < SIDE else picture[:, label - SIDE]
        bar += 1
    return Splits(
        train=with_ids(x[:TRAIN], labels[:TRAIN], start=0),
        test=with_ids(x[TRAIN:], labels[TRAIN:], start=TRAIN),
    )
'''


def new_method(name: str, folder: Path, *, adaptive: bool = False) -> Path:
    """Write a method called `name` into `folder`, and return the file.

    adaptive: one whose width follows a running average, instead of a fixed shape.

    Raises BenchError if the name cannot be used or is taken, if the folder does not exist, or if the
    file exists: nothing is ever overwritten.
    """
    return _write("method", name, folder, load().methods.get(name), _ADAPTIVE if adaptive else _METHOD)


def new_dataset(name: str, folder: Path) -> Path:
    """Like `new_method`, for a dataset."""
    return _write("dataset", name, folder, load().datasets.get(name), _DATASET)


def _write(kind: str, name: str, folder: Path, known: Entry[Any] | None, text: str) -> Path:
    stem = _stem(kind, name)
    file = folder / f"{stem}.py"
    if known is not None:
        raise BenchError(f"a {kind} named {name!r} is there already, in {known.file}; choose another name")
    if stem in sys.stdlib_module_names or stem in _installed():
        raise BenchError(
            f"{name!r} gives the file {stem}.py, which would hide the module {stem} from programs that start "
            "beside it; choose another name"
        )
    if not folder.is_dir():
        raise BenchError(f"{folder} is not a folder; make it first, or name one that exists with --folder")
    # lexists: a broken link is in the way too.
    if os.path.lexists(file):
        raise BenchError(f"{file} exists already; choose another name, or another folder with --folder")
    try:
        write_atomic(file, text.format(name=name, file=file.name).encode())
    except OSError as problem:
        raise BenchError(
            f"cannot write {file} ({problem.strerror or problem}); name another folder with --folder"
        ) from None
    return file


def _stem(kind: str, name: str) -> str:
    if not re.fullmatch(r"[^\s,#|]+", name) or name == "all":
        raise BenchError(
            f"{name!r} cannot be the name of a {kind}: it needs one word, without commas, not 'all'"
        )
    stem = re.sub(r"[-:/+]", "_", name)
    # If a folder is given as plugin, files that start with an underscore are skipped.
    if not re.fullmatch(r"[^\W_][\w.]*", stem):
        raise BenchError(
            f"{name!r} does not give the name of a Python file: start it with a letter or a digit, and use "
            f"only those and any of - _ : / + ."
        )
    return stem


def _installed() -> set[str]:
    """Names of all installed top-level modules."""
    return set(importlib.metadata.packages_distributions())
