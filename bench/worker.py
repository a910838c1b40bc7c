"""The process that runs one configuration: its cells one after another, a record for each.

It speaks to the engine through a pipe, in tuples whose first word says what happened:

    ("start", cell id)   ("epoch", cell id, epoch, val_accuracy)   ("end", cell id, record)
    ("unwritable", cell id, why)

After each end the engine sends the next cell, or None for the end of it all.

Everything that the code of a method or a dataset prints goes to a log file.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from bench import data, registry
from bench.environment import describe
from bench.errors import BenchError
from bench.plan import digests
from bench.record_files import Record
from bench.store import Store
from bench.suite import RECORD_SCHEMA, Cell, DatasetSpec, variant

if TYPE_CHECKING:
    from bench.train import Notify

TRACEBACK_LINES = 50


@dataclass(frozen=True)
class Job:
    """What a worker is given: the first cell of its configuration, and where to look and to write.

    known: the facts of the data that the cells were planned with. workers: how many run at a time. gpu:
    the index of the only one that it may see, None for all.
    """

    cell: Cell
    known: data.Facts
    results: Path
    suite: str
    plugins: tuple[Path, ...]
    data_root: Path
    workers: int = 1
    gpu: int | None = None


def work(job: Job, pipe: Connection, log: Path) -> None:
    """Entry point of the process."""
    os.setsid()
    send_output_to(log)
    told = listen(pipe)
    if job.gpu is not None:
        # Read when CUDA starts, which nothing has done in this process.
        os.environ["CUDA_VISIBLE_DEVICES"] = visible_gpu(job.gpu)
    store = Store(job.results, job.suite)
    found = registry.load(job.plugins)
    cell: Cell | None = job.cell
    while cell is not None:
        cell_id = cell.id(job.known.checksum)
        pipe.send(("start", cell_id))
        outcome = attempt(cell, job, found, partial(_tell, pipe, cell_id))
        tables = {name: outcome.pop(name) for name in ("epochs", "layers")}
        record = make_record(cell, job.known, found) | outcome
        record |= {"suite": job.suite, "workers": job.workers}
        try:
            store.write(record, tables)
        except OSError as problem:
            pipe.send(("unwritable", cell_id, problem.strerror or str(problem)))
            return
        pipe.send(("end", cell_id, record))
        cell = told.get()


def visible_gpu(index: int) -> str:
    """What the variable must name so that only this one of the GPUs that are visible now is seen."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    return named.split(",")[index].strip() if named else str(index)


def _tell(pipe: Connection, cell_id: str, epoch: int, val_accuracy: float) -> None:
    pipe.send(("epoch", cell_id, epoch, val_accuracy))


def attempt(cell: Cell, job: Job, found: registry.Registry, notify: Notify) -> dict[str, Any]:
    """Train one cell, whatever happens; the part of its record that the outcome decides."""
    from bench.train import Diverged, train

    outcome: dict[str, Any] = {"error": None, "traceback": None, "metrics": {}, "unmeasured": {}}
    outcome |= {"epochs": [], "layers": []}
    outcome["started"] = now()
    began = time.perf_counter()
    try:
        prepared = _data(job, found, cell)
        trained = train(cell, found, prepared, notify)
        unmeasured = {what: encodable(why) for what, why in trained.unmeasured.items()}
        outcome |= {"status": "ok", "metrics": trained.metrics, "unmeasured": unmeasured}
        outcome |= {"epochs": trained.epochs, "layers": trained.layers}
    except Diverged as problem:
        outcome |= {"status": "diverged", "error": str(problem)}
    except Exception as problem:
        lines = "".join(traceback.format_exception(problem)).splitlines()
        outcome |= {
            "status": "oom" if is_memory(problem) else "failed",
            "error": encodable(f"{type(problem).__name__}: {problem}"),
            "traceback": [encodable(line) for line in lines[-TRACEBACK_LINES:]],
        }
    return outcome | {"ended": now(), "seconds": round(time.perf_counter() - began, 3)}


def make_record(cell: Cell, known: data.Facts, found: registry.Registry) -> Record:
    """The part of a record that is known before the outcome."""
    method = found.method(cell.method.name).item
    dataset = found.dataset(cell.dataset.name).item
    return {
        "schema": RECORD_SCHEMA,
        "id": cell.id(known.checksum),
        "configuration": cell.configuration(known.checksum),
        "variant": variant(cell, method.defaults(cell.backbone.threshold), dataset.settle({})),
        "cell": cell.model_dump(mode="json"),
        "method": {
            "kind": method.kind,
            "changes": method.changes,
            "fidelity": method.fidelity,
            "note": method.note,
            "paper": method.paper,
        },
        "data": {
            "checksum": known.checksum,
            "classes": known.classes,
            "shape": list(known.shape),
            "licence": dataset.licence,
            "note": known.note,
        },
        "digests": digests(cell, found),
        "environment": describe(cell.profile, method.requires),
    }


def now(ago: float = 0.0) -> str:
    """The time in UTC, to the second, or what it was some seconds ago."""
    return (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="seconds")


@cache
def _prepared(dataset: data.Dataset, spec: DatasetSpec, root: Path, timesteps: int) -> data.Prepared:
    # All cells of a job share one data set.
    return data.prepare(dataset, data.Request(root, timesteps, spec.params), spec.subset)


def _data(job: Job, found: registry.Registry, cell: Cell) -> data.Prepared:
    dataset = found.dataset(cell.dataset.name).item
    prepared = _prepared(dataset, cell.dataset, job.data_root, cell.timesteps)
    if prepared.checksum != job.known.checksum:
        raise BenchError(
            f"dataset {dataset.name} has checksum {prepared.checksum} in the worker and had "
            f"{job.known.checksum} when the suite was planned: a loader must give the same data every time"
        )
    return prepared


def encodable(text: str) -> str:
    """The text without what no file can hold: lone surrogates, as in names of odd files."""
    return text.encode(errors="backslashreplace").decode()


def is_memory(problem: Exception) -> bool:
    """Whether memory ran out, on the CPU or on the device."""
    import torch

    if isinstance(problem, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    # What torch raises where the system gives a CPU no more.
    return isinstance(problem, RuntimeError) and "DefaultCPUAllocator" in str(problem)


def send_output_to(log: Path) -> None:
    """Whatever this process and its children print goes there from now on.

    Ends the process where the folder is gone: the engine was stopped before this began, and has cleared up.
    """
    try:
        file = log.open("wb", buffering=0)
    except FileNotFoundError:
        sys.exit()
    with file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def listen(pipe: Connection) -> SimpleQueue[Any]:
    """What the engine says.

    This process and its group end when the engine's end of the pipe is gone, however it died.
    """
    told: SimpleQueue[Any] = SimpleQueue()

    def watch() -> None:
        try:
            while True:
                told.put(pipe.recv())
        except (EOFError, OSError):
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    return told
