"""LSG: its width by the paper's formula, and where it is MPD-AGL."""

import math

import pytest
import torch
from torch import nn

from bench.errors import BenchError


@pytest.fixture
def lsg(plugin):
    return plugin("lsg")["lsg"]


def neuron_of(layers, norm=None):
    return layers.spike("layer", norm if norm is not None else nn.Identity())


@pytest.mark.parametrize("threshold", [0.5, 1.0])
@pytest.mark.parametrize("decay", [0.1, 0.2, 0.9])
def test_the_width_is_the_papers_formula(lsg, layers_under, threshold, decay):
    neuron = neuron_of(layers_under(lsg, neuron="plif", norm="none", threshold=threshold, decay=decay))
    for t in range(3):
        width = neuron.surrogate.params(torch.zeros(1), t)["width"]
        assert float(width) == pytest.approx(2 * threshold * math.sqrt(1 + decay**2), rel=1e-6)
        assert not width.requires_grad


def test_it_follows_the_learned_decay(lsg, layers_under):
    neuron = neuron_of(layers_under(lsg, neuron="plif"))
    with torch.no_grad():
        neuron.w.fill_(math.log(0.7 / 0.3))
    width = neuron.surrogate.params(torch.zeros(1), 0)["width"]
    assert float(width) == pytest.approx(math.sqrt(1.49), rel=1e-6)


def test_the_decay_learns_through_the_forward_pass(lsg, layers_under):
    neuron = neuron_of(layers_under(lsg, neuron="plif", norm="none"))
    neuron(torch.rand(4, 3, 5)).sum().backward()
    assert neuron.w.grad.abs() > 0


def test_it_is_mpd_agl_where_gamma_is_one_from_the_second_step_on(lsg, plugin, layers_under):
    widths = []
    for method in (lsg, plugin("mpd_agl")["mpd-agl"]):
        layers = layers_under(method, neuron="plif", decay=0.4)
        surrogate = neuron_of(layers, layers.norm(6)).surrogate
        widths.append([float(surrogate.params(torch.zeros(1), t)["width"]) for t in range(4)])
    ours, theirs = widths
    assert ours[1:] == pytest.approx(theirs[1:], rel=1e-7)
    assert ours[0] != pytest.approx(theirs[0], rel=1e-3)


def test_a_constant_decay_is_refused(lsg, layers_under):
    with pytest.raises(
        BenchError, match="lsg needs neurons that learn their decay; net/layer has a constant"
    ):
        neuron_of(layers_under(lsg, neuron="lif"))
