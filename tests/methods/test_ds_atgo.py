"""DS-ATGO against a plain loop of its authors' formulas."""

import io
import math

import numpy as np
import pytest
import torch


@pytest.fixture
def neuron(plugin, layers_under):
    def make(**options):
        layers = layers_under(plugin("ds_atgo")["ds-atgo"], norm="none", **options)
        return layers.spike("layer", torch.nn.Identity()).double()

    return make


def currents(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def deviation(u):
    """As torch.std in the authors' code: over n - 1."""
    return math.sqrt(((u - u.mean()) ** 2).sum() / (u.size - 1))


def plain(current, upstream, start, reset, thresholds=None):
    """Thresholds [T], spikes [T, N] and the gradient at the input, of a neuron with tau = 0.2.

    thresholds: those of evaluation; None in training.
    """
    i, g, (steps, n) = current.numpy(), upstream.numpy(), current.shape
    u, s, h, theta, v = np.zeros((steps, n)), np.zeros((steps, n)), np.zeros((steps, n)), [], np.zeros(n)
    for t in range(steps):
        u[t] = 0.2 * v + i[t]
        theta.append(u[t].mean() + deviation(u[t]) if thresholds is None else thresholds[t])
        x = u[t] - theta[t]
        s[t] = x >= 0
        width = start * (1 + math.tanh(deviation(u[t]) / start - 1))
        h[t] = (np.abs(x) < width / 2) / width
        v = u[t] * (1 - s[t]) if reset == "zero" else u[t] - theta[t] * s[t]
    grad, dv = np.zeros((steps, n)), np.zeros(n)
    for t in reversed(range(steps)):
        if reset == "zero":
            grad[t] = dv * (1 - s[t]) + (g[t] - u[t] * dv) * h[t]
        else:
            grad[t] = dv + (g[t] - theta[t] * dv) * h[t]
        dv = 0.2 * grad[t]
    return np.array(theta), s, grad


@pytest.mark.parametrize("start", [0.5, 1.0])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_training_and_evaluation_equal_a_plain_loop(neuron, start, reset):
    ours, running = neuron(threshold=start, reset=reset), np.full(4, start)
    upstream = currents(4, 300, seed=9)
    for batch in range(3):
        current = (1 + batch) * currents(4, 300, seed=batch) - 0.3
        found = current.clone().requires_grad_()
        out = ours(found)
        (out * upstream).sum().backward()
        theta, spikes, grad = plain(current, upstream, start, reset)
        running = 0.9 * running + 0.1 * theta
        np.testing.assert_array_equal(out.detach(), spikes)
        np.testing.assert_allclose(found.grad, grad, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ours.surrogate.running, running, rtol=1e-9)
    evaluated = current.clone().requires_grad_()
    out = ours.eval()(evaluated)
    (out * upstream).sum().backward()
    _, spikes, grad = plain(current, upstream, start, reset, running)
    np.testing.assert_array_equal(out.detach(), spikes)
    np.testing.assert_allclose(evaluated.grad, grad, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.surrogate.running, running, rtol=1e-9)


def test_the_whole_layer_has_one_threshold_without_gradient(neuron):
    surrogate = neuron().surrogate
    u = currents(5, 3, 2, 2).requires_grad_()
    theta, width = surrogate.threshold(u, 0), surrogate.params(u, 0)["width"]
    assert theta.shape == width.shape == ()
    assert not theta.requires_grad
    assert not width.requires_grad


def test_of_normal_potentials_one_in_six_spikes(neuron):
    """Above one standard deviation lie 15.9 %, whatever mean and scale are."""
    for scale, mean in ((0.1, -3), (1, 0), (20, 7)):
        share = neuron()(scale * currents(1, 200_000) + mean).mean().item()
        assert share == pytest.approx(0.1587, abs=0.004)


def test_the_running_average_survives_saving_and_conversion(neuron):
    one, other = neuron(), neuron()
    current = currents(4, 50)
    for _ in range(3):
        one(current)
    kept = io.BytesIO()
    torch.save(one.state_dict(), kept)
    kept.seek(0)
    other.load_state_dict(torch.load(kept, weights_only=True))
    assert list(other.state_dict()) == ["surrogate.running"]
    assert torch.equal(one.eval()(current), other.eval()(current))
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert one.to(dtype)(current.to(dtype)).dtype == dtype
        assert one.surrogate.running.dtype == dtype


def test_compiled_equals_eager(neuron):
    """The running average included."""
    one, other = neuron(), neuron()
    torch._dynamo.reset()
    with torch._dynamo.config.patch(specialize_float=True):
        compiled = torch.compile(other.unroll, fullgraph=True, dynamic=True, backend="aot_eager")
        for size in (30, 40):
            first, second = (currents(2, size).requires_grad_() for _ in range(2))
            found, expected = compiled(first, None), one.unroll(second, None)
            (found.sum() + expected.sum()).backward()
            torch.testing.assert_close(found, expected)
            torch.testing.assert_close(first.grad, second.grad)
            torch.testing.assert_close(other.surrogate.running, one.surrogate.running)
    torch._dynamo.reset()


def test_what_it_declares(plugin):
    found = plugin("ds_atgo")["ds-atgo"]
    assert (found.kind, found.changes, found.fidelity) == ("adaptive", "forward", "official-code")
    assert found.defaults(0.5) == {}
    assert found.formula.startswith("h(x) = 1(|x| < k/2) / k")
