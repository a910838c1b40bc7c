"""MSG against a plain loop of its authors' formula, and the share of its gradient that is zero."""

import io

import numpy as np
import pytest
import torch
from scipy import stats


@pytest.fixture
def neuron(plugin, layers_under):
    def make(values=None, **options):
        layers = layers_under(plugin("msg")["msg"], values, norm="none", **options)
        return layers.spike("layer", torch.nn.Identity()).double()

    return make


def currents(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def gradient(run, neuron, current):
    current = current.clone().requires_grad_()
    run(current, neuron.surrogate.noise(current.shape, current)).sum().backward()
    return current.grad


@pytest.mark.parametrize("threshold", [0.5, 1.0])
@pytest.mark.parametrize("noise", [False, True])
def test_equals_a_plain_loop(neuron, threshold, noise):
    """Hard reset, tau = 0.2; alpha = 2 at the threshold 0.5; an element is masked below p = 0.5."""
    current, upstream = currents(4, 200), currents(4, 200).flip(1)
    uniform = torch.rand(4, 200) if noise else None
    ours = current.clone().requires_grad_()
    (neuron(threshold=threshold).unroll(ours, uniform) * upstream).sum().backward()

    alpha, i, g = 1 / threshold, current.numpy(), upstream.numpy()
    u, s, v = np.zeros((4, 200)), np.zeros((4, 200)), np.zeros(200)
    for t in range(4):
        u[t] = 0.2 * v + i[t]
        s[t] = u[t] >= threshold
        v = u[t] * (1 - s[t])
    h = np.maximum(0, alpha - alpha**2 * np.abs(u - threshold))
    if noise:
        h[uniform.numpy() < 0.5] = 0
    expected, dv = np.zeros((4, 200)), np.zeros(200)
    for t in reversed(range(4)):
        expected[t] = dv * (1 - s[t]) + (g[t] - u[t] * dv) * h[t]
        dv = 0.2 * expected[t]
    np.testing.assert_allclose(ours.grad.numpy(), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("p", [0.5, 0.2])
def test_the_zeroed_share_is_p_compiled_and_eager_alike(neuron, p):
    """At T = 1 and inside the triangle, where without the mask nothing is zero."""
    ours, n = neuron({"p": p}), 20_000
    low, high = stats.binom.interval(1 - 1e-6, n, p)
    torch._dynamo.reset()
    with torch._dynamo.config.patch(specialize_float=True):
        compiled = torch.compile(ours.unroll, fullgraph=True, dynamic=True, backend="aot_eager")
        for size in (n, n + 1):
            current = torch.linspace(0.01, 0.99, size, dtype=torch.float64)[None]
            found = []
            for run in (compiled, ours.unroll):
                ours.surrogate.stream.drawn = 5
                found.append(gradient(run, ours, current))
            assert torch.equal(*found)
            assert low <= (found[0] == 0).sum().item() - (size - n) <= high + 1
    torch._dynamo.reset()


def test_what_is_left_is_not_scaled_up(neuron):
    current = torch.linspace(0.01, 0.99, 500, dtype=torch.float64)[None]
    ours = neuron()
    masked, whole = (gradient(ours.unroll, each, current) for each in (ours, neuron().eval()))
    torch.testing.assert_close(whole, 2 - 4 * (current - 0.5).abs())
    left = masked != 0
    assert torch.equal(masked[left], whole[left])


def test_the_mask_differs_between_steps_passes_and_layers(plugin, layers_under):
    layers = layers_under(plugin("msg")["msg"], norm="none", detach_reset=True, decay=1e-12)
    one, other = (layers.spike(f, torch.nn.Identity()) for f in "ab")
    current = torch.full((3, 60), 0.6)
    masks = [m for each in (one, one, other) for m in (gradient(each.unroll, each, current) != 0).unbind(0)]
    assert len({tuple(mask.tolist()) for mask in masks}) == len(masks)


def test_the_forward_pass_has_no_noise(neuron):
    ours, current = neuron(), currents(4, 100)
    assert torch.equal(ours(current), ours.eval()(current))


def test_training_goes_on_after_loading(neuron):
    one, other = neuron(), neuron()
    current = currents(3, 40)
    for _ in range(2):
        one(current)
    kept = io.BytesIO()
    torch.save(one.state_dict(), kept)
    kept.seek(0)
    other.load_state_dict(torch.load(kept, weights_only=True))
    first, second = (gradient(each.unroll, each, current) for each in (one, other))
    assert torch.equal(first, second)


def test_what_it_declares(plugin):
    found = plugin("msg")["msg"]
    assert (found.kind, found.changes, found.fidelity) == ("adaptive", "gradient", "official-code")
    assert found.defaults(0.5) == {"a": 2.0, "p": 0.5}
    assert found.defaults(1.0) == {"a": 1.0, "p": 0.5}
    assert found.formula.startswith("h(x) = m max(0, a - a^2 |x|)")
