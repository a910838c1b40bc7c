"""Which of several runs trains which cell of a suite, agreed by files in the suite's folder.

Nothing is needed of the file system but that creating a file exclusively works, so the folder can be on NFS.

Each run has a file in `.runners`, and renews its modification time. A run of this machine lives as long as
its process exists, one of another machine as long as the time of its file is recent. A claim is a file WHAT.N
in `.claims`, created exclusively, that holds the name of its run, and counts while that run lives. To take
over from a run that has ended is to create the next number, and then to look again: of several that do so at
the same time, at most one goes on. What a run that lives has claimed, only that run gives up.
"""

from __future__ import annotations

import os
import platform
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.errors import printable
from bench.files import owner_ended, owner_here, owner_mark

RUNNERS = ".runners"
CLAIMS = ".claims"
RENEWED = 10.0
"""Seconds between two signs of life of a run."""
STALE = 180.0
"""Seconds without a sign of life after which a run on another machine counts as ended."""
TIMES = "times"
"""The claim of the run that measures times."""
ALONE = ".alone"


@dataclass(frozen=True)
class Runner:
    """A run that works on a suite. alone: it lets no other run join. where: its machine and process."""

    name: str
    alone: bool
    where: str

    @property
    def owner(self) -> str:
        """The mark of its process; see `bench.files.owner_mark`."""
        return self.name.partition(".")[0]


class Claims:
    """What one run claims of a suite: join first, and leave at the end.

    alone: ask others not to join; see `Runner`.
    """

    def __init__(self, runs: Path, *, alone: bool = False) -> None:
        self.alone = alone
        self._runs = runs
        self._runners = runs / RUNNERS
        self._claims = runs / CLAIMS
        self._name = f"{owner_mark()}.{secrets.token_hex(4)}{ALONE * alone}"
        self._held: dict[str, Path] = {}
        self._leaving = threading.Event()
        self._pulse = threading.Thread(target=self._renew, name="sign of life", daemon=True)

    def join(self) -> None:
        """Announce this run to others. Raises OSError if that cannot be written."""
        self._runners.mkdir(parents=True, exist_ok=True)
        self._claims.mkdir(exist_ok=True)
        self._announce()
        self._pulse.start()
        if not self.others():
            self._clear()

    def leave(self) -> None:
        """Give up all claims, and say that this run has ended."""
        self._leaving.set()
        if self._pulse.is_alive():
            # It could write the file again; on a file system that hangs it does not return.
            self._pulse.join(RENEWED)
        for what in list(self._held):
            self.release(what)
        _remove(self._runners / self._name)

    def take(self, what: str) -> bool:
        """Claim something; False if another run has it, or tries to take it at this moment.

        Read the state of what is claimed only then: the run that had it before may have changed it. Raises
        OSError if the claim cannot be written.
        """
        if what in self._held:
            return True
        before = self._of(what)
        if any(map(self._counts, before)):
            return False
        mine = self._claims / f"{what}.{max(before.values(), default=0) + 1}"
        try:
            with mine.open("x", encoding="utf-8") as new:
                new.write(self._name)
        except FileExistsError:
            return False
        rest = [file for file in self._of(what) if file != mine]
        if any(map(self._counts, rest)):
            _remove(mine)
            return False
        for file in rest:
            _remove(file)
        self._held[what] = mine
        return True

    def release(self, what: str) -> None:
        """Give up a claim; nothing happens if it is not held."""
        if mine := self._held.pop(what, None):
            _remove(mine)

    def others(self) -> list[Runner]:
        """The other runs that live."""
        return [runner for runner in living(self._runs, self._now()) if runner.name != self._name]

    def theirs(self, *, here: bool = False) -> set[str]:
        """What other runs claim now; here: those on this machine."""
        now, lives = self._now(), dict[str, bool]()
        claimed = set()
        for file in _files(self._claims):
            what, number = _parts(file)
            owner = _text(file) if number else ""
            if owner == self._name or (here and not owner_here(owner)):
                continue
            if owner not in lives:
                lives[owner] = _lives(self._runners / owner, now)
            if lives[owner]:
                claimed.add(what)
        return claimed

    def _of(self, what: str) -> dict[Path, int]:
        """The claims of something, with their numbers."""
        return {
            file: number
            for file in _files(self._claims)
            for name, number in [_parts(file)]
            if name == what and number
        }

    def _counts(self, claim: Path) -> bool:
        return self._is_at_work(_text(claim))

    def _is_at_work(self, name: str) -> bool:
        return name == self._name or _lives(self._runners / name, self._now())

    def _now(self) -> float:
        """The time by the clock of the file system: those of two machines can differ."""
        try:
            return (self._runners / self._name).stat().st_mtime
        except OSError:
            return time.time()

    def _announce(self) -> None:
        (self._runners / self._name).write_text(f"{platform.node()}, process {os.getpid()}", encoding="utf-8")

    def _renew(self) -> None:
        while not self._leaving.wait(RENEWED):
            with suppress(OSError):
                try:
                    os.utime(self._runners / self._name)
                except FileNotFoundError:
                    # This machine slept, and another run removed what it took for left behind.
                    self._announce()

    def _clear(self) -> None:
        """Remove what ended runs have left, if no other run lives.

        Of two that do this, one could remove what the other has just put in the place of an old claim.
        """
        now = self._now()
        for file in _files(self._claims):
            with suppress(OSError):
                owner = _text(file)
                # Without a name in it, it may just be written by a run that joins now.
                if not self._is_at_work(owner) and (owner or now - file.stat().st_mtime > STALE):
                    _remove(file)
        for file in _files(self._runners):
            if not _lives(file, now):
                _remove(file)


def living(runs: Path, now: float | None = None) -> list[Runner]:
    """The runs that work on the suite whose records are in `runs`. now: the time; None for this machine's."""
    now = time.time() if now is None else now
    return [
        Runner(file.name, file.name.endswith(ALONE), printable(_text(file)))
        for file in sorted(_files(runs / RUNNERS))
        if _lives(file, now)
    ]


def _lives(runner: Path, now: float) -> bool:
    try:
        sign = runner.stat().st_mtime
    except (OSError, ValueError):
        return False
    ended = owner_ended(runner.name.partition(".")[0])
    return now - sign <= STALE if ended is None else not ended


def _parts(claim: Path) -> tuple[str, int]:
    """What a claim is for, and its number, from 1; 0 for other files."""
    what, _, number = claim.name.rpartition(".")
    return what, int(number) if number.isdecimal() else 0


def _files(folder: Path) -> list[Path]:
    try:
        return [*folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink()
