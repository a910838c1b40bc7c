"""Atomic file writes, and standard streams that accept any text.

A reader of a file sees the old one or the new one, never a partial one.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

ABANDONED = 3600.0
"""Seconds after which a temporary file of another machine counts as left behind."""
BOOT = Path("/proc/sys/kernel/random/boot_id")
MARK_PARTS = 4
ENDED = ("Z", "X")
"""States of a process that has ended, and whose parent has not asked how."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` to `path`; on any error nothing changes and nothing is left behind.

    Raises OSError, for example if the disk is full.
    """
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, which appear in the given order; if writing fails, nothing changes.

    All are on disk before the first is renamed, so a reader sees a mix of old and new files only during the
    renames. Raises OSError, for example if the disk is full.
    """
    temporary: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            prefix = f".{path.name}.{owner_mark()}."
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=".tmp")
            temporary[path] = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp creates private files; results get the user's default permissions.
            temporary[path].chmod(0o666 & ~umask())
        for path, written in temporary.items():
            written.replace(path)
    except BaseException:
        for written in temporary.values():
            written.unlink(missing_ok=True)
        raise


def remove_abandoned(halves: Iterable[Path]) -> None:
    """Remove temporary files of `write_together` whose process has ended, and not those being written now.

    Of processes on other machines, those that are an hour old. Raises OSError if one cannot be removed.
    """
    for half in halves:
        with suppress(FileNotFoundError):
            if _abandoned(half):
                half.unlink()


def _abandoned(half: Path) -> bool:
    return abandoned(half, ["", "", *half.name.split(".")][-3])


def abandoned(path: Path, owner: str) -> bool:
    """Whether a temporary file or folder is left behind; owner: the mark of its process in its name.

    The process has ended; or it is on another machine, and nothing below the path was written for an hour.
    Raises OSError if it cannot be read.
    """
    ended = owner_ended(owner)
    if ended is None:
        latest = max(each.stat().st_mtime for each in (path, *path.rglob("*")))
        return time.time() - latest > ABANDONED
    return ended


def owner_mark() -> str:
    """A part of the name of a file or folder that says which process made it."""
    process = os.getpid()
    return f"{_machine()}-{_container()}-{process}-{_life(process)[1]}"


def owner_ended(mark: str) -> bool | None:
    """Whether the process with this mark has ended; None if it is on another machine, so that nobody knows.

    True for what is not a mark.
    """
    parts = mark.split("-")
    if len(parts) != MARK_PARTS or not parts[2].isdecimal():
        return True
    machine, container, process, began = parts
    if (machine, container) != (_machine(), _container()):
        return None
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return True
    except PermissionError:
        pass
    state, started = _life(int(process))
    # Another process can have got its number meanwhile. Where /proc hides the processes of other users,
    # nothing more is known.
    return bool(state) and (state in ENDED or started != began)


def owner_here(mark: str) -> bool:
    """Whether the process with this mark is, or was, on this machine, in any container."""
    return mark.partition("-")[0] == _machine()


def _life(process: int) -> tuple[str, str]:
    """The state of a process, and when it started, as Linux counts; ("", "0") if unknown. See proc(5)."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], fields[19]
    except (OSError, IndexError):
        return "", "0"


@cache
def _machine() -> str:
    """A hash of what tells this machine from others; on Linux, another after each start of the machine."""
    what = platform.node()
    with suppress(OSError):
        # Two machines can have the same name.
        what = BOOT.read_text()
    return hashlib.sha256(what.encode()).hexdigest()[:8]


@cache
def _container() -> str:
    """Where, on this machine, process numbers mean the same."""
    inside = ""
    with suppress(OSError):
        inside = os.readlink("/proc/self/ns/pid")
    return "".join(filter(str.isdecimal, inside)) or "0"


def open_streams(*, line_buffering: bool | None = None) -> None:
    """Give this process a stdout and a stderr that take any text.

    It can be started without them, or with an encoding that lacks some characters; those are then escaped.
    """
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                # Otherwise the next file that is opened would get its number, and what is printed.
                null = os.open(os.devnull, os.O_WRONLY)
                if null != number:
                    os.dup2(null, number)
                    os.close(null)
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115
        # Not if a test or a notebook has put its own object there.
        with suppress(AttributeError):
            getattr(sys, name).reconfigure(errors="backslashreplace", line_buffering=line_buffering)


def nearest(path: Path) -> Path:
    """The path itself, or the closest one above it that exists.

    A link to nothing counts as existing, since it is in the way.
    """
    while not path.exists() and not path.is_symlink() and path != path.parent:
        path = path.parent
    return path


def umask() -> int:
    """The permission bits that this process removes from new files."""
    current = os.umask(0)
    os.umask(current)
    return current
