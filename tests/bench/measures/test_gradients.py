"""The probe of the gradient: known answers, an independent loop, and every method and backbone."""

import gc
import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from torch import nn
from torch.nn import functional

from bench import registry, shapes
from bench.measures import gradients, single_layer
from bench.measures.gradients import COLUMNS, RELU, look
from bench.model.backbone import Backbone, build_network
from bench.model.layers import NeuronOptions, OverTime
from bench.records.run_columns import run_columns
from bench.surrogate import Param, Surrogate, method

FOUND = registry.load()


class Chain(nn.Module):
    """`depth` fully connected spiking layers of `units`, then a linear readout."""

    def __init__(self, layers, shape, classes, width, depth=3, units=64):
        super().__init__()
        sizes = [shape[0], *[units] * depth]
        blocks = [layers.linear(f"fc{i}", sizes[i], sizes[i + 1]) for i in range(depth)]
        self.blocks = nn.Sequential(*blocks)
        self.readout = OverTime(nn.Linear(units, classes))

    def forward(self, x):
        return self.readout(self.blocks(x))


class Direct(nn.Module):
    """One spiking layer whose current is its normalised input."""

    def __init__(self, layers, shape, classes, width):
        super().__init__()
        self.block = layers.block("only", nn.Identity(), shape[0])
        self.readout = OverTime(nn.Linear(shape[0], classes))

    def forward(self, x):
        return self.readout(self.block(x))


def network_of(build, named, params=None, *, shape=(16,), timesteps=2, seed=0, **options):
    torch.manual_seed(seed)
    item = FOUND.method(named).item if isinstance(named, str) else named
    found = build if isinstance(build, Backbone) else Backbone("test", build, "")
    return build_network(
        found,
        item,
        params or {},
        NeuronOptions(**options),
        shape=shape,
        classes=10,
        width=1.0,
        timesteps=timesteps,
        epochs=2,
    )


def batch(shape, count=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((count, *shape), generator=generator), torch.arange(count) % 10


# --- known answers ---


@pytest.mark.parametrize("gamma", [0.5, 1.0, 1.5, 2.0])
@pytest.mark.parametrize("named", ["rectangle", "mpd-agl"])
def test_available_fraction_of_gaussian_currents_is_that_of_theory(named, gamma):
    network = network_of(Direct, named, shape=(512,), timesteps=1)
    (neuron,) = network.neurons
    with torch.no_grad():
        network.sites[0].norm.weight.fill_(gamma)
    (row,) = look(network, *batch((512,), 256), 0, 0)
    v_th, sigma = neuron.threshold, neuron.threshold * gamma
    # |u - v_th| < kappa / 2; MPD-AGL's window at t = 0 is 2 sigma wide.
    kappa = 1.0 if named == "rectangle" else 2 * sigma
    expected = norm.cdf((v_th + kappa / 2) / sigma) - norm.cdf((v_th - kappa / 2) / sigma)
    published = {
        "rectangle": {0.5: 0.500, 1.0: 0.477, 1.5: 0.409, 2.0: 0.341},
        "mpd-agl": {0.5: 0.157, 1.0: 0.477, 1.5: 0.583, 2.0: 0.625},
    }
    assert expected == pytest.approx(published[named][gamma], abs=5e-4)
    assert row["available_fraction"] == pytest.approx(expected, abs=4 * math.sqrt(0.25 / (256 * 512)))
    assert row["width"] == pytest.approx(kappa, rel=1e-4)
    assert row["u_std"] == pytest.approx(sigma, rel=1e-2)
    assert row["gamma_mean"] == gamma


@settings(max_examples=30)
@given(st.sampled_from(["rectangle", "triangle", "gaussian", "arctan"]), st.floats(0.02, 50.0))
def test_height_changes_gain_and_nothing_else(named, height):
    def seen(value):
        network = network_of(Direct, named, {"height": value}, shape=(32,), timesteps=1)
        return look(network, *batch((32,)), 0, 0)[0]

    one, other = seen(1.0), seen(height)
    for column in ("participation", "available_fraction", "width"):
        assert other[column] == pytest.approx(one[column], rel=1e-5), column
    for column in ("gain", "gain_rms", "height", "gradient_norm"):
        assert other[column] == pytest.approx(height * one[column], rel=1e-5), column
    if named == "rectangle":
        assert one["participation"] == pytest.approx(one["available_fraction"], rel=1e-9)


@method("per-channel", paper="none", kind="control", width=Param(1.0))
class PerChannel(Surrogate):
    """Rectangles from 0.1 to 2 wide, one a channel."""

    shape = staticmethod(shapes.rectangle)

    def params(self, u, t):
        widths = torch.linspace(0.1, 2.0, u.shape[1], dtype=u.dtype)
        return {"width": widths.view(-1, *(1 for _ in u.shape[2:]))}


def of_the_look(row):
    """Without what stands beside it, of the training."""
    assert row["training_gradient_ratio"] is None
    return {name: value for name, value in row.items() if name != "training_gradient_ratio"}


@pytest.mark.parametrize("shape", [(20,), (20, 3, 3)], ids=["flat", "picture"])
def test_a_width_for_each_channel(shape):
    network = network_of(Flattened, PerChannel.declared[0], shape=shape)
    for row in look(network, *batch(shape, 143), 0, 0):
        assert all(value is not None for value in of_the_look(row).values())
        assert row["width"] == pytest.approx(1.05, rel=1e-5)
        assert row["participation"] == pytest.approx(row["available_fraction"], rel=1e-6)
        assert row["height"] == pytest.approx((1 / torch.linspace(0.1, 2, 20)).mean().item(), rel=1e-5)


class Flattened(nn.Module):
    """One spiking layer over channels, then a readout of everything."""

    def __init__(self, layers, shape, classes, width):
        super().__init__()
        self.block = layers.block("only", nn.Identity(), shape[0])
        self.readout = OverTime(nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes)))

    def forward(self, x):
        return self.readout(self.block(x))


