"""What a cell has to compute, and what follows from it."""

import math

import pytest

from bench import registry, workload
from bench.data import Facts
from bench.suite import Cell
from bench.workload import Workload, Workloads, compile_mode

FOUND = registry.load()
PICTURES = Facts("x", (3, 32, 32), 10, "", train_samples=45_000)


def cell(backbone="convnet", name="rectangle", *, batch_size=32, epochs=100, timesteps=4, **profile):
    return Cell.model_validate(
        {
            "method": {"name": name},
            "dataset": {"name": "cifar10"},
            "backbone": {"name": backbone},
            "timesteps": timesteps,
            "recipe": {"epochs": epochs, "batch_size": batch_size, "learning_rate": 0.1},
            "profile": {"device": "cpu"} | profile,
            "seed": 0,
        }
    )


def test_currents_and_operations_are_those_counted_by_hand():
    found = Workloads(FOUND).of(cell(batch_size=7, timesteps=3), PICTURES)
    places = (32 * 32 * 32, 64 * 16 * 16, 64 * 16 * 16)
    assert found.currents == 7 * 3 * sum(places)
    taps = (3 * 9, 32 * 9, 64 * 9)
    assert found.macs == 7 * 3 * (sum(p * t for p, t in zip(places, taps, strict=True)) + 64 * 10)
    assert found.layers == 3
    assert found.steps == 100 * math.ceil(45_000 / 7)
    assert found.weights == sum(t * c for t, c in zip(taps, (32, 64, 64), strict=True)) + 2 * 160 + 650


def test_a_network_is_looked_at_once_for_all_methods_recipes_and_seeds(monkeypatch):
    calls = []
    real = workload._look
    monkeypatch.setattr(workload, "_look", lambda *a: calls.append(a) or real(*a))
    known = Workloads(FOUND)
    first = cell()
    assert known.of(first, PICTURES) == known.of(cell(name="mpd-agl"), PICTURES)
    known.of(first.model_copy(update={"seed": 3}), PICTURES)
    longer = known.of(cell(timesteps=8), PICTURES)
    assert longer.currents == 2 * known.of(first, PICTURES).currents
    assert len(calls) == 1
    known.of(cell("mlp"), PICTURES)
    assert len(calls) == 2


@pytest.mark.parametrize("backbone", ["mlp", "resnet19", "rsnn"])
def test_what_is_computed_counts_as_what_is_only_traced(backbone, monkeypatch):
    narrow = cell(backbone)
    narrow = narrow.model_copy(update={"backbone": narrow.backbone.model_copy(update={"width": 1 / 8})})
    found = {}
    for device in ("cpu", "meta"):
        monkeypatch.setattr(workload, "_device", lambda device=device: device)
        found[device] = Workloads(FOUND).of(narrow, PICTURES)
    assert found["cpu"] == found["meta"] is not None


def test_a_network_that_cannot_be_built_has_no_workload():
    flat = Facts("x", (20,), 10, "", train_samples=10)
    assert Workloads(FOUND).of(cell(), flat) is None
    assert compile_mode(cell(), None, FOUND.method("rectangle").item) == "off"


def mode(load, name="rectangle", **profile):
    return compile_mode(cell(**profile), load, FOUND.method(name).item)


def load_of(currents, steps, layers=3):
    return Workload(currents, 0, 0, layers, steps)


@pytest.fixture
def _compiler(monkeypatch):
    monkeypatch.setattr(workload, "compiler_missing", lambda device: "")


@pytest.mark.usefixtures("_compiler")
def test_auto_compiles_what_is_large_and_leaves_what_is_small():
    assert mode(load_of(295_000, 336)) == "off", "the quick suite's convnet on digits"
    assert mode(load_of(38_000_000, 45_000, layers=20)) == "step", "a narrow resnet19 for 100 epochs"
    between = load_of(4_000_000, 900, layers=40)
    assert mode(between) == "neuron", "many layers take long to compile whole"
    assert mode(between, threads=8) == "off", "threads shorten what compiling would save"


@pytest.mark.usefixtures("_compiler")
def test_auto_leaves_what_cannot_be_compiled():
    large = load_of(38_000_000, 45_000)
    assert mode(large, "ann-relu") == "off"
    # Its graph breaks, as it declares.
    broken = [
        name
        for name, entry in FOUND.methods.items()
        if "compile" in entry.item.breaks and not registry.missing_packages(entry.item)
    ]
    assert broken
    assert {mode(large, name) for name in broken} == {"off"}
    assert mode(large, device="cuda") == "neuron"


def test_auto_compiles_nothing_without_a_compiler(monkeypatch):
    monkeypatch.setattr(workload, "compiler_missing", lambda device: "none here")
    assert mode(load_of(38_000_000, 45_000)) == "off"


def test_seconds_and_memory_grow_with_the_work():
    small, large = load_of(1000, 10), load_of(100_000, 10)
    assert large.seconds > small.seconds > 0
    assert large.memory > small.memory > 0
