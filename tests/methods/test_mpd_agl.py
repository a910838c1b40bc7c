"""MPD-AGL against what its authors' code computed, and against its own theory."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from bench import shapes
from bench.errors import BenchError

GOLDEN = np.load(Path(__file__).parents[1] / "data" / "mpd_agl_golden.npz")


@pytest.fixture
def mpd_agl(plugin):
    return plugin("mpd_agl")["mpd-agl"]


@pytest.fixture
def layer(mpd_agl, layers_under):
    """layer(channels, **options) -> a tdBN and the neuron after it."""

    def make(channels=5, **options):
        layers = layers_under(mpd_agl, **options)
        norm = layers.norm(channels)
        return norm, layers.spike("layer", norm)

    return make


def width(neuron, t):
    return neuron.surrogate.params(torch.zeros(1), t)["width"]


def fill(parameter, values):
    with torch.no_grad():
        parameter.copy_(torch.as_tensor(values))


@pytest.mark.parametrize("case", range(5))
def test_equals_the_authors_code(layer, case):
    golden = {
        key: GOLDEN[f"case{case}_{key}"] for key in ("neuron", "x", "gamma", "beta", "upstream", "spikes")
    }
    kind = str(golden["neuron"])
    norm, neuron = layer(neuron=kind)
    fill(norm.weight, golden["gamma"])
    fill(norm.bias, golden["beta"])
    # Batch first there, time first here.
    x = torch.from_numpy(golden["x"]).transpose(0, 1).requires_grad_()
    spikes = neuron(norm(x))
    spikes.backward(torch.from_numpy(golden["upstream"]).transpose(0, 1))

    np.testing.assert_array_equal(spikes.detach().transpose(0, 1).numpy(), golden["spikes"])
    found = {"x": x.grad.transpose(0, 1), "gamma": norm.weight.grad, "beta": norm.bias.grad}
    if kind == "plif":
        found["w"] = neuron.w.grad
    for name, grad in found.items():
        expected = GOLDEN[f"case{case}_grad_{name}"]
        assert np.abs(grad.numpy() - expected).max() <= 1e-5 * np.abs(expected).max(), name


@pytest.mark.parametrize("kind", ["lif", "plif"])
@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_the_first_widths(layer, kind, threshold):
    _, neuron = layer(neuron=kind, threshold=threshold)
    widths = [float(width(neuron, t)) for t in range(6)]
    assert widths[0] == pytest.approx(2 * threshold, rel=1e-6)
    assert widths[1] == pytest.approx(2 * threshold * math.sqrt(1.04), rel=1e-6)
    # The same from then on: the geometric sum is a control, not this method.
    assert widths[2:] == [widths[1]] * 4


def test_the_width_follows_gamma_and_the_learned_decay(layer):
    norm, neuron = layer(neuron="plif")
    fill(norm.weight, [1.0, 2.0, 3.0, 0.5, 1.0])
    fill(neuron.w, math.log(0.8 / 0.2))
    assert float(width(neuron, 0)) == pytest.approx(1.5, rel=1e-6)
    assert float(width(neuron, 1)) == pytest.approx(1.5 * math.sqrt(1.64), rel=1e-6)
    # beta is computed in the authors' code, and not used.
    fill(norm.bias, [5.0] * 5)
    assert float(width(neuron, 0)) == pytest.approx(1.5, rel=1e-6)


def test_the_width_follows_gamma_through_conversion_and_loading(layer):
    norm, neuron = layer()
    norm.double()
    norm.load_state_dict({**norm.state_dict(), "weight": torch.full((5,), 3.0).double()}, assign=True)
    assert width(neuron, 0).item() == 3.0
    assert width(neuron, 0).dtype == torch.float64


@pytest.mark.parametrize("kind", ["lif", "plif"])
def test_no_gradient_flows_through_the_width(layer, kind):
    norm, neuron = layer(neuron=kind)
    assert norm.weight.requires_grad
    assert not width(neuron, 0).requires_grad
    assert not width(neuron, 1).requires_grad


def test_gamma_is_registered_once_and_is_not_the_methods_own(layer):
    norm, neuron = layer(neuron="plif")
    assert list(neuron.state_dict()) == ["w"]
    assert list(neuron.surrogate.parameters()) == []
    together = torch.nn.Sequential(norm, neuron)
    named = [name for name, _ in together.named_parameters(remove_duplicate=False)]
    assert named == ["0.weight", "0.bias", "1.w"]


def test_the_backward_pass_is_the_rectangle_of_that_width(layer):
    norm, neuron = layer()
    fill(norm.weight, [1.5] * 5)
    for t, kappa in ((0, 1.5), (1, 1.5 * math.sqrt(1.04))):
        x = torch.linspace(-2, 2, 401, requires_grad=True)
        neuron.surrogate.spike(x, t, neuron.surrogate.params(x, t), None).sum().backward()
        torch.testing.assert_close(x.grad, shapes.rectangle(x.detach(), kappa))


def test_a_negative_mean_gamma_stops_the_gradient_and_zero_makes_it_nan(layer):
    """As in the authors' code, which does not clamp."""
    for gamma, expected in ((-0.5, torch.zeros(4, 3, 5)), (0.0, torch.full((4, 3, 5), math.nan))):
        norm, neuron = layer()
        fill(norm.weight, [gamma] * 5)
        current = torch.randn(4, 3, 5, requires_grad=True)
        neuron(current).sum().backward()
        torch.testing.assert_close(current.grad, expected, equal_nan=True)


