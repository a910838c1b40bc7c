"""NSNN: how often a neuron spikes, its gradient in a plain loop, and its plain evaluation."""

import io
import math

import pytest
import torch
from scipy import stats


@pytest.fixture
def neuron(plugin, layers_under):
    def make(values=None, **options):
        layers = layers_under(plugin("nsnn")["nsnn"], values, norm="none", **options)
        return layers.spike("layer", torch.nn.Identity()).double()

    return make


def currents(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("values", [{}, {"sigma": 0.3}, {"sigma": 0.2, "mu": 0.1}], ids=str)
@pytest.mark.parametrize("x", [-0.3, -0.1, 0.0, 0.2])
def test_a_neuron_spikes_as_often_as_the_normal_distribution_says(neuron, values, x):
    n, ours = 20_000, neuron(values)
    sigma, mu = values.get("sigma", 0.15), values.get("mu", 0.0)
    out = ours(torch.full((1, n), 0.5 + x, dtype=torch.float64))
    assert set(out.unique().tolist()) <= {0.0, 1.0}
    low, high = stats.binom.interval(1 - 1e-6, n, stats.norm.cdf((x - mu) / sigma))
    assert low <= out.sum().item() <= high


@pytest.mark.parametrize("threshold", [0.5, 1.0])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_training_equals_a_plain_loop(neuron, reset, threshold):
    """The spike in the reset is the one drawn; h = N(x; 0, sigma^2), sigma = 0.3 at the threshold 1."""
    ours = neuron(reset=reset, threshold=threshold)
    current, upstream, uniform = currents(4, 50), currents(4, 50), torch.rand(4, 50)
    one, two = (current.clone().requires_grad_() for _ in range(2))
    found = ours.unroll(one, uniform)
    (found * upstream).sum().backward()

    sigma = 0.3 * threshold
    v, expected = torch.zeros(50, dtype=torch.float64), []
    for t in range(4):
        u = 0.2 * v + two[t]
        p = torch.special.ndtr((u - threshold) / sigma)
        s = (uniform[t] < p).double().detach() + p - p.detach()
        v = u * (1 - s) if reset == "zero" else u - threshold * s
        expected.append(s)
    (torch.stack(expected) * upstream).sum().backward()
    assert torch.equal(found, torch.stack(expected).round())
    torch.testing.assert_close(one.grad, two.grad)


@pytest.mark.parametrize("noise", [False, True])
def test_the_gradient_is_the_normal_density(neuron, noise):
    surrogate = neuron({"sigma": 0.2, "mu": 0.1}).surrogate
    x = torch.linspace(-1, 1, 41, dtype=torch.float64).requires_grad_()
    surrogate.spike(x, 0, surrogate.params(x, 0), torch.rand(41) if noise else None).sum().backward()
    z = (x.detach() - 0.1) / 0.2
    torch.testing.assert_close(x.grad, torch.exp(-z.square() / 2) / (0.2 * math.sqrt(2 * math.pi)))


def test_evaluation_is_that_of_a_plain_neuron(neuron, plugin, layers_under):
    plain = layers_under(plugin("rectangle")["rectangle"], norm="none").spike("layer", torch.nn.Identity())
    current = currents(6, 500)
    assert torch.equal(neuron().eval()(current), plain.double()(current))


def test_training_goes_on_after_loading(neuron):
    one, other = neuron(), neuron()
    current = currents(3, 40)
    for _ in range(2):
        one(current)
    kept = io.BytesIO()
    torch.save(one.state_dict(), kept)
    kept.seek(0)
    other.load_state_dict(torch.load(kept, weights_only=True))
    assert torch.equal(one(current), other(current))


def test_each_pass_and_each_layer_has_noise_of_its_own(plugin, layers_under):
    layers = layers_under(plugin("nsnn")["nsnn"], norm="none")
    one, other = (layers.spike(f, torch.nn.Identity()) for f in "ab")
    current = torch.full((3, 60), 0.5)
    spikes = [s for out in (one(current), one(current), other(current)) for s in out.unbind(0)]
    assert len({tuple(s.tolist()) for s in spikes}) == len(spikes)


def test_what_it_declares(plugin):
    found = plugin("nsnn")["nsnn"]
    assert (found.kind, found.changes, found.fidelity) == ("adaptive", "forward", "paper")
    assert found.defaults(1.0) == {"sigma": 0.3, "mu": 0.0}
    assert "training only" in found.note
