"""A cache of records that were validated before, by hash: hashing is faster than validating.

A text file in the user's cache, one line per record. A record names its files by their hashes, so any change
to it or to its files changes its hash, and it is validated again. All records are validated again if the
validation code has changed. The cache is optional: without it, reading is only slower.
"""

from __future__ import annotations

import atexit
import hashlib
from contextlib import suppress
from functools import cache
from pathlib import Path

from bench.paths import cache_folder
from bench.records import anytime, evidence, predictions, run_columns

LENGTH = 64
LARGEST = 16 * 2**20
"""Maximum size in bytes, some 250,000 records; beyond it the file starts over."""

_new: list[str] = []


def known(record: str) -> bool:
    """Whether a record.json with this SHA-256 was found consistent with itself and its files."""
    return record in _known()


def remember(record: str) -> None:
    """Note a consistent record; the cache is written when the process ends."""
    _new.append(record)
    _known().add(record)


@atexit.register
def keep() -> None:
    """Write new entries. Write errors are ignored: the cache is optional."""
    if not _new:
        return
    with suppress(OSError):
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        begin_anew = file.exists() and file.stat().st_size > LARGEST
        # A single append, so that several processes do not interleave their lines.
        with file.open("wb" if begin_anew else "ab", buffering=0) as opened:
            opened.write("".join(f"{record}\n" for record in _new).encode())
    _new.clear()


@cache
def _known() -> set[str]:
    try:
        lines = _file().read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return set()
    return {line for line in lines if len(line) == LENGTH}


@cache
def _file() -> Path:
    rules = hashlib.sha256()
    for module in (evidence, predictions, anytime, run_columns):
        rules.update(Path(module.__file__ or "").read_bytes())
    return cache_folder() / f"checked-{rules.hexdigest()[:16]}.txt"
