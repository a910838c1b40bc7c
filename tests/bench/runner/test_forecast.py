"""How long a plan is said to take: from sizes, then from what has finished."""

import pytest
import shown_runs

from bench import registry
from bench.data.loading import Facts
from bench.runner import forecast
from bench.runner.engines.slots import Slots
from bench.runner.forecast import training_seconds
from bench.runner.plan import digests
from bench.runner.timing import times
from bench.runner.timing.network import USUAL
from bench.runner.workload import Workloads
from bench.suite import Cell

FOUND = registry.load()
PICTURES = Facts("x", (3, 32, 32), 10, "", train_samples=45_000)
QUIET = {"probe": "off", "descent": False}


def cell(recipe=(), measure=QUIET, timesteps=2, **profile):
    return Cell.model_validate(
        {
            "method": {"name": "rectangle"},
            "dataset": {"name": "cifar10"},
            "backbone": {"name": "resnet19", "neuron": "plif"},
            "timesteps": timesteps,
            "recipe": {"epochs": 6, "batch_size": 100, "learning_rate": 0.1, **dict(recipe)},
            "profile": {"device": "cuda", "compile": "off"} | profile,
            "measure": measure,
            "seed": 0,
        }
    )


def seconds(of, beside=0, known=PICTURES):
    return training_seconds(of, Workloads(FOUND).of(of, known), beside)


def test_a_real_training_took_about_as_long():
    """18 s an epoch of 45,000 pictures with two at once, 12 to 14 alone; compiling took 18 to 31 s."""
    real = cell(compile="neuron", autocast="bfloat16", channels_last=True)
    assert 11 < (seconds(real) - 30) / 6 < 14
    assert 17 < (seconds(real, beside=1) - 30) / 6 < 20


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_costs_more_is_said_to(device):
    plain = cell(device=device)
    small = seconds(plain)
    assert seconds(cell({"epochs": 12}, device=device)) == pytest.approx(2 * small)
    assert seconds(cell(timesteps=4, device=device)) > 1.4 * small
    tested = seconds(cell({"best_test_epoch": True}, device=device))
    assert 1.05 * small < tested < 1.1 * small
    ends, every = (seconds(cell(measure=QUIET | {"probe": p}, device=device)) for p in ("ends", "all"))
    assert small < ends < every < 1.05 * small
    # The test data: two or three forward passes of 10,000 beside 6 x 45,000 samples forward and back.
    load = Workloads(FOUND).of(plain, PICTURES)
    assert 1.02 * small < training_seconds(plain, load, tested=10_000) < 1.05 * small
    # In float64, on one thread of the CPU.
    assert seconds(cell(measure=QUIET | {"descent": True}, device=device)) > small + 600


def test_finite_differences_cost_many_passes():
    asked = {name: seconds(cell(measure=QUIET | {name: True})) for name in ("descent", "finite_differences")}
    assert asked["finite_differences"] > asked["descent"]


def test_threads_and_compiling_shorten_a_training_on_a_cpu():
    one, two = (seconds(cell(device="cpu", threads=n)) for n in (1, 2))
    assert two == pytest.approx(one / 2)
    assert seconds(cell(device="cpu", compile="step")) < seconds(cell(device="cpu", compile="neuron")) < one


def test_trainings_on_a_cpu_do_not_wait_for_each_other():
    assert seconds(cell(device="cpu"), beside=3) == seconds(cell(device="cpu"))


@pytest.fixture
def machine(monkeypatch):
    """machine(cores, gpus) -> this machine has these."""

    def have(cores=2, gpus=()):
        monkeypatch.setattr("torch.cuda.is_available", lambda: bool(gpus))
        monkeypatch.setattr(forecast, "of_machine", lambda jobs, cuda: Slots(jobs, cores, 64e9, gpus))

    return have


def test_before_a_first_cell_has_run_sizes_tell(tiny, make_plan, machine):
    machine(cores=2)
    plan = make_plan(tiny(seeds=[0, 1, 2, 3]))
    load = plan.workloads.of(plan.cells[0].cell, plan.cells[0].known)
    each = training_seconds(plan.cells[0].cell, load, tested=360)
    left = forecast.forecast(plan)
    assert (left.seconds, left.elapsed) == pytest.approx((4 * each, 2 * each + forecast.STARTING))
    assert left.at_once == 2 and "AMD EPYC" in left.basis


