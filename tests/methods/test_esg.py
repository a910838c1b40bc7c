"""ESG against the derivative of its primitive in float64, its schedule, and the IM loss against a loop."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from bench.model.neuron import SpikingNeuron


@pytest.fixture
def neuron(plugin, layers_under):
    def make(name="esg", values=None, **options):
        layers = layers_under(plugin("esg")[name], values, **{"norm": "none"} | options)
        return layers.spike("layer", nn.Identity())

    return make


@pytest.mark.parametrize("name", ["esg", "esg+im"])
@pytest.mark.parametrize("progress", [0.0, 0.5, 1.0])
def test_h_is_the_derivative_of_the_papers_function(neuron, name, progress):
    made = neuron(name).double().surrogate
    made.on_epoch(progress)
    x = torch.linspace(-2, 2, 101, dtype=torch.float64)
    ours = x.clone().requires_grad_()
    made.spike(ours, 0, made.params(x, 0), None).sum().backward()
    theirs = x.clone().requires_grad_()
    (torch.tanh(made.k * theirs) / 2 + 0.5).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-14)


def test_k_runs_from_its_least_to_its_greatest(neuron):
    made = neuron().double().surrogate
    assert made.k == 1
    ks = []
    for progress in np.linspace(0, 1, 21):
        made.on_epoch(float(progress))
        ks.append(float(made.k))
    assert (ks[0], ks[-1]) == pytest.approx((1, 10))
    assert (np.diff(ks) > 0).all()
    # Exponential in time: equal ratios of what lies above the asymptote of the formula.
    asymptote = (10 * 1 - 10) / 9
    np.testing.assert_allclose(np.diff(np.log(np.array(ks) - asymptote)), math.log(10) / 20, rtol=1e-9)


def test_other_ends_and_another_threshold(neuron):
    made = neuron(values={"k_min": 2.0, "k_max": 30.0}).surrogate
    made.on_epoch(1.0)
    assert float(made.k) == pytest.approx(30)
    at_one = neuron(threshold=1.0).surrogate
    assert float(at_one.k) == pytest.approx(0.5)


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


@pytest.mark.parametrize("name", ["esg", "esg+im"])
def test_a_training_of_many_epochs_can_be_compiled(neuron, name):
    """One k a compilation would end at torch's limit of eight."""
    made = neuron(name)
    torch._dynamo.reset()
    with torch._dynamo.config.patch(specialize_float=True):
        compiled = torch.compile(made.unroll, fullgraph=True, dynamic=True, backend="aot_eager")
        for progress in np.linspace(0, 1, 12):
            made.surrogate.on_epoch(float(progress))
            grads = []
            for run in (compiled, made.unroll):
                current = torch.linspace(0, 1, 24).view(2, 3, 4).requires_grad_()
                run(current, None).sum().backward()
                grads.append(current.grad)
            torch.testing.assert_close(*grads)
    torch._dynamo.reset()


def test_what_it_declares(plugin):
    found = plugin("esg")
    assert found["esg+im"].defaults(0.5) == {"k_min": 1.0, "k_max": 10.0, "weight": 2.0}
    assert found["esg"].defaults(1.0) == {"k_min": 0.5, "k_max": 5.0}
    assert (found["esg"].changes, found["esg+im"].changes) == ("gradient", "loss")


def test_half_way_k_is_the_geometric_mean(neuron):
    """(10^(1/2) - 1) 10 + (10 - 10^(1/2)) over 9 is the root of 10."""
    made = neuron().surrogate
    made.on_epoch(0.5)
    assert float(made.k) == pytest.approx(math.sqrt(10), rel=1e-6)


def test_the_im_loss_goes_with_the_threshold(neuron):
    """Twice the potentials under twice the threshold: the same loss."""
    current = torch.randn(3, 7, 5, dtype=torch.float64)
    losses = []
    for threshold in (0.5, 1.0):
        made = neuron("esg+im", threshold=threshold).double()
        made(current * threshold / 0.5)
        losses.append(float(made.surrogate.penalty(made.statistics)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)