# --- an independent computation ---


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("detach", [False, True])
def test_two_layers_equal_a_plain_loop(reset, detach):
    options = {"reset": reset, "detach_reset": detach}
    build = lambda *a: Chain(*a, depth=2, units=7)  # noqa: E731
    network = network_of(build, "triangle", shape=(5,), timesteps=3, **options).double()
    x, y = batch((5,), 11)
    x = x.double()
    rows = look(network, x, y, 4, 0)
    assert [(row["layer"], row["t"]) for row in rows] == [(i, t) for i in (0, 1) for t in range(3)]
    assert {row["epoch"] for row in rows} == {4}
    assert [row["depth"] for row in rows] == [1, 1, 1, 0, 0, 0]
    assert list(rows[0]) == list(COLUMNS)

    class Triangle(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return (z >= 0).to(z)

        @staticmethod
        def backward(ctx, g):
            (z,) = ctx.saved_tensors
            return g * (1 - z.abs()).clamp(min=0)

    signal, kept = x.expand(3, *x.shape), []
    for block in network.body.blocks:
        weight = block[0].module.weight
        z = signal @ weight.T
        mean, variance = z.mean((0, 1)), z.var((0, 1), correction=0)
        current = 0.5 * (z - mean) / (variance + 1e-5).sqrt()
        current.retain_grad()
        v, spikes, potentials = torch.zeros(11, 7).double(), [], []
        for t in range(3):
            u = 0.2 * v + current[t]
            s = Triangle.apply(u - 0.5)
            r = s.detach() if detach else s
            v = u * (1 - r) if reset == "zero" else u - 0.5 * r
            spikes.append(s)
            potentials.append(u)
        signal = torch.stack(spikes)
        kept.append((weight, current, torch.stack(potentials).detach(), signal.detach()))
    readout = network.body.readout.module
    loss = functional.cross_entropy((signal @ readout.weight.T + readout.bias).mean(0), y)
    loss.backward()
    slopes = [weight.grad for weight, *_ in kept]
    for (weight, current, u, s), slope, i in zip(kept, slopes, (0, 1), strict=True):
        h = (1 - (u - 0.5).abs()).clamp(min=0)
        fired = s.bool()
        for t in range(3):
            row = rows[3 * i + t]
            expected = {
                "u_mean": u[t].mean(),
                "u_std": u[t].std(correction=0),
                "gamma_mean": 1.0,
                "width": 1.0,
                "height": 1.0,
                "available_fraction": (h[t] > 0.01).double().mean(),
                "participation": (h[t].mean(0) ** 2 / (h[t] ** 2).mean(0)).nan_to_num(0).mean(),
                "gain": h[t].mean(),
                "gain_rms": (h[t] ** 2).mean().sqrt(),
                "gradient_norm": current.grad[t].norm(),
                "gradient_zero_fraction": (current.grad[t] == 0).double().mean(),
                "spike_rate": s[t].mean(),
                "silent_fraction": 1 - fired.any(0).any(0).double().mean(),
                "saturated_fraction": fired.all(0).all(0).double().mean(),
                "weight_gradient_ratio": slope.norm() / weight.detach().norm(),
            }
            for column, value in expected.items():
                assert row[column] == pytest.approx(float(value), rel=1e-9, abs=1e-12), column


# --- it leaves no trace ---


def test_network_gradients_and_generators_stay_as_they_are():
    network = network_of(Chain, "msg", timesteps=2).train()
    x, y = batch((16,))
    functional.cross_entropy(network(x).mean(0), y).backward()
    before = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    state = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in network.state_dict().items()}
    drawn = torch.get_rng_state()
    look(network, x, y, 0, 0)
    assert torch.equal(torch.get_rng_state(), drawn)
    after = network.state_dict()
    assert all(
        torch.equal(v, after[k]) if isinstance(v, torch.Tensor) else v == after[k] for k, v in state.items()
    )
    assert all(map(torch.equal, before, [p.grad for p in network.parameters() if p.grad is not None]))
    assert all(neuron.observer is None for neuron in network.neurons) and network.training


