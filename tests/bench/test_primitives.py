"""Every primitive against its shape: H' = h, its limits, its gradients to x and to parameters."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from bench import primitives, shapes
from bench.surrogate import learned_spike, spike

# name: (parameters beside width, area, |x|/width where h jumps)
STEPS = {
    "rectangle": ({}, 1, [0.5]),
    "triangle": ({}, 1, []),
    "sigmoid": ({}, 1, []),
    "arctan": ({}, 1, []),
    "fast_sigmoid": ({}, 1, []),
    "gaussian": ({}, 1, []),
    "multi_gaussian": ({}, 0.85, []),
    "laplace": ({}, 1, []),
    "tanh": ({"b": 3.0}, 1, [3 / (4 * math.acosh(math.sqrt(2)))]),
    "q_pseudo_spike": ({"q": 1.56}, 1, []),
    "leaky_rectangle": ({"leak": 0.1}, None, [0.5]),
}
BOUNDED = [name for name, (_, area, _) in STEPS.items() if area]
every_step = pytest.mark.parametrize("name", STEPS)
every_bounded_step = pytest.mark.parametrize("name", BOUNDED)
every_height = pytest.mark.parametrize("height", [None, 0.3, 2.0])
every_dtype = pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)


def pair(name, **params):
    """(H, h) of one name with these parameters."""
    params = {**STEPS[name][0], **params}
    return partial(getattr(primitives, name), **params), partial(getattr(shapes, name), **params)


def calm(x, name, width):
    """x without the points next to a jump of h, where no difference is a derivative."""
    for kink in STEPS[name][2]:
        x = x[(x.abs() - kink * width).abs() > 1e-4]
    return x


@every_step
@every_height
@pytest.mark.parametrize("width", [0.25, 1.0, 3.7])
def test_its_slope_is_the_shape(name, width, height):
    smooth, shape = pair(name, width=width, height=height)
    x, step = calm(torch.linspace(-4.003, 4.003, 802, dtype=torch.float64) * width, name, width), 1e-6 * width
    slope = (smooth(x + step) - smooth(x - step)) / (2 * step)
    h = shape(x)
    torch.testing.assert_close(slope, h, rtol=0, atol=3e-6 * h.max().item())


@every_step
@every_height
def test_autograd_of_the_primitive_is_the_shape_at_zero_too(name, height):
    smooth, shape = pair(name, width=1.3, height=height)
    x = torch.cat([torch.linspace(-3, 3, 301, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)])
    x = calm(x, name, 1.3).requires_grad_()
    smooth(x).sum().backward()
    torch.testing.assert_close(x.grad, shape(x.detach()), rtol=1e-10, atol=1e-13)


@every_step
@settings(max_examples=40)
@given(x=st.floats(1e-6, 20), sign=st.sampled_from([-1, 1]), width=st.floats(0.1, 10))
def test_it_is_the_integral_of_the_shape(name, x, sign, width):
    """H(x) - H(0) by quadrature, which knows nothing of H, and warns of intervals of no length."""
    x *= sign
    smooth, shape = pair(name, width=width)

    def h(at):
        return shape(torch.tensor(at, dtype=torch.float64)).item()

    kinks = [sign * kink * width for kink in (*STEPS[name][2], 1.0) for sign in (-1, 1)]
    points = sorted({0.0, x, *(k for k in kinks if min(0, x) < k < max(0, x))})
    found = sum(integrate.quad(h, a, b, limit=200)[0] for a, b in pairwise(points)) * math.copysign(1, x)
    ends = smooth(torch.tensor([0.0, x], dtype=torch.float64))
    assert (ends[1] - ends[0]).item() == pytest.approx(found, rel=1e-7, abs=1e-8)


@every_bounded_step
@every_height
def test_it_goes_from_zero_to_the_area(name, height):
    smooth, _ = pair(name, width=0.8, height=height)
    area = STEPS[name][1]
    if height is not None:
        area *= height / pair(name, width=0.8)[1](torch.zeros((), dtype=torch.float64)).item()
    ends = smooth(torch.tensor([-1e9, 0, 1e9], dtype=torch.float64))
    # The thick tail of the q-pseudo-spike leaves 1e-6 beyond 1e9.
    torch.testing.assert_close(
        ends, torch.tensor([0, area / 2, area], dtype=torch.float64), rtol=0, atol=2e-5
    )


@every_step
@settings(max_examples=40)
@given(x=st.floats(-50, 50), step=st.floats(1e-3, 10), width=st.floats(0.1, 10))
def test_it_rises_wherever_the_shape_is_not_negative(name, x, step, width):
    smooth, shape = pair(name, width=width)
    at = torch.linspace(x, x + step, 65, dtype=torch.float64)
    if (shape(at) >= 0).all():
        assert (smooth(at).diff() >= -1e-14).all()


@every_step
@settings(max_examples=40)
@given(x=st.floats(0, 50), width=st.floats(0.1, 10))
def test_point_symmetric_about_the_threshold(name, x, width):
    """H(-x) + H(x) = 2 H(0)."""
    smooth, _ = pair(name, width=width)
    left, middle, right = smooth(torch.tensor([-x, 0, x], dtype=torch.float64)).tolist()
    assert left + right == pytest.approx(2 * middle, abs=1e-12)


@every_step
@pytest.mark.parametrize("height", [None, 0.7])
def test_gradients_reach_every_parameter(name, height):
    """torch.autograd.gradcheck of H in x and its parameters, off the kinks."""
    extra = STEPS[name][0]
    names = ["width", *extra, *([] if height is None else ["height"])]
    values = [1.1, *extra.values(), *([] if height is None else [height])]
    leaves = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]
    x = torch.tensor([-2.3, -0.7, -0.2, 0.13, 0.41, 1.9], dtype=torch.float64, requires_grad=True)

    def step(x, *values):
        return getattr(primitives, name)(x, **dict(zip(names, values, strict=True)))

    assert torch.autograd.gradcheck(step, (x, *leaves))


@every_step
@every_dtype
@every_height
def test_finite_far_out_in_the_dtype_of_x(name, dtype, height):
    right = torch.tensor([0, 0.1, 1, 100, 10_000], dtype=dtype)
    x = torch.cat([right, -right]).requires_grad_()
    smooth, shape = pair(name, width=0.5, height=height)
    value = smooth(x)
    value.sum().backward()
    assert value.dtype == x.grad.dtype == dtype
    assert value.isfinite().all()
    assert x.grad.isfinite().all()
    # The spike of the shape, at the same x: what a fixed method would have had.
    again = x.detach().clone().requires_grad_()
    spike(again, shape, {}).sum().backward()
    assert again.grad.isfinite().all()


@every_step
def test_a_learned_spike_has_the_same_gradient_as_the_fixed_one(name):
    smooth, shape = pair(name, width=1.0)
    x = calm(torch.linspace(-3, 3, 301, dtype=torch.float64), name, 1.0)
    learned, fixed = x.clone().requires_grad_(), x.clone().requires_grad_()
    out = learned_spike(learned, smooth, {})
    assert torch.equal(out, (x >= 0).double())
    out.sum().backward()
    spike(fixed, shape, {}).sum().backward()
    torch.testing.assert_close(learned.grad, fixed.grad, rtol=1e-10, atol=1e-13)


def test_straight_through_is_a_line():
    x = torch.tensor([-1e4, 0.0, 2.0], requires_grad=True)
    assert primitives.straight_through(x, 0.5).tolist() == [-5e3, 0, 1]
    primitives.straight_through(x).sum().backward()
    assert torch.equal(x.grad, shapes.straight_through(x.detach()))
