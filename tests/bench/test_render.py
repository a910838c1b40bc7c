"""What `spikegrad plan` says of time."""

import io

import pytest
from rich.console import Console

from bench import render
from bench.workload import Workloads


def shown(plan):
    console = Console(file=io.StringIO(), width=200)
    render.show_plan(plan, console)
    return console.file.getvalue()


@pytest.fixture
def _no_gpu(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


@pytest.mark.usefixtures("_no_gpu")
def test_a_plan_says_how_long_it_may_take_and_what_from(tiny, make_plan):
    plan = make_plan(tiny(seeds=[0, 1]))
    text = shown(plan)
    assert "2 cells, 2 to run: about 0 s of one worker's time" in text
    assert "\nestimated from sizes, and figures of one thread of an AMD EPYC; yours may differ by" in text
    assert "GPU" not in text
    told = render.plan_as_json(plan)
    assert 0 < told["estimated_elapsed_seconds"] <= told["estimated_cpu_seconds"]
    assert told["trainings_at_once"] >= 1 and "AMD EPYC" in told["estimated_from"]


@pytest.mark.usefixtures("_no_gpu")
def test_a_plan_for_a_gpu_that_is_not_here_says_so_and_can_be_shown(tiny, make_plan):
    plan = make_plan(tiny(times=True), device="cuda", elsewhere=True)
    text = shown(plan)
    assert "estimated from sizes, and figures of an NVIDIA H200" in text
    assert "planned for a GPU, and torch finds none here: run it where there is one" in text
    assert "to time" not in text, "nobody here can tell"


def test_where_nothing_is_known_that_is_said(tiny, make_plan, monkeypatch):
    plan = make_plan(tiny())
    monkeypatch.setattr(Workloads, "of", lambda *_: None)
    assert "1 cells, 1 to run: unknown until a first cell has run\n" in shown(plan)
    told = render.plan_as_json(plan)
    assert [told[name] for name in ("estimated_cpu_seconds", "estimated_elapsed_seconds")] == [None, None]
    assert told["trainings_at_once"] is told["estimated_from"] is None
