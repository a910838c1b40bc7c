"""Start and end one process of an engine, and interpret its exit code.

The process is forked from a server that has torch loaded, leads its own process group, ignores Ctrl-C, and
gets its end of a pipe. Its entry point must call `os.setsid`.
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

PRELOADED = ["bench.runner.worker", "bench.runner.train", "torch._inductor"]
"""torch imports its compiler when a compiler setting is used, which would cost every worker seconds."""
KILLED = 10.0
"""Seconds to wait for a killed process to end."""
SAFE_PATH = "PYTHONSAFEPATH"


def start(
    target: Callable[[Any, Connection, Path], None], job: Any, log: Path
) -> tuple[BaseProcess, Connection]:
    """Start target(job, pipe, log) in a process. Returns the process and our end of the pipe."""
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

    Does not wait long: a process that hangs in a driver ends only when the driver returns.
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
    """Status and reason for the work of a process that ended with this exit code.

    code: None if the process was killed and the system does not report that it has ended.
    """
    if code is None:
        return "interrupted", "the process did not end, as when it hangs in the driver of a GPU"
    if code in (-signal.SIGKILL, -signal.SIGTERM):
        why = f"ended from outside by {signal.Signals(-code).name}, as when memory runs out"
        return "interrupted", why
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return "failed", f"the process ended with {how}"


def unwritable(results: Path, why: str) -> Stopped:
    """The exception to raise if results cannot be written."""
    return Stopped(
        f"cannot write results to {results}: {why}; finished runs are kept: rerun the same command to resume"
    )


@contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """Start processes that ignore Ctrl-C, which a terminal sends to all: the engine ends them itself.

    Otherwise Ctrl-C would kill the fork server, with a traceback, while it imports torch.
    """
    # Start the resource tracker first: starting it later would unblock SIGINT.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _no_current_folder() -> Iterator[None]:
    """Start the fork server without the current folder in its path.

    The fork server is a `python -c`, and would import a user's folder `bench` there as this package. If the
    package exists only in the current folder, a worker imports it itself.
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

    Workers need nothing from the script, and a script without a `__main__` guard would start itself again in
    every worker.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