def test_two_looks_at_one_network_see_the_same():
    network = network_of(Chain, "asgl", timesteps=2)
    assert look(network, *batch((16,)), 0, 5) == look(network, *batch((16,)), 0, 5)


def test_what_a_function_draws_by_itself_follows_seed_and_epoch():
    pytest.importorskip("snntorch")
    network = network_of(Chain, "snntorch/SSO", timesteps=2)

    def norms(epoch, seed):
        return [row["gradient_norm"] for row in look(network, *batch((16,)), epoch, seed)]

    assert norms(0, 5) == norms(0, 5)
    assert norms(0, 5) != norms(1, 5) != norms(0, 6)


def test_what_feeds_a_layer_is_found_past_shortcuts():
    network = network_of(FOUND.backbone("resnet18").item, "rectangle", shape=(1, 8, 8))
    fed = {}
    original = gradients._Layer._enter

    def enter(layer, module, inputs):
        original(layer, module, inputs)
        fed[layer.site.name.partition("/")[2]] = layer.weights

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradients._Layer, "_enter", enter)
        look(network, *batch((1, 8, 8), 4), 0, 0)
    assert {len(weights) for weights in fed.values()} == {1}
    shapes_seen = {name: tuple(weights[0].shape) for name, weights in fed.items()}
    assert shapes_seen["block3.shortcut"][2:] == (1, 1)
    assert len({id(w[0]) for w in fed.values()}) == len(network.sites)


# --- all there is ---


@pytest.mark.parametrize(
    "named", sorted(n for n, e in FOUND.methods.items() if not registry.missing_packages(e.item))
)
@pytest.mark.parametrize("timesteps", [1, 3])
def test_every_method(named, timesteps):
    network = network_of(
        FOUND.backbone("convnet").item, named, shape=(1, 8, 8), timesteps=timesteps, neuron="plif"
    )
    try:
        with torch.no_grad():
            network(torch.rand(2, 1, 8, 8))
    except Exception as problem:
        pytest.skip(f"it cannot compute anything: {problem}")
    x, y = batch((1, 8, 8), 143)
    rows = look(network, x, y, 0, 0)
    reference = FOUND.method(named).item.kind == "reference"
    steps = 1 if reference else timesteps
    assert len(rows) == 3 * steps
    unknown = {name for row in rows for name, value in of_the_look(row).items() if value is None}
    # Without a maximum to fall from there is no width; some libraries' derivatives are NaN far out.
    assert unknown <= {"width"} or FOUND.method(named).item.kind == "library", unknown
    found = run_columns(rows, rows)
    assert all(value is None or math.isfinite(value) for value in found.values())
    if FOUND.method(named).item.kind in ("fixed", "adaptive", "control"):
        assert {n for n, v in found.items() if v is None} <= {
            "vanish_onset_epoch",
            "first_to_last",
            "vanishing_slope",
            "vanishing_slope_before",
            "vanishing_slope_ann",
        }


