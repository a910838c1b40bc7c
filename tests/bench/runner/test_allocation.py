"""What is asked of a scheduler for a plan."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from bench.errors import BenchError
from bench.runner import allocation as module
from bench.runner.allocation import allocation
from bench.runner.engines.slurm import script


@pytest.fixture
def made(tiny, make_plan):
    return make_plan(tiny(seeds=list(range(10))))


@pytest.fixture
def seconds(monkeypatch):
    """seconds(x): the estimate of each training."""

    def set_to(each):
        monkeypatch.setattr(module, "training_seconds", lambda *_, **__: each)

    return set_to


def test_short_trainings_share_a_task(made, seconds):
    seconds(10)
    assert allocation(made, 4).tasks == 1
    assert allocation(made, 4).minutes == 240


def test_long_ones_get_more_tasks_but_no_more_than_there_are(made, seconds):
    seconds(3600)
    assert allocation(made, 4).tasks == 6, "ten hours, perhaps twenty, in tasks of not quite four"
    assert allocation(made, 1).tasks == 10
    assert allocation(made, 1).minutes == 2 * 60 + 7, "twice the estimate of the longest fits"


def test_more_than_slurm_takes_is_not_asked_for(made, seconds):
    seconds(24 * 3600)
    many = replace(made, cells=made.cells * 200)
    assert allocation(many, 4).tasks == module.MOST_TASKS


def test_without_an_estimate_each_training_gets_a_task(made, monkeypatch):
    monkeypatch.setattr(type(made.workloads), "of", lambda *_: None)
    assert allocation(made, 4).tasks == 10 and allocation(made, 4).minutes == 240


def test_memory_follows_the_network(made, monkeypatch, seconds):
    seconds(1)
    small = allocation(made, 4)
    monkeypatch.setattr(type(made.workloads), "of", lambda *_: SimpleNamespace(memory=10 * module.GIB))
    assert allocation(made, 4).gib == small.gib - 1 + 20


def test_a_gpu_is_asked_for_and_shared(tiny, make_plan):
    made = make_plan(tiny(), device="cuda", elsewhere=True)
    text = script(made, ["tiny.toml"], 4)
    assert "#SBATCH --gres=gpu:1\n" in text and "#SBATCH --cpus-per-task=4\n" in text
    assert "--jobs" not in text
    assert "--gres" not in script(make_plan(tiny()), ["tiny.toml"], 4)


def test_several_trainings_at_a_time_need_several_times_as_much(made, seconds):
    seconds(3600)
    one, three = allocation(made, 4), allocation(made, 4, jobs=3)
    assert (three.cpus, three.tasks) == (3 * one.cpus, one.tasks / 3) and three.gib > 2 * one.gib
    assert " --jobs 3 --device cpu --no-times " in script(made, ["tiny.toml"], 4, 3)
    assert " --jobs 1 --device cpu --no-times " in script(made, ["tiny.toml"], 4)


def test_the_longest_finished_training_fits(made):
    done = [{"status": "ok", "seconds": seconds} for seconds in (10, 7200)]
    cells = [replace(cell, state="done", record=r) for cell, r in zip(made.cells, done, strict=False)]
    asked = allocation(replace(made, cells=(*cells, *made.cells[2:])), 1)
    assert asked.minutes == 4 * 60 + 7


def test_a_folder_of_the_users_is_not_taken_for_the_package(made, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert " -P -m bench run " in script(made, ["tiny.toml"], 4)
    monkeypatch.chdir(module.PACKAGE.parent)
    assert " -P " not in script(made, ["tiny.toml"], 4)


def test_nothing_to_run_is_a_sentence(made):
    with pytest.raises(BenchError, match="nothing of tiny is left to run"):
        allocation(replace(made, cells=()), 4)
