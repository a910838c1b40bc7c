"""Who may run beside whom."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.runner.engines import slots
from bench.runner.engines.slots import CONTEXT, Need, Slots
from bench.runner.gpus import Gpu

GB = 1e9
UNKNOWN = Need(1, 0.0, cuda=True)


def room(jobs=None, cores=4, memory=10 * GB, gpus=()):
    return Slots(jobs, cores, memory, gpus)


def test_threads_fill_the_cores():
    here = room(cores=4)
    first, second = here.take(Need(3)), here.take(Need(1))
    assert first and second
    assert here.take(Need(1)) is None
    here.give_back(first)
    assert here.take(Need(4)) is None, "one is still taken"
    assert here.take(Need(2))


def test_memory_is_shared_out_and_some_of_it_kept():
    here = room(memory=10 * GB)
    assert here.take(Need(1, 5 * GB))
    assert here.take(Need(1, 4 * GB)) is None, "a fifth is kept"
    assert here.take(Need(1, 3 * GB))


@pytest.mark.parametrize("need", [Need(64), Need(1, 99 * GB), Need(64, 99 * GB, cuda=True)])
def test_one_training_always_has_a_place_and_is_then_alone(need):
    here = room(gpus=[8 * GB])
    assert here.take(need)
    assert here.take(need) is None


def test_a_number_of_jobs_is_kept_whatever_they_need():
    here = room(jobs=2, cores=1)
    assert [bool(here.take(Need(9, 99 * GB))) for _ in range(3)] == [True, True, False]


def test_gpus_are_filled_evenly_by_their_own_memory():
    here = room(cores=99, memory=0, gpus=[24 * GB, 80 * GB])
    need = Need(1, 16 * GB - CONTEXT, cuda=True)
    places = [here.take(need) for _ in range(6)]
    assert [place and place.gpu for place in places] == [1, 1, 1, 0, 1, None]
    here.give_back(places[3])
    assert here.take(need).gpu == 0


def test_a_full_gpu_does_not_hide_one_with_room():
    here = room(cores=99, gpus=[80 * GB, 24 * GB])
    need = Need(1, 20 * GB - CONTEXT, cuda=True)
    places = [here.take(Need(1, each * GB - CONTEXT, cuda=True)) for each in (50, 16)]
    assert [place.gpu for place in places] == [0, 1]
    here.give_back(places[1])
    assert here.take(Need(1, 16 * GB - CONTEXT, cuda=True)).gpu == 1, "of the first a fifth is kept"
    assert here.take(need) is None


def test_each_process_on_a_gpu_has_a_context_too():
    here = room(cores=99, gpus=[2.0 * CONTEXT / slots.SHARE])
    assert [bool(here.take(UNKNOWN)) for _ in range(3)] == [True, True, False]
    here = Slots(None, 32, 64 * GB, [8 * 2.0**30])
    assert here.most(Need(1, 10 * 2.0**20, cuda=True)) == 12


def test_trainings_that_need_nobody_knows_what_are_shared_out_by_their_number():
    here = room(cores=99, gpus=[24 * GB, 80 * GB])
    assert [here.take(UNKNOWN).gpu for _ in range(4)] == [1, 0, 1, 0]


def test_trainings_that_need_nobody_knows_what_go_where_a_context_has_room():
    here = room(cores=99, gpus=[CONTEXT, 80 * GB])
    assert [here.take(UNKNOWN).gpu for _ in range(3)] == [1, 1, 1]


def test_nothing_begins_on_a_closed_gpu_until_it_is_open_again():
    for here in (room(gpus=[8 * GB, 8 * GB]), room(jobs=4, gpus=[8 * GB, 8 * GB])):
        here.close(0)
        assert [here.take(UNKNOWN).gpu for _ in range(2)] == [1, 1]
        here.close(1)
        assert not here.fits(UNKNOWN)
        here.reopen(0)
        assert here.take(UNKNOWN).gpu == 0


def test_an_idle_machine_has_no_place_where_every_gpu_is_closed():
    here = room(gpus=[8 * GB])
    here.close(0)
    assert here.take(UNKNOWN) is None
    assert here.take(Need()), "a training on the CPU needs none"


def test_memory_that_nothing_tells_of_bounds_nothing():
    assert room(cores=4, memory=float("inf")).most(Need(1, GB)) == 4


def test_places_on_gpus_are_of_the_memory_that_is_free():
    gpus = [Gpu("0", 3 * GB, {"memory_mb": 80_000}), Gpu("2", 5 * GB, {"memory_mb": 80_000})]
    assert slots.of_machine(None, gpus).gpus == [3 * GB, 5 * GB]


def test_trainings_on_the_cpu_have_no_gpu():
    assert room(gpus=[GB]).take(Need()).gpu is None


@given(
    st.lists(st.builds(Need, st.integers(1, 8), st.floats(0, 20 * GB), st.booleans()), max_size=20),
    st.integers(1, 8),
    st.lists(st.floats(GB, 80 * GB), max_size=3),
)
def test_no_core_and_no_byte_is_given_twice(needs, cores, gpus):
    here = room(cores=cores, gpus=gpus)
    places = [place for need in needs if (place := here.take(need))]
    if len(places) > 1:
        assert sum(place.need.threads for place in places) <= cores
        for gpu, there in [(None, here.memory), *enumerate(gpus)]:
            beside = [p.need.whole for p in places if p.gpu == gpu]
            # One alone may need more than there is: it is let in, since nothing would ever free more.
            assert sum(beside) <= there or beside == [places[0].need.whole]
    for place in places:
        here.give_back(place)
    assert not here.taken


@pytest.mark.parametrize(
    ("here", "need", "most"),
    [
        (room(jobs=7, cores=1), Need(4), 7),
        (room(cores=5), Need(2), 2),
        (room(cores=2), Need(9), 1),
        (room(cores=8), Need(1, 3 * GB), 2),
        (room(cores=8, gpus=[40 * GB, 40 * GB]), Need(1, 15 * GB, cuda=True), 4),
        (room(cores=8, gpus=[30 * GB, 30 * GB]), Need(1, 15 * GB, cuda=True), 2),
        (room(cores=8, gpus=[8 * GB, 8 * GB]), UNKNOWN, 8),
    ],
)
def test_how_many_of_a_kind_run_at_a_time(here, need, most):
    assert here.most(need) == most
    if here.jobs is None:
        taken = 0
        while here.take(need):
            taken += 1
        assert taken == most


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3, 5}, raising=False)
    assert slots.cores() == 3


def test_free_memory_is_what_the_system_says(tmp_path, monkeypatch):
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:       1000 kB\nMemAvailable:    600 kB\n")
    monkeypatch.setattr(slots, "MEMORY_INFO", told)
    assert slots.free_memory() == 600 * 1024
    told.write_text("MemTotal: 1000 kB\n")
    assert slots.free_memory() == float("inf")
    told.unlink()
    assert slots.free_memory() == float("inf")


def test_a_run_in_twice_the_room_counts_twice():
    need = Need(threads=1, memory=10.0)
    assert need.doubled() == Need(threads=2, memory=20.0, share=2)
    slots = Slots(jobs=3, cores=8, memory=1e9)
    assert slots.most(need.doubled()) == 1 and slots.most(need) == 3
    slots.take(need.doubled())
    assert slots.fits(need) and not slots.fits(need.doubled())
    assert Slots(jobs=1, cores=8, memory=1e9).fits(need.doubled()), "alone it always fits"
