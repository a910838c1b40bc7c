"""What is to be timed: each thing once, and only what is not there."""

import os
from unittest.mock import Mock

import pytest
import shown_runs
import torch

from bench import api, registry
from bench.errors import BenchError
from bench.paths import suites_folder
from bench.records.timings import TIMING_VERSION, Timings
from bench.runner.gpus import Gpu
from bench.runner.plan import digests
from bench.runner.timing import times

GRADIENT = ["rectangle", "triangle", "sigmoid", "arctan", "fast-sigmoid", "gaussian"]


@pytest.fixture
def pending(make_plan, tiny):
    """pending(suite changes...) -> (plan, what is to be timed if all trainings worked)."""

    def make(**changes):
        made = make_plan(tiny(times=True) if not changes else tiny(**{"times": True, **changes}))
        return made, times.pending(made, worked=[planned.id for planned in made.cells])

    return make


def kinds(measurements):
    return sorted((m.kind, m.forward, m.cell.method.name) for m in measurements)


def finish(made, measurements, **changes):
    kept = Timings(made.store.results, made.suite.name)
    for measurement in measurements:
        kept.write(measurement.timing({"status": "ok", "error": None, "metrics": {}} | changes))


def test_methods_that_change_the_gradient_share_one_forward_pass(pending):
    _, found = pending(methods=GRADIENT, seeds=[0, 1, 2])
    assert kinds(found) == sorted(
        [("inference", "spiking", "rectangle"), *(("training", "spiking", name) for name in GRADIENT)]
    )
    assert [m.kind for m in found] == ["inference"] + ["training"] * len(GRADIENT)


def test_what_is_not_plain_spikes_is_apart(pending):
    _, found = pending(methods=["rectangle", "trsg", "ann-relu"])
    assert [kind for kind in kinds(found) if kind[0] == "inference"] == [
        ("inference", "own", "trsg"),
        ("inference", "reference", "ann-relu"),
        ("inference", "spiking", "rectangle"),
    ]


def test_networks_data_and_steps_are_apart_and_recipes_share_inference(pending):
    _, found = pending(timesteps=[2, 3], backbones=["mlp", {"name": "mlp", "norm": "bn"}])
    assert len(found) == 4 + 4
    recipe = {"epochs": 1, "batch_size": 16, "learning_rate": 0.01}
    (_, shared), (_, other) = pending(), pending(recipe=recipe)
    assert shared[0].id == other[0].id and shared[1].id != other[1].id


def test_the_digest_of_a_method_is_that_of_its_own_forward_pass_only(pending):
    _, found = pending(methods=["rectangle", "trsg", "ann-relu"])
    for m in found:
        assert ("method" in m.digests) == ((m.kind, m.forward) != ("inference", "spiking"))


def test_what_did_not_train_is_not_timed(make_plan, tiny):
    made = make_plan(tiny(methods=["rectangle", "trsg"], times=True))
    worked = [p.id for p in made.cells if p.cell.method.name == "rectangle"]
    assert {m.cell.method.name for m in times.pending(made, worked=worked)} == {"rectangle"}
    assert times.pending(made, worked=[]) == []


def test_nothing_is_timed_where_the_suite_says_so(pending):
    assert pending(times=False)[1] == []


@pytest.mark.parametrize(
    ("status", "left", "with_retry"),
    [("ok", 0, 0), ("failed", 0, 2), ("oom", 2, 2), ("timeout", 2, 2), ("interrupted", 2, 2)],
)
def test_what_is_final(pending, status, left, with_retry):
    made, found = pending()
    finish(made, found, status=status)
    worked = [planned.id for planned in made.cells]
    assert len(times.pending(made, worked=worked)) == left
    assert len(times.pending(made, worked=worked, retry=True)) == with_retry


@pytest.mark.parametrize("part", ["backbone", "dataset", "harness", "libraries", "method", "timing"])
def test_what_is_of_other_code_is_timed_again(pending, part):
    made, found = pending()
    finish(made, found)
    for m in found:
        stale = m.timing({"status": "ok", "error": None, "metrics": {}})
        if part in m.digests:
            stale["digests"] = {**m.digests, part: "another"}
        Timings(made.store.results, made.suite.name).write(stale)
    # The method is no part of the forward pass that is shared.
    assert len(pending()[1]) == (1 if part == "method" else 2)


