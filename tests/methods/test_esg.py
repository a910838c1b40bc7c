"""ESG against the derivative of its primitive in float64, its schedule, and the IM loss against a loop."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from bench.neuron import SpikingNeuron


@pytest.fixture
def neuron(plugin, layers_under):
    def make(name="esg", values=None, **options):
        layers = layers_under(plugin("esg")[name], values, **{"norm": "none"} | options)
        return layers.spike("layer", nn.Identity())

    return make


@pytest.mark.parametrize("name", ["esg", "esg+im"])
@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_h_is_the_derivative_of_the_papers_function(neuron, name, progress):
    made = neuron(name).surrogate
    made.on_epoch(progress)
    x = torch.linspace(-2, 2, 101, dtype=torch.float64)
    ours = x.clone().requires_grad_()
    made.spike(ours, 0, made.params(x, 0), None).sum().backward()
    theirs = x.clone().requires_grad_()
    (torch.tanh(made.k * theirs) / 2 + 0.5).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-14)


def test_k_runs_from_its_least_to_its_greatest(neuron):
    made = neuron().surrogate
    assert made.k == 1
    ks = []
    for progress in np.linspace(0, 1, 21):
        made.on_epoch(float(progress))
        ks.append(made.k)
    assert (ks[0], ks[-1]) == pytest.approx((1, 10))
    assert (np.diff(ks) > 0).all()
    # Exponential in time: equal ratios of what lies above the asymptote of the formula.
    asymptote = (10 * 1 - 10) / 9
    np.testing.assert_allclose(np.diff(np.log(np.array(ks) - asymptote)), math.log(10) / 20, rtol=1e-9)


def test_other_ends_and_another_threshold(neuron):
    made = neuron(values={"k_min": 2.0, "k_max": 30.0}).surrogate
    made.on_epoch(1.0)
    assert made.k == pytest.approx(30)
    at_one = neuron(threshold=1.0).surrogate
    assert at_one.k == pytest.approx(0.5)


@pytest.mark.parametrize("weight", [2.0, 0.3])
def test_the_im_loss_is_that_of_a_loop(neuron, weight):
    made = neuron("esg+im", {"weight": weight})
    current = torch.randn(4, 7, 5, dtype=torch.float64)
    made.double()(current)
    potentials, v = [], np.zeros((7, 5))
    for i in current.numpy():
        u = 0.2 * v + i
        potentials.append(u)
        v = u * (u < 0.5)
    expected = weight * (np.mean(potentials) - 0.5) ** 2
    assert float(made.surrogate.penalty(made.statistics)) == pytest.approx(expected, rel=1e-10)


def test_the_im_loss_draws_the_mean_to_the_threshold(neuron):
    made = neuron("esg+im")
    shift = torch.zeros((), requires_grad=True)
    made(torch.randn(4, 50, 5) - 2 + shift)
    made.surrogate.penalty(made.statistics).backward()
    # The potentials lie below: the loss falls as they rise.
    assert shift.grad < 0


def test_esg_alone_asks_for_no_loss(neuron):
    made = neuron("esg")
    made(torch.randn(4, 7, 5))
    assert isinstance(made, SpikingNeuron)
    assert made.statistics is None
