"""The learned threshold: its gradient, and that the rectangle keeps its scale."""

import math

import pytest
import torch

from bench import primitives
from bench.model.backbone import Network
from bench.runner import train
from bench.suite import Recipe


@pytest.fixture
def neuron(plugin, layers_under):
    def make(values=None, **options):
        layers = layers_under(
            plugin("learned_threshold")["learned-threshold"], values, norm="none", **options
        )
        return layers.spike("layer", torch.nn.Identity()).double()

    return make


def currents(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def set_ratio(neuron, r):
    with torch.no_grad():
        neuron.surrogate.log_ratio.fill_(r)


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("r", [0.0, 0.4, -0.5])
def test_equals_autograd_through_a_plain_loop(neuron, reset, r):
    ours, upstream = neuron(reset=reset), currents(4, 200).flip(1)
    set_ratio(ours, r)
    one, two = (currents(4, 200).requires_grad_() for _ in range(2))
    found = ours(one)
    (found * upstream).sum().backward()

    ratio = torch.tensor(r, dtype=torch.float64, requires_grad=True)
    v, expected = torch.zeros(200, dtype=torch.float64), []
    for current in two:
        u, theta = 0.2 * v + current, 0.5 * ratio.exp()
        smooth = torch.clamp((u - theta) / 1.0 + 0.5, 0, 1)
        s = (u >= theta).double() + smooth - smooth.detach()
        v = u * (1 - s) if reset == "zero" else u - theta * s
        expected.append(s)
    (torch.stack(expected) * upstream).sum().backward()
    torch.testing.assert_close(found, torch.stack(expected))
    torch.testing.assert_close(one.grad, two.grad)
    torch.testing.assert_close(ours.surrogate.log_ratio.grad, ratio.grad)
    assert ratio.grad.abs() > 0.1


def test_the_gradient_of_the_threshold_by_hand(neuron):
    """At one step it is minus the sum of the gradients of the input, times theta for r."""
    ours = neuron()
    current = currents(1, 200).requires_grad_()
    (ours(current) * torch.linspace(0, 1, 200)).sum().backward()
    expected = -0.5 * current.grad.sum().item()
    assert ours.surrogate.log_ratio.grad.item() == pytest.approx(expected, rel=1e-12)


def test_the_scale_stays_where_the_threshold_goes(neuron):
    for r in (-1.0, 1.0):
        ours = neuron({"width": 0.6})
        set_ratio(ours, r)
        current = torch.linspace(-1, 3, 401, dtype=torch.float64)[None].requires_grad_()
        ours(current).sum().backward()
        inside = (current.detach() - 0.5 * math.exp(r)).abs() < 0.3
        torch.testing.assert_close(current.grad, inside.double() / 0.6)


def test_it_starts_as_the_plain_rectangle(neuron, plugin, layers_under):
    plain = layers_under(plugin("rectangle")["rectangle"], norm="none").spike("layer", torch.nn.Identity())
    one, two = (currents(4, 50).requires_grad_() for _ in range(2))
    found, expected = neuron()(one), plain.double()(two)
    (found.sum() + expected.sum()).backward()
    assert torch.equal(found, expected)
    torch.testing.assert_close(one.grad, two.grad)


def test_the_recipes_optimizer_trains_it_and_it_stays_positive(neuron):
    ours = neuron()
    network = Network(ours, [ours.surrogate.site], [ours.surrogate], 4)
    (only,) = train.optimizers(network, Recipe(epochs=1, batch_size=2, learning_rate=0.1))
    for _ in range(10):
        only.zero_grad()
        ours(currents(4, 50)).sum().neg().backward()
        only.step()
    theta = ours.surrogate.threshold(torch.zeros(1), 0).item()
    assert 0 < theta < 0.4


def test_what_it_declares(plugin):
    found = plugin("learned_threshold")["learned-threshold"]
    assert (found.kind, found.changes, found.fidelity) == ("control", "forward", "reconstructed")
    assert found.primitive is primitives.rectangle
    assert found.defaults(0.5) == {"width": 1.0}
