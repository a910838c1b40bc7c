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
    return f"{_place()}-{os.getpid()}"


def owner_ended(mark: str) -> bool | None:
    """Whether the process with this mark has ended; None if it is on another machine, so that nobody knows.

    True for what is not a mark.
    """
    place, _, process = mark.rpartition("-")
    if not place or not process.isdecimal():
        return True
    if place != _place():
        return None
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return True
    except PermissionError:
        pass
    return False


@cache
def _place() -> str:
    """Where process numbers mean the same: a hash of the machine and of the container on it."""
    inside = ""
    with suppress(OSError):
        inside = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {inside}".encode()).hexdigest()[:8]


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
