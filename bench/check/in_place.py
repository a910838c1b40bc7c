"""Finds where a method changes a tensor in place that the backward pass needs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from bench.paths import PACKAGE, plugin_folder

HARNESS = (f"{Path(torch.__file__).parent}/", f"{PACKAGE}/")
"""Code that is not the method's own."""


def place(run: Callable[[], object]) -> str:
    """File and line where `run` first changes a tensor in place that a graph has saved; "" if none is found.

    `run` is stopped there. Only changes by code outside torch and the harness count: an optimizer changes
    what an earlier graph has saved.
    """
    watch = _Watch()
    try:
        with torch.autograd.graph.saved_tensors_hooks(watch.save, _Saved.unpack), watch:
            run()
    except (Exception, SystemExit):
        # Where it stops, or fails for whatever reason, what has been seen is the answer.
        pass
    return watch.found


class _Saved:
    """A tensor that a graph keeps for its backward pass; it lives as long as the graph."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def unpack(self) -> Tensor:
        return self.tensor


class _Watch(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.saved: WeakSet[_Saved] = WeakSet()
        self.found = ""

    def save(self, tensor: Tensor) -> _Saved:
        saved = _Saved(tensor)
        self.saved.add(saved)
        return saved

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [each for each in (*args, *kwargs.values()) if isinstance(each, Tensor)]
        before = [each._version for each in given]
        result = func(*args, **kwargs)
        for tensor, version in zip(given, before, strict=True):
            if tensor._version != version and self._is_saved(tensor) and (where := _own_line()):
                self.found = where
                raise _Found
        return result

    def _is_saved(self, tensor: Tensor) -> bool:
        storage = tensor.untyped_storage().data_ptr()
        return any(saved.tensor.untyped_storage().data_ptr() == storage for saved in self.saved)


class _Found(Exception):
    """Stops the run."""


def _own_line() -> str:
    """The innermost line of the method's code, as `mine.py, line 12`; "" if another's code calls torch."""
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        plugin = file.startswith(f"{plugin_folder('methods')}/")
        if plugin or not file.startswith(HARNESS):
            return f"{Path(file).name}, line {frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return ""
