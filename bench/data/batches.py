"""The samples of a split as batches on the device, in the requested order.

Small splits are kept on the device as a whole. Threads read larger ones, and splits that stay in a file while
training on the CPU, a few batches ahead. The number of threads does not change any batch.

B samples in a batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from bench.data.frames import Stored
from bench.data.loading import Dataset, Split
from bench.suite import Profile

RESIDENT = 2 * 2**30
"""Maximum size in bytes of a split that is kept on the device."""
WORKERS = 2
"""Threads that read ahead; torch's reading and copying do not block the training thread."""

Batch = tuple[Tensor, Tensor, Tensor]


class Batches:
    """A split, for reading on one device. resident, workers: see RESIDENT and WORKERS."""

    def __init__(
        self, split: Split, device: torch.device, *, resident: int = RESIDENT, workers: int = WORKERS
    ) -> None:
        x = split.x
        # On the CPU a file needs no copy: the system caches what is read often.
        if isinstance(x, Stored) and device.type != "cpu" and x.nbytes <= resident:
            x = x[torch.arange(len(x))]
        if isinstance(x, Tensor) and x.nbytes <= resident:
            x = x.to(device)
        self._x, self._y, self._ids = x, split.y.to(device), split.ids.to(device)
        self._device = device
        self._workers = workers

    @property
    def ahead(self) -> bool:
        """Whether batches are read ahead instead of taken from the device's memory."""
        return isinstance(self._x, Stored) or self._x.device != self._y.device

    def of(self, chunks: Sequence[Tensor]) -> Iterator[Batch]:
        """(x [B, ...], labels [B], ids [B]) of each chunk of rows, in their order."""
        if not self.ahead:
            yield from self._resident(chunks)
            return
        with ThreadPoolExecutor(self._workers) as pool:
            waiting: deque[Future[Batch]] = deque()
            try:
                for rows in chunks:
                    waiting.append(pool.submit(self._read, rows))
                    if len(waiting) > 2 * self._workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def _resident(self, chunks: Sequence[Tensor]) -> Iterator[Batch]:
        if not chunks:
            return
        # Copy the whole order once: each copy makes the CPU wait for the GPU.
        order = torch.cat(list(chunks)).to(self._device)
        for rows in order.split([len(chunk) for chunk in chunks]):
            yield self._x[rows], self._y[rows], self._ids[rows]

    def _read(self, rows: Tensor) -> Batch:
        there = rows.to(self._device)
        x = self._x[rows]
        if self._device.type == "cuda":
            x = x.pin_memory()
        return x.to(self._device, non_blocking=True), self._y[there], self._ids[there]


def as_input(x: Tensor, dataset: Dataset, profile: Profile) -> Tensor:
    """Samples as network input: normalised as the dataset declares, in the profile's dtype."""
    x = dataset.normalise(x) if dataset.normalise is not None else x
    return x.to(getattr(torch, profile.dtype))
