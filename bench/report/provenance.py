"""Provenance of a report's numbers, from the records alone: machines, versions, seeds, recipes and data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.errors import counted
from bench.records.runs import plugins
from bench.tables.rows import data

Record = Mapping[str, Any]
Provenance = list[tuple[str, list[str]]]
"""Headings, and the lines below each."""

SHOWN_PACKAGES = ("torch", "norse", "snntorch", "numpy", "spikegrad-bench")
MOST_COMMITS = 6


def provenance(records: Sequence[Record]) -> Provenance:
    """The facts that a reviewer asks about an experiment, in the usual order."""
    said = [
        ("Trainings", [_trainings(records)]),
        ("Seeds", [", ".join(map(str, sorted({record["cell"]["seed"] for record in records})))]),
        ("Recipe", _counted(_recipe(record) for record in records)),
        ("Network options", _counted(_network(record) for record in records)),
        ("Data", _data(records)),
        ("Machine", _counted(_machine(record) for record in records)),
        ("Versions", _counted(_versions(record) for record in records)),
        ("Code", _code(records)),
        ("Plugins", _counted(said for record in records for said in plugins(record))),
    ]
    return [(heading, lines) for heading, lines in said if lines]


def facts(records: Sequence[Record]) -> str:
    """Date, version, protocol and machine, in one line; several of a kind are all named."""
    places = [record["environment"] for record in records]
    versions = {str((place.get("packages") or {}).get("spikegrad-bench") or "") for place in places}
    protocols = {str(record.get("digests", {}).get("harness") or "") for record in records}
    said = [
        between(records),
        *(f"spikegrad-bench {version}" for version in sorted(versions - {""})),
        *sorted(protocols - {""}),
        *sorted({_machine(record) for record in records}),
    ]
    return " · ".join(part for part in said if part)


def between(records: Sequence[Record]) -> str:
    """The days on which the first and the last training ended; "" if none says."""
    days = sorted(str(record.get("ended", ""))[:10] for record in records if record.get("ended"))
    return "" if not days else days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"


def _trainings(records: Sequence[Record]) -> str:
    statuses = Counter(str(record["status"]) for record in records)
    ends = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items()))
    hours = sum(record["seconds"] for record in records) / 3600
    days = between(records)
    return f"{len(records)}: {ends}; {hours:.2f} hours of training, one after another{days and ', '}{days}"


def _recipe(record: Record) -> str:
    recipe = dict(record["cell"].get("recipe", {}))
    if not recipe:
        return ""
    chosen = "best validation accuracy" + ", and the best test epoch noted" * recipe.pop(
        "best_test_epoch", False
    )
    facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in recipe.items())
    return f"{facts}; weights of the {chosen}"


def _network(record: Record) -> str:
    options = {k: v for k, v in record["cell"]["backbone"].items() if k != "name"}
    shown = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in options.items())
    return f"{record['cell']['backbone']['name']}: {shown}" if shown else ""


def _data(records: Sequence[Record]) -> list[str]:
    found: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if checksum := data(record, "checksum"):
            sizes = [record["metrics"].get(f"{part}_samples") for part in ("train", "val", "test")]
            parts = " / ".join("?" if size is None else f"{size:,.0f}" for size in sizes)
            licence = data(record, "licence") or "not stated"
            found[record["cell"]["dataset"]["name"]].add(f"checksum {checksum}, licence {licence}, {parts}")
    return [
        f"{name}: {'; '.join(sorted(facts))} samples for training, validation and test"
        for name, facts in sorted(found.items())
    ]


def _machine(record: Record) -> str:
    place = record["environment"]
    workers = f", {counted(record['workers'], 'training')} at a time" if record.get("workers") else ""
    gpu = f", {place['gpu'].get('name', 'a GPU')}" if place.get("gpu") else ""
    return f"{place['cpu']}{gpu}, {counted(place['threads'], 'thread')} a training{workers}"


def _versions(record: Record) -> str:
    place = record["environment"]
    packages = place.get("packages") or {}
    versions = ", ".join(f"{name} {packages[name]}" for name in SHOWN_PACKAGES if packages.get(name))
    named = f"Python {place['python']}, " if place.get("python") else ""
    protocol = f", {harness}" if (harness := record.get("digests", {}).get("harness")) else ""
    return f"{named}{versions}{protocol}".strip(", ")


def _code(records: Sequence[Record]) -> list[str]:
    commits: Counter[str] = Counter()
    for record in records:
        git = record["environment"].get("git") or {}
        if commit := git.get("commit"):
            commits[f"commit {str(commit)[:12]}" + " with uncommitted changes" * bool(git.get("dirty"))] += 1
    found = [
        f"{commit}: {counted(number, 'training')}" for commit, number in commits.most_common(MOST_COMMITS)
    ]
    return found or ["no commit is on record"]


def _counted(lines: Iterable[str]) -> list[str]:
    """The distinct lines, the most frequent first, with their counts if there are several."""
    found = Counter(line for line in lines if line)
    if len(found) == 1:
        return list(found)
    return [
        f"{line} ({counted(number, 'training')})"
        for line, number in sorted(found.items(), key=lambda e: (-e[1], e[0]))
    ]
