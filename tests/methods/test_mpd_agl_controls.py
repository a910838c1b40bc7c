"""The controls of MPD-AGL: each differs from it in one thing, and in that by the stated amount."""

import io
import math

import pytest
import torch

from bench import shapes
from bench.errors import BenchError

CONTROLS = (
    "window",
    "height",
    "channel",
    "measured",
    "sum",
    "frozen",
    "triangle",
    "arctan",
    "fast-sigmoid",
)


@pytest.fixture
def layer(plugin, layers_under):
    """layer("sum", gamma, **options) -> a tdBN with this gamma, and a neuron under mpd-agl:sum."""

    def make(control, gamma=(1.0, 1.0, 1.0), **options):
        name = f"mpd-agl:{control}" if control else "mpd-agl"
        layers = layers_under(plugin("mpd_agl")[name], **options)
        norm = layers.norm(len(gamma))
        neuron = layers.spike("layer", norm).double()
        set_gamma(norm.double(), gamma)
        return norm, neuron

    return make


def set_gamma(norm, gamma):
    with torch.no_grad():
        norm.weight.copy_(torch.tensor(gamma, dtype=torch.float64))


def params(neuron, t, channels=3):
    return neuron.surrogate.params(torch.zeros(2, channels, dtype=torch.float64), t)


def widths(neuron):
    return [float(params(neuron, t)["width"]) for t in range(4)]


def gradient(neuron, current):
    current = current.clone().requires_grad_()
    out = neuron(current)
    (out * torch.linspace(0.5, 1.5, out.numel()).view(out.shape)).sum().backward()
    return current.grad


def currents(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_window_and_height_change_one_of_the_two(layer, threshold):
    """Height 1 and window 1 are meant at v_th = 0.5; both go with the threshold."""
    gamma = (1.0, 2.0, 1.5)
    policy = widths(layer(None, gamma, threshold=threshold)[1])
    assert policy[0] == pytest.approx(1.5 * 2 * threshold)
    for t, kappa in enumerate(policy):
        window = params(layer("window", gamma, threshold=threshold)[1], t)
        assert float(window["width"]) == kappa
        assert window["height"] == 0.5 / threshold
        height = params(layer("height", gamma, threshold=threshold)[1], t)
        assert height["width"] == 2 * threshold
        assert float(height["height"]) == pytest.approx(1 / kappa)


def test_window_times_height_is_the_method_where_both_are_open(layer):
    """h of window times h of height = h of mpd-agl, inside the smaller of the two windows."""
    x = torch.linspace(-0.4, 0.4, 41, dtype=torch.float64)
    each = {c: layer(c, (1.5, 1.5, 1.5))[1].surrogate for c in ("window", "height", None)}
    h = {c: s.derivative(x, s.params(x[:, None], 1)) for c, s in each.items()}
    torch.testing.assert_close(h["window"] * h["height"], h[None])


@pytest.mark.parametrize("kind", ["lif", "plif"])
def test_channel_equals_the_method_where_all_gammas_are_equal(layer, kind):
    current = currents(3, 4, 3, 2, 2)
    found, expected = (gradient(layer(c, (1.3,) * 3, neuron=kind)[1], current) for c in ("channel", None))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("space", [(), (2, 2)])
def test_channel_gives_each_channel_the_width_of_its_gamma(layer, space):
    gamma = (0.6, 1.0, 2.0)
    x = currents(5, 3, *space)
    surrogate = layer("channel", gamma)[1].surrogate
    h = surrogate.derivative(x, surrogate.params(x, 1))
    for c, g in enumerate(gamma):
        torch.testing.assert_close(h[:, c], shapes.rectangle(x[:, c], g * math.sqrt(1.04)), rtol=1e-6, atol=0)


@pytest.mark.parametrize("norm", ["tdbn", "bn", "none"])
def test_measured_is_two_standard_deviations_of_the_potentials_and_needs_no_tdbn(layers_under, plugin, norm):
    neuron = layers_under(plugin("mpd_agl")["mpd-agl:measured"], norm=norm).linear("f", 3, 3)[2]
    u = 2 * currents(50, 3, 2, 2) + 1
    expected = 2 * math.sqrt(((u - u.mean()) ** 2).sum().item() / u.numel())
    found = neuron.surrogate.params(u.requires_grad_(), 1)["width"]
    assert found.item() == pytest.approx(expected, rel=1e-12)
    assert not found.requires_grad


def test_measured_where_nothing_is_spread(layer):
    """Equal potentials give a gradient of zero, not NaN."""
    _, neuron = layer("measured")
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        assert gradient(neuron, torch.zeros(3, 4, 3, dtype=dtype)).count_nonzero() == 0


@pytest.mark.parametrize("tau", [0.2, 0.8])
def test_sum_is_the_geometric_series(layer, tau):
    kappas = widths(layer("sum", (1.3,) * 3, decay=tau)[1])
    for t, kappa in enumerate(kappas):
        closed = 1.3 * math.sqrt((1 - tau ** (2 * t + 2)) / (1 - tau**2))
        assert kappa == pytest.approx(closed, rel=1e-6)
    policy = widths(layer(None, (1.3,) * 3, decay=tau)[1])
    assert kappas[:2] == pytest.approx(policy[:2], rel=1e-12)
    assert kappas[2] > policy[2]


def test_sum_follows_the_learned_decay_without_gradient(layer):
    _, neuron = layer("sum", neuron="plif")
    with torch.no_grad():
        neuron.w.zero_()  # tau = 1/2
    kappa = params(neuron, 2)["width"]
    assert kappa.item() == pytest.approx(math.sqrt(1 + 1 / 4 + 1 / 16), rel=1e-6)
    assert not kappa.requires_grad


def test_sum_is_two_standard_deviations_of_the_potential_at_every_step(layer):
    """Without the reset. Of 10^6 samples a standard deviation is known to 0.07 %."""
    norm, neuron = layer("sum", (1.3,) * 5, decay=0.8)
    u = None
    for t, current in enumerate(norm(3 * currents(4, 200_000, 5) - 1)):
        u = neuron.step(current, u, t).u
        assert params(neuron, t)["width"].item() == pytest.approx(2 * u.std().item(), rel=4e-3)


def test_frozen_keeps_the_widths_of_the_end_of_the_first_epoch(layer):
    norm, neuron = layer("frozen")
    other, follows = layer(None)
    neuron.surrogate.on_epoch(0.0)
    for gamma in ((1.0,) * 3, (1.2, 1.4, 1.0)):
        set_gamma(norm, gamma)
        set_gamma(other, gamma)
        assert widths(neuron) == widths(follows)
    for progress, gamma in ((0.5, 0.7), (1.0, 0.3)):
        neuron.surrogate.on_epoch(progress)
        set_gamma(norm, (gamma,) * 3)
        assert widths(neuron) == widths(follows)


@pytest.mark.parametrize("after", [0, 1])
def test_frozen_goes_on_after_loading(layer, after):
    """From the end of the first epoch as from that of the second."""
    norm, neuron = layer("frozen", (1.5,) * 3)
    for epoch in range(after + 1):
        neuron.surrogate.on_epoch(epoch / 3)
    expected = widths(neuron)
    kept = io.BytesIO()
    torch.save([norm.state_dict(), neuron.state_dict()], kept)
    kept.seek(0)
    again, loaded = layer("frozen")
    for module, state in zip((again, loaded), torch.load(kept, weights_only=True), strict=True):
        module.load_state_dict(state)
    loaded.surrogate.on_epoch((after + 1) / 3)
    set_gamma(again, (0.2,) * 3)
    assert widths(loaded) == expected == pytest.approx([1.5, *[1.5 * math.sqrt(1.04)] * 3], rel=1e-6)


def test_frozen_compiled_follows_its_state(layer):
    """The flag is data, not a branch: what was compiled in the first epoch is right in the second."""
    norm, neuron = layer("frozen")
    torch._dynamo.reset()
    with torch._dynamo.config.patch(specialize_float=True):
        compiled = torch.compile(neuron.unroll, fullgraph=True, dynamic=True, backend="aot_eager")
        for progress in (0.0, 0.5):
            neuron.surrogate.on_epoch(progress)
            set_gamma(norm, (1.2 - progress,) * 3)
            current = currents(2, 6, 3)
            one, two = (current.clone().requires_grad_() for _ in range(2))
            compiled(one, None).sum().backward()
            neuron.unroll(two, None).sum().backward()
            torch.testing.assert_close(one.grad, two.grad)
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("control", "shape"),
    [("triangle", shapes.triangle), ("arctan", shapes.arctan), ("fast-sigmoid", shapes.fast_sigmoid)],
)
@pytest.mark.parametrize("t", [0, 1])
def test_another_shape_has_the_width_of_the_policy_as_its_fwhm(layer, control, shape, t):
    surrogate = layer(control, (1.3,) * 3)[1].surrogate
    kappa = 1.3 * (1, math.sqrt(1.04))[t]
    x = torch.tensor([-2, -1.3, -0.3, 0, 0.1, 0.9, kappa / 2], dtype=torch.float64).requires_grad_()
    surrogate.spike(x, t, surrogate.params(x, t), None).sum().backward()
    torch.testing.assert_close(x.grad, shape(x.detach(), kappa), rtol=1e-6, atol=1e-9)
    assert x.grad[6].item() == pytest.approx(x.grad[3].item() / 2, rel=1e-6)


