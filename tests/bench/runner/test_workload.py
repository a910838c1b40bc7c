"""What a cell has to compute, and what follows from it."""

import math

import pytest

from bench import registry
from bench.data.loading import Facts
from bench.runner import workload
from bench.runner.workload import Workload, Workloads, compile_mode
from bench.suite import Cell

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
    real = workload.look
    monkeypatch.setattr(workload, "look", lambda *a: calls.append(a) or real(*a))
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
    assert {mode(large, name, device="cuda") for name in [*broken, "ann-relu"]} == {"off"}


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize(
    ("layers", "threads", "modes"),
    [
        (3, 1, "off off step off step step off step step"),
        (20, 1, "off off neuron off neuron step off step step"),
        (3, 4, "off off off off off step off step step"),
        (20, 4, "off off off off off step off neuron step"),
    ],
)
def test_on_a_cpu_currents_and_steps_decide(layers, threads, modes):
    loads = [load_of(c, s, layers) for c in (10**5, 10**6, 10**7) for s in (100, 2000, 40_000)]
    assert [mode(load, threads=threads) for load in loads] == modes.split()


RESNET19 = {"backbone": "resnet19", "batch_size": 64, "timesteps": 4}


@pytest.mark.usefixtures("_compiler")
@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({"epochs": 150}, "step"),
        ({"epochs": 150, "autocast": "bfloat16"}, "step"),
        ({"epochs": 30, "tf32": True}, "step"),
        ({"epochs": 8, "tf32": True}, "neuron"),
        ({"epochs": 4, "autocast": "bfloat16"}, "neuron"),
        ({"epochs": 1, "autocast": "bfloat16"}, "off"),
        # One eager time step is faster than compiled neurons.
        ({"epochs": 4, "autocast": "bfloat16", "timesteps": 1}, "off"),
    ],
)
def test_on_a_gpu_the_length_of_the_training_decides(changes, chosen):
    long = cell(**RESNET19 | {"device": "cuda"} | changes)
    load = Workloads(FOUND).of(long, PICTURES)
    assert compile_mode(long, load, FOUND.method("rectangle").item) == chosen


@pytest.mark.usefixtures("_compiler")
def test_on_a_gpu_a_method_with_noise_is_compiled_neuron_by_neuron_if_that_pays():
    for timesteps, chosen in ((4, "neuron"), (1, "off")):
        noisy = cell("resnet19", "asgl", timesteps=timesteps, device="cuda", autocast="bfloat16")
        load = Workloads(FOUND).of(noisy, PICTURES)
        assert compile_mode(noisy, load, FOUND.method("rectangle").item) == "step"
        assert compile_mode(noisy, load, FOUND.method("asgl").item) == chosen


def test_auto_compiles_nothing_without_a_compiler(monkeypatch):
    monkeypatch.setattr(workload, "compiler_missing", lambda device: "none here")
    assert mode(load_of(38_000_000, 45_000)) == "off"


def test_seconds_and_memory_grow_with_the_work():
    assert load_of(100_000, 10).seconds > load_of(1000, 10).seconds > 0
    small, large = (Workloads(FOUND).of(cell(timesteps=t), PICTURES) for t in (1, 3))
    assert large.memory > small.memory > 0


def test_memory_on_a_cpu_is_a_dozen_numbers_a_current_and_four_a_weight():
    for probe in ("off", "all"):
        found = Workloads(FOUND).of(looking(cell(), probe), PICTURES)
        assert found.memory == 48 * found.currents + 16 * found.weights


def looking(of, probe):
    return of.model_copy(update={"measure": of.measure.model_copy(update={"probe": probe})})


@pytest.mark.parametrize(
    ("profile", "measured_mb"),
    [
        ({"compile": "off"}, 8755),
        ({"compile": "neuron"}, 6549),
        ({"compile": "off", "tf32": True}, 8075),
        ({"compile": "neuron", "tf32": True}, 5818),
        ({"compile": "step", "tf32": True}, 5794),
        ({"compile": "off", "autocast": "bfloat16"}, 4169),
        ({"compile": "neuron", "autocast": "bfloat16"}, 3033),
        ({"compile": "step", "autocast": "bfloat16"}, 3040),
    ],
)
def test_memory_on_a_gpu_is_somewhat_more_than_was_measured(profile, measured_mb):
    trained = looking(cell(**RESNET19, device="cuda", **profile), "off")
    found = Workloads(FOUND).of(trained, PICTURES).memory / 2**20
    assert measured_mb * 1.1 < found < measured_mb * 1.75


def test_on_a_gpu_a_look_of_many_samples_counts():
    """It is eager, whatever the training is."""
    looks = looking(cell(**RESNET19, device="cuda", compile="step", autocast="bfloat16"), "ends")
    eager = looking(
        cell(**RESNET19 | {"batch_size": 256}, device="cuda", compile="off", autocast="bfloat16"), "off"
    )
    workloads = Workloads(FOUND)
    assert workloads.of(looks, PICTURES).memory == pytest.approx(workloads.of(eager, PICTURES).memory)
    few = Facts("x", (3, 32, 32), 10, "", train_samples=10)
    assert workloads.of(looks, few).memory < workloads.of(looks, PICTURES).memory / 4


def test_trainings_of_the_paper_share_a_card_of_80_gb_as_they_fit():
    from bench.runner.engines.slots import Need, Slots

    card = Slots(None, cores=16, memory=math.inf, gpus=[80e9])
    held = {}
    for timesteps in (1, 2, 4, 6):
        profile = {"device": "cuda", "compile": "step", "tf32": True}
        paper = looking(cell("resnet19", batch_size=100, timesteps=timesteps, **profile), "all")
        found = Workloads(FOUND).of(paper, PICTURES)
        held[timesteps] = card.most(Need(1, found.memory, cuda=True))
    assert held == {1: 5, 2: 3, 4: 1, 6: 1}
