"""The gradient of the training as it runs, beside the eager look; what is said where only one is there."""

import dataclasses
from pathlib import Path

import pytest
import torch

from bench import registry
from bench.data import loading
from bench.errors import WrongGradient
from bench.measures import training_gradients
from bench.measures.gradients import COLUMNS
from bench.model import compile_check, compiling
from bench.model.backbone import synapses
from bench.model.neuron import SpikingNeuron
from bench.registry import Entry
from bench.runner import train
from bench.suite import Cell
from bench.surrogate import Surrogate, method

FOUND = registry.load()


@pytest.fixture(autouse=True)
def _torch_as_it_was():
    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits():
    return loading.prepare(FOUND.dataset("digits").item, loading.Request(Path(), 2), 200)


@pytest.fixture
def cell(tiny):
    def make(name="rectangle", backbone="mlp", epochs=2, probe="all", **profile):
        suite = tiny(backbones=[{"name": backbone, "width": 0.125}])
        return Cell(
            method={"name": name},
            dataset=suite.datasets[0],
            backbone=suite.backbones[0],
            timesteps=2,
            recipe=suite.recipe.model_copy(update={"epochs": epochs}),
            profile=suite.profile.model_copy(update=profile),
            measure={"probe": probe, "descent": False},
            seed=0,
        )

    return make


def run(cell, digits, *targets):
    declared = {m.name: Entry(m, Path(__file__), "") for target in targets for m in vars(target)["declared"]}
    found = dataclasses.replace(FOUND, methods={**FOUND.methods, **declared})
    return train.train(cell, found, digits, lambda *_: None)


# --- beside the look ---


def test_the_gradient_of_the_first_batch_stands_beside_the_look_at_the_same_weights(cell, digits):
    made = cell()
    rows = run(made, digits).layers
    # The last look is after all training.
    assert {row["epoch"]: row["training_gradient_ratio"] is None for row in rows} == {
        0: False,
        1: False,
        2: True,
    }
    network = train.build(made, FOUND, digits).train()
    trainer = train._Trainer(made, digits, network)
    for surrogate in network.surrogates:
        surrogate.on_epoch(0.0)
    train.trained_on(network, *next(trainer._batches(0, "order"))).backward()
    for layer, weight in enumerate(synapses(network)[:2]):
        (found,) = {
            row["training_gradient_ratio"] for row in rows if (row["epoch"], row["layer"]) == (0, layer)
        }
        assert found == pytest.approx(float(weight.grad.norm() / weight.detach().norm()), rel=1e-5)


@pytest.mark.parametrize("backbone", ["resnet19", "rsnn"])
def test_every_layer_of_every_backbone_has_one(cell, digits, backbone):
    images = loading.prepare(FOUND.dataset("digits").item, loading.Request(Path(), 2), 60)
    outcome = run(cell(backbone=backbone, epochs=1, probe="ends"), images)
    before = [row for row in outcome.layers if row["epoch"] == 0]
    assert before and all(row["training_gradient_ratio"] > 0 for row in before)
    assert outcome.unmeasured == {}


def test_in_float16_it_is_that_of_the_loss_before_scaling(cell, digits):
    ratios = [
        [
            row["training_gradient_ratio"]
            for row in run(cell(autocast=autocast), digits).layers
            if row["epoch"] == 0
        ]
        for autocast in ("off", "bfloat16")
    ]
    assert ratios[1] == pytest.approx(ratios[0], rel=0.1)
    made = train.build(cell(), FOUND, digits)
    for parameter in made.parameters():
        parameter.grad = torch.full_like(parameter, 1024.0)
    scaled = training_gradients.sizes(made, 1024.0)
    for name, parameter in made.named_parameters():
        if name in scaled:
            assert scaled[name] == pytest.approx(
                (parameter.numel() ** 0.5, float(parameter.detach().norm())), rel=1e-5
            )


# --- looks compute as the training does ---


