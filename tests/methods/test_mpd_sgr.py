"""MPD-SGR's loss against simulated potentials, and what its gradient does to them."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from bench.errors import BenchError

DRAWS = 400_000


@pytest.fixture
def layer(plugin, layers_under):
    def make(gamma=(1.0,), beta=(0.0,), values=None, timesteps=3, **options):
        layers = layers_under(plugin("mpd_sgr")["mpd-sgr"], values, timesteps=timesteps, **options)
        norm = layers.norm(len(gamma))
        with torch.no_grad():
            norm.weight.copy_(torch.tensor(gamma))
            norm.bias.copy_(torch.tensor(beta))
        return norm, layers.spike("layer", norm)

    return make


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize(("gamma", "beta"), [(1.0, 0.0), (1.8, 0.4), (0.5, -0.3), (-1.2, 0.1)])
def test_the_first_two_means_are_those_of_simulated_potentials(layer, reset, gamma, beta):
    """Exact for two steps: from the third on what the reset leaves is no normal potential."""
    _, neuron = layer([gamma], [beta], reset=reset)
    random = np.random.default_rng(0)
    current = gamma * 0.5 * random.standard_normal((2, DRAWS)) + beta
    u0 = current[0]
    spikes = u0 >= 0.5
    v = u0 * (1 - spikes) if reset == "zero" else u0 - 0.5 * spikes
    u1 = 0.2 * v + current[1]
    (m0, s0), (m1, _), _ = [(m.item(), s.item()) for m, s in neuron.surrogate.moments()]
    tolerance = 5 * max(u0.std(), u1.std()) / math.sqrt(DRAWS)
    assert m0 == pytest.approx(u0.mean(), abs=tolerance)
    assert s0 == pytest.approx(u0.std(), rel=0.01)
    assert m1 == pytest.approx(u1.mean(), abs=tolerance)


def test_the_spread_is_the_geometric_sum(layer):
    _, neuron = layer([1.5], timesteps=5, decay=0.6)
    found = [s.item() for _, s in neuron.surrogate.moments()]
    expected = [0.75 * math.sqrt(sum(0.6 ** (2 * i) for i in range(t + 1))) for t in range(5)]
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("width", [0.2, 1.0])
def test_the_loss_is_the_mass_that_scipy_finds(layer, width):
    gamma, beta = (1.0, 0.4, 2.0), (0.0, 0.3, -0.5)
    _, neuron = layer(gamma, beta, {"width": width, "weight": 0.7}, timesteps=1)
    low, high = 0.5 - width, 0.5 + width
    mass = [stats.norm(b, 0.5 * g).cdf([low, high]) for g, b in zip(gamma, beta, strict=True)]
    expected = 0.7 * np.mean([high - low for low, high in mass])
    assert neuron.surrogate.penalty(None).item() == pytest.approx(expected, rel=1e-5)


def test_the_mean_goes_over_layers(plugin, layers_under):
    layers = layers_under(plugin("mpd_sgr")["mpd-sgr"])
    neurons = [layers.spike(str(i), layers.norm(4)) for i in range(3)]
    (alone,) = [layers_under(plugin("mpd_sgr")["mpd-sgr"])]
    single = alone.spike("one", alone.norm(4))
    total = sum(neuron.surrogate.penalty(None) for neuron in neurons)
    assert total.item() == pytest.approx(single.surrogate.penalty(None).item(), rel=1e-6)


def test_the_loss_moves_gamma_and_beta_and_not_the_decay(layer):
    norm, neuron = layer([1.0, 1.0], [0.0, 0.9], {"width": 0.3}, neuron="plif")
    before = neuron.surrogate.penalty(None)
    before.backward()
    assert neuron.w.grad is None
    assert (norm.weight.grad != 0).all()
    with torch.no_grad():
        norm.weight -= 0.5 * norm.weight.grad
        norm.bias -= 0.5 * norm.bias.grad
    assert neuron.surrogate.penalty(None) < before


def test_a_gamma_of_zero_gives_no_nan(layer):
    norm, neuron = layer([0.0], [0.0])
    loss = neuron.surrogate.penalty(None)
    loss.backward()
    assert loss.isfinite()
    assert norm.weight.grad.isfinite().all()
    assert norm.bias.grad.isfinite().all()


def test_it_needs_a_tdbn(plugin, layers_under):
    layers = layers_under(plugin("mpd_sgr")["mpd-sgr"], norm="none")
    with pytest.raises(BenchError, match=r"mpd-sgr needs a tdBN .*; net/layer has none: set norm = 'tdbn'"):
        layers.spike("layer", nn.Identity())


def test_where_no_neuron_fires_the_mean_is_the_geometric_sum(layer):
    """The paper's beta * D(tau, t), less a reset term that is then 0."""
    _, neuron = layer([0.01], [0.3], timesteps=5, decay=0.3)
    found = [m.item() for m, _ in neuron.surrogate.moments()]
    expected = [0.3 * sum(0.3**i for i in range(t + 1)) for t in range(5)]
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("gamma", "beta"), [(1.0, 0.0), (1.8, 0.4), (0.5, -0.3)])
def test_the_loss_is_near_the_share_of_simulated_potentials(layer, gamma, beta):
    """Near only: after a reset a potential is not normal."""
    _, neuron = layer([gamma], [beta], {"width": 0.4, "weight": 1.0})
    random, v, inside = np.random.default_rng(1), np.zeros(DRAWS), []
    for _ in range(3):
        u = 0.2 * v + gamma * 0.5 * random.standard_normal(DRAWS) + beta
        inside.append(np.mean(np.abs(u - 0.5) < 0.4))
        v = u * (u < 0.5)
    assert neuron.surrogate.penalty(None).item() == pytest.approx(np.mean(inside), abs=0.02)


@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_h_is_a_plain_triangle(plugin, layers_under, threshold):
    layers = layers_under(plugin("mpd_sgr")["mpd-sgr"], threshold=threshold)
    made = layers.spike("layer", layers.norm(1)).double().surrogate
    x = torch.linspace(-3.01, 3.01, 301, dtype=torch.float64, requires_grad=True)
    made.spike(x, 0, made.params(x, 0), None).sum().backward()
    g = 2 * threshold
    expected = np.maximum(0, 1 - np.abs(x.detach().numpy()) / g) / g
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12, atol=1e-15)


def test_the_loss_goes_with_the_threshold(layer):
    """Potentials, threshold and window twice as large: the same share."""
    losses = []
    for threshold in (0.5, 1.0):
        _, neuron = layer([1.3], [0.2 * threshold / 0.5], timesteps=3, threshold=threshold)
        losses.append(neuron.surrogate.penalty(None).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_gamma_of_zero_in_half_precision(layer, dtype):
    norm, neuron = layer([0.0], [0.0])
    norm.to(dtype)
    neuron.to(dtype).surrogate.penalty(None).backward()
    assert norm.weight.grad.isfinite().all()
    assert norm.bias.grad.isfinite().all()


def test_what_it_declares(plugin):
    found = plugin("mpd_sgr")["mpd-sgr"]
    assert found.defaults(0.5) == {"width": 1.0, "weight": 0.1}
    assert found.defaults(1.0) == {"width": 2.0, "weight": 0.1}
    assert (found.changes, found.fidelity) == ("loss", "reconstructed")
