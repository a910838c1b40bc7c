"""The samples of a split as batches on the device, in the order that is asked for.

Small splits are on the device whole. Larger ones, and all that stay in a file while training is on the
CPU, are read by threads a few batches ahead; how many threads there are changes no batch.

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
"""Bytes that a split may take on the device to be kept there whole."""
WORKERS = 2
"""Threads that read ahead; torch's reading and copying let the training thread go on meanwhile."""

Batch = tuple[Tensor, Tensor, Tensor]


class Batches:
    """A split to be read on one device. resident, workers: see RESIDENT and WORKERS."""

    def __init__(
        self, split: Split, device: torch.device, *, resident: int = RESIDENT, workers: int = WORKERS
    ) -> None:
        x = split.x
        # In a file is in the memory of the CPU already: the system keeps what is read often.
        if isinstance(x, Stored) and device.type != "cpu" and x.nbytes <= resident:
            x = x[torch.arange(len(x))]
        if isinstance(x, Tensor) and x.nbytes <= resident:
            x = x.to(device)
        self._x, self._y, self._ids = x, split.y.to(device), split.ids.to(device)
        self._device = device
        self._workers = workers

    @property
    def ahead(self) -> bool:
        """Whether batches are read ahead, rather than taken from the device's memory."""
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
        # One copy of the whole order: a copy from the CPU makes it wait until the GPU is done.
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
    """Samples as the network takes them: normalised as the dataset says, in the profile's dtype."""
    x = dataset.normalise(x) if dataset.normalise is not None else x
    return x.to(getattr(torch, profile.dtype))
