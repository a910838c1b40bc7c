"""Compiled code that is wrong is found before a training believes it, and right code is not accused.

Compilers are planted here: what they make of a neuron is its eager loop with one fault.
"""

import copy

import pytest
import torch

from bench import registry
from bench.model import compile_check, compiling
from bench.model.backbone import build_network, synapses
from bench.model.layers import NeuronOptions
from bench.model.neuron import SpikingNeuron
from bench.model.precision import Precision
from bench.runner.train import trained_on
from bench.suite import Profile

FOUND = registry.load()
BATCH, TIMESTEPS = 16, 3


def network(method="mpd-agl", backbone="convnet", shape=(2, 8, 8), **options):
    torch.manual_seed(0)
    return build_network(
        FOUND.backbone(backbone).item,
        FOUND.method(method).item,
        {},
        NeuronOptions(neuron="plif", **options),
        shape=shape,
        classes=10,
        width=0.25,
        timesteps=TIMESTEPS,
    ).train()


def batch(shape=(2, 8, 8)):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(BATCH, TIMESTEPS, *shape, generator=generator), torch.arange(BATCH) % 10


@pytest.fixture
def planted(monkeypatch):
    """planted(loop): loop(neuron, current, noise) is what every compiler makes of the neurons' loop."""
    monkeypatch.setattr(compiling, "compiler_missing", lambda device: "")
    monkeypatch.setattr(compiling, "configure", lambda: None)

    def plant(loop):
        monkeypatch.setattr(compiling, "compiled_loop", lambda: loop)

    return plant


def prepared(made, precision=None, shape=(2, 8, 8)):
    """Why it stays eager; "" where it is compiled."""
    given = () if precision is None else (precision,)
    _, problem = compiling.prepare(made, "neuron", *batch(shape), trained_on, *given)
    assert compiling.is_compiled(made) == (problem == "")
    return problem


# --- faults ---


def without_gradient(neuron, current, noise):
    """As torch 2.11's compiler made it of `out=`."""
    return SpikingNeuron.unroll(neuron, current, noise).detach() + 0 * current.sum()


def of_another_width(neuron, current, noise):
    """As torch 2.9's compiler made it of MPD-AGL: the batch's size in place of the width."""
    real = type(neuron.surrogate).spike
    neuron.surrogate.spike = lambda x, t, params, noise: real(
        neuron.surrogate, x, t, {"width": x.shape[0]}, None
    )
    return SpikingNeuron.unroll(neuron, current, noise)