@pytest.mark.parametrize("tau", [0.2, 0.8])
def test_the_width_is_two_standard_deviations_of_the_potential(layer, tau):
    """The theory: normalised Gaussian input, one gamma for all channels, no reset before t = 1.

    Of 10^6 samples a standard deviation is known to 1/sqrt(2 * 10^6) = 0.07 %; 0.4 % is over five of it.
    At tau = 0.2 leaving out the decay would be 2 % wrong. At t = 2 the theory stops: one more tau^4.
    """
    norm, neuron = layer(decay=tau)
    fill(norm.weight, [1.3] * 5)
    current = norm(3 * torch.randn(3, 200_000, 5, generator=torch.Generator().manual_seed(0)) - 1)
    u = None
    for t in range(2):
        u = neuron.step(current[t], u, t).u
        assert float(width(neuron, t)) == pytest.approx(2 * u.std().item(), rel=4e-3)
    u = neuron.step(current[2], u, 2).u
    expected = 2 * 1.3 * 0.5 * math.sqrt(1 + tau**2 + tau**4)
    assert 2 * u.std().item() == pytest.approx(expected, rel=4e-3)
    assert float(width(neuron, 2)) < expected


def test_with_the_hard_reset_the_width_is_one_percent_too_large(layer):
    """The theory leaves the reset out: what spikes starts anew, and spreads less.

    With gamma = 1 and tau = 0.2, of the moments of a normal cut off at one standard deviation:
    mean -phi(1), second moment Phi(1) - phi(1). Tolerance as above.
    """
    norm, neuron = layer()
    current = norm(torch.randn(3, 200_000, 5, generator=torch.Generator().manual_seed(1)))
    first = neuron.step(current[0], None, 0)
    u = neuron.step(current[1], first.v, 1).u
    cut = stats.norm.cdf(1) - stats.norm.pdf(1) - stats.norm.pdf(1) ** 2
    expected = math.sqrt(1.04 / (1 + 0.04 * cut))
    assert expected == pytest.approx(1.01, abs=1.5e-3)
    assert float(width(neuron, 1)) / (2 * u.std().item()) == pytest.approx(expected, rel=4e-3)


@pytest.mark.parametrize("gamma", [0.7, 0.97, 0.99, 1.01, 1.5])
@pytest.mark.parametrize("t", [0, 1, 3])
def test_more_neurons_are_inside_the_window_than_the_fixed_ones_only_for_a_large_gamma(layer, gamma, t):
    """Under the method's own Gaussian model, at tau = 0.2: above 1 at t = 0, above 0.981 after."""
    norm, neuron = layer()
    fill(norm.weight, [gamma] * 5)
    u = stats.norm(0, gamma * 0.5 * math.sqrt(sum(0.2 ** (2 * i) for i in range(t + 1))))

    def share(window):
        return u.cdf(0.5 + window / 2) - u.cdf(0.5 - window / 2)

    assert (share(float(width(neuron, t))) > share(1.0)) == (gamma > (1 if t == 0 else 0.981))


@pytest.mark.parametrize("norm", ["none", "bn"])
def test_a_site_without_tdbn_is_refused_by_name(mpd_agl, layers_under, norm):
    with pytest.raises(BenchError, match=r"mpd-agl needs a tdBN .*; net/fc1 has none: .*norm = 'tdbn'"):
        layers_under(mpd_agl, norm=norm).linear("fc1", 4, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", ["lif", "plif"])
def test_dtype_is_kept(mpd_agl, layers_under, dtype, kind):
    block = layers_under(mpd_agl, neuron=kind).linear("f", 8, 6).to(dtype)
    x = torch.randn(4, 10, 8).to(dtype).requires_grad_()
    out = block(x)
    out.sum().backward()
    assert out.dtype == x.grad.dtype == dtype
    assert x.grad.isfinite().all()


def test_what_it_declares(mpd_agl):
    assert (mpd_agl.kind, mpd_agl.changes, mpd_agl.fidelity) == ("adaptive", "gradient", "official-code")
    assert mpd_agl.defaults(0.5) == {}
    assert mpd_agl.formula.startswith("h(x) = 1(|x| < k/2) / k")
