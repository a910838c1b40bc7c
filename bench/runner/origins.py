"""The origins of a run's method, dataset and network, and copies of the user's plugin files.

<results>/runs/<suite>/plugins/<identity>/: the files of a plugin at the time of the first run with this
identity. Shipped code is in the project's own history.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from bench.files import write_atomic
from bench.paths import PLUGINS
from bench.records.code_identity import Code
from bench.registry import Entry, Registry
from bench.runner.environment import repository
from bench.suite import Cell


def origins(cell: Cell, registry: Registry) -> dict[str, dict[str, Any]]:
    """The entries of a record for method, dataset and backbone: file, identity, shipped, commit and dirty.

    commit: of the git repository that tracks a plugin's file; dirty: whether the plugin's files differed from
    the commit; both None without a repository. For shipped code, the environment names the commit.
    """
    return {what: _origin(entry) for what, entry in _entries(cell, registry)}


def keep(runs: Path, cell: Cell, registry: Registry) -> None:
    """Copy the files of a cell's plugins into the runs folder of its suite, once. Raises OSError."""
    for _, entry in _entries(cell, registry):
        if entry.shipped or entry.code is None:
            continue
        folder = runs / PLUGINS / entry.identity
        for source in entry.code.sources:
            if not (folder / source.name).exists():
                write_atomic(folder / source.name, source.content)


def _entries(cell: Cell, registry: Registry) -> Iterator[tuple[str, Entry[Any]]]:
    yield "method", registry.method(cell.method.name)
    yield "dataset", registry.dataset(cell.dataset.name)
    yield "backbone", registry.backbone(cell.backbone.name)


def _origin(entry: Entry[Any]) -> dict[str, Any]:
    at = None if entry.shipped or entry.code is None else _kept_in(entry.code)
    return {
        "file": entry.file.name,
        "identity": entry.identity,
        "shipped": entry.shipped,
        "commit": at and at["commit"],
        "dirty": at and at["dirty"],
    }


@cache
def _kept_in(code: Code) -> dict[str, Any] | None:
    return repository(code.file.parent, [str(source.file) for source in code.sources])
