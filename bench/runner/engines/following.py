"""Train with a scheduler: submit the rest of a plan, and follow its records.

What ended without a result, because a machine was lost or a time limit was reached, is submitted again, as
long as each job makes progress.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Protocol

from bench.errors import BenchError, Stopped
from bench.records.claims import Claims
from bench.records.store import CHECKPOINT
from bench.runner.engines import local
from bench.runner.plan import Plan, Planned

POLL = 5.0
"""Seconds between two looks at the records and at the queue."""


class Scheduler(Protocol):
    """Starts tasks on other machines; see `bench.runner.allocation`."""

    def submit(self, plan: Plan) -> str:
        """Submit a job of tasks for what is pending; returns its name. Raises BenchError if that fails."""

    def tasks(self, job: str) -> Mapping[str, int] | None:
        """How many tasks of a job wait or run, by state; None if the scheduler does not answer now."""

    def cancel(self, job: str) -> None:
        """End a job."""

    def advice(self, job: str) -> str:
        """Where to see why a job failed."""


class Listener(local.Listener, Protocol):
    """Receives events as they happen."""

    def submitted(self, job: str, tasks: Mapping[str, int] | None) -> None:
        """A job is in the queue; see `Scheduler.tasks`. The tasks are empty when it has been submitted."""


def run(plan: Plan, scheduler: Scheduler, *, listener: Listener, claims: Claims) -> None:
    """Train the pending cells of a plan; returns when each has left a record.

    claims: those of a run that claims nothing.

    Raises BenchError if nothing can be submitted, Stopped if a job ends and has trained nothing, and
    KeyboardInterrupt after cancelling the job; results are kept in each case.
    """
    left = {planned.id: planned for planned in plan.pending}
    idle = 0
    while left:
        before = _progress(plan, left)
        job = scheduler.submit(plan.only(left))
        listener.submitted(job, {})
        try:
            while (tasks := scheduler.tasks(job)) is None or tasks:
                listener.submitted(job, tasks)
                time.sleep(POLL)
                with suppress(BenchError):
                    # A file system that does not answer now may do so later.
                    _collect(plan, left, listener)
        except BaseException:
            scheduler.cancel(job)
            raise
        with _answering(plan):
            _collect(plan, left, listener)
            waited = False
            # Tasks whose machine was lost count as alive for a while; and other runs may train the rest.
            while claimed := claims.theirs() & left.keys():
                waited = True
                listener.waiting(len(claimed))
                time.sleep(POLL)
                _collect(plan, left, listener)
        idle = idle + 1 if _progress(plan, left) == before else 0
        # Where all was claimed by others, this job could not have trained anything.
        if idle > int(waited):
            raise Stopped(
                f"the {job} ended without finishing any training: see {scheduler.advice(job)}; "
                "finished runs are kept: rerun the same command to resume"
            )


@contextmanager
def _answering(plan: Plan) -> Iterator[None]:
    """Turn a failure to read the results folder into Stopped: the jobs' results are there."""
    try:
        yield
    except Stopped:
        raise
    except (BenchError, OSError) as problem:
        raise Stopped(
            f"{plan.store.results} cannot be read: {problem}; finished runs are kept: "
            "rerun the same command to resume"
        ) from None


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
