"""Records on disk: <results>/runs/<suite>/<cell id>/record.json, with the files that it names beside it.

These are epochs.parquet, layers.parquet and predictions.parquet. record.json is written last and atomically:
a cell without one is not finished.

If a record of the same cell from another machine is kept in addition to the local one, it is in <cell
id>@<machine>: see `apart`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.files import nearest, owner_ended, owner_mark, remove_abandoned, write_together
from bench.paths import TRIALS
from bench.records import validation_cache
from bench.records.claims import Claims
from bench.records.conflicts import without_conflicts
from bench.records.evidence import BESIDE
from bench.records.predictions import FILE, Predictions, to_bytes
from bench.records.record_files import Damaged, Record, check, read_record, sealed
from bench.records.timings import hardware

OK = "ok"
FAILED = ("failed", "diverged")
"""The method caused the failure: it counts against the method, and is final until the method's file changes.
"""
INCOMPLETE = ("oom", "timeout", "interrupted", "skipped")
"""Circumstances stopped the run: shown, not ranked, and rerun next time."""

SETTLED = 2.0
"""Seconds after which rewriting a file changes its modification time, on any file system."""

FINISHED = (OK, *FAILED)
CHECKPOINT = ".checkpoint"
"""The suffix of what a training goes on from after it was stopped; see `bench.runner.checkpoints`."""
ELSEWHERE = "@"
"""Separates a cell's id from the name of the machine in a folder name."""

LOGS = ".logs-"
"""How the names of the folders begin that hold the output of workers; see `logs_prefix`."""


