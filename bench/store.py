"""Records on disk: <results>/runs/<suite>/<cell id>/record.json, with epochs.parquet beside it.

record.json is written last and atomically: a cell without one has not been finished.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bench.conflicts import without_conflicts
from bench.errors import BenchError
from bench.files import write_atomic
from bench.record_files import Damaged, Record, read_record

OK = "ok"
FAILED = ("failed", "diverged")
"""Ended through the method: counted against it, and final until its file changes."""
INCOMPLETE = ("oom", "timeout", "interrupted", "skipped")
"""Ended through the circumstances: shown, not ranked, and run again next time."""

SETTLED = 2.0
"""Seconds after which a file that is written again bears another time, on whatever file system."""

LOGS = ".logs-"
"""How the names of folders begin that hold what workers print, while they run."""


class Store:
    """The records of one suite under one results folder.

    A record that is asked for again is read again only if its file has changed: do not change a record.
    """

    def __init__(self, results: Path, suite: str) -> None:
        self.results = results
        self.suite = suite
        self.runs = results / "runs" / suite
        self.leaderboards = results / "leaderboards" / suite
        self._read_before: dict[str, tuple[tuple[int, ...], Record]] = {}

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
        return sound, damaged + contradictions

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
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise BenchError(f"{file} cannot be read: {error.strerror or error}") from None
        state = (there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns)
        before = self._read_before.get(file)
        if before is not None and before[0] == state:
            return before[1]
        record = read_record(Path(file))
        # A folder that was copied under another name would count its cell twice.
        if record["id"] != os.path.basename(folder):
            raise Damaged(f"{file} is the record of {record['id']}: a folder bears the id of its run")
        if time.time() - max(there.st_mtime, there.st_ctime) > SETTLED:
            self._read_before[file] = (state, record)
        return record

    def write(self, record: Record, tables: Mapping[str, Sequence[Mapping[str, Any]]] | None = None) -> None:
        """Write what a cell left behind; tables: rows by name, for NAME.parquet.

        Raises OSError; then the cell counts as not run.
        """
        folder = self.folder(record["id"])
        files = {folder / f"{name}.parquet": rows for name, rows in (tables or {}).items() if rows}
        for file, rows in files.items():
            write_atomic(file, _parquet(rows))
        text = json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n"
        write_atomic(folder / "record.json", text.encode())
        # What an earlier record of this cell had beside it is not this one's.
        for file in set(folder.glob("*.parquet")) - files.keys():
            file.unlink()

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
