"""Who may run beside whom: threads shared out over cores, and free memory of machine and GPUs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.run.gpus import Gpu

SHARE = 0.8
"""Of the memory that is free at the start, so much is handed out."""
CONTEXT = 500 * 2**20
"""Bytes of a GPU that each process holds beside its tensors, for its CUDA context and loaded kernels.

An assumption, and no measurement of this project: a round figure at the upper end of the 300 to 500 MB that
`nvidia-smi` commonly shows for a process with a tensor of one number.
"""
MEMORY_INFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Need:
    """What one training takes.

    threads: of the CPU. memory: bytes, on the GPU if it runs on one; 0 where it is not known.
    """

    threads: int = 1
    memory: float = 0.0
    cuda: bool = False

    @property
    def whole(self) -> float:
        """Bytes of its process."""
        return self.memory + CONTEXT if self.cuda else self.memory


@dataclass(frozen=True)
class Slot:
    """A place that was taken. gpu: the index of its GPU, None on the CPU."""

    need: Need
    gpu: int | None = None


@dataclass
class Slots:
    """The places of this machine.

    jobs: so many trainings at a time whatever they need; None for as many as cores and memory hold, and
    never less than one. memory: free bytes; gpus: of each GPU; closed: those that nothing may begin on.
    """

    jobs: int | None
    cores: int
    memory: float
    gpus: Sequence[float] = ()
    taken: list[Slot] = field(default_factory=list)
    closed: set[int] = field(default_factory=set)

    def take(self, need: Need) -> Slot | None:
        """A place for it, or None as long as others have to end first."""
        if not self.fits(need):
            return None
        self.taken.append(self._slot(need))
        return self.taken[-1]

    def fits(self, need: Need) -> bool:
        """Whether there is a place for it now."""
        if need.cuda and self.gpus and not self._open():
            return False
        if self.jobs:
            return len(self.taken) < self.jobs
        return not self.taken or self._has_room(self._slot(need))

    def give_back(self, slot: Slot) -> None:
        """Free a place."""
        self.taken.remove(slot)

    def close(self, gpu: int) -> None:
        """Let nothing more begin on this GPU."""
        self.closed.add(gpu)

    def reopen(self, gpu: int) -> None:
        """Let trainings begin on it again."""
        self.closed.discard(gpu)

    def most(self, need: Need) -> int:
        """How many of such trainings run at a time when nothing else does."""
        if self.jobs:
            return self.jobs
        by_cores = self.cores // need.threads
        # Each place lies on one GPU: what is left over on two of them makes no place more.
        shares = [self.gpus[gpu] for gpu in self._open()] if need.cuda and self.gpus else [self.memory]
        if not need.whole or float("inf") in shares:
            return max(1, by_cores)
        return max(1, min(by_cores, sum(int(SHARE * share // need.whole) for share in shares)))

    def _slot(self, need: Need) -> Slot:
        return Slot(need, self._best(need) if need.cuda and self.gpus else None)

    def _has_room(self, slot: Slot) -> bool:
        threads = sum(each.need.threads for each in self.taken)
        return threads + slot.need.threads <= self.cores and slot.need.whole <= self._left(slot.gpu)

    def _left(self, gpu: int | None) -> float:
        """Bytes that may still be handed out."""
        there = self.memory if gpu is None else self.gpus[gpu]
        return SHARE * there - sum(each.need.whole for each in self.taken if each.gpu == gpu)

    def _best(self, need: Need) -> int:
        """The open GPU with most left; where it is not known what is needed, that with fewest trainings."""

        def order(gpu: int) -> tuple[float, ...]:
            left, beside = self._left(gpu), sum(each.gpu == gpu for each in self.taken)
            # The first of equals.
            return (left, -gpu) if need.memory else (left >= need.whole, -beside, left, -gpu)

        return max(self._open(), key=order)

    def _open(self) -> list[int]:
        return [gpu for gpu in range(len(self.gpus)) if gpu not in self.closed]


def of_machine(jobs: int | None, gpus: Sequence[Gpu] = ()) -> Slots:
    """The places of this machine, and of those GPUs."""
    return Slots(jobs, cores(), free_memory(), [gpu.free for gpu in gpus])


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> float:
    """Bytes that a new process can have without others giving up theirs; infinite where nothing tells."""
    if MEMORY_INFO.exists():
        lines = dict(line.split(":", 1) for line in MEMORY_INFO.read_text().splitlines() if ":" in line)
        if "MemAvailable" in lines:
            return float(lines["MemAvailable"].split()[0]) * 1024
    return float("inf")
