"""DeepTAGE: its width by hand, and its gradient against a plain loop."""

import math

import numpy as np
import pytest
import torch


@pytest.fixture
def neuron(plugin, layers_under):
    def make(values=None, **options):
        layers = layers_under(plugin("deeptage")["deeptage"], values, norm="none", **options)
        return layers.spike("layer", torch.nn.Identity()).double()

    return make


def currents(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [(5, 6), (5, 3, 2, 2)], ids=str)
@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_equals_a_plain_loop(neuron, shape, threshold):
    """At v_th = 1 h = 1 / (1 + pi^2 (x/d)^2), d = 0.25 s_t/s_1 + 0.75; hard reset, tau = 0.2."""
    current, upstream = currents(4, *shape), currents(4, *shape).flip(1)
    leaf = current.clone().requires_grad_()
    (neuron(threshold=threshold)(leaf) * upstream).sum().backward()

    i, g = current.numpy(), upstream.numpy()
    u, s, h, v, first = np.zeros(i.shape), np.zeros(i.shape), np.zeros(i.shape), np.zeros(shape), None
    for t in range(4):
        u[t] = 0.2 * v + i[t]
        s[t] = u[t] >= threshold
        v = u[t] * (1 - s[t])
        norms = [math.sqrt(((sample - threshold) ** 2).sum()) for sample in u[t]]
        spread = sum(norms) / len(norms)
        first = first or spread
        d = 0.25 * spread / first + 0.75
        h[t] = 1 / (1 + (math.pi * (u[t] - threshold) / threshold / d) ** 2) / threshold
    expected, dv = np.zeros(i.shape), np.zeros(shape)
    for t in reversed(range(4)):
        expected[t] = dv * (1 - s[t]) + (g[t] - u[t] * dv) * h[t]
        dv = 0.2 * expected[t]
    np.testing.assert_allclose(leaf.grad.numpy(), expected, rtol=1e-9, atol=1e-12)


def test_the_width_by_hand(neuron):
    """Distances (3, 4) and (0, 1): norms 5 and 1, mean 3; then (6, 8) and (0, 2): mean 6; d = 1.25."""
    surrogate = neuron(threshold=1.0).surrogate
    steps = [torch.tensor([[4.0, 5.0], [1.0, 2.0]]), torch.tensor([[7.0, 9.0], [1.0, 3.0]])]
    widths = [surrogate.params(u, t)["width"].item() for t, u in enumerate(steps)]
    assert widths == pytest.approx([2 / math.pi, 1.25 * 2 / math.pi])
    # A new batch starts anew.
    assert surrogate.params(steps[1], 0)["width"].item() == pytest.approx(2 / math.pi)


def test_w_is_the_share_that_adapts(neuron):
    surrogate = neuron({"w": 1.0}).surrogate
    start, twice = torch.tensor([[0.6]]), torch.tensor([[0.7]])
    surrogate.params(start, 0)
    assert surrogate.params(twice, 1)["width"].item() == pytest.approx(2 / math.pi)


def test_a_layer_exactly_at_the_threshold_has_a_gradient(neuron):
    leaf = torch.full((2, 3, 4), 0.5, dtype=torch.float64).requires_grad_()
    neuron()(leaf).sum().backward()
    assert leaf.grad.isfinite().all()


def test_large_layers_do_not_overflow_in_float16(neuron):
    u = torch.full((2, 4000), 8.0, dtype=torch.float16)
    assert neuron().surrogate.params(u, 0)["width"].item() == pytest.approx(1 / math.pi, rel=1e-3)


def test_what_it_declares(plugin):
    found = plugin("deeptage")["deeptage"]
    assert (found.kind, found.changes, found.fidelity) == ("adaptive", "gradient", "reconstructed")
    assert found.defaults(1.0) == {"width": 2 / math.pi, "height": 1.0, "w": 0.25}
    assert "heads" in found.note
