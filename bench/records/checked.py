"""Records that were compared with their files before, by their hashes: to compare takes longer than to hash.

A text in the user's own cache, a line a record. A record names its files by their hashes, so that whoever
changes either changes the hash, and it is compared again; so are all where the code that compares has
changed. Without the text all is well but slower.
"""

from __future__ import annotations

import atexit
import hashlib
import os
from contextlib import suppress
from functools import cache
from pathlib import Path

from bench.records import anytime, evidence, predictions, run_columns

LENGTH = 64
LARGEST = 16 * 2**20
"""Bytes, some 250,000 records; beyond it the text begins anew."""

_new: list[str] = []


def known(record: str) -> bool:
    """Whether a record.json with this SHA-256 was found to agree with itself and its files."""
    return record in _known()


def remember(record: str) -> None:
    """Note one that agrees; all are written down when the process ends."""
    _new.append(record)
    _known().add(record)


@atexit.register
def keep() -> None:
    """Write down what is new. A cache that cannot be written is none."""
    if not _new:
        return
    with suppress(OSError):
        file = _file()
        file.parent.mkdir(parents=True, exist_ok=True)
        begin_anew = file.exists() and file.stat().st_size > LARGEST
        # One write at the end of the file: of several processes none writes into another's lines.
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
    root = os.environ.get("SPIKEGRAD_CACHE")
    folder = Path(root) if root else Path.home() / ".cache" / "spikegrad"
    rules = hashlib.sha256()
    for module in (evidence, predictions, anytime, run_columns):
        rules.update(Path(module.__file__ or "").read_bytes())
    return folder / f"checked-{rules.hexdigest()[:16]}.txt"
