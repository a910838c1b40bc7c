"""The process that runs one configuration: its cells one after another, a record for each.

It sends messages to the engine through a pipe, as tuples whose first item names the event:

    ("start", cell id)   ("epoch", cell id, epoch, val_accuracy)   ("end", cell id, record, goes on)
    ("unwritable", cell id, why)

After each "end" with `goes on`, the engine sends the next cell, or None if there is none left.

Everything that the code of a method or a dataset prints goes to a log file.
"""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data import loading
from bench.errors import BenchError, printable
from bench.records.protocol import installed
from bench.records.record_files import Record
from bench.records.store import OK, Store
from bench.registry import Registry, load
from bench.runner.checkpoints import Checkpoints
from bench.runner.engines.child import LINES, begin
from bench.runner.environment import describe
from bench.runner.faults import judge
from bench.runner.gpus import Gpu, see_only
from bench.runner.origins import keep, origins
from bench.runner.plan import digests, label
from bench.suite import RECORD_SCHEMA, Cell, DatasetSpec

if TYPE_CHECKING:
    from bench.runner.train import Notify

UNHARMED = (OK, "diverged")
"""Statuses after which a process can be reused on a GPU.

After any other status, CUDA can be permanently broken in the process, so that its next run would fail too.
"""


@dataclass(frozen=True)
class Job:
    """The input of a worker: the first cell of its configuration, and where to read and write.

    known: the facts of the data that the cells were planned with. workers: how many run at a time. gpu:
    the only GPU that it can see; None for all. tried: how earlier attempts at the first cell ended.
    """

    cell: Cell
    known: loading.Facts
    results: Path
    suite: str
    plugins: tuple[Path, ...]
    data_root: Path
    workers: int = 1
    gpu: Gpu | None = None
    tried: tuple[str, ...] = ()


def work(job: Job, pipe: Connection, log: Path) -> None:
    """Entry point of the process."""
    told = begin(pipe, log)
    if job.gpu is not None:
        see_only(job.gpu)
    store = Store(job.results, job.suite)
    registry = load(job.plugins)
    cell: Cell | None = job.cell
    while cell is not None:
        cell_id = cell.id(job.known.checksum)
        pipe.send(("start", cell_id))
        known = make_record(cell, job.known, registry, job.gpu)
        if job.tried and cell == job.cell:
            known["tried"] = list(job.tried)
        checkpoints = Checkpoints(store.folder(cell_id), _decisive(known))
        outcome = attempt(cell, job, registry, partial(_tell, pipe, cell_id), checkpoints)
        tables = {name: outcome.pop(name) for name in ("epochs", "layers")}
        predictions = outcome.pop("predictions")
        record = known | outcome
        record |= {"suite": job.suite, "workers": job.workers}
        try:
            keep(store.runs, cell, registry)
            store.write(record, tables, predictions)
        except OSError as problem:
            pipe.send(("unwritable", cell_id, problem.strerror or str(problem)))
            return
        goes_on = cell.profile.device != "cuda" or record["status"] in UNHARMED
        pipe.send(("end", cell_id, record, goes_on))
        cell = told.get() if goes_on else None


def _tell(pipe: Connection, cell_id: str, epoch: int, val_accuracy: float) -> None:
    pipe.send(("epoch", cell_id, epoch, val_accuracy))


def attempt(
    cell: Cell, job: Job, registry: Registry, notify: Notify, checkpoints: Checkpoints | None = None
) -> dict[str, Any]:
    """Train one cell and catch every exception. Returns the part of its record that the outcome decides."""
    from bench.runner.train import Diverged, train

    outcome: dict[str, Any] = {"error": None, "traceback": None, "metrics": {}, "unmeasured": {}}
    outcome |= {"epochs": [], "layers": [], "predictions": None}
    outcome["started"] = now()
    began = time.perf_counter()
    try:
        prepared = _data(job, registry, cell)
        trained = train(cell, registry, prepared, notify, checkpoints)
        unmeasured = {what: printable(why) for what, why in trained.unmeasured.items()}
        outcome |= {"status": "ok", "metrics": trained.metrics, "unmeasured": unmeasured}
        outcome |= {"epochs": trained.epochs, "layers": trained.layers, "predictions": trained.predictions}
    except Diverged as problem:
        outcome |= {"status": "diverged", "error": printable(str(problem))}
    except Exception as problem:
        lines = "".join(traceback.format_exception(problem)).splitlines()
        status, error = judge(problem)
        outcome |= {
            "status": status,
            "error": printable(error),
            "traceback": [printable(line) for line in lines[-LINES:]],
        }
    before = 0.0
    if checkpoints:
        before, notes = checkpoints.seconds, [printable(note) for note in checkpoints.notes]
        if checkpoints.epochs or notes:
            outcome["resumed"] = {"epochs_before": checkpoints.epochs, "notes": notes}
    return outcome | {"ended": now(), "seconds": round(before + time.perf_counter() - began, 3)}


def _decisive(known: Record) -> Record:
    """The parts of a record in which a checkpoint must agree with the run that goes on from it."""
    environment = {name: value for name, value in known["environment"].items() if name != "git"}
    if environment["gpu"]:
        # Another GPU of the same kind will do.
        environment["gpu"] = {**environment["gpu"], "index": None}
    return {**{name: known[name] for name in ("id", "digests", "versions")}, "environment": environment}


def make_record(cell: Cell, known: loading.Facts, registry: Registry, gpu: Gpu | None = None) -> Record:
    """The part of a record that is known before the outcome. gpu: the GPU in use; queries CUDA if None."""
    method = registry.method(cell.method.name).item
    dataset = registry.dataset(cell.dataset.name).item
    return {
        "schema": RECORD_SCHEMA,
        "id": cell.id(known.checksum),
        "configuration": cell.configuration(known.checksum),
        "variant": label(cell, registry),
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
        "digests": digests(cell, registry),
        "sources": origins(cell, registry),
        "versions": {**installed(), **registry.method(cell.method.name).versions},
        "environment": describe(cell.profile, method.requires, gpu),
    }


def now(ago: float = 0.0) -> str:
    """The time in UTC, to the second; ago: seconds before now."""
    return (datetime.now(UTC) - timedelta(seconds=ago)).isoformat(timespec="seconds")


@cache
def _prepared(
    dataset: loading.Dataset, spec: DatasetSpec, root: Path, timesteps: int, trial: bool
) -> loading.Prepared:
    # All cells of a job share one dataset.
    request = loading.Request(root, timesteps, spec.params)
    return loading.prepare(dataset, request, spec.subset, test=not trial)


def _data(job: Job, registry: Registry, cell: Cell) -> loading.Prepared:
    dataset = registry.dataset(cell.dataset.name).item
    prepared = _prepared(dataset, cell.dataset, job.data_root, cell.timesteps, cell.trial)
    if prepared.checksum != job.known.checksum:
        raise BenchError(
            f"dataset {dataset.name} has checksum {prepared.checksum} in the worker and had "
            f"{job.known.checksum} when the suite was planned: a loader must give the same data every time"
        )
    return prepared
