"""Who may run beside whom: threads shared out over cores, and memory of machine and GPUs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SHARE = 0.8
"""Of the memory that is free at the start, so much is handed out."""
MEMORY_INFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Need:
    """What one training takes. threads: of the CPU. memory: bytes, on the GPU if it runs on one."""

    threads: int = 1
    memory: float = 0.0
    cuda: bool = False


@dataclass(frozen=True)
class Slot:
    """A place that was taken. gpu: the index of its GPU, None on the CPU."""

    need: Need
    gpu: int | None = None


@dataclass
class Slots:
    """The places of this machine.

    jobs: so many trainings at a time whatever they need; None for as many as cores and memory hold, and
    never less than one. memory: free bytes; gpus: of each GPU.
    """

    jobs: int | None
    cores: int
    memory: float
    gpus: Sequence[float] = ()
    taken: list[Slot] = field(default_factory=list)

    def take(self, need: Need) -> Slot | None:
        """A place for it, or None as long as others have to end first."""
        if not self.fits(need):
            return None
        self.taken.append(self._slot(need))
        return self.taken[-1]

    def fits(self, need: Need) -> bool:
        """Whether there is a place for it now."""
        if self.jobs:
            return len(self.taken) < self.jobs
        return not self.taken or self._has_room(self._slot(need))

    def give_back(self, slot: Slot) -> None:
        """Free a place."""
        self.taken.remove(slot)

    def most(self, need: Need) -> int:
        """How many of such trainings run at a time when nothing else does."""
        if self.jobs:
            return self.jobs
        by_cores = self.cores // need.threads
        memory = sum(self.gpus) if need.cuda and self.gpus else self.memory
        by_memory = int(SHARE * memory // need.memory) if need.memory else by_cores
        return max(1, min(by_cores, by_memory))

    def _slot(self, need: Need) -> Slot:
        return Slot(need, self._emptiest() if need.cuda and self.gpus else None)

    def _has_room(self, slot: Slot) -> bool:
        threads = sum(each.need.threads for each in self.taken)
        beside = sum(each.need.memory for each in self.taken if each.gpu == slot.gpu)
        there = self.memory if slot.gpu is None else self.gpus[slot.gpu]
        return threads + slot.need.threads <= self.cores and beside + slot.need.memory <= SHARE * there

    def _emptiest(self) -> int:
        def free(gpu: int) -> float:
            return self.gpus[gpu] - sum(each.need.memory for each in self.taken if each.gpu == gpu)

        # The first of equals.
        return max(range(len(self.gpus)), key=lambda gpu: (free(gpu), -gpu))


def of_machine(jobs: int | None, *, cuda: bool) -> Slots:
    """The places of this machine, with GPUs where they are asked for."""
    import torch

    count = torch.cuda.device_count() if cuda else 0
    gpus = [float(torch.cuda.get_device_properties(i).total_memory) for i in range(count)]
    return Slots(jobs, cores(), free_memory(), gpus)


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