def test_cells_that_have_finished_tell_better(tiny, make_plan, machine):
    machine(cores=2)
    plan = make_plan(tiny(seeds=[0, 1, 2]))
    first = plan.cells[0]
    accuracies = dict.fromkeys(("test_accuracy", "test_accuracy_last", "val_accuracy"), 90.0)
    record = shown_runs.record(cell=first.cell.model_dump(), metrics=accuracies)
    plan.store.write(record | {"id": first.id, "digests": digests(first.cell, plan.registry), "seconds": 7.0})
    left = forecast.forecast(make_plan(plan.suite))
    assert left == forecast.Forecast(14.0, 2, 7.0 + forecast.STARTING, forecast.FINISHED)


def test_nothing_is_left_of_what_is_done(tiny, make_plan, machine):
    machine()
    plan = make_plan(tiny())
    nothing = forecast.forecast(type(plan)(**vars(plan) | {"cells": (done(plan.cells[0]),)}))
    assert (nothing.seconds, nothing.elapsed, nothing.at_once) == (0, 0, 1)


def done(planned):
    return type(planned)(**vars(planned) | {"state": "done"})


def test_of_a_network_that_cannot_be_built_nothing_is_said(tiny, make_plan, machine, monkeypatch):
    machine()
    monkeypatch.setattr(Workloads, "of", lambda *_: None)
    assert forecast.forecast(make_plan(tiny())) is None


def test_as_many_train_side_by_side_as_a_gpu_holds(tiny, make_plan, machine):
    suite = tiny(seeds=range(8), profile={"device": "cuda", "compile": "off"})
    machine(cores=16, gpus=[4e9])
    one = forecast.forecast(make_plan(suite))
    machine(cores=16, gpus=[4e9, 4e9])
    two = forecast.forecast(make_plan(suite))
    assert (one.at_once, two.at_once) == (3, 6), "of memory a fifth is left"
    assert "H200" in one.basis
    assert two.seconds == pytest.approx(one.seconds), "three share each"
    assert two.elapsed - forecast.STARTING == pytest.approx((one.elapsed - forecast.STARTING) / 2)


def test_of_a_gpu_that_is_not_here_one_at_a_time_is_told(tiny, make_plan, machine):
    machine(cores=16)
    plan = make_plan(tiny(seeds=range(8)), device="cuda", elsewhere=True)
    left = forecast.forecast(plan)
    assert left.at_once == 1 and left.elapsed == left.seconds + forecast.STARTING and "H200" in left.basis


def test_timings_take_as_long_as_their_rule_says(tiny, make_plan, machine, monkeypatch):
    machine()
    plan = make_plan(tiny(times=True))
    measured = times.expected(plan)
    assert [each.kind for each in measured] == ["inference", "training"]
    at = {}

    def steps_of(seconds):
        monkeypatch.setattr(forecast, "_step", lambda *_: seconds)
        at[seconds] = [forecast.timing_seconds(plan, [each]) - forecast.SETTING_UP for each in measured]

    for seconds in (0.0, 0.05, 1.0, 100.0):
        steps_of(seconds)
    assert at[0.0] == pytest.approx([2 * USUAL.seconds, USUAL.seconds]), "however quick a network is"
    # Two steps of a network before, warm-up, and what counts.
    assert at[0.05][1] == pytest.approx((2 + USUAL.warm + 20) * 0.05)
    assert at[1.0][1] == pytest.approx((2 + USUAL.warm + USUAL.least) * 1.0), "at least so many calls"
    assert at[100.0][1] == pytest.approx(300.0), "one step before, one call to warm up, one that counts"
    assert forecast.timing_seconds(plan, []) == 0
    monkeypatch.setattr(Workloads, "of", lambda *_: None)
    assert forecast.timing_seconds(plan, measured) is None


def test_a_timing_of_training_steps_includes_their_compilation(tiny, make_plan, machine):
    machine()
    eager, compiled = (
        {each.kind: forecast.timing_seconds(plan, [each]) for each in times.expected(plan)}
        for plan in (make_plan(tiny(times=True, profile={"compile": mode})) for mode in ("off", "step"))
    )
    assert compiled["inference"] == eager["inference"]
    # Measured were 13 to 17 s for a network of three spiking layers.
    assert 8 < compiled["training"] - eager["training"] < 20
