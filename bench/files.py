"""Writing files so that a reader sees the old one or the new one, never half of either."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_atomic(path: Path, content: bytes) -> None:
    """Put `content` at `path`; on any error nothing has changed and nothing is left behind.

    Raises OSError, as on a full disk.
    """
    write_together({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Put several files in their places, in the order given; on an error in writing nothing has changed.

    All are on disk before the first takes its place, so that a reader sees some of the old and some of the
    new for no longer than it takes to rename them. Raises OSError, as on a full disk.
    """
    temporary: dict[Path, Path] = {}
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
            temporary[path] = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files private; results are as readable as any other file of the user's.
            temporary[path].chmod(0o666 & ~umask())
        for path, written in temporary.items():
            written.replace(path)
    except BaseException:
        for written in temporary.values():
            written.unlink(missing_ok=True)
        raise


def umask() -> int:
    """The permissions that this process takes away from new files."""
    current = os.umask(0)
    os.umask(current)
    return current
