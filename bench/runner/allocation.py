"""What a scheduler is asked for, to train what a suite lacks: a number of equal tasks.

Each task is an ordinary `spikegrad run` on the same results folder. The runs divide the cells among them, so
that a task names no cell, and stays right when some have finished meanwhile.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import bench
from bench.errors import BenchError
from bench.records.store import OK
from bench.runner.forecast import training_seconds

if TYPE_CHECKING:
    from bench.runner.plan import Plan

PACKAGE = Path(bench.__file__).resolve().parent
GIB = 2**30
MOST_TASKS = 1000
"""Slurm's own limit, MaxArraySize, is 1001 unless a site changes it."""
DOUBT = 2.0
"""An estimate may be too short by this factor."""
STARTING = 300.0
"""Seconds of a task in which it trains nothing: it loads torch, data and plugins, and writes the tables."""
WARNING = 120
"""Seconds before the end of its time in which a task stops its trainings and records that."""
AROUND = 4.0
"""GiB of memory for each training in addition to what its network needs: torch, and the data."""
BESIDE_GPU = 4
"""Cores for each GPU: so many trainings share it, if its memory allows."""


@dataclass(frozen=True)
class Allocation:
    """What to ask for. tasks: how many. cpus, gib, gpus: of each. minutes: the limit of each."""

    tasks: int
    cpus: int
    gib: int
    gpus: int
    minutes: int


def allocation(plan: Plan, hours: float, jobs: int | None = None) -> Allocation:
    """What the pending cells of a plan need, if no task takes longer than `hours`, or than the longest cell.

    jobs: trainings at a time in each task; None for one, or for as many as fit on a GPU.

    Raises BenchError if nothing is pending.
    """
    if not plan.pending:
        raise BenchError(f"nothing of {plan.suite.name} is left to run, so there is nothing to submit")
    finished, seconds, memory, threads, gpus = plan.seconds_each(), [], 0.0, 1, 0
    known = [p.record["seconds"] for p in plan.cells if p.record and p.record["status"] == OK]
    for planned in plan.pending:
        cell, load = planned.cell, plan.workloads.of(planned.cell, planned.known)
        if finished is not None:
            seconds.append(finished)
        elif load is not None:
            seconds.append(training_seconds(cell, load, tested=planned.known.test_samples))
        on_gpu = cell.profile.device == "cuda"
        memory = max(memory, load.memory if load and not on_gpu else 0.0)
        threads, gpus = max(threads, cell.profile.threads), max(gpus, int(on_gpu))
    # Without an estimate, a task for each cell.
    longest, total = (max([*seconds, *known]), sum(seconds)) if seconds else (0.0, 0.0)
    each = max(hours * 3600, DOUBT * longest + STARTING + WARNING)
    tasks = math.ceil(DOUBT * total / max(each - STARTING - WARNING, 1.0)) if seconds else len(plan.pending)
    beside = jobs or (BESIDE_GPU if gpus else 1)
    return Allocation(
        tasks=min(math.ceil(tasks / (jobs or 1)), len(plan.pending), MOST_TASKS),
        cpus=threads * beside,
        gib=math.ceil(beside * (AROUND + DOUBT * memory / GIB)),
        gpus=gpus,
        minutes=math.ceil(each / 60),
    )


def command(plan: Plan, options: Sequence[str], ask: Allocation, jobs: int | None, before: str) -> list[str]:
    """The command of each task.

    options: those of `spikegrad run` but for folders, `--device`, `--jobs` and `--before`, the suite first.
    before: what has ended since this time is not repeated, so that no task or job repeats what another did.
    """
    folders = ["--results", str(plan.store.results.resolve()), "--data-root", str(plan.data_root.resolve())]
    beside = [] if ask.gpus and not jobs else ["--jobs", str(jobs or 1)]
    # A folder `bench` of the user's is not this package.
    safe = [] if Path.cwd() == PACKAGE.parent else ["-P"]
    run = [sys.executable, *safe, "-m", "bench", "run", *options, *folders, *beside]
    # The machine that submits can have other devices than those that train.
    device = ["--device", plan.pending[0].cell.profile.device]
    return [*run, *device, "--no-times", "--no-wait", "--before", before]
