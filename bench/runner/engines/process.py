"""Start and end one process of an engine, interpret its exit code, or have it answer questions.

The process is forked from a server that has torch loaded, ignores Ctrl-C, and gets its end of a pipe. Its
entry point must call `bench.runner.engines.child.begin`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from bench.errors import BenchError, Stopped
from bench.records.store import logs_prefix
from bench.registry import Origin, refuse, refused
from bench.runner.engines.child import begin, cut
from bench.runner.engines.strays import MARK, end_strays, mark

PRELOADED = ["bench.runner.worker", "bench.runner.train", "torch._inductor"]
"""torch imports its compiler when a compiler setting is used, which would cost every worker seconds."""
KILLED = 10.0
"""Seconds to wait for a killed process to end."""
BEGINNING = 300.0
"""Seconds in which a new process must begin: before that it loads torch and plugins, but no data."""
LEAVING = 10.0
"""Seconds that a process with nothing left to do can take to end: plugin threads or CUDA can delay it."""
LOOK = 0.1
"""Seconds after which a log is looked at, so that no output fills the disk."""
SAFE_PATH = "PYTHONSAFEPATH"
STARTS = 3
"""Attempts to start a process."""
GOING = 1.0
"""Seconds that a killed process may take to end after its pipes have closed."""
UNKNOWN = 255
"""The exit code that multiprocessing reports if the server that forked a process was killed."""
_servers = WeakKeyDictionary[BaseProcess, int]()
"""The id of the server that forked each process."""


def start(
    target: Callable[[Any, Connection, Path], None], job: Any, log: Path
) -> tuple[BaseProcess, Connection]:
    """Start target(job, pipe, log) in a process. Returns the process and our end of the pipe."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context: Any = multiprocessing.get_context(method)
    context.set_forkserver_preload(PRELOADED)
    for left in reversed(range(STARTS)):
        ours, theirs = context.Pipe()
        process = context.Process(target=_enter, args=(target, refused(), job, theirs, log), daemon=False)
        try:
            with _no_main_module(), _environment(), _no_ctrl_c():
                process.start()
        except (OSError, EOFError) as problem:
            # The server was killed meanwhile; the next start starts another one.
            ours.close()
            if not left:
                raise Stopped(
                    f"no process can be started here ({problem}): finished runs are kept; "
                    "rerun the same command to resume"
                ) from None
        else:
            break
        finally:
            theirs.close()
    if (server := _server()) is not None:
        _servers[process] = server
    return process, ours


def _enter(
    target: Callable[[Any, Connection, Path], None],
    refusals: Mapping[Origin, str],
    job: Any,
    pipe: Connection,
    log: Path,
) -> None:
    refuse(refusals)
    target(job, pipe, log)


def end(process: BaseProcess) -> None:
    """End the whole process group, and what has left it.

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
    end_strays(_server())


def died(process: BaseProcess) -> tuple[str, str]:
    """Status and reason for the work of a process that has ended."""
    code = process.exitcode
    if code == UNKNOWN and _ends(_servers.get(process)):
        return "interrupted", "the process that starts trainings was killed, as when memory runs out"
    if code is None:
        return "interrupted", "the process did not end, as when it hangs in the driver of a GPU"
    if code in (-signal.SIGKILL, -signal.SIGTERM):
        why = f"ended from outside by {signal.Signals(-code).name}, as when memory runs out"
        return "interrupted", why
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return "failed", f"the process ended with {how}"


def _server() -> int | None:
    """The process id of the server; None if unknown."""
    server = getattr(forkserver, "_forkserver", None)
    pid: int | None = getattr(server, "_forkserver_pid", None)
    return pid


def _ends(pid: int | None) -> bool:
    """Whether a process has ended, or does so within GOING, as far as is known."""
    until = time.monotonic() + GOING
    while pid is not None and Path("/proc/self/stat").exists():
        try:
            # A zombie has ended.
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX":
                return True
        except OSError:
            return True
        if time.monotonic() >= until:
            break
        time.sleep(0.05)
    return False


@dataclass(frozen=True)
class NoAnswer:
    """Why a process did not answer a question, in words. status: of a run that ends in this way."""

    status: str
    why: str


def ask(
    function: Callable[[Any], Any], questions: Iterable[Any], *, limit: float, logs: Path | None = None
) -> Iterator[Any]:
    """function(question) for each question, as a process answers them; NoAnswer where it does not.

    function: can be imported by name; an exception that it raises ends the process. limit: seconds for each
    question. logs: the folder for its output, the suite's, of which taking the lock removes what a killed run
    has left; None for a temporary one. If the process ends or takes too long, another one answers the rest.

    Raises OSError if its output cannot be kept there, BenchError if not in a temporary folder.
    """
    left = deque(questions)
    while left:
        with _folder(logs) as folder:
            log = Path(folder) / "output.log"
            process, pipe = start(_answer, (function, list(left)), log)
            try:
                answer = _heard(process, pipe, log, BEGINNING)
                if isinstance(answer, NoAnswer):
                    # The question had not been asked, so it is not at fault.
                    answer = NoAnswer("interrupted", f"the process did not begin: {answer.why}")
                while left:
                    # The first message says only that it has begun.
                    if not isinstance(answer, NoAnswer):
                        answer = _heard(process, pipe, log, limit)
                    left.popleft()
                    yield answer
                    if isinstance(answer, NoAnswer):
                        break
                else:
                    # What it holds, such as the pools of a compiler, is given back only if it ends by itself.
                    process.join(LEAVING)
            finally:
                # Everything that it has started ends with it.
                end(process)
                pipe.close()


def _folder(logs: Path | None) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix=logs_prefix(), dir=logs)
    except OSError as problem:
        if logs is not None:
            raise
        why = problem.strerror or problem
        raise BenchError(
            f"no temporary folder can be made ({why}): make room, or name another place in TMPDIR"
        ) from None


def _answer(job: tuple[Callable[[Any], Any], list[Any]], pipe: Connection, log: Path) -> None:
    """Entry point of the process."""
    begin(pipe, log)
    pipe.send("begun")
    function, questions = job
    for question in questions:
        pipe.send(function(question))


def _heard(process: BaseProcess, pipe: Connection, log: Path, patience: float) -> Any:
    until = time.monotonic() + patience
    # A child of a dead process can hold the pipe open, so watch the process itself too.
    while not wait([pipe, process.sentinel], max(0.0, min(until - time.monotonic(), LOOK))):
        cut(log)
        if time.monotonic() >= until:
            return NoAnswer("timeout", f"took longer than {patience:g} s")
    try:
        if pipe.poll():
            return pipe.recv()
    except (EOFError, OSError):
        pass
    # Give it time to end with an exit code.
    process.join(1)
    return NoAnswer(*died(process))


def unwritable(results: Path, why: str) -> Stopped:
    """The exception to raise if results cannot be written."""
    return Stopped(
        f"cannot write results to {results}: {why}; finished runs are kept: rerun the same command to resume"
    )


@contextmanager
def writing(results: Path) -> Iterator[None]:
    """Raise `unwritable` where results cannot be written, or claims there cannot be read."""
    try:
        yield
    except OSError as problem:
        raise unwritable(results, problem.strerror or str(problem)) from None


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
def _environment() -> Iterator[None]:
    """Start the fork server marked, and without the current folder in its path.

    The fork server is a `python -c`, and would import a user's folder `bench` there as this package. If the
    package exists only in the current folder, a worker imports it itself.
    """
    before = {name: os.environ.get(name) for name in (SAFE_PATH, MARK)}
    os.environ |= {SAFE_PATH: "1", MARK: mark()}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


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
