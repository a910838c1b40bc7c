"""Records that contradict each other: none of them can be trusted, and all are left out.

An id is a hash of what was run, so original records never conflict; copied and edited ones can.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from bench.records.record_files import Record


def without_conflicts(records: Sequence[Record]) -> tuple[list[Record], list[str]]:
    """The records without conflicts, in their order, and one sentence per conflict."""
    by_configuration: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in records:
        by_configuration[record["configuration"], *sorted(record.get("digests", {}).items())].append(record)
    lost: dict[str, None] = {}
    told: list[str] = []
    for same in by_configuration.values():
        for sentence, those in (*_of_different_data(same), *_of_one_seed(same)):
            told.append(sentence)
            lost.update(dict.fromkeys(record["id"] for record in those))
    return [record for record in records if record["id"] not in lost] if lost else [*records], told


def _of_different_data(same: Sequence[Record]) -> list[tuple[str, Sequence[Record]]]:
    by_data: dict[str, list[str]] = defaultdict(list)
    for record in same:
        if checksum := (record.get("data") or {}).get("checksum"):
            by_data[checksum].append(record["id"])
    if len(by_data) < 2:
        return []
    which = "; ".join(f"{checksum}: {', '.join(sorted(ids))}" for checksum, ids in sorted(by_data.items()))
    return [(f"{_name(same[0])} has records of different data ({which}): all are left out", same)]


def _of_one_seed(same: Sequence[Record]) -> list[tuple[str, Sequence[Record]]]:
    by_seed: dict[int, list[Record]] = defaultdict(list)
    for record in same:
        by_seed[record["cell"]["seed"]].append(record)
    return [
        (
            f"{_name(same[0])} has {len(those)} records of seed {seed} "
            f"({', '.join(sorted(record['id'] for record in those))}): all of them are left out; "
            "remove the folders of those that are not the run's own",
            those,
        )
        for seed, those in sorted(by_seed.items())
        if len(those) > 1
    ]


def _name(record: Record) -> str:
    cell = record["cell"]
    where = f"{cell['method']['name']} on {cell['dataset']['name']}"
    return f"configuration {record['configuration']} ({where})"
