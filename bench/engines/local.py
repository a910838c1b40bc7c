"""The default engine: worker processes on this machine, one a configuration.

A worker is forked from a server that has torch loaded already, so that it starts at once, and
leads a process group of its own, so that all it started ends with it. If it dies, the running cell
leaves a row that says how; the cells after it go on in a new worker.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from bench.engines.process import died, end, start, unwritable
from bench.plan import Plan, Planned
from bench.record_files import Record
from bench.store import LOGS
from bench.worker import TRACEBACK_LINES, Job, make_record, now, work


class Listener(Protocol):
    """Who is told what happens, as it happens."""

    def started(self, planned: Planned) -> None:
        """A cell has started."""

    def epoch(self, planned: Planned, epoch: int, val_accuracy: float) -> None:
        """An epoch has ended; epochs count from 0."""

    def ended(self, planned: Planned, record: Record) -> None:
        """A cell has ended, in whatever way, and its record is written."""


def default_jobs(threads: int) -> int:
    """As many workers as the cores that this process may use hold."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // threads)


def run(plan: Plan, *, jobs: int, timeout: float, listener: Listener) -> None:
    """Run the pending cells of a plan; returns when each has left a record.

    timeout: seconds that one cell may take. Raises Stopped if results cannot be written, and
    KeyboardInterrupt after ending the workers; what had finished is kept in both cases.
    """
    try:
        # In the results folder, whose lock clears away what a killed run has left.
        plan.store.runs.mkdir(parents=True, exist_ok=True)
        logs = Path(tempfile.mkdtemp(prefix=LOGS, dir=plan.store.runs))
    except OSError as problem:
        raise unwritable(plan.store.results, problem.strerror or str(problem)) from None
    engine = _Local(plan, jobs, timeout, listener, logs)
    try:
        engine.run()
    except KeyboardInterrupt:
        engine.interrupt()
        raise
    finally:
        engine.close()
        shutil.rmtree(logs, ignore_errors=True)


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    log: Path
    waiting: deque[Planned]
    current: Planned | None = None
    began: float = 0.0

    def end(self) -> None:
        """End the whole process group."""
        end(self.process)


class _Local:
    def __init__(self, plan: Plan, jobs: int, timeout: float, listener: Listener, logs: Path) -> None:
        self.plan = plan
        self.jobs = jobs
        self.timeout = timeout
        self.listener = listener
        self.logs = logs
        self.queue = deque(
            deque(group)
            for _, group in itertools.groupby(plan.pending, lambda planned: planned.configuration)
        )
        self.workers: list[_Worker] = []
        self.count = itertools.count()

    def run(self) -> None:
        while self.queue or self.workers:
            while self.queue and len(self.workers) < self.jobs:
                self.workers.append(self._start(self.queue.popleft()))
            self._wait()
            for worker in list(self.workers):
                self._serve(worker)

    def interrupt(self) -> None:
        for worker in self.workers:
            worker.end()
            with suppress(EOFError, OSError):
                # A cell that had ended just before must not be overwritten.
                while worker.current is not None and worker.pipe.poll():
                    self._hear(worker, worker.pipe.recv())
            if worker.current is not None:
                self._write(worker, "interrupted", "stopped by the user")

    def close(self) -> None:
        for worker in self.workers:
            worker.end()
        self.workers.clear()

    def _start(self, cells: deque[Planned]) -> _Worker:
        log = self.logs / f"{next(self.count)}.log"
        job = Job(
            tuple(planned.cell for planned in cells),
            cells[0].known,
            self.plan.store.results.resolve(),
            self.plan.suite.name,
            tuple(path.resolve() for path in self.plan.plugins),
            self.plan.data_root,
            self.jobs,
        )
        return _Worker(*start(work, job, log), log, cells)

    def _wait(self) -> None:
        """Until a worker has something to say, has ended, or is at its time limit."""
        limits = [w.began + self.timeout - time.monotonic() for w in self.workers if w.current is not None]
        handles = [handle for w in self.workers for handle in (w.pipe, w.process.sentinel)]
        wait(handles, timeout=max(0.0, min(limits)) if limits else None)

    def _serve(self, worker: _Worker) -> None:
        try:
            # A chatty method must not keep the others waiting: a bounded number of messages.
            for _ in range(100):
                if not worker.pipe.poll():
                    break
                self._hear(worker, worker.pipe.recv())
        except (EOFError, OSError):
            self._buried(worker)
            return
        if worker.current is not None and time.monotonic() > worker.began + self.timeout:
            worker.end()
            self._write(worker, "timeout", f"took longer than {self.timeout:g} s")
            self._dismiss(worker)
        elif not worker.process.is_alive() and not worker.pipe.poll():
            self._buried(worker)

    def _hear(self, worker: _Worker, message: tuple[Any, ...]) -> None:
        match message:
            case ("start", _):
                worker.current, worker.began = worker.waiting.popleft(), time.monotonic()
                self.listener.started(worker.current)
            case ("epoch", _, epoch, value) if worker.current is not None:
                self.listener.epoch(worker.current, epoch, value)
            case ("end", _, record) if worker.current is not None:
                self.listener.ended(worker.current, record)
                worker.current = None
            case ("unwritable", _, why):
                raise unwritable(self.plan.store.results, why)

    def _buried(self, worker: _Worker) -> None:
        """A worker has ended: as it should, or in the middle of a cell."""
        worker.process.join()
        code = worker.process.exitcode or 0
        if worker.current is None and worker.waiting:
            # It did not even begin: that must cost a cell too, or it would be tried for ever.
            worker.current, worker.began = worker.waiting.popleft(), time.monotonic()
        if worker.current is not None:
            self._write(worker, *died(code))
        self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> None:
        # What a dead worker had started may live on in its group.
        worker.end()
        worker.pipe.close()
        self.workers.remove(worker)
        if worker.waiting:
            self.queue.appendleft(worker.waiting)

    def _write(self, worker: _Worker, status: str, error: str) -> None:
        """The record of a cell whose worker could not write it."""
        planned = worker.current
        assert planned is not None
        tail = (
            worker.log.read_text(errors="replace").splitlines()[-TRACEBACK_LINES:]
            if worker.log.exists()
            else []
        )
        seconds = time.monotonic() - worker.began
        record = make_record(planned.cell, planned.known, self.plan.found) | {
            "suite": self.plan.suite.name,
            "workers": self.jobs,
            "status": status,
            "error": error,
            "traceback": tail,
            "metrics": {},
            "unmeasured": {},
            "started": now(ago=seconds),
            "ended": now(),
            "seconds": round(seconds, 3),
        }
        try:
            self.plan.store.write(record)
        except OSError as problem:
            raise unwritable(self.plan.store.results, problem.strerror or str(problem)) from None
        worker.current = None
        self.listener.ended(planned, record)
