"""The suite that a results folder was made with, stored with its records: runs/SUITE/suite.json.

A name stands for one matrix. Another matrix under the same name would end up in the same tables, so it is
refused; a suite that only adds entries extends the existing results.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.errors import BenchError
from bench.files import write_atomic
from bench.paths import TRIALS
from bench.records.record_files import reason
from bench.records.store import Store
from bench.suite import MethodSpec, Suite, Task, load_suite, suite_of_cells
from bench.variants import value_text

FILE = "suite.json"
LISTS = ("methods", "seeds", "datasets", "backbones", "timesteps", "tasks", "recipe_sweep")
TABLES = ("recipe", "profile", "measure", "tune")


def kept(store: Store) -> Suite | None:
    """The suite that the folder was made with; None if none is stored. Raises BenchError if unreadable."""
    return read(store.runs / FILE)


def read(file: Path) -> Suite | None:
    """The suite in such a file; None if there is no file. Raises BenchError if it is unreadable."""
    try:
        return Suite.model_validate_json(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        raise BenchError(f"{file} cannot be read: {problem.strerror or problem}") from None
    except ValidationError as problem:
        raise BenchError(
            f"{file} is damaged ({reason(problem)}): remove it; the next run of the suite writes it again"
        ) from None


def keep(store: Store, suite: Suite) -> None:
    """Store the suite, unless it is stored already. Raises OSError."""
    if kept(store) == suite:
        return
    content = suite.model_dump(mode="json", exclude_unset=True)
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    write_atomic(store.runs / FILE, text.encode())


def check(store: Store, suite: Suite) -> list[str]:
    """The entries that the suite adds to the stored one, in words; none if no suite is stored.

    Raises BenchError if it differs in anything else that affects training.
    """
    before = kept(store)
    if before is None:
        return []
    if differs := _differences(before, suite):
        raise BenchError(
            f"{store.runs} holds another suite of the name {suite.name}: {'; '.join(differs)}; "
            "give this one another name, or another --results"
        )
    return [
        f"{field} {', '.join(map(_text, more))}"
        for field in LISTS
        if (more := [each for each in _listed(suite, field) if each not in _listed(before, field)])
    ]


def find(asked: str, results: Path) -> tuple[Suite, Store]:
    """The requested suite and its records: as its file defines it, otherwise as the results folder does.

    Raises BenchError if neither knows it, or if the file's suite differs from that of the records.
    """
    try:
        chosen = load_suite(asked)
    except BenchError as problem:
        if asked != Path(asked).name:
            raise
        store = Store(results, asked)
        if (before := kept(store)) is not None:
            return before, store
        if not (records := store.records()):
            raise BenchError(f"{problem}; {_held(results)}") from None
        return suite_of_cells(asked, [record["cell"] for record in records]), store
    store = Store(results, chosen.name)
    try:
        check(store, chosen)
    except BenchError:
        # A shipped suite may have changed since: its older records still belong to it.
        if asked != chosen.name or (before := kept(store)) is None:
            raise
        return before, store
    return chosen, store


def _held(results: Path) -> str:
    found = sorted(f.name for f in (results / "runs").glob("*") if not f.name.endswith(TRIALS))
    if not found:
        return f"{results} holds no results: --results names another folder"
    return f"{results} holds results of {', '.join(found)}"


def _differences(before: Suite, now: Suite) -> list[str]:
    gone = [
        f"its {field} had {', '.join(map(_text, lost))}"
        for field in LISTS
        if (lost := [each for each in _listed(before, field) if each not in _listed(now, field)])
    ]
    changed = [
        f"{table}.{key} is {there!r} there and {here!r} here"
        for table in TABLES
        for key, there in getattr(before, table) or ()
        if (here := getattr(getattr(now, table), key, None)) != there
    ]
    return gone + changed


def _listed(suite: Suite, field: str) -> list[Any]:
    """The entries of a suite's list; of its swept keys, one entry per value."""
    entries = getattr(suite, field)
    if isinstance(entries, dict):
        return [f"{key}={value_text(value)}" for key, values in entries.items() for value in values]
    return list(entries)


def _text(entry: Any) -> str:
    """An entry of a suite's list, in a few words."""
    if isinstance(entry, Task):
        return f"{'+'.join(d.name for d in entry.datasets)} on {'+'.join(b.name for b in entry.backbones)}"
    name = str(getattr(entry, "name", entry))
    options = entry.params if isinstance(entry, MethodSpec) else {}
    return f"{name} ({', '.join(f'{k}={v}' for k, v in options.items())})" if options else name
