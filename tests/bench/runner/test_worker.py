"""One cell in a worker: whatever happens, it becomes the outcome of a record."""

import json
import traceback
from dataclasses import replace

import pytest
import torch

from bench import registry
from bench.runner import worker
from bench.runner.engines import child
from bench.suite import RECORD_SCHEMA

SICK = """
import torch

class Sick(Surrogate):
    shape = staticmethod(torch.ones_like)
    def on_epoch(self, progress):
        if progress == 1:
            self.fail()

@method("raises", paper="none")
class Raises(Sick):
    def fail(self): raise ValueError("of two\\nlines")

@method("recurses", paper="none")
class Recurses(Sick):
    def fail(self): self.fail()

@method("memory", paper="none")
class Memory(Sick):
    def fail(self): raise MemoryError("too much")

@method("cuda-memory", paper="none")
class CudaMemory(Sick):
    def fail(self): raise torch.cuda.OutOfMemoryError("too much")

@method("nan", paper="none")
class Nan(Surrogate):
    shape = staticmethod(torch.ones_like)
    def emit(self, s, t): return s * float("nan")

@method("no-text", paper="none")
class NoText(Sick):
    def fail(self): raise ValueError("\\udcff")

@method("shy", paper="none")
class Shy(Surrogate):
    shape = staticmethod(torch.ones_like)
    def spike(self, x, t, params, noise):
        if self.site.neuron.observer is not None or x.dtype == torch.float64:
            raise ValueError("\\udcff")
        return super().spike(x, t, params, noise)
"""


@pytest.fixture(autouse=True)
def _torch_as_it_was():
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def attempt(tiny, make_plan, write_plugin):
    """attempt("raises") -> (the planned cell, its outcome)."""

    def make(name, checksum=None):
        plan = make_plan(tiny(methods=[name], measure={}), plugins=[write_plugin(SICK)])
        (planned,) = plan.cells
        store = plan.store
        job = worker.Job(
            (planned.cell,),
            replace(planned.known, checksum=checksum or planned.known.checksum),
            store.results,
            store.suite,
            plan.plugins,
            plan.data_root,
        )
        return planned, worker.attempt(planned.cell, job, plan.registry, lambda *_: None)

    return make


def test_a_finished_cell(attempt):
    _, outcome = attempt("rectangle")
    assert (outcome["status"], outcome["error"], outcome["traceback"]) == ("ok", None, None)
    assert 0 <= outcome["metrics"]["test_accuracy"] <= 100
    assert [row["epoch"] for row in outcome["epochs"]] == [0, 1]
    assert {row["epoch"] for row in outcome["layers"]} == {0, 2}
    assert outcome["unmeasured"] == {}
    assert outcome["started"] <= outcome["ended"]
    assert outcome["seconds"] > 0
    assert outcome.pop("predictions").accuracy == outcome["metrics"]["test_accuracy"]
    json.dumps(outcome, allow_nan=False)


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        ("raises", "failed", "ValueError: of two\nlines"),
        ("recurses", "failed", "RecursionError: maximum recursion depth exceeded"),
        ("memory", "oom", "MemoryError: too much"),
        ("cuda-memory", "oom", "OutOfMemoryError: too much"),
        ("nan", "diverged", "the training loss became nan in epoch 1 of 2"),
    ],
)
def test_what_goes_wrong_has_a_status_and_a_reason(attempt, name, status, error):
    _, outcome = attempt(name)
    assert outcome["status"] == status
    assert outcome["error"].startswith(error)
    assert (outcome["metrics"], outcome["epochs"], outcome["layers"]) == ({}, [], [])
    if status == "diverged":
        assert outcome["traceback"] is None
    else:
        assert 1 < len(outcome["traceback"]) <= child.LINES
        assert any("plugin.py" in line for line in outcome["traceback"])
    json.dumps(outcome, allow_nan=False)


def test_a_reason_that_is_no_text_can_still_be_written(attempt):
    _, outcome = attempt("no-text")
    outcome["error"].encode()
    "".join(outcome["traceback"]).encode()


def test_what_could_not_be_looked_at_is_said_in_a_record_that_is_ok(attempt):
    _, outcome = attempt("shy")
    assert outcome["status"] == "ok"
    assert outcome["metrics"]["test_accuracy"] > 0
    assert outcome["unmeasured"] == dict.fromkeys(("gradients", "descent", "cost"), "ValueError: \\udcff")
    assert outcome["layers"] == []


def test_data_that_changed_since_the_plan_is_a_failure(attempt):
    _, outcome = attempt("rectangle", checksum="of-other-data")
    assert outcome["status"] == "failed"
    assert "checksum" in outcome["error"]
    assert "of-other-data" in outcome["error"]


def test_an_interruption_comes_through(attempt, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(traceback, "format_exception", interrupted)
    with pytest.raises(KeyboardInterrupt):
        attempt("raises")


def test_what_a_record_says_before_the_outcome(tiny, make_plan):
    plan = make_plan(
        tiny(
            methods=[{"name": "rectangle", "params": {"width": 2}}],
            backbones=[{"name": "mlp", "threshold": 1.0}],
        )
    )
    (planned,) = plan.cells
    record = worker.make_record(planned.cell, planned.known, plan.registry)
    assert (record["schema"], record["id"]) == (RECORD_SCHEMA, planned.id)
    assert record["configuration"] == planned.configuration
    # At a threshold of 1, 2 is the rectangle's default width.
    assert record["variant"] == "backbone.threshold=1 subset=200"
    assert record["cell"]["method"]["params"] == {"width": 2.0, "height": None}
    assert record["method"]["kind"] == "fixed"
    assert record["data"]["checksum"] == planned.known.checksum
    assert (record["data"]["classes"], record["data"]["shape"]) == (10, [1, 8, 8])
    assert record["digests"].keys() == {"method", "dataset", "backbone", "harness", "libraries"}
    assert record["digests"]["method"] == registry.load().method("rectangle").digest
    json.dumps(record, allow_nan=False)


def test_a_checkpoint_is_of_use_on_a_like_gpu_and_after_a_commit():
    def known(index, commit, name="NVIDIA H200"):
        gpu = {"name": name, "index": index}
        return {
            "id": "a",
            "digests": {"method": "1"},
            "versions": {"torch": "2.14"},
            "environment": {"gpu": gpu, "git": {"commit": commit}, "cpu": "one"},
            "started": commit,
        }

    first = worker._decisive(known(0, "abc"))
    assert worker._decisive(known(3, "def")) == first
    assert worker._decisive(known(0, "abc", "NVIDIA H100")) != first
    assert worker._decisive(known(0, "abc") | {"digests": {"method": "2"}}) != first
