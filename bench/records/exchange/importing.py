"""Imports and validates records from other machines, and puts them next to the local ones, unchanged.

Imports record.json of each run with the files that it names, and the timings. Every file is imported
completely or not at all. Local records are not replaced, except for runs that circumstances stopped, or if
you ask to keep theirs.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.errors import BenchError, Stopped
from bench.files import write_atomic
from bench.paths import PLUGINS, TRIALS
from bench.records import kept_suites
from bench.records.predictions import COLUMNS, FILE
from bench.records.record_files import Damaged, Record, check, of_bytes, parsed, reason
from bench.records.runs import Found
from bench.records.store import ELSEWHERE, FINISHED, INCOMPLETE, OK, Store, apart, in_folder
from bench.records.timings import TIMING_SCHEMA, Needed, Timings, hardware, timing_id
from bench.suite import NAME, Cell

RECORD = "record.json"
TABLES: Mapping[str, frozenset[str]] = {
    "epochs.parquet": frozenset(("epoch", "learning_rate", "train_loss", "val_accuracy")),
    "layers.parquet": frozenset(("epoch", "layer", "name", "t", "available_fraction", "gradient_norm")),
    FILE: frozenset(COLUMNS),
}
"""Files that can accompany a record, and the columns that they must have."""
LARGEST = {
    RECORD: 4 * 2**20,
    "epochs.parquet": 16 * 2**20,
    "layers.parquet": 256 * 2**20,
    FILE: 64 * 2**20,
    "timing": 2**20,
    PLUGINS: 2**20,
    kept_suites.FILE: 2**20,
}
"""Maximum sizes in bytes; many times what the longest training runs produce."""
Keep = Literal["ours", "theirs", "both"]


@dataclass
class Outcome:
    """What happened to the files of one suite; lists of ids, or of sentences for conflicts, kept and refused.

    taken: imported.
    there: already here, identical.
    replaced: imported in place of a stopped run, or of ours.
    beside: imported next to ours, as separate rows.
    conflicts: differ from ours, which stay.
    kept: the same, as requested.
    refused: not valid.
    """

    suite: str
    taken: list[str] = field(default_factory=list)
    there: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    beside: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    timings: int = 0
    records: list[Record] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every file was imported or was already here."""
        return not self.conflicts and not self.refused


def take_in(folder: Path, results: Path, *, keep: Keep | None = None, dry_run: bool = False) -> list[Outcome]:
    """Validate the records below a folder and import the good ones; returns one outcome per suite.

    folder: a results folder, with runs/SUITE/ID, or one runs/SUITE.
    results: the results folder to import into.
    keep: which of two finished records of one cell to keep; None keeps ours and counts a conflict.
    dry_run: only validate.

    Raises BenchError if the folder holds no records or the suite is running here, Stopped if writing fails;
    everything imported before that is complete.
    """
    runs = _runs(folder)
    if not runs:
        raise BenchError(
            f"{folder} holds no records: give a results folder, with runs/SUITE/ID/{RECORD}, "
            "or one runs/SUITE"
        )
    found = []
    for suite, place in runs.items():
        store = Store(results, suite)
        if place.resolve() == store.runs.resolve():
            raise BenchError(
                f"{folder} is the results folder itself: give the folder of the records to import"
            )
        with nullcontext() if dry_run else store.lock():
            outcome = Outcome(suite)
            try:
                if not _take_suite(place / kept_suites.FILE, store, outcome, dry_run):
                    found.append(outcome)
                    continue
                _take_runs(place, store, outcome, keep, dry_run)
                _take_plugins(place / PLUGINS, store.runs / PLUGINS, outcome, dry_run)
                _take_timings(
                    place.parent.parent / "latency" / suite, Timings(results, suite), outcome, dry_run
                )
            except OSError as problem:
                raise Stopped(f"cannot write to {results}: {problem.strerror or problem}") from None
        found.append(outcome)
    return found


def _runs(folder: Path) -> dict[str, Path]:
    """The folders of runs by suite, if their names are valid suite names."""
    if not folder.is_dir():
        raise BenchError(f"{folder} is no folder: give the folder that holds the records to import")
    if (folder / "runs").is_dir():
        places = {place.name: place for place in sorted((folder / "runs").iterdir())}
    else:
        places = {_suite_of(folder): folder}
    return {
        suite: place
        for suite, place in places.items()
        if place.is_dir() and not place.is_symlink() and NAME.fullmatch(suite) and _has_records(place)
    }


