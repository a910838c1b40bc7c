"""What `spikegrad new method NAME` writes: a small method that works, to be changed into one's own."""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
from pathlib import Path

from bench import registry
from bench.errors import BenchError
from bench.files import write_atomic
from bench.surrogate import method

# {braces} are filled in; all else is the file as it will be.
_FIXED = '''\
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


def new_method(name: str, folder: Path) -> Path:
    """Write a method called `name` into `folder`, and return the file.

    Raises BenchError where the name cannot be used or is taken, the folder does not exist, or the
    file does: nothing is ever overwritten.
    """
    stem = _stem(name)
    file = folder / f"{stem}.py"
    known = registry.load().methods.get(name)
    if known is not None:
        raise BenchError(f"a method named {name!r} is there already, in {known.file}; choose another name")
    if stem in sys.stdlib_module_names or stem in _installed():
        raise BenchError(
            f"{name!r} gives the file {stem}.py, which would hide the module {stem} from programs that start "
            "beside it; choose another name"
        )
    if not folder.is_dir():
        raise BenchError(f"{folder} is not a folder; make it first, or name one that exists with --folder")
    # lexists: a link that leads nowhere is in the way too.
    if os.path.lexists(file):
        raise BenchError(f"{file} exists already; choose another name, or another folder with --folder")
    try:
        write_atomic(file, _FIXED.format(name=name, file=file.name).encode())
    except OSError as problem:
        raise BenchError(
            f"cannot write {file} ({problem.strerror or problem}); name another folder with --folder"
        ) from None
    return file


def _stem(name: str) -> str:
    # Refuses what no method may be called; there is nothing to decorate yet.
    method(name, paper="")
    stem = re.sub(r"[-:/+]", "_", name)
    # A file that starts with an underscore is left out where a folder is given as plugin.
    if not re.fullmatch(r"[^\W_][\w.]*", stem):
        raise BenchError(
            f"{name!r} does not give the name of a Python file: start it with a letter or a digit, and use "
            f"only those and any of - _ : / + ."
        )
    return stem


def _installed() -> set[str]:
    """Names of all installed top-level modules."""
    return set(importlib.metadata.packages_distributions())