class Store:
    """The records of one suite under one results folder.

    Records are cached and read again only if one of their files has changed: do not modify a record.
    left_out: one sentence for each record that the last survey did not count.
    """

    def __init__(self, results: Path, suite: str) -> None:
        self.results = results
        self.suite = suite
        self.runs = results / "runs" / suite
        self.leaderboards = results / "leaderboards" / suite
        self.left_out: list[str] = []
        self._read_before: dict[str, tuple[tuple[Any, ...], Record]] = {}

    def folder(self, cell: str) -> Path:
        """The folder of one cell's files."""
        return self.runs / cell

    def read(self, cell: str) -> Record | None:
        """The record of a cell; None if it is missing, damaged or belongs to another run.

        Raises BenchError if it cannot be read: it may be valid.
        """
        try:
            return self._read(f"{self.runs}/{cell}")
        except Damaged:
            return None

    def records(self) -> list[Record]:
        """All trustworthy records, by cell id."""
        return self.survey()[0]

    def survey(self) -> tuple[list[Record], list[str]]:
        """The records, and one sentence for each file that is not a valid record, or contradicts another.

        Raises BenchError if the folder cannot be read.
        """
        found, damaged = list[Record](), list[str]()
        for folder in self._folders():
            try:
                record = self._read(folder)
            except BenchError as problem:
                damaged.append(str(problem))
            else:
                if record is not None:
                    found.append(record)
        sound, contradictions = without_conflicts(found)
        self.left_out = damaged + contradictions
        return sound, [*self.left_out]

    def _folders(self) -> list[str]:
        try:
            with os.scandir(self.runs) as entries:
                return sorted(entry.path for entry in entries if entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise BenchError(f"{self.runs} cannot be read: {error.strerror or error}") from None

    def _read(self, folder: str) -> Record | None:
        """The record in a run's folder; None if there is none.

        Raises BenchError if it is invalid or unreadable.
        """
        # Strings, because creating thousands of Paths takes longer than checking the files.
        file = f"{folder}/record.json"
        try:
            there = os.stat(file)
            beside = [_changed(f"{folder}/{name}") for name in BESIDE]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise BenchError(f"{file} cannot be read: {error.strerror or error}") from None
        state = (_state(there), *beside)
        before = self._read_before.get(file)
        if before is not None and before[0] == state:
            return before[1]
        record = read_record(Path(file))
        record = in_folder(record, os.path.basename(folder), file)
        changed = max(_last(each) for each in state if each)
        if time.time() - changed > SETTLED:
            self._read_before[file] = (state, record)
        return record

    def write(
        self,
        record: Record,
        tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
        predictions: Predictions | None = None,
    ) -> bool:
        """Write a cell's record and files, completely or not at all; returns whether they were written.

        tables: rows by name, for NAME.parquet. Removes the checkpoints of a run that has finished.

        A run that circumstances stopped never replaces a finished one, even of an older version of the code,
        which may be restored. Raises OSError if writing fails; then nothing has changed.
        """
        if record["status"] in INCOMPLETE:
            there = self.read(record["id"])
            if there is not None and there["status"] in FINISHED:
                return False
        contents = {f"{name}.parquet": _parquet(rows) for name, rows in (tables or {}).items() if rows}
        if predictions is not None:
            contents[FILE] = to_bytes(predictions)
        whole = sealed(record, contents)
        text = (json.dumps(whole, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
        self.put(record["id"], {**contents, "record.json": text})
        if record["status"] in FINISHED:
            for file in self.folder(record["id"]).glob(f"*{CHECKPOINT}"):
                with suppress(OSError):
                    file.unlink()
        with suppress(Damaged):
            # Validate now, while it costs nothing: otherwise the first reader has to wait.
            check(self.folder(record["id"]) / "record.json", whole, text, contents)
        validation_cache.keep()
        return True

    def put(self, name: str, contents: Mapping[str, bytes]) -> None:
        """Put a record and the files that it names into a run's folder. Raises OSError if writing fails."""
        folder = self.folder(name)
        # The record comes last: without it, its files do not count.
        write_together({folder / file: contents[file] for file in sorted(contents, key="record.json".__eq__)})
        # Remove files of an earlier record of this cell.
        for beside in set(BESIDE) - contents.keys():
            (folder / beside).unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep the suite's folder for this process alone; free again when the process ends, however it ends.

        Raises BenchError if the folder is not writable, or another run works on the suite.
        """
        with self._joined(Claims(self.runs, alone=True)):
            yield

    @contextmanager
    def shared(self) -> Iterator[Claims]:
        """Work on the suite beside others that do so too; each claims what it trains.

        Raises BenchError if the folder is not writable, or another process keeps the suite for itself.
        """
        claims = Claims(self.runs)
        with self._joined(claims):
            yield claims

    @contextmanager
    def _joined(self, claims: Claims) -> Iterator[None]:
        """Also removes what runs that were killed have left."""
        try:
            claims.join()
            # Tables are written without joining, too.
            remove_abandoned([*self.runs.glob("*/.*.tmp"), *self.leaderboards.glob(".*.tmp")])
            at_work = {owner_mark(), *(other.owner for other in claims.others())}
            for logs in self.runs.glob(f"{LOGS}*"):
                owner = logs.name.removeprefix(LOGS).rpartition(".")[0]
                if owner not in at_work and owner_ended(owner) is not False:
                    shutil.rmtree(logs, ignore_errors=True)
        except OSError as error:
            claims.leave()
            raise BenchError(f"cannot write results to {self.results}: {error.strerror or error}") from None
        try:
            for other in claims.others():
                if other.alone or claims.alone:
                    raise BenchError(
                        f"another run of {self.suite} is at work in {self.results} ({other.where}): "
                        "wait for it, or give another --results"
                    )
            yield
        finally:
            claims.leave()


def logs_prefix() -> str:
    """The prefix of a folder that holds the output of this process's workers while they run.

    Joining the suite removes those of processes that have ended.
    """
    return f"{LOGS}{owner_mark()}."


def trial_store(store: Store) -> Store:
    """Where the tuning trials of a suite are kept, given the store of its own runs."""
    return Store(store.results, store.suite + TRIALS)


def apart(cell: str, environment: Mapping[str, Any]) -> str:
    """The folder name for a cell's record from another machine, next to the local record."""
    machine = re.sub(r"[^A-Za-z0-9.]+", "-", hardware(environment)).strip("-.")[:80]
    return f"{cell}{ELSEWHERE}{machine}"


def in_folder(record: Record, name: str, file: str) -> Record:
    """The record, adapted to the folder that it is in.

    A record from another machine is a separate configuration: it is never averaged with local ones, and is
    compared only with records of its own machine. Raises Damaged if the folder belongs to another run, for
    example if it was copied: its cell would count twice.
    """
    cell, elsewhere, machine = name.partition(ELSEWHERE)
    if record["id"] != cell or (elsewhere and name != apart(cell, record["environment"])):
        raise Damaged(f"{file} is the record of {record['id']}: a folder bears the id of its run")
    if not elsewhere:
        return record
    words = [word for word in record["variant"].split() if word != "default"]
    return {
        **record,
        "id": name,
        "configuration": f"{record['configuration']}{ELSEWHERE}{machine}",
        "variant": " ".join([*words, f"machine={machine}"]),
        "digests": {**record["digests"], "machine": machine},
    }


def _changed(file: str) -> tuple[int, ...] | None:
    try:
        return _state(os.stat(file))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _state(there: os.stat_result) -> tuple[int, ...]:
    return (there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns)


def _last(state: tuple[int, ...]) -> float:
    """When a file last changed, in seconds."""
    return max(state[2:]) / 1e9


def _parquet(rows: Sequence[Mapping[str, Any]]) -> bytes:
    import pandas as pd

    buffer = BytesIO()
    pd.DataFrame(list(rows)).to_parquet(buffer, index=False)
    return buffer.getvalue()


def writable(folder: Path) -> None:
    """Check that files can be created in `folder`, without creating any.

    Raises BenchError if not.
    """
    existing = nearest(folder)
    if not existing.is_dir():
        raise BenchError(
            f"cannot write results to {folder}: {existing} is not a folder; give another --results"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise BenchError(
            f"cannot write results to {folder}: no permission in {existing}; give another --results"
        )
