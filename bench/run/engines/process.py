"""One process that works for an engine: how it is started, ended, and what its end means.

It is forked from a server that has torch loaded already, leads a process group of its own, is deaf to
Ctrl-C, and is told where its end of a pipe is. Its entry point must call `os.setsid`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from bench.errors import Stopped

PRELOADED = ["bench.run.worker", "bench.run.train", "torch._inductor"]
"""torch imports its compiler where a setting of it is touched, seconds that every worker would pay."""
KILLED = 10.0
"""Seconds that a killed process may take to be gone."""
SAFE_PATH = "PYTHONSAFEPATH"


def start(
    target: Callable[[Any, Connection, Path], None], job: Any, log: Path
) -> tuple[BaseProcess, Connection]:
    """Start target(job, pipe, log) in a process; the process, and our end of the pipe."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context: Any = multiprocessing.get_context(method)
    context.set_forkserver_preload(PRELOADED)
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(job, theirs, log), daemon=False)
    with _no_main_module(), _no_current_folder(), _no_ctrl_c():
        process.start()
    theirs.close()
    return process, ours


def end(process: BaseProcess) -> None:
    """End the whole process group.

    A process that hangs in a driver ends when the driver lets it: it is not waited for.
    """
    pid = process.pid
    try:
        assert pid is not None
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        # It has ended already, or has not yet become the leader of its group.
        process.kill()
    process.join(KILLED)


def died(code: int | None) -> tuple[str, str]:
    """Status and reason of what a process was at when it ended with this exit code.

    None where it has let go of everything, and the system does not say that it has ended.
    """
    if code is None:
        return "interrupted", "the process did not end, as when it hangs in the driver of a GPU"
    if code in (-signal.SIGKILL, -signal.SIGTERM):
        why = f"ended from outside by {signal.Signals(-code).name}, as when memory runs out"
        return "interrupted", why
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return "failed", f"the process ended with {how}"


def unwritable(results: Path, why: str) -> Stopped:
    """What to raise where results cannot be written."""
    return Stopped(
        f"cannot write results to {results}: {why}; what had finished is kept, "
        "the same command goes on from there"
    )


@contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """Start processes deaf to Ctrl-C, which a terminal sends to all: the engine ends them itself.

    The fork server would otherwise die of it, with a traceback, while it imports torch.
    """
    # Where it does not run yet, starting it would let SIGINT through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _no_current_folder() -> Iterator[None]:
    """Start the fork server without the current folder in its path.

    It is a `python -c`, and would import a user's folder `bench` there as this package. Where the
    package is found in the current folder alone, a worker imports it by itself.
    """
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = before


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Start processes without importing the user's script in them again.

    Nothing that a worker is given lives there, and a script without a `__main__` guard would
    otherwise start itself anew in every worker.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
