"""Checkpoints of a training run, from which it goes on after it was stopped.

A checkpoint is written at the end of an epoch if a minute has passed since the last one, so short runs write
none. The last two are kept in the folder of the run's record until it is finished. Each file begins with the
hash of the rest, which torch reads without pickle.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.files import write_atomic
from bench.records.store import CHECKPOINT

EVERY = 60.0
"""Seconds between two checkpoints, at least."""
KEPT = 2

State = dict[str, Any]


class Checkpoints:
    """The checkpoints of one cell.

    folder: that of its record. identity: everything that the numbers depend on; checkpoints of another
    identity are not used. notes: a sentence for each that could not be written or used. epochs: how many were
    trained before, in other processes, and seconds: how long they took there.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self._folder = folder
        self._identity = json.dumps(identity, sort_keys=True)
        self._written = time.monotonic()
        self._good: list[Path] = []
        self.notes: list[str] = []
        self.epochs, self.seconds = 0, 0.0

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._written >= EVERY

    def save(self, epoch: int, state: Callable[[], State]) -> None:
        """Keep the state after an epoch, counted from 0. If that fails, the training goes on without.

        state: gives it, of tensors, numbers, texts, lists and dictionaries.
        """
        buffer = BytesIO()
        try:
            torch.save({"identity": self._identity, **state()}, buffer)
            content = buffer.getvalue()
            file = self._folder / f"{epoch:06}{CHECKPOINT}"
            write_atomic(file, _digest(content) + content)
        except Exception as problem:
            # The disk can be full; and a method's state is its own.
            self.notes.append(f"no checkpoint after epoch {epoch + 1}: {_why(problem)}")
        else:
            self._good = [*self._good, file][-KEPT:]
            self._remove_but(self._good)
        self._written = time.monotonic()

    def __iter__(self) -> Iterator[State]:
        """The states, the latest first. Damaged ones and those of other code are left out, with a note."""
        for file in self._files():
            try:
                state = self._read(file)
            except Exception as problem:
                # torch's reader raises errors of many kinds for damaged files.
                self.refuse(file.name, problem)
            else:
                self._good = [file]
                yield state

    def refuse(self, name: str, problem: Exception) -> None:
        """Note why a checkpoint is not used."""
        self.notes.append(f"checkpoint {name} is not used: {_why(problem)}")

    def _remove_but(self, kept: Sequence[Path]) -> None:
        for file in set(self._files()) - {*kept}:
            with suppress(OSError):
                file.unlink()

    def _read(self, file: Path) -> State:
        content = file.read_bytes()
        head = len(_digest(b""))
        if content[:head] != _digest(content[head:]):
            raise ValueError("it is damaged")
        state: State = torch.load(BytesIO(content[head:]), map_location="cpu", weights_only=True)
        if state.pop("identity") != self._identity:
            raise ValueError("it was made with other code or on another machine")
        return state

    def _files(self) -> list[Path]:
        """The latest first."""
        return sorted(self._folder.glob(f"*{CHECKPOINT}"), reverse=True)


def generators(device: torch.device) -> State:
    """The state of all global random generators."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "python": random.getstate(),
        "numpy": (kind, [int(key) for key in keys], *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def set_generators(state: State, device: torch.device) -> None:
    """Put all global random generators into a state that `generators` returned."""
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode() + b"\n"


def _why(problem: Exception) -> str:
    return next(iter(str(problem).splitlines()), type(problem).__name__)
