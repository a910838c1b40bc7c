"""Differences between the code that records were made with and the code installed here."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bench.errors import counted
from bench.records.record_files import Record


def code_notes(records: Sequence[Record]) -> list[str]:
    """A sentence for each part of the installed code that differs from the code of some records.

    Needs torch to find what is installed; without torch, a sentence says so.
    """
    if importlib.util.find_spec("torch") is None:
        return [
            "whether they were made with the code that is installed here was not checked: torch is not there"
        ]
    from bench.records import protocol
    from bench.registry import load

    registry = load()
    here: dict[str, Mapping[str, Any]] = {
        "method": registry.methods,
        "dataset": registry.datasets,
        "backbone": registry.backbones,
    }
    other = Counter[str]()
    for record in records:
        for what, entries in here.items():
            name = record["cell"][what]["name"]
            if name not in entries:
                other[f"the {what} {name} is not installed here"] += 1
            elif entries[name].digest != record["digests"].get(what):
                other[f"the {what} {name} is another version here"] += 1
        for what, now in (("harness", protocol.harness()), ("libraries", protocol.libraries())):
            if (then := record["digests"].get(what)) != now:
                other[f"made with {then or f'unknown {what}'}, and here is {now}"] += 1
    return [
        f"{counted(number, 'record')}: {how}; such records stay rows of their own"
        for how, number in sorted(other.items())
    ]
