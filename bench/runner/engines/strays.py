"""Processes that workers had started in groups of their own, and that outlived them."""

from __future__ import annotations

import os
import secrets
import signal
from contextlib import suppress
from pathlib import Path

MARK = "SPIKEGRAD_STARTED_BY"
"""An environment variable of the server that forks workers, and so of every process that comes from it."""
_TOKEN = secrets.token_hex(8)


def mark() -> str:
    """The value of MARK. A fork of this process is another engine, with a mark of its own."""
    return f"{os.getpid()}-{_TOKEN}"


def end_strays(server: int | None) -> None:
    """End them; server: the process that forks the workers, None if there is none. On Linux only.

    While a worker lives, what it has started stays below it, see `bench.runner.engines.child.begin`; what
    bears the mark and is below neither this process nor the server is a stray.
    """
    parents, marked = dict[int, int](), list[int]()
    for entry in os.scandir("/proc") if Path("/proc/self/environ").exists() else ():
        if not entry.name.isdigit():
            continue
        # Those of other users cannot be read, and any may have ended meanwhile.
        with suppress(OSError):
            pid, stat = int(entry.name), Path(entry.path, "stat").read_text()
            parents[pid] = int(stat.rpartition(")")[2].split()[1])
            if f"{MARK}={mark()}\0".encode() in Path(entry.path, "environ").read_bytes():
                marked.append(pid)
    for pid in marked:
        at = pid
        while at in parents and at not in (os.getpid(), server):
            at = parents[at]
        if at not in parents:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
