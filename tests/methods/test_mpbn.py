"""MPBN against its authors' formula, and against the thresholds that the paper folds it into."""

import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from bench.errors import BenchError
from bench.measures import gradients
from bench.model.backbone import build_network
from bench.model.layers import Layers, NeuronOptions
from bench.registry import load

FOUND = load()
CHANNELS = 3


def neuron(**options):
    method = FOUND.method("mpbn").item
    layers = Layers(
        "net", lambda site: method.build(site, {}), NeuronOptions(decay=0.25, **options), timesteps=4
    )
    norm = layers.norm(CHANNELS)
    made = layers.spike("layer", norm).double()
    with torch.no_grad():
        made.surrogate.weight.copy_(torch.tensor([1.3, 0.6, 1.0]))
        made.surrogate.bias.copy_(torch.tensor([0.2, -0.1, 0.4]))
    return made


def currents(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) + 0.4


def authors(bn, current, threshold, reset, decay):
    """The authors' update with their surrogate, whose z is BN(u)/V_th, V_th twice our threshold."""
    u, out = torch.zeros_like(current[0]), []
    for i in current:
        u = u * decay + i
        z = bn(u) / (2 * threshold)
        half = torch.tensor(1.5, dtype=torch.float64)
        smooth = (torch.tanh(3 * (z.clamp(0, 1) - 0.5)) + torch.tanh(half)) / (2 * torch.tanh(half))
        s = ((z >= 0.5).double() - smooth).detach() + smooth
        u = u * (1 - s) if reset == "zero" else u - threshold * s
        out.append(s)
    return torch.stack(out)


def normalisation_of(surrogate, images):
    bn = (nn.BatchNorm2d if images else nn.BatchNorm1d)(CHANNELS).double()
    own = bn.state_dict()
    bn.load_state_dict({**own, **{k: v for k, v in surrogate.state_dict().items() if k in own}})
    return bn


@pytest.mark.parametrize("shape", [(4, 20, CHANNELS), (4, 3, CHANNELS, 5, 5)], ids=["vectors", "images"])
@pytest.mark.parametrize("threshold", [0.5, 1.0])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("kind", ["lif", "plif"])
def test_equals_the_authors_formula(shape, threshold, reset, kind):
    ours = neuron(threshold=threshold, reset=reset, neuron=kind)
    bn = normalisation_of(ours.surrogate, len(shape) == 5)
    decay = ours.decay.detach() if kind == "plif" else 0.25
    for training in (True, True, False):
        ours.train(training)
        bn.train(training)
        one, two = (currents(*shape, seed=int(training)).requires_grad_() for _ in range(2))
        found, expected = ours(one), authors(bn, two, threshold, reset, decay)
        torch.testing.assert_close(found, expected)
        ours.zero_grad()
        bn.zero_grad()
        upstream = currents(*shape, seed=9)
        for out in (found, expected):
            (out * upstream).sum().backward()
        torch.testing.assert_close(one.grad, two.grad)
        torch.testing.assert_close(ours.surrogate.weight.grad, bn.weight.grad)
        torch.testing.assert_close(ours.surrogate.bias.grad, bn.bias.grad)
        torch.testing.assert_close(ours.surrogate.running_var, bn.running_var)
        torch.testing.assert_close(ours.surrogate.running_mean, bn.running_mean)


@given(seed=st.integers(0, 10**6), reset=st.sampled_from(["zero", "subtract"]), scale=st.floats(0.1, 3))
@settings(max_examples=30, deadline=None)
def test_spikes_are_those_of_the_normalised_potential(seed, reset, scale):
    ours, u = neuron(reset=reset), None
    bn = normalisation_of(ours.surrogate, False)
    current = scale * currents(4, 20, CHANNELS, seed=seed)
    for i, s in zip(current, ours(current), strict=True):
        u = i if u is None else 0.25 * u + i
        assert torch.equal(s, (bn(u) >= 0.5).double())
        u = u * (1 - s) if reset == "zero" else u - 0.5 * s


@pytest.mark.parametrize("gradients", [True, False])
def test_in_evaluation_it_is_a_threshold_a_channel(gradients):
    ours = neuron()
    for seed in range(3):
        ours(1.5 * currents(4, 50, CHANNELS, seed=seed))
    rule, current = ours.eval().surrogate, currents(4, 500, CHANNELS, seed=7)
    with torch.set_grad_enabled(gradients):
        found = ours(current)
    spread = (rule.running_var + 1e-5).sqrt()
    thresholds = ((0.5 - rule.bias) * spread / rule.weight + rule.running_mean).detach()
    v = torch.zeros_like(current[0])
    for i, s in zip(current, found, strict=True):
        u = 0.25 * v + i
        assert torch.equal(s, (u >= thresholds).double())
        v = u * (1 - s)
    assert thresholds.unique().numel() == CHANNELS
    assert 0.1 < found.mean() < 0.9


def test_evaluation_changes_nothing_and_state_survives_saving():
    one, other = neuron(), neuron()
    current = currents(4, 20, CHANNELS)
    one(current)
    before = {name: value.clone() for name, value in one.state_dict().items()}
    expected = one.eval()(current)
    for name, value in one.state_dict().items():
        assert torch.equal(value, before[name]), name
    kept = io.BytesIO()
    torch.save(one.state_dict(), kept)
    kept.seek(0)
    other.load_state_dict(torch.load(kept, weights_only=True))
    assert torch.equal(other.eval()(current), expected)


def test_a_batch_of_one_value_a_channel_has_the_running_statistics():
    ours = neuron()
    current = currents(4, 1, CHANNELS)
    assert torch.equal(ours(current), ours.eval()(current))
    assert torch.equal(ours.surrogate.running_mean, torch.zeros(CHANNELS, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_dtype_is_kept(dtype):
    ours = neuron().to(dtype)
    current = currents(4, 20, CHANNELS).to(dtype).requires_grad_()
    out = ours(current)
    out.sum().backward()
    assert out.dtype == current.grad.dtype == dtype
    assert current.grad.isfinite().all()


def test_without_a_norm_it_refuses():
    layers = Layers(
        "net", lambda site: FOUND.method("mpbn").item.build(site, {}), NeuronOptions(norm="none"), timesteps=4
    )
    with pytest.raises(BenchError, match=r"mpbn takes the number of channels.*net/layer has none"):
        layers.spike("layer", nn.Identity())


def test_the_probe_sees_the_normalised_potential():
    torch.manual_seed(0)
    network = build_network(
        *(FOUND.backbone("mlp").item, FOUND.method("mpbn").item, {}, NeuronOptions()),
        **{"shape": (12,), "classes": 5, "width": 0.25, "timesteps": 3},
    )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x, y = torch.randn(64, 12), torch.randint(5, (64,))
    rows = gradients.look(network, x, y, 0, 0)
    for row in rows:
        # BN makes mean 0 and deviation 1 of any potential.
        assert row["u_mean"] == pytest.approx(0, abs=1e-5)
        assert row["u_std"] == pytest.approx(1, abs=1e-3)
        assert 0 < row["available_fraction"] < 1
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    functional.cross_entropy(network.train()(x).mean(0), y).backward()
    assert all(s.weight.grad.any() for s in network.surrogates)


def test_what_it_declares(plugin):
    found = plugin("mpbn")["mpbn"]
    assert (found.changes, found.fidelity, found.breaks) == ("network", "official-code", {})
    assert found.defaults(0.5) == {"b": 3.0}
