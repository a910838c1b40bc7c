"""KLIF against the equations of SpikingJelly's KLIFNode, whose surrogate is a sigmoid."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bench.errors import BenchError
from bench.model.layers import Layers, NeuronOptions
from bench.registry import load

FOUND = load()


def neuron(k=1.0, **options):
    method = FOUND.method("klif").item
    layers = Layers(
        "net",
        lambda site: method.build(site, {}),
        NeuronOptions(norm="none", decay=0.5, **options),
        timesteps=5,
    )
    made = layers.spike("layer", nn.Identity()).double()
    with torch.no_grad():
        made.surrogate.k.fill_(k)
    return made


def plain(current, k, alpha, threshold, detach_reset, decay=0.5):
    """H = decay V + X, F = ReLU(k H), S = 1(F >= v_th), V = F (1 - S)."""
    v, out = torch.zeros_like(current[0]), []
    for x in current:
        f = torch.relu(k * (decay * v + x))
        smooth = torch.sigmoid(alpha * (f - threshold))
        s = (f >= threshold).double() + (smooth - smooth.detach())
        v = f * (1 - (s.detach() if detach_reset else s))
        out.append(s)
    return torch.stack(out)


@given(
    seed=st.integers(0, 10**6),
    k=st.one_of(st.floats(0.2, 3), st.floats(-2, -0.2)),
    # SpikingJelly's slope of 4 is for a threshold of 1.
    scale=st.sampled_from([(0.5, 8.0), (1.0, 4.0), (2.0, 2.0)]),
    detach_reset=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_equals_the_equations(seed, k, scale, detach_reset):
    threshold, alpha = scale
    ours = neuron(k, threshold=threshold, detach_reset=detach_reset)
    generator = torch.Generator().manual_seed(seed)
    current = torch.randn(5, 60, dtype=torch.float64, generator=generator) + 0.4
    upstream = torch.randn(5, 60, dtype=torch.float64, generator=generator)
    one, two = (current.clone().requires_grad_() for _ in range(2))
    factor = torch.tensor(k, dtype=torch.float64, requires_grad=True)
    found, expected = ours(one), plain(two, factor, alpha, threshold, detach_reset)
    torch.testing.assert_close(found, expected)
    for out in (found, expected):
        (out * upstream).sum().backward()
    torch.testing.assert_close(one.grad, two.grad, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(ours.surrogate.k.grad, factor.grad, rtol=1e-9, atol=1e-11)


def test_a_learned_decay_gets_the_same_gradient():
    ours = neuron(1.4, neuron="plif")
    current = torch.randn(5, 60, dtype=torch.float64) + 0.4
    decay = ours.decay.detach().clone().requires_grad_()
    ours(current).sum().backward()
    plain(current, torch.tensor(1.4).double(), 8.0, 0.5, False, decay).sum().backward()
    slope = (decay * (1 - decay)).detach()
    torch.testing.assert_close(ours.w.grad, decay.grad * slope)


@pytest.mark.parametrize("k", [0.5, 2.0])
def test_evaluation_without_gradients_is_the_same(k):
    ours = neuron(k).eval()
    current = torch.randn(5, 60, dtype=torch.float64) + 0.4
    expected = plain(current, k, 8.0, 0.5, False)
    with torch.no_grad():
        assert torch.equal(ours(current), expected)


def test_the_soft_reset_is_refused():
    with pytest.raises(BenchError, match=r"klif has the hard reset only.*set reset = 'zero'"):
        neuron(reset="subtract")


def test_what_it_declares(plugin):
    found = plugin("klif")["klif"]
    assert (found.changes, found.fidelity, found.breaks) == ("network", "reconstructed", {})
    assert found.defaults(1.0)["width"] == pytest.approx(3.5255 / 4, rel=1e-4)