@pytest.mark.parametrize("autocast", ["off", "bfloat16", "float16"])
def test_looks_and_searches_use_the_recipes_precision(cell, digits, monkeypatch, autocast):
    seen, real = set(), SpikingNeuron.forward
    watch = {"searching": False}

    @method("seeks", paper="none")
    class Seeks(Surrogate):
        shape = staticmethod(torch.ones_like)

        @classmethod
        def search(cls, layers, context):
            watch["searching"] = True
            x, y = next(context.batches())
            context.loss(context.network(x), y).backward()
            watch["searching"] = False

    def forward(neuron, current):
        kind = "look" if neuron.observer else "search" if watch["searching"] else "training"
        seen.add((kind if neuron.training else "evaluation", current.dtype))
        return real(neuron, current)

    monkeypatch.setattr(SpikingNeuron, "forward", forward)
    outcome = run(cell("seeks", autocast=autocast), digits, Seeks)
    assert outcome.unmeasured == {}
    half = torch.float32 if autocast == "off" else getattr(torch, autocast)
    kinds = {kind for kind, _ in seen}
    assert kinds == {"look", "search", "training", "evaluation"}
    # But for the pass that finds which weights feed which layer, and measures nothing.
    assert {dtype for _, dtype in seen} <= {half, torch.float32}
    assert {(kind, half) for kind in kinds} <= seen
    assert all(row["u_std"] > 0 and row["available_fraction"] > 0 for row in outcome.layers)


@pytest.mark.parametrize("autocast", ["bfloat16", "float16"])
def test_what_a_look_finds_in_16_bits_is_near_what_it_finds_in_32(cell, digits, autocast):
    def first(how):
        return [row for row in run(cell("mpd-agl", autocast=how), digits).layers if row["epoch"] == 0]

    for plain, half in zip(first("off"), first(autocast), strict=True):
        for column in COLUMNS:
            if column not in ("name", "gradient_zero_fraction") and plain[column] is not None:
                assert half[column] == pytest.approx(plain[column], rel=0.1, abs=0.02), column


# --- a gradient that only eager training has ---


def silent(neuron, current, noise):
    """The loop without a gradient, as a compiler might make it."""
    return SpikingNeuron.unroll(neuron, current, noise).detach() + 0 * current.sum()


@pytest.fixture
def wrongly_compiled(monkeypatch):
    """A compiler that is wrong, and a check that does not see it."""
    monkeypatch.setattr(compiling, "compiler_missing", lambda device: "")
    monkeypatch.setattr(compiling, "configure", lambda: None)
    monkeypatch.setattr(compiling, "compiled_loop", lambda: silent)
    monkeypatch.setattr(compile_check, "_compare", lambda *_: None)


@pytest.mark.parametrize("probe", ["all", "off"])
def test_a_gradient_that_only_eager_training_has_is_an_error_of_the_harness(
    cell, digits, wrongly_compiled, probe
):
    with pytest.raises(WrongGradient) as caught:
        run(cell(compile="neuron", probe=probe), digits)
    said = str(caught.value)
    weights = "body.blocks.0.0.module.weight, body.blocks.1.0.module.weight"
    assert f"has no gradient of {weights} where eager training has one" in said
    assert "not of the method" in said and 'compile = "off"' in said
    assert "\n" not in said


def test_a_gradient_that_eager_training_lacks_too_is_the_methods(cell, digits, wrongly_compiled):
    @method("flat", paper="none")
    class Flat(Surrogate):
        """Its derivative is zero."""

        shape = staticmethod(torch.zeros_like)

    outcome = run(cell("flat", compile="neuron"), digits, Flat)
    assert {row["training_gradient_ratio"] for row in outcome.layers if row["epoch"] == 0} == {0.0}


def test_nothing_is_computed_twice_where_every_gradient_is_there(cell, digits, monkeypatch):
    def none(*_):
        raise AssertionError("an eager step beside a good one")

    monkeypatch.setattr(training_gradients, "copied", none)
    monkeypatch.setattr(compiling, "is_compiled", lambda network: True)
    run(cell(probe="off"), digits)
