"""Compiled training on a GPU has the gradients of eager training: every method, layer by layer.

On the CPU a few, of which the graph is taken and no code made.
"""

import compared
import pytest
import torch

from bench import registry
from bench.model import compiling

FOUND = registry.load()
HERE = ("mpd-agl", "asgl")
KINDS = ("fixed", "adaptive", "control", "library")


def compilable():
    """Names by kind, but for those that draw random numbers themselves: compiled code draws others."""
    names = {kind: [] for kind in KINDS}
    for name, entry in FOUND.methods.items():
        method = entry.item
        if (
            method.kind in names
            and not {"compile", "deterministic"} & {*method.breaks}
            and not registry.missing_packages(method)
        ):
            names[method.kind].append(name)
    return names


EVERY = [name for names in compilable().values() for name in names]
SOME = [name for names in compilable().values() for name in names[:: max(1, len(names) // 3)][:3]]
LAYERS = [*((name, "cpu") for name in HERE), *((name, "cuda") for name in EVERY)]
NETWORKS = [("rectangle", "cpu"), *((name, "cuda") for name in [*SOME, "mpd-agl", "ann-relu"])]


def parameters(cases):
    return [
        pytest.param(name, on, marks=[pytest.mark.needs_gpu] if on == "cuda" else [], id=f"{name}-{on}")
        for name, on in dict.fromkeys(cases)
    ]


def compares(function):
    """Says what a test wants to have computed, before it is its turn: see `outcome`."""

    def mark(test):
        test.compares = function
        return test

    return mark


@pytest.fixture(autouse=True)
def _compiler_as_it_was():
    from torch.fx.experimental import _config as symbols

    with torch._dynamo.config.patch({}), torch._inductor.config.patch({}), symbols.patch({}):
        yield
    torch._dynamo.reset()


@pytest.fixture
def _traced_only(monkeypatch, on):
    """On the CPU the graph is taken, and no code is made of it."""
    if on == "cpu":
        real = torch.compile
        monkeypatch.setattr(torch, "compile", lambda f, **options: real(f, backend="aot_eager", **options))


@pytest.mark.usefixtures("_traced_only")
@pytest.mark.parametrize(("name", "on"), parameters(LAYERS))
@compares(compared.layer)
def test_a_layer_has_eager_gradients(name, on, outcome):
    assert outcome(compared.layer, name, on).wrong() == ""


@pytest.mark.usefixtures("_traced_only")
@pytest.mark.parametrize(("name", "on"), parameters(NETWORKS))
@compares(compared.network)
def test_every_layer_of_a_network_is_trained(name, on, outcome):
    sizes = outcome(compared.network, name, on)
    assert len(sizes) > 5
    assert compared.wrong_sizes(sizes) == {}


@pytest.fixture
def _dead(monkeypatch):
    """Compiled code whose spikes have no gradient."""

    def compile(function, **_):
        def run(subject, x, *rest):
            out = function(subject, x, *rest)
            return out.detach() + 0.0 * x.sum() if isinstance(subject, torch.nn.Module) else out

        return run

    monkeypatch.setattr(torch, "compile", compile)


@pytest.mark.usefixtures("_dead")
def test_a_compiled_layer_without_a_gradient_is_noticed():
    assert compared.layer("rectangle", "cpu").wrong() == (
        "the compiled gradient is 0 times as large as the eager one"
    )


def test_a_compiled_network_that_trains_its_readout_alone_is_noticed(monkeypatch):
    from bench.model.neuron import SpikingNeuron

    real = SpikingNeuron.unroll

    def dead(self, current, noise):
        return real(self, current, noise).detach() + 0.0 * current.sum()

    def compile(function, **_):
        def run(network, x):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(SpikingNeuron, "unroll", dead)
                return function(network, x)

        return run

    monkeypatch.setattr(torch, "compile", compile)
    # What a training looks at before it believes its compiler would find it first.
    monkeypatch.setattr(compiling, "_check", lambda *_: None)
    wrong = compared.wrong_sizes(compared.network("rectangle", "cpu"))
    assert wrong and set(wrong.values()) == {0.0}
    assert not any("readout" in name for name in wrong)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (compared.Layer(0.0, 0.0, 0.0, 1.0), ""),
        (compared.Layer(0.01, 0.0, 0.0, 1.0), "1.00% of the spikes differ"),
        (compared.Layer(0.0, 0.02, 0.0, 1.0), "2.00% of the gradients differ"),
        (compared.Layer(0.0, 0.0, 0.5, 1.0), "a parameter's gradient differs by 50.00%"),
        (compared.Layer(0.0, 0.0, 0.0, float("nan")), "the compiled gradient is nan times"),
    ],
)
def test_what_differs_is_named(found, said):
    assert found.wrong().startswith(said) and bool(found.wrong()) == bool(said)