class _Mixed(torch.autograd.Function):
    """The gradients of one sample are given to its neighbour, as by a wrong stride."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient.roll(1, 1)


def with_mixed_gradients(neuron, current, noise):
    return SpikingNeuron.unroll(neuron, _Mixed.apply(current), noise)


def with_other_spikes(neuron, current, noise):
    return SpikingNeuron.unroll(neuron, current + 0.1, noise)


def without_a_last_step(neuron, current, noise):
    out = SpikingNeuron.unroll(neuron, current, noise)
    return torch.cat([out[:-1], torch.zeros_like(out[-1:])])


def with_a_frozen_decay(neuron, current, noise):
    neuron.w.requires_grad_(False)
    out = SpikingNeuron.unroll(neuron, current, noise)
    neuron.w.requires_grad_(True)
    return out


GRADIENT, SPIKES = "the gradient of", "spikes of"


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (without_gradient, GRADIENT),
        (of_another_width, GRADIENT),
        (with_mixed_gradients, GRADIENT),
        (with_other_spikes, SPIKES),
        (without_a_last_step, SPIKES),
        (with_a_frozen_decay, "the gradient of w in convnet/conv"),
    ],
)
@pytest.mark.parametrize("autocast", ["off", "bfloat16"])
def test_a_wrong_neuron_is_refused_in_one_sentence(planted, fault, what, autocast):
    planted(fault)
    made = network()
    problem = prepared(made, Precision(Profile(device="cpu", autocast=autocast)))
    assert problem.startswith("compiled code was wrong and is not used: "), problem
    assert what in problem and "convnet/conv" in problem
    assert "\n" not in problem


def test_a_fault_of_one_layer_alone_is_found(planted):
    def third(neuron, current, noise):
        run = without_gradient if neuron.surrogate.site.index == 2 else SpikingNeuron.unroll
        return run(neuron, current, noise)

    planted(third)
    assert "of convnet/conv3 is off by" in prepared(network())


# --- no faults ---


def right(neuron, current, noise):
    return neuron.unroll(current, noise)


def within_rounding(neuron, current, noise):
    eps = torch.finfo(current.dtype).eps
    return neuron.unroll(current * (1 + eps), noise)


@pytest.mark.parametrize("compiled", [right, within_rounding])
@pytest.mark.parametrize(
    "made",
    [
        lambda: network("mpd-agl"),
        lambda: network("asgl"),
        lambda: network("learned-width"),
        lambda: network("msg"),
        lambda: network("ds-atgo"),
        lambda: network("esg+im"),
        lambda: network("arctan", reset="subtract", detach_reset=True),
        lambda: network("rectangle").to(memory_format=torch.channels_last),
        lambda: network("rectangle").double(),
    ],
    ids=[
        "mpd-agl",
        "asgl",
        "learned",
        "msg",
        "ds-atgo",
        "penalty",
        "soft",
        "channels-last",
        "double",
    ],
)
def test_a_right_neuron_is_believed(planted, compiled, made):
    planted(compiled)
    found = made()
    x, y = batch()
    x = x.to(next(found.parameters()).dtype)
    assert compiling.prepare(found, "neuron", x, y, trained_on)[1] == ""


def test_what_draws_by_itself_draws_the_same_in_both(planted):
    planted(right)
    assert prepared(network("norse/logistic")) == ""


@pytest.mark.parametrize("autocast", ["bfloat16", "float16"])
def test_a_right_neuron_is_believed_in_16_bits(planted, autocast):
    def as_compilers_do(neuron, current, noise):
        """They compute in 32 bits what is kept in 16."""
        return neuron.unroll(current.float(), noise).to(current.dtype)

    planted(as_compilers_do)
    assert prepared(network(), Precision(Profile(device="cpu", autocast=autocast))) == ""


def test_recurrent_layers_are_compared_too(planted):
    planted(within_rounding)
    assert prepared(network("arctan", "rsnn", (6,)), shape=(6,)) == ""
    planted(without_gradient)
    assert "the gradient of" in prepared(network("arctan", "rsnn", (6,)), shape=(6,))


def test_spikes_on_the_threshold_are_excused_and_others_are_not():
    made = network("rectangle", norm="none")
    neuron = made.neurons[0]
    current = torch.full((TIMESTEPS, 2, 4), 0.2)
    # One potential at the threshold, which rounding puts on either side.
    current[0, 0, 0] = neuron.threshold

    def below(neuron, current, noise):
        return neuron.unroll(current * (1 - 1e-7), noise)

    neuron.compiled = below
    assert not torch.equal(below(neuron, current, None), neuron.unroll(current, None))
    compile_check._compare(neuron, current, "layer")
    current[0, 0, 0] += 1e-5
    neuron.compiled = lambda neuron, current, noise: neuron.unroll(current - 1e-4, noise)
    with pytest.raises(compile_check.Differs, match="spikes of 1 of 8 neurons of layer differ"):
        compile_check._compare(neuron, current, "layer")


# --- what it costs, and what it leaves ---


def test_it_costs_no_more_than_one_eager_pass_through_the_neurons(planted, monkeypatch):
    planted(lambda neuron, current, noise: real(neuron, current, noise))
    real, eager = SpikingNeuron.unroll, []

    def counted(neuron, current, noise):
        eager.append(neuron)
        return real(neuron, current, noise)

    monkeypatch.setattr(SpikingNeuron, "unroll", counted)
    made = network()
    assert prepared(made) == ""
    assert len(eager) == len(made.neurons)


def test_it_leaves_state_and_generators_as_they_are(planted):
    planted(right)
    made = network("asgl")
    before, generator = copy.deepcopy(made.state_dict()), torch.get_rng_state()
    assert prepared(made) == ""
    for name, value in made.state_dict().items():
        same = torch.equal(value, before[name]) if isinstance(value, torch.Tensor) else value == before[name]
        assert same, name
    assert torch.equal(torch.get_rng_state(), generator)
    assert all(not neuron._forward_pre_hooks for neuron in made.neurons)


# --- compiled as a whole ---


@pytest.mark.parametrize(
    ("factor", "believed"), [(0.0, False), (0.5, False), (2.0, False), (1.0, True), (1.2, True)]
)
def test_a_network_compiled_whole_has_gradients_of_eagers_size(monkeypatch, factor, believed):
    monkeypatch.setattr(compiling, "compiler_missing", lambda device: "")
    monkeypatch.setattr(compiling, "configure", lambda: None)
    made = network()
    name, weight = [pair for pair in made.named_parameters() if pair[1].ndim > 1][1]
    assert any(weight is each for each in synapses(made))

    def whole(network, x):
        out = network.over_time(x)
        own = dict(network.named_parameters())[name]
        if out.requires_grad:
            own.register_hook(lambda gradient: gradient * factor)
        return out

    monkeypatch.setattr(torch, "compile", lambda function, **options: whole)
    found = compiling.prepare(made, "step", *batch(), trained_on)[1]
    assert compiling.is_compiled(made) == believed
    if believed:
        assert found == ""
        return
    assert found.startswith(f"compiled code was wrong and is not used: the gradient of {name} has size ")
