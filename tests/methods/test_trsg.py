"""TrSG against its authors' formula."""

import io
import math

import pytest
import torch
from torch.nn import functional

from bench.model.backbone import Network
from bench.runner import train
from bench.suite import Recipe


@pytest.fixture
def neuron(plugin, layers_under):
    def make(**options):
        layers = layers_under(plugin("trsg")["trsg"], norm="none", **options)
        return layers.spike("layer", torch.nn.Identity()).double()

    return make


def currents(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def set_threshold(neuron, theta):
    with torch.no_grad():
        neuron.surrogate.raw.fill_(math.log(math.expm1(theta)))


@pytest.mark.parametrize("threshold", [0.5, 1.0, 2.0])
def test_the_threshold_starts_at_that_of_the_neuron(neuron, threshold):
    theta = neuron(threshold=threshold).surrogate.threshold(torch.zeros(1), 0)
    assert theta.item() == pytest.approx(threshold, rel=1e-6)
    assert theta.requires_grad


@pytest.mark.parametrize("theta", [0.5, 0.8])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_equals_the_authors_formula(neuron, theta, reset):
    """With the soft reset: v[t] = u[t] - s[t] theta, what is emitted. The hard one is ours."""
    ours, upstream = neuron(reset=reset), currents(4, 200).flip(1)
    set_threshold(ours, theta)
    one, two = (currents(4, 200).requires_grad_() for _ in range(2))
    found = ours(one)
    (found * upstream).sum().backward()

    w = ours.surrogate.raw.detach().clone().requires_grad_()
    v, expected = torch.zeros(200, dtype=torch.float64), []
    for current in two:
        u, thr = 0.2 * v + current, functional.softplus(w)
        z = torch.clamp(u / thr - 0.5, 0, 1)
        s = (z.round() - z).detach() + z
        expected.append(s * thr)
        v = u - expected[-1] if reset == "subtract" else u * (1 - s)
    (torch.stack(expected) * upstream).sum().backward()
    torch.testing.assert_close(found, torch.stack(expected))
    torch.testing.assert_close(one.grad, two.grad)
    torch.testing.assert_close(ours.surrogate.raw.grad, w.grad)
    assert w.grad.abs() > 0.1


@pytest.mark.parametrize("training", [True, False])
def test_what_is_emitted_is_theta_or_zero(neuron, training):
    ours = neuron().train(training)
    set_threshold(ours, 0.73)
    out = ours(currents(4, 500)).detach()
    assert out.unique().tolist() == pytest.approx([0, 0.73])
    v = torch.zeros(500, dtype=torch.float64)
    for t, current in enumerate(currents(4, 500)):
        u = 0.2 * v + current
        v = torch.where(u >= 0.73, 0.0, u)
        assert torch.equal(out[t] > 0, u >= 0.73)


def test_the_gradient_to_the_input_is_one_in_a_window_of_theta(neuron):
    """What is emitted has slope 1 in it, whatever theta is: the method's point."""
    for theta in (0.3, 0.5, 2.0):
        ours = neuron()
        set_threshold(ours, theta)
        current = torch.linspace(0.01, 4, 301, dtype=torch.float64)[None].requires_grad_()
        ours(current).sum().backward()
        inside = (current.detach() - theta).abs() < theta / 2
        torch.testing.assert_close(current.grad, inside.double())


def test_the_recipes_optimizer_trains_the_threshold(neuron):
    ours = neuron()
    network = Network(ours, [ours.surrogate.site], [ours.surrogate], 4)
    (only,) = train.optimizers(network, Recipe(epochs=1, batch_size=2, learning_rate=0.1))
    ours(currents(4, 50)).sum().backward()
    before = ours.surrogate.raw.item()
    only.step()
    assert ours.surrogate.raw.item() != before


def test_the_threshold_survives_saving(neuron):
    one, other = neuron(), neuron()
    set_threshold(one, 0.9)
    kept = io.BytesIO()
    torch.save(one.state_dict(), kept)
    kept.seek(0)
    other.load_state_dict(torch.load(kept, weights_only=True))
    assert torch.equal(one(currents(4, 50)), other(currents(4, 50)))


def test_compiled_equals_eager(neuron):
    ours = neuron(reset="subtract")
    torch._dynamo.reset()
    with torch._dynamo.config.patch(specialize_float=True):
        compiled = torch.compile(ours.unroll, fullgraph=True, dynamic=True, backend="aot_eager")
        for size in (30, 40):
            found = {}
            for run in (compiled, ours.unroll):
                current = currents(2, size).requires_grad_()
                ours.surrogate.raw.grad = None
                out = run(current, None)
                out.square().sum().backward()
                found[run] = (out, current.grad, ours.surrogate.raw.grad)
            torch.testing.assert_close(*found.values())
    torch._dynamo.reset()


def test_what_it_declares(plugin):
    found = plugin("trsg")["trsg"]
    assert (found.kind, found.changes, found.fidelity) == ("adaptive", "forward", "official-code")
    assert found.defaults(0.5) == {}
    assert found.formula.startswith("h(x) = 1(|x| < theta/2) / theta")
