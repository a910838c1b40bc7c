"""The hooks `transform` and `carry` against a plain loop in float64, and where they must not matter."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench import primitives, shapes
from bench.measures.derivative import Derivative
from bench.model.neuron import SpikingNeuron, statistics_of
from bench.surrogate import FixedSurrogate, Site, Surrogate

WIDTH = 1.0
OPTIONS = [
    {"kind": kind, "reset": reset, "detach_reset": detach}
    for kind, reset, detach in product(["lif", "plif"], ["zero", "subtract"], [False, True])
]
every_option = pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))


class Transformed(FixedSurrogate):
    """Compares another potential at each step."""

    def transform(self, u, t):
        return 0.8 * u + 0.1 * u.square() + 0.05 * t


class Carried(FixedSurrogate):
    """Another half of the gradient goes on, and another potential, at each step."""

    def carry(self, v, t):
        return 0.7 * v + 0.2 * v.detach() + 0.05 * t


class Both(Transformed, Carried):
    """Both, and the next layer sees something else than the reset."""

    def emit(self, s, t):
        return 2 * s

    def penalty(self, statistics):
        return statistics.mean.sum()


every_hook = pytest.mark.parametrize("surrogate", [Transformed, Carried, Both])


def make(options, surrogate=Both, units=None, timesteps=4):
    torch.manual_seed(0)
    recurrent = None if units is None else torch.nn.Linear(units, units, bias=False)
    neuron = SpikingNeuron(**options, decay=0.6, recurrent=recurrent, timesteps=timesteps).double()
    neuron.surrogate = surrogate(shapes.arctan, width=WIDTH)
    neuron.surrogate.bind(Site("net/layer", 0, neuron, None, timesteps, 1, 0))
    return neuron


def plain(neuron, current):
    """The same layer written out: what it emits, and what it compares with the threshold, [T, B, N]."""
    rule, v, out, compared = neuron.surrogate, None, [], []
    for t, i in enumerate(current):
        if neuron.recurrent is not None and out:
            i = i + out[-1] @ neuron.recurrent.weight.T
        u = i if v is None else neuron.decay * v + i
        seen = rule.transform(u, t)
        smooth = primitives.arctan(seen - 0.5, WIDTH)
        s = (seen >= 0.5).double() + (smooth - smooth.detach())
        r = s.detach() if neuron.detach_reset else s
        v = rule.carry(u * (1 - r) if neuron.reset == "zero" else u - 0.5 * r, t)
        out.append(rule.emit(s, t))
        compared.append(seen)
    return torch.stack(out), torch.stack(compared)


def results(neuron, run, current):
    """What comes out, and the gradients of the currents and of all parameters."""
    leaf = torch.as_tensor(current).clone().requires_grad_()
    out = run(leaf)
    upstream = torch.linspace(-1, 2, out.numel(), dtype=torch.float64).view(out.shape)
    grads = torch.autograd.grad((out * upstream).sum(), [leaf, *neuron.parameters()], allow_unused=True)
    return out.detach(), *grads


def assert_same(found, expected):
    assert torch.equal(found[0], expected[0])
    for one, other in zip(found[1:], expected[1:], strict=True):
        if one is None or other is None:
            assert one is other
        else:
            torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-12)


@every_option
@every_hook
@pytest.mark.parametrize("units", [None, 6], ids=["alone", "recurrent"])
def test_equals_the_plain_loop(options, surrogate, units):
    neuron = make(options, surrogate, units)
    current = np.random.default_rng(0).normal(0.4, 0.6, (4, 20, 6))
    expected = results(neuron, lambda x: plain(neuron, x)[0], current)
    assert 0.1 < (expected[0] > 0).double().mean() < 0.9
    assert_same(results(neuron, neuron, current), expected)


@given(
    current=arrays(
        np.float64, (4, 2, 3), elements=st.one_of(st.integers(-8, 8).map(float), st.floats(-5, 5))
    ),
    options=st.sampled_from(OPTIONS),
    surrogate=st.sampled_from([Transformed, Carried, Both]),
)
@settings(max_examples=100)
def test_equals_the_plain_loop_for_any_input(current, options, surrogate):
    neuron = make(options, surrogate)
    found, expected = (results(neuron, run, current) for run in (neuron, lambda x: plain(neuron, x)[0]))
    assert_same(found, expected)


@every_option
def test_hooks_that_do_nothing_change_no_bit(options):
    class Nothing(FixedSurrogate):
        def transform(self, u, t):
            return u

        def carry(self, v, t):
            return v

    current = torch.randn(4, 20, 6, dtype=torch.float64)
    found, expected = (
        results(neuron, neuron, current) for neuron in (make(options, Nothing), make(options, FixedSurrogate))
    )
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


@every_option
@pytest.mark.parametrize("hook", ["transform", "carry"])
def test_a_method_without_them_is_not_asked(monkeypatch, options, hook):
    def never(self, potential, t):
        raise AssertionError("called")

    monkeypatch.setattr(Surrogate, hook, never)
    make(options, FixedSurrogate)(torch.randn(4, 2, 3, dtype=torch.float64))


@every_option
@pytest.mark.parametrize("units", [None, 6], ids=["alone", "recurrent"])
def test_an_observer_and_the_statistics_see_what_is_compared(options, units):
    neuron, moments = make(options, Both, units), []
    current = torch.randn(4, 20, 6, dtype=torch.float64)
    neuron.observer = moments.append
    out = neuron(current)
    expected, compared = plain(neuron, current)
    assert torch.equal(out, expected)
    torch.testing.assert_close(torch.stack([moment.u for moment in moments]), compared)
    torch.testing.assert_close(neuron.statistics.mean, statistics_of([*compared]).mean)


def test_the_probes_derivative_is_that_at_what_is_compared():
    neuron, seen = make(OPTIONS[0]), []
    derivative = Derivative(neuron)
    neuron.observer = lambda moment: seen.append(derivative.at(moment))
    current = torch.randn(4, 20, 6, dtype=torch.float64)
    neuron(current)
    torch.testing.assert_close(torch.stack(seen), shapes.arctan(plain(neuron, current)[1] - 0.5, WIDTH))


class Handed(FixedSurrogate):
    """What goes on depends on what its parameters were."""

    def params(self, u, t):
        self.largest = u.amax()
        return self.values

    def carry(self, v, t):
        return v * self.largest


@pytest.mark.parametrize("surrogate", [Transformed, Carried, Both, Handed])
def test_evaluation_without_gradients_gives_the_same_bits(surrogate):
    neuron = make(OPTIONS[0], surrogate).eval()
    current = torch.randn(4, 20, 6, dtype=torch.float64)
    expected = neuron(current)
    with torch.no_grad():
        assert torch.equal(neuron(current), expected)
    assert not torch.equal(expected, make(OPTIONS[0], FixedSurrogate).eval()(current))


@pytest.mark.parametrize("options", [OPTIONS[0], OPTIONS[-2]], ids=["lif", "plif"])
@pytest.mark.parametrize("units", [None, 6], ids=["alone", "recurrent"])
def test_compiled_equals_eager(options, units):
    neuron = make(options, Both, units)
    torch._dynamo.reset()
    with torch._dynamo.config.patch(specialize_float=True):
        compiled = torch.compile(neuron.unroll, fullgraph=True, dynamic=True, backend="aot_eager")
        for size in (5, 7):
            current = torch.randn(4, size, 6, dtype=torch.float64)
            found, expected = (
                results(neuron, lambda x, run=run: run(x, None), current) for run in (compiled, neuron.unroll)
            )
            assert_same(found, expected)
    torch._dynamo.reset()


@pytest.mark.parametrize("surrogate", [Transformed, Both])
def test_one_step_stands_for_all(surrogate):
    neuron = make(OPTIONS[0], surrogate)
    step = torch.randn(1, 5, 6, dtype=torch.float64)
    assert torch.equal(neuron(step), neuron(step.expand(4, 5, 6)))
