"""Batches come in the order asked for, from memory and from a file, with any number of readers."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waits import META, waits

from bench.data.batches import Batches, as_input
from bench.data.frames import Part, frames
from bench.data.loading import Request, Split
from bench.suite import Profile

COUNT = 50
CPU = torch.device("cpu")


def plain() -> Split:
    x = torch.arange(COUNT * 6, dtype=torch.float32).view(COUNT, 2, 3)
    return Split(x, torch.arange(COUNT) % 4, torch.arange(COUNT) + 1000)


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Split:
    whole, folder = plain(), tmp_path_factory.mktemp("frames")
    part = Part(COUNT, lambda i: whole.x[i].numpy(), whole.y.numpy())
    kept = frames(Request(folder, 1, cache=folder), "toy", {}, [], (2, 3), "float32", lambda: {"all": part})
    return Split(kept["all"].x, kept["all"].y, whole.ids)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    chunks=st.lists(st.lists(st.integers(0, COUNT - 1), min_size=1, max_size=9), max_size=20),
    workers=st.integers(1, 5),
)
def test_batches_are_the_rows_asked_for_whatever_reads_them(stored, chunks, workers):
    rows = [torch.tensor(chunk) for chunk in chunks]
    whole = plain()
    for split in (whole, stored, stored_part(stored)):
        batches = Batches(split, CPU, workers=workers)
        found = list(batches.of(rows))
        assert len(found) == len(rows)
        for (x, y, ids), chosen in zip(found, rows, strict=True):
            assert torch.equal(x, whole.x[chosen])
            assert torch.equal(y, whole.y[chosen])
            assert torch.equal(ids, whole.ids[chosen])


def stored_part(split: Split) -> Split:
    """The same samples, as the rows of rows of a file."""
    backwards = torch.arange(COUNT).flip(0)
    return split.take(backwards).take(backwards)


def test_only_what_is_in_a_file_is_read_ahead(stored):
    assert not Batches(plain(), CPU).ahead
    assert Batches(stored, CPU).ahead


def test_no_batch_but_the_first_waits_for_the_device():
    stream = Batches(plain(), META).of(list(torch.arange(COUNT).split(7)))
    next(stream)
    with waits() as found:
        rest = list(stream)
    assert found == []
    assert [len(ids) for _, _, ids in rest] == [7] * 6 + [1]


def test_reading_stops_when_nobody_wants_more(stored):
    read = []

    batches = Batches(stored, CPU, workers=2)
    batches._read = lambda rows: read.append(int(rows[0])) or (rows, rows, rows)
    stream = batches.of(list(torch.arange(COUNT).split(1)))
    next(stream)
    stream.close()
    assert len(read) <= 10, "a few ahead, and not the rest"


def test_a_fault_while_reading_reaches_the_reader(stored):
    with pytest.raises(IndexError):
        list(Batches(stored, CPU).of([torch.tensor([0]), torch.tensor([COUNT])]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_network_takes_what_is_normalised_in_the_dtype_of_the_profile(dtype):
    profile = Profile(dtype=str(dtype).removeprefix("torch."))
    x = torch.arange(6, dtype=torch.uint8).view(2, 3)
    # Before the dtype changes: a dataset normalises what it stores.
    halves = SimpleNamespace(normalise=lambda given: given // 2)
    given = as_input(x, halves, profile)
    assert given.dtype == dtype
    assert given.tolist() == [[0, 0, 1], [1, 2, 2]]
    plain = as_input(x, SimpleNamespace(normalise=None), profile)
    assert plain.dtype == dtype
    assert torch.equal(plain, x.to(dtype))


@pytest.mark.needs_gpu
@pytest.mark.parametrize("resident", [0, 2**30])
def test_on_a_gpu(stored, resident):
    rows = list(torch.arange(COUNT).split(7))
    for split in (plain(), stored):
        found = list(Batches(split, torch.device("cuda"), resident=resident).of(rows))
        assert all(x.is_cuda and y.is_cuda for x, y, _ in found)
        assert np.array_equal(torch.cat([x for x, _, _ in found]).cpu(), plain().x)
