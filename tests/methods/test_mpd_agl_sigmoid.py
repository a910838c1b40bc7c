"""MPD-AGL's policy with a clamped sigmoid: the slope by hand, and where the clamp holds."""

import math

import pytest
import torch

from bench.errors import BenchError


@pytest.fixture
def layer(plugin, layers_under):
    def make(gamma=1.0, values=None, **options):
        layers = layers_under(plugin("mpd_agl_sigmoid")["mpd-agl:sigmoid"], values, **options)
        norm = layers.norm(3)
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([0.5, 1.0, 1.5]) * gamma)
        return layers.spike("layer", norm).double()

    return make


def gradient(neuron, x, t=0):
    leaf = x.clone().requires_grad_()
    neuron.surrogate.spike(leaf, t, neuron.surrogate.params(leaf, t), None).sum().backward()
    return leaf.grad


@pytest.mark.parametrize("kind", ["lif", "plif"])
@pytest.mark.parametrize("t", [0, 3])
@pytest.mark.parametrize(
    ("gamma", "slope"),
    [
        (1.0, 2.236 / (math.sqrt(1.04) * 0.5)),
        (0.7, 2.236 / (math.sqrt(1.04) * 0.7 * 0.5)),
        (0.1, 16.0),
        (0.0, 16.0),
        (5.0, 2.0),
        (-1.0, 2.0),
    ],
)
def test_the_gradient_is_the_sigmoids_of_that_slope(layer, kind, t, gamma, slope):
    neuron = layer(gamma, neuron=kind)
    for x in (-0.8, -0.1, 0.0, 0.3):
        p = 1 / (1 + math.exp(-slope * x))
        found = gradient(neuron, torch.tensor([[x, x, x]], dtype=torch.float64), t)
        assert found.tolist()[0] == pytest.approx([slope * p * (1 - p)] * 3, rel=1e-6)


def test_the_clamp_is_in_units_of_the_threshold(layer):
    zero = torch.zeros(1, 3, dtype=torch.float64)
    found = [gradient(layer(gamma, threshold=1.0), zero)[0, 0].item() for gamma in (0.01, 1.0, 50.0)]
    assert found == pytest.approx([8 / 4, 2.236 / math.sqrt(1.04) / 4, 1 / 4], rel=1e-6)


def test_no_gradient_flows_through_the_slope(layer):
    assert not layer(neuron="plif").surrogate.params(torch.zeros(1), 1)["width"].requires_grad


def test_a_site_without_tdbn_is_refused_by_name(plugin, layers_under):
    with pytest.raises(
        BenchError, match=r"mpd-agl:sigmoid needs a tdBN .*; net/fc1 has none: .*norm = 'tdbn'"
    ):
        layers_under(plugin("mpd_agl_sigmoid")["mpd-agl:sigmoid"], norm="bn").linear("fc1", 4, 3)


def test_what_it_declares(plugin):
    found = plugin("mpd_agl_sigmoid")["mpd-agl:sigmoid"]
    assert (found.kind, found.changes, found.fidelity) == ("control", "gradient", "reconstructed")
    assert found.defaults(0.5) == {"c": 2.236, "low": 2.0, "high": 16.0}
