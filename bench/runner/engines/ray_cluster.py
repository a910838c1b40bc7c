"""Ray: equal tasks on the machines of a Ray cluster, which share the results folder."""

from __future__ import annotations

import logging
import signal
import subprocess
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.runner.allocation import GIB, allocation, command
from bench.runner.plan import Plan
from bench.runner.worker import now

STOPPING = 60.0
"""Seconds to wait for cancelled tasks; each has half of them to record what it was training."""
NAME = "Ray job"


class Ray:
    """A scheduler. options, hours, jobs: as for Slurm; Ray has no time limits, so hours only divide the work.

    Connects to the cluster that RAY_ADDRESS names, or to that of this machine. Raises BenchError if there is
    none.
    """

    def __init__(self, options: Sequence[str], hours: float, jobs: int | None) -> None:
        try:
            import ray
        except ImportError:
            raise BenchError(
                "--engine ray needs the package ray: pip install 'spikegrad-bench[ray]'"
            ) from None
        before = signal.getsignal(signal.SIGTERM)
        try:
            # If RAY_ADDRESS is set, it goes before.
            ray.init("auto", log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
        except (ConnectionError, RuntimeError, ValueError) as problem:
            why = next(iter(str(problem).splitlines()), type(problem).__name__)
            raise BenchError(
                f"--engine ray finds no Ray cluster ({why}): start one with `ray start --head`, "
                "or name it in RAY_ADDRESS"
            ) from None
        if threading.current_thread() is threading.main_thread():
            # Ray has put its own in the place of the program's, which stops a run as Ctrl-C does.
            signal.signal(signal.SIGTERM, before)
        self._ray: Any = ray
        self._options, self._hours, self._jobs, self._before = options, hours, jobs, now()
        self._tasks: list[Any] = []

    def submit(self, plan: Plan) -> str:
        """Submit the tasks; raises BenchError if no machine of the cluster is large enough for one."""
        ask = allocation(plan, self._hours, self._jobs)
        needs = {"CPU": ask.cpus, "GPU": ask.gpus, "memory": ask.gib * GIB}
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(all(node.get(what, 0) >= number for what, number in needs.items()) for node in nodes):
            raise BenchError(
                f"no machine of the Ray cluster has what a task needs: {ask.cpus} CPUs, {ask.gpus} GPUs and "
                f"{ask.gib} GiB; --jobs sets how many trainings a task runs at a time"
            )
        task = self._ray.remote(_work).options(
            num_cpus=ask.cpus, num_gpus=ask.gpus, memory=ask.gib * GIB, max_retries=0
        )
        words = command(plan, self._options, ask, self._jobs, self._before)
        self._tasks = [task.remote(words, str(Path.cwd())) for _ in range(ask.tasks)]
        return NAME

    def tasks(self, job: str) -> Counter[str]:
        """Ray does not say which of them wait for a free machine."""
        _, left = self._ray.wait(self._tasks, num_returns=len(self._tasks), timeout=0)
        return Counter({"not ended": len(left)} if left else {})

    def cancel(self, job: str) -> None:
        """Interrupt the tasks, and wait for them."""
        for task in self._tasks:
            self._ray.cancel(task, force=False)
        self._ray.wait(self._tasks, num_returns=len(self._tasks), timeout=STOPPING)

    def advice(self, job: str) -> str:
        """What the first task that failed has said last."""
        for task in self._tasks:
            try:
                code, said = self._ray.get(task)
            except self._ray.exceptions.RayError as problem:
                return f"what Ray says: {next(iter(str(problem).splitlines()), type(problem).__name__)}"
            if code:
                return f"what a task said: {' '.join(said.split())}"
        return "`ray status`"


def _work(words: Sequence[str], folder: str) -> tuple[int, str]:
    """A task: its exit code, and the end of what it said."""
    done = subprocess.Popen(
        words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    try:
        while True:
            # Ray cancels a task by an exception, which no single long wait would notice.
            with suppress(subprocess.TimeoutExpired):
                said, _ = done.communicate(timeout=1)
                return done.returncode, said[-500:]
    except BaseException:
        done.terminate()
        try:
            done.communicate(timeout=STOPPING / 2)
        except subprocess.TimeoutExpired:
            done.kill()
            done.wait()
        raise
