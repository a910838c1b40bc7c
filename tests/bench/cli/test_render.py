"""What `spikegrad plan` says of time, and `run` of the shipped table."""

import io
import shutil

import pytest
import shown_runs
from rich.console import Console
from written_records import runs

from bench import api
from bench.cli import render
from bench.cli.progress import duration
from bench.runner.forecast import STARTING
from bench.runner.plan import digests
from bench.runner.workload import Workloads


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
    assert "2 cells, 2 to run: about 0 s of training" in text
    assert "\nestimated from sizes, and figures of one thread of an AMD EPYC; yours may differ by" in text
    assert "GPU" not in text
    told = render.plan_as_json(plan)
    elapsed = told["estimated_elapsed_seconds"] - STARTING
    assert 0 < elapsed <= told["estimated_cpu_seconds"]
    assert told["trainings_at_once"] >= 1 and "AMD EPYC" in told["estimated_from"]


@pytest.mark.usefixtures("_no_gpu")
def test_a_plan_from_start_to_end_includes_its_timings(tiny, make_plan, monkeypatch):
    monkeypatch.setattr("bench.runner.forecast.timing_seconds", lambda *_: 3600.0)
    plan = make_plan(tiny(times=True))
    told = render.plan_as_json(plan)
    assert (told["to_time"], told["estimated_timing_seconds"]) == (2, 3600.0)
    text = shown(plan)
    assert f"{duration(told['estimated_elapsed_seconds'] + 3600)} from start to end\n" in text
    assert f"2 to time after the trainings, one at a time: {duration(3600)} of it\n" in text


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
    assert "1 cell, 1 to run: unknown until a first cell has run\n" in shown(plan)
    told = render.plan_as_json(plan)
    assert [told[name] for name in ("estimated_cpu_seconds", "estimated_elapsed_seconds")] == [None, None]
    assert told["trainings_at_once"] is told["estimated_from"] is None


# --- what a run says of the shipped table ---


@pytest.fixture
def beside_shipped(tiny, make_plan, tmp_path, monkeypatch):
    """beside_shipped(environment there, environment here) -> what is said of the shipped table."""

    def made(results, environment, accuracy):
        plan = make_plan(tiny(seeds=[0, 1]), results=results)
        for number, planned in enumerate(plan.cells):
            accuracies = ("test_accuracy", "test_accuracy_last", "val_accuracy")
            record = shown_runs.record(
                cell=planned.cell.model_dump(),
                metrics=dict.fromkeys(accuracies, accuracy + 5.0 * number),
                environment=PLACE | environment,
                configuration=planned.configuration,
                suite="tiny",
            )
            plan.store.write(record | {"id": planned.id, "digests": digests(planned.cell, plan.registry)})
        return plan, api.read_results(plan.store, plan.suite).records

    def said(there, here, accuracy=80.0, *, records=True):
        shipped, _ = made("shipped", there, 75.0)
        if not records:
            shutil.rmtree(shipped.store.runs)
        monkeypatch.setattr(render, "shipped_leaderboard", lambda _: shipped.store.leaderboards)
        return " ".join(render.against_shipped(*made("mine", here, accuracy)))

    return said


PLACE = {"cpu": "Some CPU", "gpu": None, "threads": 1, "packages": {"torch": "2.14.0+cpu"}}
LATER = {"packages": {"torch": "2.14.1+cu130"}}


def test_numbers_of_another_processor_are_said_to_be_of_another(beside_shipped):
    said = beside_shipped({}, {"cpu": "Another"})
    assert "0 of 1 row are identical" in said
    expected = "(Some CPU, 1 thread against Another, 1 thread here), where the last bits of a training differ"
    assert f"The shipped table was made elsewhere {expected}" in said
    assert expected in beside_shipped({}, {"cpu": "Another"}, records=False), "a wheel has tables alone"


def test_so_are_those_of_another_torch(beside_shipped):
    assert "made elsewhere (torch 2.14.0 against torch 2.14.1 here)" in beside_shipped({}, LATER)


@pytest.mark.parametrize(("here", "accuracy"), [({}, 80.0), ({"cpu": "Another"}, 75.0)])
def test_nothing_is_said_of_the_place_where_it_explains_nothing(beside_shipped, here, accuracy):
    assert "elsewhere" not in beside_shipped({}, here, accuracy)


@pytest.mark.usefixtures("_no_gpu")
def test_a_plan_wraps_a_long_variant_at_blanks(tiny, make_plan):
    methods = [{"name": "rectangle", "params": {"height": 0.25, "width": 0.5}}]
    backbones = [{"name": "convnet", "width": 0.25, "neuron": "plif", "threshold": 0.75}]
    plan = make_plan(tiny(methods=methods, backbones=backbones, datasets=["digits-events"], seeds=[0, 1, 2]))
    (variant,) = {planned.variant for planned in plan.cells}
    console = Console(file=io.StringIO(), width=80)
    render.show_plan(plan, console)
    text = console.file.getvalue()
    assert variant not in text and {*variant.split()} <= {*text.split()}
    # Where even the words do not fit, nothing is cut.
    narrow = Console(file=io.StringIO(), width=40)
    render.show_plan(plan, narrow)
    assert "rectangle" in narrow.file.getvalue()


def test_notes_on_failed_runs_name_the_variant():
    records = runs("rectangle", ["failed"], "width=0.5") + runs("arctan", ["oom"])
    assert render._unfinished(records) == [
        "failed: rectangle (width=0.5) on digits, seed 0: it was failed",
        "oom: arctan on digits, seed 0: it was oom",
    ]
