"""Random numbers tied to a sample: a hash of (seed, epoch, id), not a stream.

A generator returns whatever number comes next, so the same image would be augmented differently in another
batch, in another order or after a resume. Here each number is computed from its purpose, for a whole batch at
once, and is the same on every machine and device.

Shapes: B samples in a batch, D draws per sample.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

GOLDEN = 0x9E3779B97F4A7C15
"""splitmix64's increment: 2**64 divided by the golden ratio, odd."""


def derive(seed: int, *purpose: str | int) -> int:
    """A seed for one purpose of one cell; streams for different purposes do not overlap in practice."""
    text = ":".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


@contextmanager
def drawing_from(seed: int, device: torch.device) -> Iterator[None]:
    """Within this block, all generators, including Python's and numpy's, start from a seed.

    On exit they return to their previous state.
    """
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def uniform(seed: int, epoch: int, ids: Tensor, draws: int) -> Tensor:
    """Numbers in [0, 1), float32 [B, D], on the device of `ids` (int64 [B]).

    A pure function of (seed, epoch, id, draw), independent of the rest of the batch. Numbers are multiples of
    2**-24, so floor(u * n) is below n for every whole n up to 2**24.

    splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014) gives
    random access to its stream. Here each level seeds the next: the seed's stream is indexed by epoch, that
    number's stream by id, and that one's by draw.
    """
    sample_keys = _output(torch.full_like(ids, _epoch_key(seed, epoch)), ids)
    bits = _output(sample_keys[:, None], torch.arange(draws, device=ids.device))
    return _shift_right(bits, 40).to(torch.float32) * 2.0**-24


@lru_cache(maxsize=8)
def _epoch_key(seed: int, epoch: int) -> int:
    """The key of an epoch, shared by all its samples."""
    return int(_output(torch.tensor(_signed(seed)), torch.tensor(epoch)))


def _output(seeds: Tensor, index: Tensor) -> Tensor:
    """Output `index`, counted from 0, of the splitmix64 streams that start at `seeds` (int64)."""
    # Signed products wrap modulo 2**64 like unsigned ones; only the shifts below differ.
    z = seeds + (index + 1) * _signed(GOLDEN)
    z = (z ^ _shift_right(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift_right(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shift_right(z, 31)


def _shift_right(z: Tensor, by: int) -> Tensor:
    """Logical right shift, filling with zeros: torch's own copies the sign."""
    return (z >> by) & ((1 << (64 - by)) - 1)


def _signed(value: int) -> int:
    """The int64 with the same 64 bits."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)