@pytest.mark.parametrize("named", sorted(FOUND.backbones))
@pytest.mark.parametrize("neuron", ["lif", "plif"])
def test_every_backbone(named, neuron):
    width = {"mlp": 0.25, "rsnn": 0.25}.get(named, 1 / 32)
    torch.manual_seed(0)
    network = build_network(
        FOUND.backbone(named).item,
        FOUND.method("mpd-agl").item,
        {},
        NeuronOptions(neuron=neuron),
        shape=(2, 16, 16),
        classes=10,
        width=width,
        timesteps=2,
    )
    x, y = batch((2, 2, 16, 16), 12)
    rows = look(network, x, y, 0, 0)
    assert len(rows) == 2 * len(network.sites)
    assert all(value is not None for row in rows for value in of_the_look(row).values())
    names = [site.name.partition("/")[2] for site in network.sites]
    assert [row["name"] for row in rows[::2]] == names
    assert all(
        0 <= row[c] <= 1 for row in rows for c in ("available_fraction", "participation", "silent_fraction")
    )
    assert all(row["weight_gradient_ratio"] > 0 for row in rows)


def test_without_tdbn_gamma_is_unknown():
    rows = look(network_of(Chain, "rectangle", norm="bn"), *batch((16,)), 0, 0)
    assert {row["gamma_mean"] for row in rows} == {None}


# --- what is kept afterwards ---


def test_nothing_of_it_stays_in_memory():
    network = network_of(FOUND.backbone("convnet").item, "asgl", shape=(1, 8, 8), neuron="plif")
    x, y = batch((1, 8, 8), 32)
    look(network, x, y, 0, 0)
    gc.collect()
    tensors = lambda: sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())  # noqa: E731
    before = tensors()
    gc.disable()
    try:
        rows = look(network, x, y, 0, 0)
        assert tensors() == before
    finally:
        gc.enable()
    assert {type(value) for row in rows for value in row.values()} <= {int, float, str, type(None)}


def test_while_it_runs_a_layer_keeps_numbers_and_one_value_a_neuron():
    kept = {}
    close = gradients._Layer.close

    def spy(layer):
        held = [*(v for step in layer.steps for v in step.values()), *layer.gradient.values()]
        kept[layer.site.index] = max(v.numel() for v in held), layer.most.numel(), layer.least.numel()
        close(layer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gradients._Layer, "close", spy)
        look(network_of(Chain, "rectangle", timesteps=3), *batch((16,), 256), 0, 0)
    assert kept == {i: (3, 64, 64) for i in range(3)}


def test_a_look_that_fails_leaves_nothing_behind():
    network = network_of(Chain, "msg")
    state = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    with pytest.raises(ValueError, match="Expected input batch_size"):
        look(network, batch((16,))[0], torch.zeros(3, dtype=torch.int64), 0, 0)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (random.getstate(), str(np.random.get_state())) == state[1:]
    assert all(surrogate.stream.drawn == 0 for surrogate in network.surrogates)


# --- unusual methods and backbones ---


