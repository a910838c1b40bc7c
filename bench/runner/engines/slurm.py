"""The engine for Slurm: submits the rest of a plan as a job array, and follows its records.

The tasks are ordinary runs on the same results folder, see `bench.runner.job_script`. What ended without a
result, because a node was lost or its time was up, is submitted again, as long as each job makes progress.
"""

from __future__ import annotations

import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

from bench.errors import BenchError, Stopped
from bench.records.claims import Claims
from bench.records.store import CHECKPOINT
from bench.runner.engines import local
from bench.runner.plan import Plan, Planned

POLL = 5.0
"""Seconds between two looks at the records and at the queue."""
UNKNOWN = "Invalid job id"
"""How squeue says that a job ended some minutes ago."""


class Listener(local.Listener, Protocol):
    """Receives events as they happen."""

    def submitted(self, job: str, tasks: Mapping[str, int] | None) -> None:
        """A job is in the queue: how many of its tasks are in which state.

        Empty when it is submitted; None if Slurm does not answer.
        """


def run(plan: Plan, script: Callable[[Plan], str], *, listener: Listener, claims: Claims) -> None:
    """Train the pending cells of a plan in jobs of Slurm; returns when each has left a record.

    script: the job script for a plan. claims: those of a run that claims nothing.

    Raises BenchError if nothing can be submitted, Stopped if a job ends and has trained nothing, and
    KeyboardInterrupt after cancelling the job; results are kept in each case.
    """
    left = {planned.id: planned for planned in plan.pending}
    while left:
        before = _progress(plan, left)
        job = _submit(script(replace(plan, cells=tuple(left.values()))))
        listener.submitted(job, {})
        try:
            while (tasks := _queue(job)) is None or tasks:
                listener.submitted(job, tasks)
                time.sleep(POLL)
                with suppress(BenchError):
                    # A file system that does not answer now may do so later.
                    _collect(plan, left, listener)
        except BaseException:
            subprocess.run(["scancel", job], check=False, capture_output=True)
            raise
        _collect(plan, left, listener)
        if _progress(plan, left) == before:
            raise Stopped(
                f"the Slurm job {job} ended without finishing any training: see spikegrad-{job}_*.log and "
                f"`sacct -j {job}`; finished runs are kept: rerun the same command to resume"
            )
        # Tasks whose machine was lost count as alive for a while, and nobody would take what they claim.
        while claimed := claims.theirs() & left.keys():
            listener.waiting(len(claimed))
            time.sleep(POLL)
            _collect(plan, left, listener)


def _submit(script: str) -> str:
    """The id of the submitted job."""
    try:
        done = subprocess.run(
            ["sbatch", "--parsable"], input=script, capture_output=True, text=True, check=False
        )
    except OSError as problem:
        why = problem.strerror or problem
        raise BenchError(f"sbatch cannot be started ({why}): --engine slurm needs Slurm's commands") from None
    if done.returncode:
        raise BenchError(
            f"sbatch rejected the job: {' '.join(done.stderr.split())}; "
            "`spikegrad plan SUITE --sbatch` prints the script, to add what your site needs and submit it"
        )
    # With several clusters, the name of one follows.
    return done.stdout.strip().partition(";")[0]


def _queue(job: str) -> Counter[str] | None:
    """How many tasks of the job are in which state; None if the controller does not answer, which passes."""
    command = ["squeue", "--noheader", "--array", "--jobs", job, "--format", "%T %r"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return Counter() if UNKNOWN in done.stderr else None
    return Counter(map(_state, filter(None, map(str.strip, done.stdout.splitlines()))))


def _state(line: str) -> str:
    state, _, reason = line.partition(" ")
    return f"{state.lower()} ({reason})" if reason not in ("", "None") else state.lower()


def _progress(plan: Plan, left: Mapping[str, Planned]) -> Mapping[str, list[str]]:
    """The cells that are left, and their checkpoints."""
    return {
        cell: sorted(file.name for file in plan.store.folder(cell).glob(f"*{CHECKPOINT}")) for cell in left
    }


def _collect(plan: Plan, left: dict[str, Planned], listener: Listener) -> None:
    """Pass on what has ended. What was stopped stays in `left`."""
    for planned in [*left.values()]:
        record = plan.news(planned)
        if record is not None and record["status"] != "interrupted":
            del left[planned.id]
            listener.ended(planned, record)
