"""Numbers per sample against splitmix64 written with Python's own integers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.randomness import _output, derive, uniform

MASK = 2**64 - 1
INT64 = st.integers(-(2**63), 2**63 - 1)


def splitmix64(start: int):
    """Vigna's reference code, https://prng.di.unimi.it/splitmix64.c."""
    state = start & MASK
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def number(start: int, index: int) -> int:
    stream = splitmix64((start + index * 0x9E3779B97F4A7C15) & MASK)
    return next(stream)


def test_published_numbers():
    """The test vector for seed 1234567 that circulates with the algorithm (Rosetta Code)."""
    known = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    stream = splitmix64(1234567)
    assert [next(stream) for _ in known] == known
    ours = _output(torch.tensor(1234567), torch.arange(5))
    assert [int(n) & MASK for n in ours] == known


@given(seed=INT64, epoch=st.integers(0, 10**6), ids=st.lists(INT64, min_size=1, max_size=5))
def test_equals_plain_integers(seed, epoch, ids):
    ours = uniform(seed, epoch, torch.tensor(ids), draws=3)
    assert ours.dtype == torch.float32
    for row, sample in zip(ours, ids, strict=True):
        key = number(number(seed, epoch), sample)
        stream = splitmix64(key)
        assert row.tolist() == [(next(stream) >> 40) / 2**24 for _ in range(3)]


@given(ids=st.lists(INT64, min_size=2, max_size=20, unique=True), data=st.data())
def test_batch_does_not_matter(ids, data):
    whole = uniform(1, 2, torch.tensor(ids), draws=2)
    order = data.draw(st.permutations(range(len(ids))))[: len(ids) // 2 + 1]
    assert torch.equal(uniform(1, 2, torch.tensor(ids)[order], draws=2), whole[order])


def test_more_draws_begin_with_the_same():
    ids = torch.arange(10)
    assert torch.equal(uniform(0, 0, ids, draws=7)[:, :3], uniform(0, 0, ids, draws=3))


@given(n=st.integers(1, 2**24))
def test_whole_numbers_stay_below_n(n):
    largest = torch.tensor(1 - 2.0**-24)
    assert (largest * n).long() <= n - 1


@pytest.mark.parametrize("vary", ["seed", "epoch", "id", "draw"])
def test_looks_uniform_and_independent(vary):
    """Along each argument: moments of the uniform distribution, no correlation of neighbours."""
    count = 20_000
    one = torch.tensor([5])
    values = (
        {
            "seed": lambda: torch.cat([uniform(s, 1, one, 1) for s in range(count // 10)]),
            "epoch": lambda: torch.cat([uniform(1, e, one, 1) for e in range(count // 10)]),
            "id": lambda: uniform(1, 1, torch.arange(count), 1),
            "draw": lambda: uniform(1, 1, one, count),
        }[vary]()
        .flatten()
        .double()
        .numpy()
    )
    error = 4 / len(values) ** 0.5
    assert values.min() >= 0 and values.max() < 1
    assert abs(values.mean() - 0.5) < error * 12**-0.5
    assert abs(values.var() - 1 / 12) < error * 180**-0.5
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < error
    assert len(np.unique(values)) > 0.99 * len(values)


def test_streams_of_different_purposes_have_different_seeds():
    purposes = [("weights",), ("method",), ("order", 0), ("order", 1), ("search", 0)]
    seeds = [derive(s, *p) for s in (0, 1, 10) for p in purposes]
    assert len(set(seeds)) == len(seeds)
    assert derive(0, "weights") == 15930457594142475  # published seeds must stay what they are
