"""Run measurements one at a time, each in its own process, with nothing else running."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from bench.records.store import LOGS
from bench.records.timings import Timing, Timings
from bench.runner.engines.process import died, end, start, unwritable
from bench.runner.plan import Plan
from bench.runner.timing.network import USUAL, Rounds
from bench.runner.timing.times import Measurement, TimingJob, measure_in_process
from bench.runner.worker import now


class TimesListener(Protocol):
    """Receives events as they happen."""

    def timing(self, measurement: Measurement, number: int, total: int) -> None:
        """A measurement begins; number counts from 1."""

    def timed(self, measurement: Measurement, timing: Timing, number: int, total: int) -> None:
        """A measurement has ended, with any status, and is written."""


def run(
    plan: Plan,
    measurements: Sequence[Measurement],
    *,
    timeout: float,
    listener: TimesListener,
    rounds: Rounds = USUAL,
) -> None:
    """Run all measurements; returns when each has left a file.

    timeout: the most seconds for one. Raises Stopped if results cannot be written, and KeyboardInterrupt
    after ending the process; finished measurements are kept in both cases.
    """
    if not measurements:
        return
    kept = Timings(plan.store.results, plan.suite.name)
    plugins = tuple(path.resolve() for path in plan.plugins)
    with _writing(plan):
        kept.clear_halves()
        plan.store.runs.mkdir(parents=True, exist_ok=True)
        # In the results folder: taking its lock removes what a killed run has left.
        logs = Path(tempfile.mkdtemp(prefix=LOGS, dir=plan.store.runs))
    try:
        for number, measurement in enumerate(measurements, 1):
            listener.timing(measurement, number, len(measurements))
            job = TimingJob(measurement, plugins, plan.data_root, rounds)
            timing = measurement.timing(_outcome(job, logs / "times.log", timeout))
            with _writing(plan):
                kept.write(timing)
            listener.timed(measurement, timing, number, len(measurements))
    finally:
        shutil.rmtree(logs, ignore_errors=True)


def _outcome(job: TimingJob, log: Path, timeout: float) -> dict[str, Any]:
    outcome: dict[str, Any] = {"started": now(), "metrics": {}, "rounds": asdict(job.rounds)}
    began = time.perf_counter()
    process, pipe = start(measure_in_process, job, log)
    try:
        outcome |= _heard(process, pipe, timeout)
    finally:
        # Everything that it has started ends with it.
        end(process)
        pipe.close()
    return outcome | {"ended": now(), "seconds": round(time.perf_counter() - began, 3)}


def _heard(process: BaseProcess, pipe: Connection, timeout: float) -> dict[str, Any]:
    # A child of a dead process can hold the pipe open, so watch the process itself too.
    if not wait([pipe, process.sentinel], timeout):
        return {"status": "timeout", "error": f"took longer than {timeout:g} s"}
    try:
        if pipe.poll():
            heard: dict[str, Any] = pipe.recv()
            return heard
    except (EOFError, OSError):
        pass
    process.join(1)
    status, why = died(process.exitcode)
    return {"status": status, "error": why}


@contextmanager
def _writing(plan: Plan) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise unwritable(plan.store.results, problem.strerror or str(problem)) from None
