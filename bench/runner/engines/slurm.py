"""Slurm: a job array of equal tasks, as a script to submit, or submitted here."""

from __future__ import annotations

import shlex
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import BenchError
from bench.runner.allocation import WARNING, allocation, command
from bench.runner.plan import Plan
from bench.runner.worker import now

UNKNOWN = "Invalid job id"
"""How squeue says that a job ended some minutes ago."""
NAME = "Slurm job "


@dataclass(frozen=True)
class Slurm:
    """A scheduler. options: see `script`."""

    options: Sequence[str]
    hours: float
    jobs: int | None
    before: str = field(default_factory=now)

    def submit(self, plan: Plan) -> str:
        """Submit the script; raises BenchError if Slurm rejects it or is missing."""
        text = script(plan, self.options, self.hours, self.jobs, self.before)
        try:
            done = subprocess.run(
                ["sbatch", "--parsable"], input=text, capture_output=True, text=True, check=False
            )
        except OSError as problem:
            why = problem.strerror or problem
            raise BenchError(
                f"sbatch cannot be started ({why}): --engine slurm needs Slurm's commands"
            ) from None
        if done.returncode:
            raise BenchError(
                f"sbatch rejected the job: {' '.join(done.stderr.split())}; "
                "`spikegrad plan SUITE --sbatch` prints the script, to add what your site needs and submit it"
            )
        # With several clusters, the name of one follows.
        return NAME + done.stdout.strip().partition(";")[0]

    def tasks(self, job: str) -> Counter[str] | None:
        """What squeue says; None if it does not answer, which passes."""
        words = ["squeue", "--noheader", "--array", "--jobs", _number(job), "--format", "%T %r"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            return Counter() if UNKNOWN in done.stderr else None
        return Counter(map(_state, filter(None, map(str.strip, done.stdout.splitlines()))))

    def cancel(self, job: str) -> None:
        """Cancel all its tasks."""
        subprocess.run(["scancel", _number(job)], check=False, capture_output=True)

    def advice(self, job: str) -> str:
        """The logs, and Slurm's accounts."""
        return f"spikegrad-{_number(job)}_*.log and `sacct -j {_number(job)}`"


def _number(job: str) -> str:
    return job.removeprefix(NAME)


def _state(line: str) -> str:
    state, _, reason = line.partition(" ")
    return f"{state.lower()} ({reason})" if reason not in ("", "None") else state.lower()


def script(
    plan: Plan, options: Sequence[str], hours: float, jobs: int | None = None, before: str | None = None
) -> str:
    """The job script. options: those of `spikegrad run` but for the folders and `--jobs`, the suite first.

    Raises BenchError if nothing is pending.
    """
    ask = allocation(plan, hours, jobs)
    lines = [
        "#!/bin/bash",
        f"# Trains what is left of {plan.suite.name}: {len(plan.pending)} trainings when this was written.",
        "# The tasks divide them; how many there are only decides how soon all are done.",
        "# Add what your site needs, such as --partition or --account. docs/clusters.md says more.",
        f"#SBATCH --job-name=spikegrad-{plan.suite.name}",
        f"#SBATCH --array=1-{ask.tasks}",
        f"#SBATCH --cpus-per-task={ask.cpus}",
        f"#SBATCH --mem={ask.gib}G",
        *([f"#SBATCH --gres=gpu:{ask.gpus}"] if ask.gpus else []),
        f"#SBATCH --time={ask.minutes // 60:02}:{ask.minutes % 60:02}:00",
        f"#SBATCH --signal=B:INT@{WARNING}",
        "#SBATCH --requeue",
        "#SBATCH --open-mode=append",
        "#SBATCH --output=spikegrad-%A_%a.log",
        f"cd {shlex.quote(str(Path.cwd()))} || exit 1",
        "# In place of the shell, so that Slurm's warning before the end reaches it.",
        f"exec {shlex.join(command(plan, options, ask, jobs, before or now()))}",
    ]
    return "\n".join(lines) + "\n"
