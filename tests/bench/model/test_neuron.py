"""LIF and PLIF against a plain float64 loop, forward and backward through time by hand."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench import registry, shapes
from bench.model.backbone import build_network
from bench.model.layers import NeuronOptions
from bench.model.neuron import Moment, SpikingNeuron
from bench.surrogate import FixedSurrogate, Site, Surrogate

FOUND = registry.load()
INSTALLED = sorted(name for name, e in FOUND.methods.items() if not registry.missing_packages(e.item))
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
KINDS, RESETS = ["lif", "plif"], ["zero", "subtract"]
SHAPES = {
    "arctan": (shapes.arctan, lambda x: 2 / math.pi / (1 + 4 * x * x)),
    "rectangle": (shapes.rectangle, lambda x: 1.0 if -0.5 < x < 0.5 else 0.0),
}
OPTIONS = [
    {"kind": kind, "reset": reset, "detach_reset": detach}
    for kind, reset, detach in product(KINDS, RESETS, [False, True])
]

every_option = pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
every_shape = pytest.mark.parametrize("shape", SHAPES)


class WithPenalty(FixedSurrogate):
    """Asks for the statistics of the potential."""

    def penalty(self, statistics):
        return statistics.mean.sum() + statistics.variance.sum()


def make(options, shape="arctan", surrogate=FixedSurrogate, **more):
    """A float64 neuron of width 1."""
    neuron = SpikingNeuron(**options, **more).double()
    made = surrogate(SHAPES[shape][0], width=1.0)
    made.bind(Site("net/layer", index=0, neuron=neuron, norm=None, timesteps=4, epochs=1, seed=0))
    neuron.surrogate = made
    return neuron


def decay_of(neuron):
    """The decay as the neuron computes it, to the last bit."""
    with torch.no_grad():
        return float(neuron.decay)


def reference(current, upstream, h, tau, options, threshold=0.5, upstream_u=None):
    """One neuron after the other, in Python floats: spikes, potentials, dL/dI [T, N] and dL/dtau.

    L = sum(upstream * s) + sum(upstream_u * u). With r the spike in the reset,
        du[t+1]/dv[t] = tau,  dv[t]/du[t] = partial v/partial u + (partial v/partial r) h, the second term
    only where the reset is not detached.
    """
    upstream_u = np.zeros_like(current) if upstream_u is None else upstream_u
    steps, neurons = current.shape
    spikes, potentials, grad = (np.zeros_like(current) for _ in range(3))
    grad_tau = 0.0
    for n in range(neurons):
        v = [0.0]
        for t in range(steps):
            u = tau * v[-1] + current[t, n]
            s = 1.0 if u >= threshold else 0.0
            spikes[t, n], potentials[t, n] = s, u
            v.append(u * (1 - s) if options["reset"] == "zero" else u - threshold * s)
        from_next = 0.0
        for t in reversed(range(steps)):
            u, s = potentials[t, n], spikes[t, n]
            slope = h(u - threshold)
            by_u, by_r = (1 - s, -u) if options["reset"] == "zero" else (1.0, -threshold)
            dv_du = by_u + (0.0 if options["detach_reset"] else by_r * slope)
            grad[t, n] = upstream[t, n] * slope + upstream_u[t, n] + from_next * dv_du
            grad_tau += grad[t, n] * v[t]
            from_next = tau * grad[t, n]
    return spikes, potentials, grad, grad_tau


def check(neuron, shape, options, current, upstream):
    """Forward and backward of the neuron equal the reference."""
    x = torch.tensor(current, requires_grad=True)
    s = neuron(x)
    s.backward(torch.tensor(upstream))
    tau = decay_of(neuron)
    spikes, _, grad, grad_tau = reference(
        current, upstream, SHAPES[shape][1], tau, options, threshold=neuron.threshold
    )
    np.testing.assert_array_equal(s.detach().numpy(), spikes)
    np.testing.assert_allclose(x.grad.numpy(), grad, rtol=1e-12, atol=1e-12)
    if options["kind"] == "plif":
        # The first step has no past: where it is the only one, no gradient reaches w.
        grad_w = 0.0 if len(current) == 1 else neuron.w.grad.item()
        np.testing.assert_allclose(grad_w, grad_tau * tau * (1 - tau), rtol=1e-12, atol=1e-12)


@every_option
@every_shape
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5])
def test_equals_the_plain_loop(options, shape, steps):
    rng = np.random.default_rng(steps)
    current, upstream = rng.normal(0.4, 0.6, (steps, 200)), rng.normal(size=(steps, 200))
    # A decay of 0.6: what one step hands to the next counts.
    check(make(options, shape, decay=0.6), shape, options, current, upstream)


@every_option
def test_equals_the_plain_loop_at_another_threshold(options):
    rng = np.random.default_rng(0)
    current, upstream = rng.normal(0.8, 1, (4, 200)), rng.normal(size=(4, 200))
    check(make(options, threshold=1.25), "arctan", options, current, upstream)


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data(), options=st.sampled_from(OPTIONS), steps=st.integers(1, 5))
@settings(max_examples=150)
def test_equals_the_plain_loop_for_any_input(shape, data, options, steps):
    # Eighths hit the threshold and the rectangle's edges exactly.
    elements = st.one_of(st.integers(-24, 24).map(lambda i: i / 8), st.floats(-10, 10))
    current = data.draw(arrays(np.float64, (steps, 3), elements=elements))
    upstream = data.draw(arrays(np.float64, (steps, 3), elements=st.floats(-3, 3)))
    check(make(options, shape), shape, options, current, upstream)


@pytest.mark.parametrize("reset", RESETS)
def test_a_spike_at_the_threshold_itself(reset):
    neuron = make({"kind": "lif", "reset": reset})
    s = neuron(torch.tensor([[0.5], [0.5], [0.4999]], dtype=torch.float64))
    assert s.flatten().tolist() == [1, 1, 0]


@every_option
@pytest.mark.parametrize("shape", [(4, 2), (4, 2, 3), (4, 2, 3, 5, 5)], ids=str)
def test_shape_is_kept_and_neurons_are_independent(options, shape):
    neuron = make(options)
    current = torch.randn(shape, dtype=torch.float64)
    out = neuron(current)
    assert out.shape == current.shape
    flat = neuron(current.flatten(1))
    assert torch.equal(out.flatten(1), flat)


@every_option
def test_pixels_that_lie_channels_last_stay_so_and_change_nothing(options):
    current = torch.randn(3, 2, 4, 5, 5, dtype=torch.float64)
    found = []
    for permuted in (False, True):
        given = current.clone()
        if permuted:
            given = given.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
        neuron = make(options)
        out = neuron(given.requires_grad_())
        (out * torch.arange(25).view(5, 5)).sum().backward()
        found.append((out, given.grad))
        assert out.flatten(0, 1).is_contiguous(memory_format=torch.channels_last) == permuted
    for plain, last in zip(*found, strict=True):
        assert torch.equal(plain, last)


@every_option
def test_the_gradient_of_a_current_lies_as_the_current_does(options):
    neuron = make(options, timesteps=3)
    for permuted in (False, True):
        current = torch.randn(3, 2, 5, 4, 4, dtype=torch.float64)
        if permuted:
            current = current.permute(0, 1, 3, 4, 2).contiguous().permute(0, 1, 4, 2, 3)
        current.requires_grad_()
        (found,) = torch.autograd.grad(neuron(current).square().sum(), current)
        assert found.stride() == current.stride()


@every_option
@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("surrogate", [FixedSurrogate, WithPenalty])
def test_one_step_stands_for_all(options, recurrent, surrogate):
    weights = torch.nn.Linear(6, 6, bias=False) if recurrent else None
    neuron = make(options, surrogate=surrogate, timesteps=4, recurrent=weights)
    step = torch.randn(1, 5, 6, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(4, 5, 6, dtype=torch.float64)
    found = []
    for current in (step, step.expand(4, 5, 6).clone()):
        out = neuron(current)
        made = neuron.statistics
        seen = [] if made is None else [made.mean, made.variance]
        found.append([out, *seen, *torch.autograd.grad(out, [step, *neuron.parameters()], upstream)])
    for once, each in zip(*found, strict=True):
        torch.testing.assert_close(once, each, rtol=1e-12, atol=1e-12)


@every_option
def test_step_by_step_equals_the_loop(options):
    neuron = make(options)
    current, upstream = torch.randn(2, 5, 30, dtype=torch.float64)

    def stepped(current):
        v, out = None, []
        for t in range(5):
            before = 0 if v is None else v
            s, v, u = neuron.step(current[t], v, t)
            assert torch.equal(u, neuron.decay * before + current[t])
            assert torch.equal(v, u * (1 - s) if options["reset"] == "zero" else u - 0.5 * s)
            out.append(s)
        return torch.stack(out)

    runs = []
    for run in (neuron, stepped):
        x = current.clone().requires_grad_()
        out = run(x)
        runs.append((out, *torch.autograd.grad(out, [x, *neuron.parameters()], upstream)))
    for looped, single in zip(*runs, strict=True):
        torch.testing.assert_close(looped, single, rtol=1e-14, atol=0)


def test_no_state_is_carried_from_one_pass_to_the_next():
    neuron = make({"kind": "lif"})
    current = torch.full((3, 2), 0.45, dtype=torch.float64)
    assert torch.equal(neuron(current), neuron(current))


class Doubling(FixedSurrogate):
    """Emits 2 or 0: what flows back into the layer is what it emits, and not the spike."""

    def emit(self, s, t):
        return 2 * s


class Rectified(FixedSurrogate):
    """No spikes."""

    activation = staticmethod(torch.relu)


def recurrent_neuron(options, surrogate, units=6, **more):
    torch.manual_seed(0)
    over_time = torch.nn.Linear(units, units, bias=False)
    return make(options, "arctan", surrogate, recurrent=over_time, **more)


def recurrent_reference(current, upstream, weights, tau, options, threshold=0.5):
    """A recurrent layer [T, B, N] that emits 2 s, in NumPy: y, dL/dI, dL/dV and dL/dtau.

    With c[t] = I[t] + V y[t-1] and L = sum(upstream * y): dL/dy[t] = upstream[t] + V' dL/dc[t+1].
    """
    h = SHAPES["arctan"][1]
    y, u, v = (np.zeros_like(current) for _ in range(3))
    for t in range(len(current)):
        past = (tau * v[t - 1], y[t - 1] @ weights.T) if t else (0, 0)
        u[t] = past[0] + (current[t] + past[1])
        s = (u[t] >= threshold).astype(float)
        v[t] = u[t] * (1 - s) if options["reset"] == "zero" else u[t] - threshold * s
        y[t] = 2 * s
    grad, grad_weights, grad_tau = np.zeros_like(current), np.zeros_like(weights), 0.0
    later = np.zeros_like(current[0])
    for t in reversed(range(len(current))):
        slope, s = h(u[t] - threshold), y[t] / 2
        by_u, by_r = (1 - s, -u[t]) if options["reset"] == "zero" else (1.0, -threshold)
        dv_du = by_u + (0.0 if options["detach_reset"] else by_r * slope)
        grad[t] = 2 * (upstream[t] + later @ weights) * slope + tau * later * dv_du
        later = grad[t]
        if t:
            grad_weights += later.T @ y[t - 1]
            grad_tau += (later * v[t - 1]).sum()
    return y, grad, grad_weights, grad_tau


@every_option
def test_a_recurrent_layer_equals_the_plain_loop(options):
    rng = np.random.default_rng(0)
    current, upstream = rng.normal(0.3, 0.5, (5, 4, 6)), rng.normal(size=(5, 4, 6))
    neuron = recurrent_neuron(options, Doubling, decay=0.6)
    weights = neuron.recurrent.weight.detach().numpy()
    x = torch.tensor(current, requires_grad=True)
    out = neuron(x)
    out.backward(torch.tensor(upstream))
    tau = decay_of(neuron)
    y, grad, grad_weights, grad_tau = recurrent_reference(current, upstream, weights, tau, options)
    np.testing.assert_array_equal(out.detach().numpy(), y)
    assert 0.1 < (y > 0).mean() < 0.9
    close = {"rtol": 1e-11, "atol": 1e-12}
    np.testing.assert_allclose(x.grad.numpy(), grad, **close)
    np.testing.assert_allclose(neuron.recurrent.weight.grad.numpy(), grad_weights, **close)
    if options["kind"] == "plif":
        np.testing.assert_allclose(neuron.w.grad.item(), grad_tau * tau * (1 - tau), **close)


def test_recurrence_without_spikes_is_an_elman_network():
    neuron = recurrent_neuron({"kind": "lif"}, Rectified)
    elman = torch.nn.RNN(6, 6, nonlinearity="relu", bias=False).double()
    with torch.no_grad():
        elman.weight_ih_l0.copy_(torch.eye(6))
        elman.weight_hh_l0.copy_(neuron.recurrent.weight)
    current = torch.randn(5, 4, 6, dtype=torch.float64)
    out, expected = neuron(current), elman(current)[0]
    torch.testing.assert_close(out, expected)
    out.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(neuron.recurrent.weight.grad, elman.weight_hh_l0.grad)


def test_a_recurrent_layer_compiles():
    neuron = recurrent_neuron({"kind": "plif"}, Doubling)
    current = torch.randn(3, 4, 6, dtype=torch.float64)
    torch._dynamo.reset()
    compiled = torch.compile(neuron.unroll, fullgraph=True, backend="eager")
    assert torch.equal(compiled(current, None), neuron(current))
    torch._dynamo.reset()


@every_option
@every_shape
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("whole", [True, False], ids=["module too", "input only"])
def test_dtype_is_kept_forward_and_backward(options, shape, dtype, whole):
    neuron = make(options, shape, WithPenalty).to(dtype if whole else torch.float32)
    current = torch.randn(3, 50).to(dtype).requires_grad_()
    out = neuron(current)
    statistics = neuron.statistics
    (out.sum() + neuron.surrogate.penalty(statistics)).backward()
    assert out.dtype == current.grad.dtype == statistics.mean.dtype == statistics.variance.dtype == dtype
    assert current.grad.isfinite().all()
    assert set(out.unique().tolist()) == {0.0, 1.0}
    if options["kind"] == "plif":
        assert neuron.w.grad.dtype == (dtype if whole else torch.float32)
        assert neuron.w.grad.isfinite()


def test_plif_starts_at_the_decay_of_lif_and_learns_it():
    neuron = SpikingNeuron("plif")
    assert neuron.w.item() == pytest.approx(-math.log(4), rel=1e-7)
    assert neuron.decay.item() == pytest.approx(0.2, rel=1e-7)
    assert neuron.w.shape == ()
    assert neuron.decay.requires_grad
    assert SpikingNeuron("plif", decay=0.7).decay.item() == pytest.approx(0.7, rel=1e-7)
    assert SpikingNeuron("lif").decay == 0.2
    assert list(SpikingNeuron("lif").parameters()) == []
    with torch.no_grad():
        neuron.w.fill_(0.0)
    assert neuron.decay.item() == 0.5


@every_option
def test_penalty_statistics_are_the_moments_of_the_potential(options):
    neuron = make(options, surrogate=WithPenalty)
    rng = np.random.default_rng(0)
    current, upstream = rng.normal(0.4, 0.6, (4, 60)), rng.normal(size=(4, 60))
    by_mean, by_variance = rng.normal(size=4), rng.normal(size=4)
    x = torch.tensor(current.reshape(4, 5, 3, 4), requires_grad=True)
    out = neuron(x)
    statistics = neuron.statistics
    tau, h = decay_of(neuron), SHAPES["arctan"][1]
    _, u, _, _ = reference(current, upstream, h, tau, options)
    np.testing.assert_allclose(statistics.mean.detach().numpy(), u.mean(1), rtol=1e-12)
    np.testing.assert_allclose(statistics.variance.detach().numpy(), u.var(1), rtol=1e-12)

    loss = (out.flatten(1) * torch.tensor(upstream)).sum()
    loss = loss + (statistics.mean * torch.tensor(by_mean)).sum()
    loss = loss + (statistics.variance * torch.tensor(by_variance)).sum()
    loss.backward()
    # d mean/du = 1/N, d variance/du = 2 (u - mean)/N.
    upstream_u = (by_mean[:, None] + 2 * by_variance[:, None] * (u - u.mean(1, keepdims=True))) / 60
    _, _, grad, grad_tau = reference(current, upstream, h, tau, options, upstream_u=upstream_u)
    np.testing.assert_allclose(x.grad.flatten(1).numpy(), grad, rtol=1e-11, atol=1e-12)
    if options["kind"] == "plif":
        np.testing.assert_allclose(neuron.w.grad.numpy(), grad_tau * tau * (1 - tau), rtol=1e-11)


@pytest.mark.parametrize("detach", [True, False])
def test_a_detached_soft_reset_gives_no_gradient_to_a_learned_threshold(detach):
    class Learned(FixedSurrogate):
        def __init__(self):
            super().__init__(lambda x: torch.zeros_like(x))
            self.theta = torch.nn.Parameter(torch.tensor(0.5))

        def threshold(self, u, t):
            return self.theta

    made = Learned()
    neuron = SpikingNeuron(reset="subtract", detach_reset=detach)
    made.bind(Site("net/layer", index=0, neuron=neuron, norm=None, timesteps=2, epochs=1, seed=0))
    neuron.surrogate = made
    # The derivative of the spike is zero: what is left of the gradient goes through the reset.
    step = neuron.step(torch.ones(3, requires_grad=True), None, 0)
    step.v.sum().backward()
    assert made.theta.grad == (None if detach else -3)


# --- evaluation without gradients ---


def trained(named):
    """A small network under a method, after two passes in training; and what it takes."""
    torch.manual_seed(0)
    options = NeuronOptions(neuron="plif")
    shape = {"shape": (1, 4, 4), "classes": 5, "width": 0.1, "timesteps": 3, "epochs": 2}
    network = build_network(FOUND.backbone("convnet").item, FOUND.method(named).item, {}, options, **shape)
    x = torch.randn(16, 1, 4, 4)
    for progress in (0.0, 1.0):
        for surrogate in network.surrogates:
            surrogate.on_epoch(progress)
        network.train()(x)
    return network.eval(), x


def works(named):
    if "loop" in (breaks := FOUND.method(named).item.breaks):
        pytest.skip(breaks["loop"])
    return trained(named)


@pytest.mark.parametrize("named", INSTALLED)
def test_without_gradients_evaluation_gives_the_same_bits(named):
    network, x = works(named)
    found = []
    for gradients in (True, False):
        # Some libraries' functions draw in evaluation too.
        torch.manual_seed(1)
        with torch.set_grad_enabled(gradients):
            found.append(network(x))
    assert torch.equal(*found)


def output_can_depend_on_parameters(method):
    plain = method.surrogate.spike in (Surrogate.spike, FixedSurrogate.spike)
    return not plain or method.surrogate.carry is not Surrogate.carry


@pytest.mark.parametrize(
    "named",
    [
        name
        for name in INSTALLED
        if (item := FOUND.method(name).item).changes == "gradient"
        and not output_can_depend_on_parameters(item)
    ],
)
def test_without_gradients_nothing_is_asked_for_that_changes_no_spike(monkeypatch, named):
    network, x = trained(named)
    asked = []
    for surrogate in network.surrogates:
        for hook in ("params", "noise"):
            plain = getattr(surrogate, hook)
            monkeypatch.setattr(
                surrogate, hook, lambda *a, hook=hook, plain=plain: (asked.append(hook), plain(*a))[1]
            )
    layers, steps = len(network.neurons), network.timesteps
    with torch.no_grad():
        network(x)
        assert asked == []
        network.neurons[0].observer = lambda moment: None
        network(x)
    assert asked == ["noise", *["params"] * steps], "the layer that is observed, and no other"
    asked.clear()
    network.neurons[0].observer = None
    network(x)
    assert asked == ["noise", *["params"] * steps] * layers, "with gradients"
    asked.clear()
    with torch.no_grad():
        network.train()(x)
    assert asked == ["noise", *["params"] * steps] * layers, "in training"


class Scaled(FixedSurrogate):
    """Spikes that depend on the parameters."""

    def spike(self, x, t, params, noise):
        return params["width"] * super().spike(x, t, params, noise)


class Handed(FixedSurrogate):
    """What it emits depends on what its parameters were."""

    def params(self, u, t):
        self.largest = u.amax()
        return self.values

    def emit(self, s, t):
        return s * self.largest


@pytest.mark.parametrize("surrogate", [Scaled, Handed])
def test_a_method_whose_output_depends_on_its_parameters_has_them_without_gradients(surrogate):
    neuron = make({"kind": "lif"}, surrogate=surrogate).eval()
    neuron.surrogate.values["width"] = 3.0
    current = torch.rand(2, 5, 4, dtype=torch.float64)
    expected = neuron(current)
    with torch.no_grad():
        assert torch.equal(neuron(current), expected)
    assert expected.unique().numel() > 1 and 1.0 not in expected


def test_a_spike_that_was_put_in_the_place_of_a_methods_has_its_parameters():
    neuron = make({"kind": "lif"}).eval()
    given = []
    neuron.surrogate.spike = lambda x, t, params, noise: (given.append(params), x)[1]
    with torch.no_grad():
        neuron(torch.rand(2, 5, 4, dtype=torch.float64))
    assert given == [{"width": 1.0}] * 2


# --- observers ---


class Telling(Doubling):
    """A threshold and parameters that differ from step to step, and noise that raises x."""

    def threshold(self, u, t):
        return 0.5 + 0.1 * t

    def params(self, u, t):
        return {"width": 1.0 + t}

    def noise(self, shape, like):
        return torch.linspace(0, 0.2, shape.numel(), dtype=like.dtype).view(shape)

    def spike(self, x, t, params, noise):
        return super().spike(x + noise, t, params, None)


def told(neuron, current):
    """What an observer hears of one pass, and what comes out of it."""
    moments = []
    neuron.observer = moments.append
    out = neuron(current)
    neuron.observer = None
    return moments, out


@every_option
def test_an_observer_is_told_of_every_step(options):
    neuron = make(options, surrogate=Telling)
    current = torch.randn(4, 3, 5, dtype=torch.float64)
    moments, out = told(neuron, current)
    noise = neuron.surrogate.noise(current.shape, current)
    assert [moment.t for moment in moments] == [0, 1, 2, 3]
    v = torch.zeros_like(current[0])
    for t, moment in enumerate(moments):
        assert isinstance(moment, Moment)
        u, threshold = neuron.decay * v + current[t], 0.5 + 0.1 * t
        s = (u - threshold + noise[t] >= 0).double()
        torch.testing.assert_close(moment.u, u)
        assert (moment.threshold, moment.params) == (threshold, {"width": 1.0 + t})
        assert torch.equal(moment.noise, noise[t])
        assert torch.equal(moment.s, s)
        assert torch.equal(moment.out, 2 * s)
        assert torch.equal(out[t], moment.out)
        v = u * (1 - s) if options["reset"] == "zero" else u - threshold * s
    assert 0 < out.mean() < 2


@pytest.mark.parametrize("surrogate", [Doubling, Rectified, Telling, WithPenalty])
@pytest.mark.parametrize("recurrent", [False, True])
def test_an_observer_changes_nothing(surrogate, recurrent):
    options = {"kind": "plif"}
    neuron = recurrent_neuron(options, surrogate) if recurrent else make(options, surrogate=surrogate)
    results = []
    for observer in (None, lambda moment: None):
        neuron.observer = observer
        current = torch.linspace(-1, 2, 4 * 3 * 6, dtype=torch.float64).view(4, 3, 6).requires_grad_()
        out = neuron(current)
        used = [p for p in neuron.parameters() if surrogate is not Rectified or p.ndim]
        results.append((out, *torch.autograd.grad(out.square().sum(), [current, *used])))
    for alone, watched in zip(*results, strict=True):
        assert torch.equal(alone, watched)


@pytest.mark.parametrize("recurrent", [False, True])
def test_under_an_activation_an_observer_is_told_of_currents(recurrent):
    neuron = (
        recurrent_neuron({"kind": "lif"}, Rectified)
        if recurrent
        else make({"kind": "lif"}, "arctan", Rectified)
    )
    current = torch.randn(3, 4, 6, dtype=torch.float64)
    moments, out = told(neuron, current)
    for t, moment in enumerate(moments):
        past = neuron.recurrent(out[t - 1]) if recurrent and t else 0
        torch.testing.assert_close(moment.u, current[t] + past)
        assert torch.equal(moment.s, moment.u.relu())
        assert torch.equal(moment.out, moment.s)
        assert torch.equal(out[t], moment.out)
        assert (moment.t, moment.threshold, moment.params, moment.noise) == (t, 0.0, {}, None)
    assert len(moments) == 3


def test_gradients_go_through_what_an_observer_sees():
    neuron = make({"kind": "lif"})
    current = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    moments, _ = told(neuron, current)
    (gradient,) = torch.autograd.grad(moments[1].u.sum(), current)
    assert gradient[1].eq(1).all()


def test_an_observer_is_no_part_of_the_state():
    neuron = make({"kind": "plif"})
    neuron.observer = print
    assert list(neuron.state_dict()) == ["w"]