@pytest.mark.parametrize("control", CONTROLS)
def test_the_spikes_are_those_of_the_method(layer, control):
    current = currents(4, 5, 3)
    assert torch.equal(layer(control, (1.3, 0.7, 1.0))[1](current), layer(None)[1](current))


@pytest.mark.parametrize("control", [c for c in CONTROLS if c != "measured"])
def test_a_site_without_tdbn_is_refused_with_a_way_out(layer, control):
    with pytest.raises(BenchError, match=r"net/layer has none: .* choose mpd-agl:measured"):
        layer(control, norm="none")


def test_what_they_declare(plugin):
    found = plugin("mpd_agl")
    assert list(found) == ["mpd-agl", *(f"mpd-agl:{c}" for c in CONTROLS)]
    for name in CONTROLS:
        control = found[f"mpd-agl:{name}"]
        assert (control.kind, control.changes, control.fidelity) == ("control", "gradient", "reconstructed")
        assert control.paper.startswith("a control of MPD-AGL (Jiang")
        assert control.note
        assert control.formula.startswith("h(x) = ")
        assert control.area == (None if name in ("window", "height") else 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_a_measured_width_of_potentials_that_all_lie_at_the_threshold(plugin, layers_under, dtype):
    layers = layers_under(plugin("mpd_agl")["mpd-agl:measured"], norm="none", reset="subtract")
    neuron = layers.spike("layer", torch.nn.Identity()).to(dtype)
    current = torch.full((2, 4, 3), 0.5, dtype=dtype, requires_grad=True)
    neuron(current).sum().backward()
    assert current.grad.isfinite().all()