@method("careless", paper="none", kind="control")
class Careless(Surrogate):
    """Draws from every generator, counts its calls, keeps tensors, and shares a weight with its copy."""

    shape = staticmethod(shapes.rectangle)

    def bind(self, site):
        super().bind(site)
        self.register_buffer("calls", torch.zeros(()))
        self.history, self.last = [], None
        self.gain = nn.Parameter(torch.ones(()))
        gain = self.gain
        # A copy of a function is the function itself, with what it refers to.
        self.times_gain = lambda s: s * gain

    def params(self, u, t):
        self.drawn = (torch.rand(()).item(), random.random(), np.random.rand())
        return {"width": 1.0}

    def spike(self, x, t, params, noise):
        if self.last is not None and t:
            assert self.last.shape == x.shape and self.last.grad_fn is not None
        self.calls += 1
        self.last = super().spike(x, t, params, noise)
        self.history.append(self.last)
        return self.last

    def emit(self, s, t):
        # Once a step, in a pass and a look, however often the derivative is asked for beside it.
        assert self.calls in (t + 1, t + 3)
        assert len(self.history) == self.calls
        return self.times_gain(s)


def test_a_careless_method_is_left_as_it_is():
    network = network_of(Chain, Careless.declared[0]).train()
    x, y = batch((16,))
    functional.cross_entropy(network(x).mean(0), y).backward()
    gains = [surrogate.gain.grad.clone() for surrogate in network.surrogates]
    state = torch.get_rng_state(), random.getstate(), str(np.random.get_state())
    rows = look(network, x, y, 1, 0)
    assert rows == look(network, x, y, 1, 0)
    assert torch.equal(torch.get_rng_state(), state[0])
    assert (random.getstate(), str(np.random.get_state())) == state[1:]
    for surrogate, gain in zip(network.surrogates, gains, strict=True):
        assert (surrogate.calls, len(surrogate.history)) == (2, 2)
        assert surrogate.last is surrogate.history[-1]
        assert torch.equal(surrogate.gain.grad, gain)


@method("not-finite", paper="none", kind="control", limit=Param(0.0))
class NotFinite(Surrogate):
    """NaN above a limit, as a derivative that overflows."""

    shape = staticmethod(lambda x, limit: torch.where(x > limit, torch.nan, 1.0).to(x.dtype))


@pytest.mark.parametrize(("limit", "seen"), [(0.0, True), (3.9, False)])
def test_what_is_not_finite_is_unknown_where_it_is_seen(limit, seen):
    rows = look(network_of(Chain, NotFinite.declared[0], {"limit": limit}), *batch((16,)), 0, 0)
    assert all(value is None or math.isfinite(value) for row in rows for value in list(row.values())[4:])
    of_h = (
        *("available_fraction", "participation", "gain", "gain_rms", "height"),
        *("gradient_norm", "gradient_zero_fraction"),
    )
    for row in rows:
        unknown = {column for column in of_h if row[column] is None}
        # Nothing passes the last layer's h on its way to its own spikes: a NaN starts there.
        assert unknown == (set(of_h) if seen else set())
    found = run_columns(rows, rows)
    assert all(value is None or math.isfinite(value) for value in found.values())


class Bare(nn.Module):
    """The samples themselves are the current of the first layer; a norm with a matrix, then a second."""

    def __init__(self, layers, shape, classes, width):
        super().__init__()
        self.first = layers.block("first", nn.Identity(), shape[0])
        self.normed = nn.LayerNorm((shape[0], 1))
        self.second = layers.linear("second", shape[0], 8)
        self.readout = OverTime(nn.Linear(8, classes))

    def forward(self, x):
        return self.readout(self.second(self.normed(self.first(x)[..., None])[..., 0]))


def test_a_current_that_no_weight_feeds_has_a_gradient_too():
    rows = look(network_of(Bare, "arctan", shape=(12,), norm="none"), *batch((12,)), 0, 0)
    first, second = rows[:2], rows[2:]
    assert all(row["gradient_norm"] > 0 and row["weight_gradient_ratio"] == 0 for row in first)
    assert all(row["gradient_norm"] > 0 and row["weight_gradient_ratio"] > 0 for row in second)


