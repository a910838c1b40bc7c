"""PDSG against a plain loop of its authors' formula, with sigma by hand."""

import math

import numpy as np
import pytest
import torch


@pytest.fixture
def neuron(plugin, layers_under):
    def make(**options):
        layers = layers_under(plugin("pdsg")["pdsg"], norm="none", **options)
        return layers.spike("layer", torch.nn.Identity()).double()

    return make


def currents(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(5, 3), (5, 3, 2, 2)], ids=str)
@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_equals_a_plain_loop(neuron, shape, threshold):
    """Hard reset, tau = 0.2; all potentials of a channel so far are kept, as the authors' code does."""
    current, upstream = currents(4, *shape), currents(4, *shape).flip(1)
    leaf = current.clone().requires_grad_()
    (neuron(threshold=threshold)(leaf) * upstream).sum().backward()

    i, g = current.numpy(), upstream.numpy()
    u, s, h, v = np.zeros(i.shape), np.zeros(i.shape), np.zeros(i.shape), np.zeros(shape)
    for t in range(4):
        u[t] = 0.2 * v + i[t]
        s[t] = u[t] >= threshold
        v = u[t] * (1 - s[t])
        for c in range(3):
            seen = u[: t + 1, :, c].ravel()
            sigma = math.sqrt(((seen - seen.mean()) ** 2).sum() / (seen.size - 1))
            z = (u[t, :, c] - threshold - sigma / 2) / sigma
            h[t, :, c] = np.exp(-z * z / 2) / (math.sqrt(2 * math.pi) * sigma)
    expected, dv = np.zeros(i.shape), np.zeros(shape)
    for t in reversed(range(4)):
        expected[t] = dv * (1 - s[t]) + (g[t] - u[t] * dv) * h[t]
        dv = 0.2 * expected[t]
    np.testing.assert_allclose(leaf.grad.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_sigma_by_hand(neuron):
    """Channel 0 has 1, 3 and then 5, 7: variance 20/3 over all four. Channel 1 is constant."""
    surrogate = neuron().surrogate
    steps = [torch.tensor([[1.0, 2.0], [3.0, 2.0]]), torch.tensor([[5.0, 2.0], [7.0, 2.0]])]
    found = [surrogate.params(u, t)["sigma"] for t, u in enumerate(steps)]
    torch.testing.assert_close(found[0], torch.tensor([[math.sqrt(2), 0.5]]))
    torch.testing.assert_close(found[1], torch.tensor([[math.sqrt(20 / 3), 0.5]]))
    # A new batch starts anew.
    torch.testing.assert_close(surrogate.params(steps[0], 0)["sigma"], found[0])


def test_a_batch_of_one_has_a_gradient(neuron):
    """Which has no standard deviation at the first step."""
    leaf = torch.full((2, 1, 3), 0.6, dtype=torch.float64).requires_grad_()
    neuron()(leaf).sum().backward()
    assert leaf.grad.isfinite().all()


def test_sigma_has_no_gradient(neuron):
    u = currents(5, 3).requires_grad_()
    assert not neuron().surrogate.params(u, 0)["sigma"].requires_grad


def test_what_it_declares(plugin):
    found = plugin("pdsg")["pdsg"]
    assert (found.kind, found.changes, found.fidelity) == ("adaptive", "gradient", "official-code")
    assert found.defaults(0.5) == {}
    assert found.formula.startswith("h(x) = N(x; s/2, s^2)")
