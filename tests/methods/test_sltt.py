"""SLTT and its controls against plain loops in float64 whose carried potential is detached or weighted."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from bench.errors import BenchError
from bench.model.layers import Layers, NeuronOptions
from bench.registry import load

FOUND = load()
NAMES = ["sltt", "sltt:truncated", "sltt:scaled"]
every_name = pytest.mark.parametrize("name", NAMES)


def neuron(name, values=None, timesteps=4, **options):
    method = FOUND.method(name).item
    made = Layers(
        "net",
        lambda site: method.build(site, values or {}),
        NeuronOptions(norm="none", decay=0.6, **options),
        timesteps=timesteps,
    )
    return made.spike("layer", nn.Identity()).double()


class Authors(torch.autograd.Function):
    """The rectangle of the authors' code: as wide as the threshold, height 1 / threshold."""

    @staticmethod
    def forward(ctx, x, threshold):
        ctx.save_for_backward(x)
        ctx.threshold = threshold
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (x.abs() <= ctx.threshold / 2) / ctx.threshold, None


def plain(current, weight_of, *, threshold, reset, decay, detach_reset=False):
    """A loop over time; weight_of(t) is that of the gradient from step t to step t - 1."""
    v, out = torch.zeros_like(current[0]), []
    for t, i in enumerate(current):
        w = weight_of(t)
        past = v.detach() if w == 0 else v.detach() + w * (v - v.detach())
        u = decay * past + i
        s = Authors.apply(u - threshold, threshold)
        r = s.detach() if detach_reset else s
        v = u * (1 - r) if reset == "zero" else u - threshold * r
        out.append(s)
    return torch.stack(out)


WEIGHTS = {
    "sltt": ({}, lambda t: 0.0),
    "sltt:truncated": ({"every": 3.0}, lambda t: float(t % 3 != 0)),
    "sltt:scaled": ({"factor": 0.3}, lambda t: 0.3),
}


def assert_equals_plain(name, current, upstream, threshold, options):
    values, weight_of = WEIGHTS[name]
    ours = neuron(name, {**values, "width": threshold}, len(current), threshold=threshold, **options)
    decay = ours.decay.detach().clone().requires_grad_() if options.get("neuron") == "plif" else 0.6
    one, two = (torch.tensor(current, requires_grad=True) for _ in range(2))
    found = ours(one)
    given = {"threshold": threshold, "decay": decay, "reset": options["reset"]}
    expected = plain(two, weight_of, **given, detach_reset=options["detach_reset"])
    assert torch.equal(found, expected)
    for out in (found, expected):
        out.backward(torch.tensor(upstream))
    torch.testing.assert_close(one.grad, two.grad, rtol=1e-11, atol=1e-12)
    if isinstance(decay, torch.Tensor) and len(current) > 1:
        slope = (decay * (1 - decay)).detach()
        torch.testing.assert_close(ours.w.grad, decay.grad * slope, rtol=1e-10, atol=1e-12)


@every_name
@pytest.mark.parametrize("kind", ["lif", "plif"])
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_equals_a_plain_loop(name, kind, reset, detach_reset, threshold):
    random = np.random.default_rng(0)
    current, upstream = random.normal(0.4, 0.6, (7, 300)), random.normal(size=(7, 300))
    options = {"neuron": kind, "reset": reset, "detach_reset": detach_reset}
    assert_equals_plain(name, current, upstream, threshold, options)


@given(
    name=st.sampled_from(NAMES),
    # No potential on the edge of the window, which the authors' code includes.
    current=arrays(np.float64, (5, 3), elements=st.floats(-3, 3).map(lambda x: x + 1e-4 * np.pi)),
    upstream=arrays(np.float64, (5, 3), elements=st.floats(-3, 3)),
    reset=st.sampled_from(["zero", "subtract"]),
)
@settings(max_examples=100, deadline=None)
def test_equals_a_plain_loop_for_any_input(name, current, upstream, reset):
    assert_equals_plain(name, current, upstream, 0.5, {"reset": reset, "detach_reset": False})


def gradient(name, values, current, timesteps=6, **options):
    current = current.clone().requires_grad_()
    out = neuron(name, values, timesteps, **options)(current)
    weight = torch.arange(1.0, 1 + out.numel(), dtype=torch.float64).view(out.shape)
    (found,) = torch.autograd.grad((out * weight).sum(), current)
    return out, found


@pytest.mark.parametrize(
    ("name", "values", "same", "others"),
    [
        ("sltt:truncated", {"every": 1}, "sltt", {}),
        ("sltt:truncated", {"every": 6}, "rectangle:0.5", {}),
        ("sltt:truncated", {"every": 100}, "rectangle:0.5", {}),
        ("sltt:scaled", {"factor": 0}, "sltt", {}),
        ("sltt:scaled", {"factor": 1}, "rectangle:0.5", {}),
    ],
)
@pytest.mark.parametrize("options", [{"reset": "zero"}, {"reset": "subtract", "detach_reset": True}])
def test_the_controls_lie_between_sltt_and_the_whole_gradient(name, values, same, others, options):
    current = torch.randn(6, 50, dtype=torch.float64) + 0.4
    for one, other in zip(
        gradient(name, values, current, **options), gradient(same, others, current, **options), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


def test_no_gradient_reaches_an_earlier_step():
    current = (torch.randn(5, 30, dtype=torch.float64) + 0.4).requires_grad_()
    for t, step in enumerate(neuron("sltt", timesteps=5)(current)):
        (found,) = torch.autograd.grad(step.sum(), current, retain_graph=True)
        assert found[t].any()
        assert not found[:t].any()


@pytest.mark.parametrize("every", [0, 0.5, 1.5, -2])
def test_segments_are_whole_steps(every):
    with pytest.raises(BenchError, match=f"every = {every:g} must be 1, 2, 3"):
        neuron("sltt:truncated", {"every": every})


@every_name
def test_what_it_declares(plugin, name):
    found = plugin("sltt")[name]
    fidelity = "official-code" if name == "sltt" else "reconstructed"
    assert (found.changes, found.fidelity) == ("gradient", fidelity)
    assert found.defaults(1.0)["width"] == 1.0
    assert not found.breaks
