"""Decide which runs fit side by side, by CPU threads and by free memory of machine and GPUs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench.runner.gpus import Gpu

SHARE = 0.8
"""The share of the memory free at the start that runs can use."""
CONTEXT = 500 * 2**20
"""Bytes of GPU memory that each process holds in addition to its tensors: CUDA context and loaded kernels.

This is an assumption, not a measurement of this project: a round figure at the upper end of the 300 to 500 MB
that `nvidia-smi` commonly shows for a process with a one-element tensor.
"""
MEMORY_INFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Need:
    """The resources of one run.

    threads: CPU threads. memory: bytes, on the GPU if it runs on one; 0 if unknown. share: of the runs that
    the user allows side by side, how many it stands for.
    """

    threads: int = 1
    memory: float = 0.0
    cuda: bool = False
    share: int = 1

    def doubled(self) -> Need:
        """Of a run that gets twice the room."""
        return replace(self, threads=2 * self.threads, memory=2 * self.memory, share=2 * self.share)

    @property
    def whole(self) -> float:
        """Bytes of the whole process."""
        return self.memory + CONTEXT if self.cuda else self.memory


@dataclass(frozen=True)
class Slot:
    """A slot in use. gpu: the index of its GPU, None on the CPU."""

    need: Need
    gpu: int | None = None


@dataclass
class Slots:
    """The slots of this machine.

    jobs: the number of concurrent runs, whatever they need; None for as many as fit on the cores and in
    memory, at least one. memory: free bytes; gpus: free bytes of each GPU; closed: GPUs that get no new runs.
    """

    jobs: int | None
    cores: int
    memory: float
    gpus: Sequence[float] = ()
    taken: list[Slot] = field(default_factory=list)
    closed: set[int] = field(default_factory=set)

    def take(self, need: Need) -> Slot | None:
        """A slot for it, or None while others have to end first."""
        if not self.fits(need):
            return None
        self.taken.append(self._slot(need))
        return self.taken[-1]

    def fits(self, need: Need) -> bool:
        """Whether there is a slot for it now."""
        if need.cuda and self.gpus and not self._open():
            return False
        if self.jobs:
            return not self.taken or sum(slot.need.share for slot in self.taken) + need.share <= self.jobs
        return not self.taken or self._has_room(self._slot(need))

    def give_back(self, slot: Slot) -> None:
        """Free a slot."""
        self.taken.remove(slot)

    def close(self, gpu: int) -> None:
        """Start nothing more on this GPU."""
        self.closed.add(gpu)

    def reopen(self, gpu: int) -> None:
        """Allow runs to start on this GPU again."""
        self.closed.discard(gpu)

    def most(self, need: Need) -> int:
        """The number of runs with this need that fit side by side if nothing else runs."""
        if self.jobs:
            return max(1, self.jobs // need.share)
        by_cores = self.cores // need.threads
        # Each slot is on one GPU: remainders of two GPUs do not add up to a slot.
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
        """Bytes that are still available."""
        there = self.memory if gpu is None else self.gpus[gpu]
        return SHARE * there - sum(each.need.whole for each in self.taken if each.gpu == gpu)

    def _best(self, need: Need) -> int:
        """The open GPU with the most memory left; if the need is unknown, the one with the fewest runs."""

        def order(gpu: int) -> tuple[float, ...]:
            left, beside = self._left(gpu), sum(each.gpu == gpu for each in self.taken)
            # On ties, the first GPU.
            return (left, -gpu) if need.memory else (left >= need.whole, -beside, left, -gpu)

        return max(self._open(), key=order)

    def _open(self) -> list[int]:
        return [gpu for gpu in range(len(self.gpus)) if gpu not in self.closed]


def of_machine(jobs: int | None, gpus: Sequence[Gpu] = ()) -> Slots:
    """The slots of this machine and these GPUs."""
    return Slots(jobs, cores(), free_memory(), [gpu.free for gpu in gpus])


def cores() -> int:
    """The number of cores that this process can use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> float:
    """Bytes that a new process can use without taking memory from others; infinite if unknown."""
    if MEMORY_INFO.exists():
        lines = dict(line.split(":", 1) for line in MEMORY_INFO.read_text().splitlines() if ":" in line)
        if "MemAvailable" in lines:
            return float(lines["MemAvailable"].split()[0]) * 1024
    return float("inf")
