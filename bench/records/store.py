"""Records on disk: <results>/runs/<suite>/<cell id>/record.json, with the files that it names beside it.

epochs.parquet, layers.parquet and predictions.parquet. record.json is written last and atomically: a cell
without one has not been finished.

A record that came from another machine than the one that is here, of the same cell, lies in
<cell id>@<machine>: see `apart`.
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

from filelock import FileLock, Timeout

from bench.errors import BenchError
from bench.files import write_together
from bench.records import checked
from bench.records.conflicts import without_conflicts
from bench.records.evidence import BESIDE
from bench.records.predictions import FILE, Predictions, to_bytes
from bench.records.record_files import Damaged, Record, check, read_record, sealed
from bench.records.timings import hardware

OK = "ok"
FAILED = ("failed", "diverged")
"""Ended through the method: counted against it, and final until its file changes."""
INCOMPLETE = ("oom", "timeout", "interrupted", "skipped")
"""Ended through the circumstances: shown, not ranked, and run again next time."""

SETTLED = 2.0
"""Seconds after which a file that is written again bears another time, on whatever file system."""

FINISHED = (OK, *FAILED)
ELSEWHERE = "@"
"""Between a cell's id and the name of the machine, in the name of a folder."""

LOGS = ".logs-"
"""How the names of folders begin that hold what workers print, while they run."""


class Store:
    """The records of one suite under one results folder.

    A record that is asked for again is read again only if one of its files has changed: do not change a
    record. left_out: of the last survey, a sentence for each record that is not counted.
    """

    def __init__(self, results: Path, suite: str) -> None:
        self.results = results
        self.suite = suite
        self.runs = results / "runs" / suite
        self.leaderboards = results / "leaderboards" / suite
        self.left_out: list[str] = []
        self._read_before: dict[str, tuple[tuple[Any, ...], Record]] = {}

    def folder(self, cell: str) -> Path:
        """Where the files of one cell are."""
        return self.runs / cell

    def read(self, cell: str) -> Record | None:
        """The record of a cell; None where there is none, or it is damaged, or another's.

        Raises BenchError where it may not be read: it may be a good one.
        """
        try:
            return self._read(f"{self.runs}/{cell}")
        except Damaged:
            return None

    def records(self) -> list[Record]:
        """Every record that can be relied on, by cell id."""
        return self.survey()[0]

    def survey(self) -> tuple[list[Record], list[str]]:
        """The records, and a sentence about each file that is none of them, or contradicts another.

        Raises BenchError.
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
        """The record in the folder of a run; None where there is none. Raises BenchError."""
        # Texts, since thousands of paths take longer to make than files to look at.
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
        """Write what a cell left behind, whole or not at all; whether it was written.

        tables: rows by name, for NAME.parquet. What circumstances have stopped never takes the place of what
        ended by itself, though it be of an older version of the code: that may come back.
        Raises OSError; then nothing has changed.
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
        with suppress(Damaged):
            # Here and now it costs nothing that counts; whoever reads it first would wait for it.
            check(self.folder(record["id"]) / "record.json", whole, text, contents)
        checked.keep()
        return True

    def put(self, name: str, contents: Mapping[str, bytes]) -> None:
        """Put a record and the files that it names into the folder of a run; raises OSError."""
        folder = self.folder(name)
        # The record last: what is beside it counts for nothing without it.
        write_together({folder / file: contents[file] for file in sorted(contents, key="record.json".__eq__)})
        # What an earlier record of this cell had beside it is not this one's.
        for beside in set(BESIDE) - contents.keys():
            (folder / beside).unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the suite's folder; it is let go when the process ends, however it ends.

        What a killed run was just writing is cleared away.
        Raises BenchError if the folder cannot be written, or another run holds it.
        """
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.runs / ".lock")
            lock.acquire(timeout=0)
            for half in [*self.runs.glob("*/.*.tmp"), *self.leaderboards.glob(".*.tmp")]:
                half.unlink(missing_ok=True)
            for logs in self.runs.glob(f"{LOGS}*"):
                shutil.rmtree(logs, ignore_errors=True)
        except Timeout:
            raise BenchError(
                f"another run of {self.suite} is at work in {self.results}: wait for it, "
                "or give another --results"
            ) from None
        except OSError as error:
            raise BenchError(f"cannot write results to {self.results}: {error.strerror or error}") from None
        try:
            yield
        finally:
            lock.release()


def apart(cell: str, environment: Mapping[str, Any]) -> str:
    """The name of the folder for the record of a cell from another machine, beside the one that is here."""
    machine = re.sub(r"[^A-Za-z0-9.]+", "-", hardware(environment)).strip("-.")[:80]
    return f"{cell}{ELSEWHERE}{machine}"


def in_folder(record: Record, name: str, file: str) -> Record:
    """The record as the one of the folder that it lies in.

    One from another machine is another configuration: it is averaged with none from here, and compared with
    those of its own machine. Raises Damaged where the folder is another's, as when it was copied: its cell
    would count twice.
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
    """Check, without making anything, that files could be made in `folder`.

    Raises BenchError if not.
    """
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise BenchError(
            f"cannot write results to {folder}: {existing} is not a folder; give another --results"
        )
    if not os.access(existing, os.W_OK | os.X_OK):
        raise BenchError(
            f"cannot write results to {folder}: no permission in {existing}; give another --results"
        )
