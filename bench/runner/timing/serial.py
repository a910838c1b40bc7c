"""Run measurements one at a time, each in its own process, with nothing else running."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from bench.records.timings import Timing, Timings
from bench.runner.engines.process import NoAnswer, ask, writing
from bench.runner.plan import Plan
from bench.runner.timing.network import USUAL, Rounds
from bench.runner.timing.times import Measurement, TimingJob, attempt
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
    with writing(plan.store.results):
        kept.clear_halves()
        plan.store.runs.mkdir(parents=True, exist_ok=True)
    for number, measurement in enumerate(measurements, 1):
        listener.timing(measurement, number, len(measurements))
        job = TimingJob(measurement, plugins, plan.data_root, rounds)
        with writing(plan.store.results):
            timing = measurement.timing(_outcome(job, timeout, plan.store.runs))
            kept.write(timing)
        listener.timed(measurement, timing, number, len(measurements))


def _outcome(job: TimingJob, timeout: float, logs: Path) -> dict[str, Any]:
    outcome: dict[str, Any] = {"started": now(), "metrics": {}, "rounds": asdict(job.rounds)}
    began = time.perf_counter()
    answer: dict[str, Any] | NoAnswer
    (answer,) = ask(attempt, [job], limit=timeout, logs=logs)
    if isinstance(answer, NoAnswer):
        answer = {"status": answer.status, "error": answer.why}
    return outcome | answer | {"ended": now(), "seconds": round(time.perf_counter() - began, 3)}