def _suite_of(runs: Path) -> str:
    """The suite named by a folder's records; the folder itself may have been renamed in transit."""
    for file in sorted(runs.glob(f"*/{RECORD}")):
        with suppress(BenchError):
            return str(of_bytes(file, _bytes(file, LARGEST[RECORD])).get("suite") or runs.name)
    return runs.name


def _has_records(place: Path) -> bool:
    return any(os.path.lexists(folder / RECORD) for folder in _folders(place))


def _folders(place: Path) -> Iterator[Path]:
    own = (path for path in sorted(place.iterdir()) if path.name != PLUGINS and not path.name.startswith("."))
    return (path for path in own if path.is_dir())


def _take_suite(file: Path, store: Store, outcome: Outcome, dry_run: bool) -> bool:
    """Store the suite that the records were made with; False if it conflicts with ours."""
    if not os.path.lexists(file):
        return True
    try:
        _bytes(file, LARGEST[kept_suites.FILE])
        theirs = kept_suites.read(file)
        assert theirs is not None
        if theirs.name != store.suite.removesuffix(TRIALS):
            raise Damaged(f"{file} is of the suite {theirs.name} and lies among those of {store.suite}")
        kept_suites.check(store, theirs)
    except BenchError as problem:
        outcome.refused.append(str(problem))
        return False
    if not dry_run and kept_suites.kept(store) is None:
        kept_suites.keep(store, theirs)
    return True


def _take_runs(place: Path, store: Store, outcome: Outcome, keep: Keep | None, dry_run: bool) -> None:
    for folder in _folders(place):
        try:
            record, files = _checked(folder, outcome.suite)
        except BenchError as problem:
            outcome.refused.append(str(problem))
            continue
        name = _sorted_in(folder.name, record, files, store, outcome, keep)
        if name is None:
            continue
        outcome.records.append(record)
        if not dry_run:
            store.put(name, files)


def _sorted_in(
    name: str,
    record: Record,
    files: Mapping[str, bytes],
    store: Store,
    outcome: Outcome,
    keep: Keep | None,
) -> str | None:
    """Note what happens to a valid record; returns its folder name, None if it is not imported."""
    here = store.read(name)
    if here is None:
        outcome.taken.append(name)
        return name
    if _is_here(store, name, files):
        outcome.there.append(name)
        return None
    if here["status"] in INCOMPLETE and record["status"] in FINISHED:
        outcome.replaced.append(name)
        return name
    if record["status"] in FINISHED and keep == "theirs":
        outcome.replaced.append(name)
        return name
    if record["status"] in FINISHED and keep == "both" and ELSEWHERE not in name:
        beside = apart(name, record["environment"])
        there = store.read(beside)
        if there is None:
            outcome.beside.append(beside)
            return beside
        if _is_here(store, beside, files):
            outcome.there.append(beside)
            return None
        name, here = beside, there
    what = Found(store.folder(name), record).name
    said = (
        f"{name} ({what}) is here already, as {_ending(here)}, and that is kept: "
        f"the other is {_ending(record)}"
    )
    (outcome.kept if keep == "ours" else outcome.conflicts).append(said)
    return None


def _is_here(store: Store, name: str, files: Mapping[str, bytes]) -> bool:
    # It contains the hashes of the files beside it.
    return (store.folder(name) / RECORD).read_bytes() == files[RECORD]


def _ending(record: Record) -> str:
    """`ok, 97.50 %, of 2026-11-26T20:34:15+00:00 on AMD EPYC, 1 thread`."""
    found = record["metrics"]
    accuracy = found.get("test_accuracy", found.get("val_accuracy"))
    number = "" if accuracy is None else f", {accuracy:.2f} %,"
    when = record.get("ended") or "an unknown time"
    return f"{record['status']}{number} of {when} on {hardware(record['environment'])}"


def _checked(folder: Path, suite: str) -> tuple[Record, dict[str, bytes]]:
    """A valid record and the bytes of its files. Raises BenchError, naming the file, if one is invalid."""
    if folder.is_symlink():
        raise Damaged(f"{folder} is a link, and links are not followed: copy what it leads to")
    file = folder / RECORD
    content = _bytes(file, LARGEST[RECORD])
    record = of_bytes(file, content)
    in_folder(record, folder.name, str(file))
    if record.get("suite", suite) != suite:
        raise Damaged(f"{file} is of the suite {record['suite']!r} and lies among those of {suite}")
    _check_hashes(file, record)
    beside = {name: _bytes(folder / name, LARGEST[name]) for name in record["files"]}
    for name, table in beside.items():
        _check_table(folder / name, table, TABLES[name])
    check(file, record, content, beside)
    if record["status"] == OK and (lacks := _lacking(record)):
        raise Damaged(f"{file} has no {lacks}: what ended well is taken in with its evidence")
    return record, {**beside, RECORD: content}


