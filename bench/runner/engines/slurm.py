"""The engine for Slurm: submits the rest of a plan as a job array, and follows its records.

The tasks are ordinary runs on the same results folder, see `bench.runner.job_script`. What ended without a
result, because a node was lost or its time was up, is submitted again, as long as each job makes progress.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import replace

from bench.errors import BenchError, Stopped
from bench.runner.engines.local import Listener
from bench.runner.plan import Plan, Planned

POLL = 5.0
"""Seconds between two looks at the records and at the queue."""
UNKNOWN = "Invalid job id"
"""How squeue says that a job ended some minutes ago."""


def run(plan: Plan, script: Callable[[Plan], str], *, listener: Listener) -> None:
    """Train the pending cells of a plan in jobs of Slurm; returns when each has left a record.

    script: the job script for a plan. Raises BenchError if nothing can be submitted, Stopped if a job ends
    and has trained nothing, and KeyboardInterrupt after cancelling the job; results are kept in each case.
    """
    left = {planned.id: planned for planned in plan.pending}
    while left:
        before = len(left)
        job = _submit(script(replace(plan, cells=tuple(left.values()))))
        try:
            while _queued(job):
                time.sleep(POLL)
                _collect(plan, left, listener)
        except BaseException:
            subprocess.run(["scancel", job], check=False, capture_output=True)
            raise
        _collect(plan, left, listener)
        if len(left) == before:
            raise Stopped(
                f"the Slurm job {job} has ended and trained nothing: see spikegrad-{job}_*.log and "
                f"`sacct -j {job}`; finished runs are kept: rerun the same command to resume"
            )


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
            f"sbatch does not take the job: {' '.join(done.stderr.split())}; "
            "`spikegrad plan SUITE --sbatch` prints the script, to add what your site needs and submit it"
        )
    # With several clusters, the name of one follows.
    return done.stdout.strip().partition(";")[0]


def _queued(job: str) -> bool:
    """Whether a task of the job waits or runs; also if the controller does not answer, which passes."""
    done = subprocess.run(
        ["squeue", "--noheader", "--jobs", job, "--format", "%T"], capture_output=True, text=True, check=False
    )
    return bool(done.stdout.strip()) if done.returncode == 0 else UNKNOWN not in done.stderr


def _collect(plan: Plan, left: dict[str, Planned], listener: Listener) -> None:
    """Pass on what has ended. What was stopped stays in `left`."""
    for planned in [*left.values()]:
        record = plan.news(planned)
        if record is not None and record["status"] != "interrupted":
            del left[planned.id]
            listener.ended(planned, record)
