"""Records on disk: <results>/runs/<suite>/<cell id>/record.json, with epochs.parquet beside it.

record.json is written last and atomically: a cell without one has not been finished.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bench.errors import BenchError
from bench.files import write_atomic
from bench.record_files import Damaged, Record, read_record

OK = "ok"
FAILED = ("failed", "diverged")
"""Ended through the method: counted against it, and final until its file changes."""
INCOMPLETE = ("oom", "timeout", "interrupted", "skipped")
"""Ended through the circumstances: shown, not ranked, and run again next time."""


LOGS = ".logs-"
"""How the names of folders begin that hold what workers print, while they run."""


class Store:
    """The records of one suite under one results folder."""

    def __init__(self, results: Path, suite: str) -> None:
        self.results = results
        self.suite = suite
        self.runs = results / "runs" / suite
        self.leaderboards = results / "leaderboards" / suite

    def folder(self, cell: str) -> Path:
        """Where the files of one cell are."""
        return self.runs / cell

    def read(self, cell: str) -> Record | None:
        """The record of a cell; None where there is none, or it is damaged, or another's.

        Raises BenchError where it may not be read: it may be a good one.
        """
        file = self.folder(cell) / "record.json"
        try:
            return self._read(file) if file.exists() else None
        except Damaged:
            return None
        except OSError as error:
            raise BenchError(f"{file} cannot be read: {error.strerror or error}") from None

    def records(self) -> list[Record]:
        """Every record that can be relied on, by cell id."""
        return self.survey()[0]

    def survey(self) -> tuple[list[Record], list[str]]:
        """The records, and a sentence about each file that is none of them. Raises BenchError."""
        found, damaged = list[Record](), list[str]()
        for file in self._files():
            try:
                found.append(self._read(file))
            except BenchError as problem:
                damaged.append(str(problem))
        return found, damaged

    def _files(self) -> list[Path]:
        try:
            folders = sorted(path for path in self.runs.iterdir() if path.is_dir())
            return [file for folder in folders if (file := folder / "record.json").exists()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise BenchError(f"{self.runs} cannot be read: {error.strerror or error}") from None

    def _read(self, file: Path) -> Record:
        record = read_record(file)
        # A folder that was copied under another name would count its cell twice.
        if record["id"] != file.parent.name:
            raise Damaged(f"{file} is the record of {record['id']}: a folder bears the id of its run")
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
