"""LocalZO against a plain loop of its authors' formula, and its mean over many draws."""

import math

import numpy as np
import pytest
import torch

NAMES = ("localzo", "localzo:uniform", "localzo:laplace")
every_name = pytest.mark.parametrize("name", NAMES)
# The mean over z by hand, as the paper's theorems have it; a = |x|/delta.
MEANS = {
    "localzo": lambda a, delta: math.exp(-a * a / 2) / (math.sqrt(2 * math.pi) * delta),
    "localzo:uniform": lambda a, delta: max(0.0, 3 - a * a) / (4 * math.sqrt(3) * delta),
    "localzo:laplace": lambda a, delta: (a + 1 / math.sqrt(2)) * math.exp(-math.sqrt(2) * a) / (2 * delta),
}
DRAWS = {
    "localzo": lambda generator, size: np.abs(generator.standard_normal(size)),
    "localzo:uniform": lambda generator, size: np.abs(generator.uniform(-math.sqrt(3), math.sqrt(3), size)),
    "localzo:laplace": lambda generator, size: np.abs(generator.laplace(0, math.sqrt(0.5), size)),
}


@pytest.fixture
def neuron(plugin, layers_under):
    def make(name, values=None, **options):
        layers = layers_under(plugin("localzo")[name], values, norm="none", **options)
        return layers.spike("layer", torch.nn.Identity()).double()

    return make


def currents(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@every_name
@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_equals_a_plain_loop(neuron, name, threshold):
    """Hard reset, tau = 0.2; the mean over five z of 1(|x| < |z| delta) |z| / (2 delta)."""
    ours = neuron(name, threshold=threshold)
    current, upstream = currents(4, 200), currents(4, 200).flip(1)
    z = ours.surrogate.noise(current.shape, current)
    assert z.shape == (4, 5, 200)
    leaf = current.clone().requires_grad_()
    (ours.unroll(leaf, z) * upstream).sum().backward()

    delta, i, g, z = threshold / 2, current.numpy(), upstream.numpy(), z.double().numpy()
    u, s, h, v = np.zeros((4, 200)), np.zeros((4, 200)), np.zeros((4, 200)), np.zeros(200)
    for t in range(4):
        u[t] = 0.2 * v + i[t]
        s[t] = u[t] >= threshold
        v = u[t] * (1 - s[t])
        for k in range(5):
            h[t] += (np.abs(u[t] - threshold) < z[t, k] * delta) * z[t, k] / (2 * delta) / 5
    expected, dv = np.zeros((4, 200)), np.zeros(200)
    for t in reversed(range(4)):
        expected[t] = dv * (1 - s[t]) + (g[t] - u[t] * dv) * h[t]
        dv = 0.2 * expected[t]
    np.testing.assert_allclose(leaf.grad.numpy(), expected, rtol=1e-9, atol=1e-12)


@every_name
def test_sizes_are_those_of_its_distribution(neuron, name):
    """Mean and mean square of |z| against numpy's own generator; 10^5 draws, 6 standard errors."""
    ours = neuron(name)
    found = ours.surrogate.noise(torch.Size((1, 20_000)), torch.zeros(1)).double().numpy()
    expected = DRAWS[name](np.random.default_rng(0), 1_000_000)
    assert np.isfinite(found).all()
    for power in (1, 2):
        spread = (expected**power).std()
        assert (found**power).mean() == pytest.approx(
            (expected**power).mean(), abs=6.5 * spread / math.sqrt(found.size)
        )
    assert (expected**2).mean() == pytest.approx(1, abs=0.02)


@every_name
@pytest.mark.parametrize("distance", [0.0, 0.1, 0.25, 0.4, 0.7])
def test_the_mean_over_many_draws_is_its_closed_form(neuron, name, distance):
    """Of a network's gradient, with 10^5 z at each distance; and without noise it is that at once."""
    n, delta = 20_000, 0.25
    current = torch.full((1, n), 0.5 + distance, dtype=torch.float64)
    expected = MEANS[name](distance / delta, delta)
    found = []
    for ours in (neuron(name), neuron(name).eval()):
        leaf = current.clone().requires_grad_()
        ours(leaf).sum().backward()
        found.append(leaf.grad)
    drawn, exact = found
    assert drawn.mean().item() == pytest.approx(expected, abs=6 * drawn.std().item() / math.sqrt(n) + 1e-12)
    torch.testing.assert_close(exact, torch.full_like(exact, expected))


def test_the_control_is_the_mean_of_localzo(plugin):
    """And gaussian, at a width that is not its default."""
    x = torch.linspace(-2, 2, 101, dtype=torch.float64)
    found = plugin("localzo")["localzo:mean"]
    width = found.defaults(0.5)["width"]
    expected = torch.tensor([MEANS["localzo"](abs(v) / 0.25, 0.25) for v in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(found.target(x, width), expected)
    torch.testing.assert_close(plugin("gaussian")["gaussian"].target(x, width, None), expected)
    assert width != plugin("gaussian")["gaussian"].defaults(0.5)["width"]
    assert found.kind == "control"


@every_name
def test_passes_steps_and_layers_have_draws_of_their_own(plugin, layers_under, name):
    layers = layers_under(plugin("localzo")[name], norm="none", detach_reset=True, decay=1e-12)
    one, other = (layers.spike(f, torch.nn.Identity()) for f in "ab")
    current, found = torch.full((3, 60), 0.6), []
    for neuron in (one, one, other):
        leaf = current.clone().requires_grad_()
        neuron(leaf).sum().backward()
        found += leaf.grad.unbind(0)
    assert len({tuple(h.tolist()) for h in found}) == len(found)


@every_name
def test_the_forward_pass_has_no_noise(neuron, name):
    ours, current = neuron(name), currents(4, 100)
    assert torch.equal(ours(current), ours.eval()(current))


@every_name
def test_what_it_declares(plugin, name):
    found = plugin("localzo")[name]
    fidelity = "official-code" if name == "localzo" else "paper"
    assert (found.kind, found.changes, found.fidelity) == ("adaptive", "gradient", fidelity)
    assert found.defaults(1.0) == {"delta": 0.5}
    assert found.formula.startswith("h(x) = mean over five z")