@pytest.mark.parametrize("neuron", ["lif", "plif"])
def test_a_recurrent_layer_counts_both_of_its_matrices(neuron):
    network = network_of(FOUND.backbone("rsnn").item, "arctan", timesteps=3, neuron=neuron, shape=(6,))
    network = network.double().train()
    x, y = batch((6,), 13)
    rows = look(network, x.double(), y, 0, 0)
    currents = []

    def keep(_, inputs):
        # The first layer's is one step, which stands for all.
        currents.append(inputs[0].expand(3, *inputs[0].shape[1:]))
        currents[-1].retain_grad()
        return (currents[-1],)

    for spiking in network.neurons:
        spiking.register_forward_pre_hook(keep)
    functional.cross_entropy(network(x.double()).mean(0), y).backward()
    for block, current, own in zip(network.body.blocks, currents, (rows[:3], rows[3:]), strict=True):
        norms = current.grad.flatten(1).norm(dim=1)
        assert [row["gradient_norm"] for row in own] == pytest.approx(norms.tolist())
        pair = block[0].module.weight, block.neuron.recurrent.weight
        ratio = math.hypot(*(p.grad.norm() for p in pair)) / math.hypot(*(p.detach().norm() for p in pair))
        assert own[0]["weight_gradient_ratio"] == pytest.approx(ratio)


@pytest.mark.parametrize("scale", [1e-30, 1e25])
def test_gradients_of_any_size_keep_their_digits(scale):
    def seen(height):
        return look(network_of(Direct, "triangle", {"height": height}, timesteps=1), *batch((16,)), 0, 0)[0]

    one, other = seen(1.0), seen(scale)
    for column in ("gain", "gain_rms", "gradient_norm", "height"):
        assert other[column] == pytest.approx(scale * one[column], rel=1e-4), column
    assert other["participation"] == pytest.approx(one["participation"], rel=1e-5)
    assert other["available_fraction"] == one["available_fraction"]


@pytest.mark.parametrize("width", [0.02, 0.05, 0.3])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 1.0])
def test_the_maximum_of_a_narrow_window_is_found(width, threshold):
    values = {"width": width, "height": 3.0}
    (row,) = look(
        network_of(Direct, "rectangle", values, timesteps=1, threshold=threshold), *batch((16,), 2), 0, 0
    )
    assert row["height"] == 3.0


@pytest.mark.parametrize("named", ["triangle", "gaussian", "arctan", "sigmoid"])
def test_a_width_that_is_not_declared_is_measured(named):
    shape = getattr(shapes, named)

    @method("unnamed", paper="none", kind="control", size=Param(0.8))
    def unnamed(x, size):
        return shape(x, width=size)

    (row,) = look(network_of(Direct, unnamed.declared[0], timesteps=1), *batch((16,)), 0, 0)
    assert row["width"] == pytest.approx(0.8, rel=1e-3)


@pytest.mark.parametrize(
    "named", ["norse/heavi_erfc", "norse/tanh", "snntorch/fast_sigmoid", "snntorch/sigmoid"]
)
def test_the_width_of_a_sharp_derivative_is_that_of_its_formula(named):
    (row,) = look(network_of(Direct, named, timesteps=1), *batch((16,)), 0, 0)
    assert row["width"] == pytest.approx(single_layer.properties(FOUND.method(named).item).fwhm, rel=0.01)


def test_a_spike_on_the_way_to_1_makes_no_neuron_busy():
    rates = {}
    for named in ("sigmoid", "asgl"):
        network = network_of(Chain, named)
        with torch.no_grad():
            # Every other neuron of the first layer never comes near its threshold.
            network.body.blocks[0][1].bias[::2] = -3
        rates[named] = look(network, *batch((16,)), 0, 0)[0]["silent_fraction"]
    assert rates["asgl"] == rates["sigmoid"] == 0.5


def test_under_relu_u_is_the_current_and_h_is_0_or_1():
    network = network_of(Direct, RELU, shape=(64,), timesteps=4)
    (row,) = look(network, *batch((64,), 256), 0, 0)
    assert row["t"] == 0
    assert (row["width"], row["height"]) == (None, 1)
    assert row["u_mean"] == pytest.approx(0, abs=1e-6)
    assert row["spike_rate"] == row["gain"] == row["available_fraction"] == pytest.approx(0.5, abs=0.02)
    events = torch.randn(8, 4, 64)
    assert len(look(network, events, torch.arange(8), 0, 0)) == 4
