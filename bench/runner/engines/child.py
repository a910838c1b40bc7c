"""What a process that an engine has started does first, and how its output is kept small."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from bench.files import open_streams

MOST_LOG = 10 * 2**20
"""Bytes of output beyond which a log is cut to its end."""
LOG_END = 64 * 2**10
"""Bytes of it that are then kept."""
LINES = 50
"""The last lines of output that a record keeps."""


def begin(pipe: Connection, log: Path) -> SimpleQueue[Any]:
    """Set up this process: a group of its own, output in the log file. Returns the queue of messages to it.

    The process and its group end when the engine's end of the pipe closes, however the engine ended. It also
    ends if the log's folder is gone: the engine stopped and cleaned up before this process began.
    """
    os.setsid()
    _adopt()
    _give_memory_first()
    send_output_to(log)
    return _listen(pipe)


def _adopt() -> None:
    """Let orphans among the processes that come from this one stay below it, so that they can be found.

    On Linux, see prctl(2), PR_SET_CHILD_SUBREAPER.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def _give_memory_first() -> None:
    """Let Linux end this process, not the engine, if memory runs out."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def send_output_to(log: Path) -> None:
    """Redirect everything that this process and its children print to the log file."""
    try:
        # Appending: the engine can cut the file while it is written.
        file = log.open("ab", buffering=0)
    except FileNotFoundError:
        sys.exit()
    with file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    open_streams(line_buffering=True)


def _listen(pipe: Connection) -> SimpleQueue[Any]:
    told: SimpleQueue[Any] = SimpleQueue()

    def watch() -> None:
        try:
            while True:
                told.put(pipe.recv())
        except (EOFError, OSError):
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
    return told


def cut(log: Path) -> None:
    """Cut a log that has grown large to its end, while the process goes on printing to it."""
    with suppress(OSError):
        if log.stat().st_size > MOST_LOG:
            end = _end(log)
            os.truncate(log, 0)
            with log.open("ab") as file:
                file.write(end)


def last_lines(log: Path) -> list[str]:
    """The last lines that a process printed."""
    with suppress(OSError):
        return _end(log).decode(errors="replace").splitlines()[-LINES:]
    return []


def _end(log: Path) -> bytes:
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LOG_END))
        return file.read(LOG_END)