def _lacking(record: Record) -> str:
    """What this record lacks of the evidence that a successful training run leaves; "" if complete."""
    numbers, files = ["val_samples"], ["epochs.parquet"]
    if not Cell.model_validate(record["cell"]).trial:
        numbers += ["test_samples", "anytime_accuracy"]
        files.append(FILE)
    lacks = [name for name in numbers if not record["metrics"].get(name)]
    return next(iter([*lacks, *(file for file in files if file not in record["files"])]), "")


def _check_hashes(file: Path, record: Record) -> None:
    """Id and configuration are hashes of what was run: anyone who edits a record must edit them too."""
    checksum = (record.get("data") or {}).get("checksum")
    if not isinstance(checksum, str):
        raise Damaged(f"{file} does not say which data it was made with (data.checksum): it cannot be placed")
    cell = Cell.model_validate(record["cell"])
    for what, expected in (("id", cell.id(checksum)), ("configuration", cell.configuration(checksum))):
        if record[what] != expected:
            raise Damaged(
                f"{file} says that its {what} is {record[what]}, and what it holds has {expected}: "
                "it was edited, or made by another version"
            )


def _check_table(file: Path, content: bytes, columns: frozenset[str]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(pa.BufferReader(content)) as table:
            missing = columns - set(table.schema_arrow.names)
            # Read the whole file, to find damaged parts.
            table.read()
    except Exception as problem:
        # Each layer of the file reader raises its own errors.
        raise Damaged(f"{file} is damaged ({reason(problem)}): its run is left out") from None
    if missing:
        raise Damaged(f"{file} lacks the column {min(missing)}: its run is left out")


def _bytes(file: Path, largest: int) -> bytes:
    """The content of a regular file; links are not followed, and oversized files are not read."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as opened:
            about = os.fstat(opened.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise Damaged(f"{file} is no plain file: its run is left out")
            if about.st_size > largest:
                raise Damaged(f"{file} has {about.st_size:,} bytes, and a run leaves at most {largest:,}")
            return opened.read(largest + 1)
    except OSError as problem:
        raise Damaged(f"{file} cannot be read ({problem.strerror or problem}): its run is left out") from None


def _take_plugins(place: Path, kept: Path, outcome: Outcome, dry_run: bool) -> None:
    """The plugin files that the runs were made with. They are for people to read; nothing here runs them."""
    for file in sorted(place.rglob("*.py")) if place.is_dir() and not place.is_symlink() else ():
        try:
            content = _bytes(file, LARGEST[PLUGINS])
        except BenchError as problem:
            outcome.refused.append(str(problem))
            continue
        here = kept / file.relative_to(place)
        if not dry_run and not here.exists():
            write_atomic(here, content)


def _take_timings(place: Path, kept: Timings, outcome: Outcome, dry_run: bool) -> None:
    if not place.is_dir() or place.is_symlink():
        return
    for file in sorted(place.glob("*.json")):
        try:
            timing = _checked_timing(file)
        except BenchError as problem:
            outcome.refused.append(str(problem))
            continue
        if kept.read(timing["id"]) is None:
            outcome.timings += 1
            if not dry_run:
                kept.write(timing)


def _checked_timing(file: Path) -> dict[str, Any]:
    content = _bytes(file, LARGEST["timing"])
    try:
        timing = parsed(content)
        Needed.model_validate(timing)
    except (ValueError, RecursionError) as problem:
        raise Damaged(f"{file} is damaged ({reason(problem)}): it is left out") from None
    what = {name: timing[name] for name in ("kind", "forward", "data", "cell")}
    expected = timing_id(what, timing["hardware"], timing["digests"].get("libraries", ""))
    if timing["schema"] != TIMING_SCHEMA or timing["id"] != expected or file.stem != expected:
        raise Damaged(f"{file} is not the timing that its name says: it is left out")
    found: dict[str, Any] = json.loads(content)
    return found