def test_digests_are_those_of_records(pending):
    made, found = pending()
    expected = digests(made.cells[0].cell, registry.load())
    assert found[1].digests == expected | {"timing": f"timing {TIMING_VERSION}"}


def test_expected_leaves_out_what_has_failed_for_good(make_plan, tiny):
    suite = tiny(methods=["rectangle", "trsg"], times=True)
    made = make_plan(suite)
    assert len(times.expected(made)) == 4
    failing = next(p for p in made.cells if p.cell.method.name == "trsg")
    record = shown_runs.record(cell=failing.cell.model_dump(), status="failed", metrics={}) | {
        "id": failing.id,
        "digests": digests(failing.cell, made.registry),
    }
    made.store.write(record)
    assert len(times.expected(make_plan(suite))) == 2
    assert len(times.expected(make_plan(suite, retry=True), retry=True)) == 4


def test_whether_there_are_times_is_what_the_suite_says_unless_told(tmp_path):
    text = (suites_folder() / "smoke.toml").read_text()
    for said in (True, False):
        suite = tmp_path / f"{said}.toml"
        suite.write_text(text.replace('name = "smoke"', f'name = "mine"\ntimes = {str(said).lower()}'))
        for told in (None, True, False):
            plan = api.make_plan(str(suite), results=tmp_path / "r", times=told)
            assert plan.suite.times == (said if told is None else told)


# --- on GPUs ---

SMALL = Gpu("0", 8e9, {"name": "NVIDIA A", "memory_mb": 81_920})
FULL = Gpu("1", 1e9, {"name": "NVIDIA B", "memory_mb": 81_920})
EMPTY = Gpu("2", 80e9, {"name": "NVIDIA B", "memory_mb": 81_920})


@pytest.fixture
def on_gpus(make_plan, tiny, monkeypatch):
    """on_gpus(GPUs that can be used or the error, the GPU that trained) -> what is to be timed."""

    def make(gpus, trained_on=None):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(times, "usable_gpus", Mock(side_effect=[gpus]))
        made = make_plan(tiny(times=True, profile={"device": "cuda", "compile": "off"}))
        (planned,) = made.cells
        if trained_on is not None:
            record = shown_runs.record(cell=planned.cell.model_dump()) | {"id": planned.id}
            record["environment"] = record["environment"] | {"gpu": trained_on}
            made.store.write(record)
        return times.pending(made, worked=[planned.id])

    return make


def test_a_cell_is_timed_on_the_emptiest_gpu_of_the_kind_that_trained_it(on_gpus):
    for found in on_gpus([SMALL, FULL, EMPTY], trained_on=FULL.about):
        assert found.gpu == EMPTY
        assert (found.hardware, found.environment["gpu"]) == ("NVIDIA B", EMPTY.about)
    for found in on_gpus([SMALL, FULL, EMPTY], trained_on={"name": "NVIDIA A", "memory_mb": 81_920}):
        assert found.gpu == SMALL


def test_a_cell_that_no_gpu_here_trained_is_timed_on_the_emptiest(on_gpus):
    assert {found.gpu.visible for found in on_gpus([SMALL, EMPTY, FULL])} == {"2"}
    assert {found.gpu.visible for found in on_gpus([SMALL, FULL], trained_on={"name": "NVIDIA C"})} == {"0"}


def test_where_no_gpu_can_be_used_nothing_is_timed_and_the_reason_is_said(on_gpus, capsys):
    assert on_gpus(BenchError("no GPU can be used: gone")) == []
    assert capsys.readouterr().err == "warning: nothing is timed: no GPU can be used: gone\n"


def test_no_gpu_is_asked_where_nothing_has_trained_or_all_is_on_the_cpu(make_plan, tiny, monkeypatch):
    def ask():
        raise AssertionError("asked")

    monkeypatch.setattr(times, "usable_gpus", ask)
    made = make_plan(tiny(times=True))
    assert times.pending(made, worked=[planned.id for planned in made.cells])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    made = make_plan(tiny(times=True, profile={"device": "cuda", "compile": "off"}))
    assert times.pending(made, worked=[]) == []


def test_what_is_timed_sees_its_gpu_only(on_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    monkeypatch.setattr(times, "measure", lambda _: {"seen": os.environ["CUDA_VISIBLE_DEVICES"]})
    outcome = times.attempt(times.TimingJob(on_gpus([SMALL, EMPTY])[0], (), None))
    assert outcome["metrics"] == {"seen": "2"}
