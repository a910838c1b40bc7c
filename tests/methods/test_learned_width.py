"""The learned width: where it starts, and what its gradient is."""

import math

import pytest
import torch

from bench import shapes
from bench.model.backbone import Network
from bench.runner import train
from bench.suite import Recipe


@pytest.fixture
def neuron(plugin, layers_under):
    def make(values=None, **options):
        layers = layers_under(plugin("learned_width")["learned-width"], values, norm="none", **options)
        return layers.spike("layer", torch.nn.Identity()).double()

    return make


def currents(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def width(neuron):
    return neuron.surrogate.params(torch.zeros(1), 0)["width"].item()


@pytest.mark.parametrize(
    ("values", "threshold", "start"), [({}, 0.5, 1.0), ({}, 1.0, 2.0), ({"width": 0.3}, 1.0, 0.3)]
)
def test_starts_as_arctan(neuron, plugin, layers_under, values, threshold, start):
    ours = neuron(values, threshold=threshold)
    assert width(ours) == start
    layers = layers_under(plugin("arctan")["arctan"], {"width": start}, norm="none", threshold=threshold)
    fixed = layers.spike("layer", torch.nn.Identity())
    one, two = (currents(4, 50).requires_grad_() for _ in range(2))
    found, expected = ours(one), fixed(two)
    (found.sum() + expected.sum()).backward()
    assert torch.equal(found, expected)
    torch.testing.assert_close(one.grad, two.grad)


def test_the_gradient_of_the_width_is_that_of_the_primitive(neuron):
    """dH/dr = k dH/dk = -(2x/k) / (pi (1 + (2x/k)^2)), for k = width exp(r)."""
    ours = neuron()
    with torch.no_grad():
        ours.surrogate.log_ratio.fill_(0.4)
    k = math.exp(0.4)
    assert width(ours) == pytest.approx(k)
    current, upstream = currents(1, 50), currents(1, 50).flip(1)
    (ours(current) * upstream).sum().backward()
    expected = 0.0
    for i, g in zip(current[0].tolist(), upstream[0].tolist(), strict=True):
        z = 2 * (i - 0.5) / k
        expected -= g * z / (math.pi * (1 + z * z))
    assert ours.surrogate.log_ratio.grad.item() == pytest.approx(expected, rel=1e-9)


def test_every_potential_has_a_say_in_the_width(neuron):
    """Why not a shape of compact support: there the gradient of the width is zero outside."""
    ours = neuron()
    ours(torch.full((1, 1), 100.0, dtype=torch.float64)).sum().backward()
    assert ours.surrogate.log_ratio.grad.item() < -1e-4


def test_the_recipes_optimizer_trains_it_and_it_stays_positive(neuron):
    ours = neuron()
    network = Network(ours, [ours.surrogate.site], [ours.surrogate], 4)
    (only,) = train.optimizers(network, Recipe(epochs=1, batch_size=2, learning_rate=0.5))
    for _ in range(20):
        only.zero_grad()
        current = currents(4, 50).abs() + 1
        ours(current).sum().neg().backward()  # a narrower step is higher above the threshold
        only.step()
    assert 0 < width(ours) < 0.01
    x = torch.zeros(3, dtype=torch.float64).requires_grad_()
    ours.surrogate.spike(x, 0, ours.surrogate.params(x, 0), None).sum().backward()
    torch.testing.assert_close(x.grad, shapes.arctan(x.detach(), width(ours)))


def test_compiled_equals_eager(neuron):
    ours = neuron()
    torch._dynamo.reset()
    with torch._dynamo.config.patch(specialize_float=True):
        compiled = torch.compile(ours.unroll, fullgraph=True, dynamic=True, backend="aot_eager")
        for size in (30, 40):
            found = {}
            for run in (compiled, ours.unroll):
                current = currents(2, size).requires_grad_()
                ours.surrogate.log_ratio.grad = None
                out = run(current, None)
                out.sum().backward()
                found[run] = (out, current.grad, ours.surrogate.log_ratio.grad)
            torch.testing.assert_close(*found.values())
    torch._dynamo.reset()


def test_what_it_declares(plugin):
    found = plugin("learned_width")["learned-width"]
    assert (found.kind, found.changes, found.fidelity) == ("control", "gradient", "reconstructed")
    assert found.params["width"].search == (0.25, 4.0)
    assert found.formula.startswith("h(x) = 2 / (pi k)")
