"""Every shape against scipy and the libraries: area, width, symmetry, scale, dtypes."""

import math
import warnings
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize, stats
from snntorch import surrogate as snntorch

from bench import shapes

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
    from norse.torch.functional.threshold import threshold as norse

ALL = [
    shapes.rectangle,
    shapes.triangle,
    shapes.sigmoid,
    shapes.arctan,
    shapes.fast_sigmoid,
    shapes.gaussian,
    shapes.multi_gaussian,
    shapes.laplace,
    shapes.tanh,
    shapes.q_pseudo_spike,
]
UNIMODAL = [shape for shape in ALL if shape is not shapes.multi_gaussian]
NO_AREA = [partial(shapes.leaky_rectangle, leak=0.02), shapes.straight_through]
AREA = {shapes.multi_gaussian: 0.85}
# |x| / width where h jumps or bends; tanh has b = 3, and jumps at half its support.
KINKS = {
    shapes.rectangle: [0.5],
    shapes.triangle: [1],
    shapes.tanh: [3 / (4 * math.acosh(math.sqrt(2)))],
}
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
WIDTHS = [0.25, 1.0, 3.7]

every_shape = pytest.mark.parametrize("shape", ALL, ids=lambda shape: shape.__name__)
every_unimodal_shape = pytest.mark.parametrize("shape", UNIMODAL, ids=lambda shape: shape.__name__)
every_width = pytest.mark.parametrize("width", WIDTHS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def scalar(shape, **params):
    """The shape as a function of one float64."""
    return lambda x: float(shape(torch.tensor(x, dtype=torch.float64), **params))


def half_maximum(h):
    """Twice the |x| where h falls to half its peak, without knowing its formula."""
    return 2 * optimize.brentq(lambda x: h(x) - h(0.0) / 2, 0, 1e3, xtol=1e-13)


@every_shape
@every_width
def test_area_is_one_or_as_stated(shape, width):
    h = scalar(shape, width=width)
    kinks = [0, *(width * kink for kink in KINKS.get(shape, [0.5]))]
    inner = sum(integrate.quad(h, a, b)[0] for a, b in pairwise(kinks))
    # A thick tail, x^-1.56, ends at infinity: over log x it is smooth.
    outer = integrate.quad(lambda s: h(math.exp(s)) * math.exp(s), math.log(kinks[-1]) + 1e-12, 60)[0]
    assert 2 * (inner + outer) == pytest.approx(AREA.get(shape, 1), abs=1e-8)


def test_the_edge_of_the_rectangle_is_outside():
    assert shapes.rectangle(torch.tensor([-0.5, -0.4999, 0.4999, 0.5]), width=1.0).tolist() == [0, 1, 1, 0]


@every_shape
@every_width
@pytest.mark.parametrize("height", [None, 1.0, 0.3])
def test_width_is_the_full_width_at_half_maximum(shape, width, height):
    assert half_maximum(scalar(shape, width=width, height=height)) == pytest.approx(width, rel=1e-10)


@every_shape
@every_dtype
def test_symmetric_with_its_peak_at_zero(shape, dtype):
    x = torch.linspace(0.01, 100, 4001, dtype=torch.float64).to(dtype)
    right, left = shape(x, width=1.0), shape(-x, width=1.0)
    assert torch.equal(right, left)
    assert (right <= shape(torch.zeros(1, dtype=dtype), width=1.0)).all()


@every_unimodal_shape
@every_dtype
def test_falls_on_either_side_and_is_not_negative(shape, dtype):
    h = shape(torch.linspace(0, 100, 4001, dtype=torch.float64).to(dtype), width=1.0)
    assert (h.diff() <= 0).all()
    assert (h >= 0).all()


@pytest.mark.parametrize(
    "shape", [*ALL, NO_AREA[0]], ids=lambda shape: getattr(shape, "__name__", "leaky_rectangle")
)
@every_dtype
@every_width
@pytest.mark.parametrize("height", [None, 1.0])
def test_finite_far_out_in_the_dtype_of_x(shape, dtype, width, height):
    right = torch.tensor([0, 0.1, 1, 10, 100, 1000, 10_000], dtype=dtype)
    h = shape(torch.cat([right, -right]), width=width, height=height)
    assert h.dtype == dtype
    assert h.isfinite().all()


@every_shape
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32], ids=str)
def test_low_precision_is_close_to_float64(shape, dtype):
    # Up to 3 widths; not near a kink, where rounding x decides.
    x = torch.linspace(-3, 3, 601, dtype=torch.float64).to(dtype)
    for kink in KINKS.get(shape, []):
        x = x[(x.abs() - kink).abs() > 0.05]
    # Where positive and negative parts cancel, an error is relative to them.
    cancels = torch.finfo(dtype).eps if shape is shapes.multi_gaussian else 0
    # An exponent of 15 (the gaussian at 2.5 widths) multiplies the rounding of its argument by 15.
    torch.testing.assert_close(
        shape(x, width=1.0).double(),
        shape(x.double(), width=1.0),
        rtol=30 * torch.finfo(dtype).eps,
        atol=max(cancels, torch.finfo(dtype).smallest_normal),
    )


@every_shape
@every_dtype
@pytest.mark.parametrize("height", [None, 0.5])
def test_a_tensor_width_keeps_the_dtype_and_equals_the_number(shape, dtype, height):
    x = torch.linspace(-2, 2, 41).to(dtype)
    tensor = shape(x, width=torch.tensor(0.75), height=None if height is None else torch.tensor(height))
    assert tensor.dtype == dtype
    rtol = 30 * max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)
    torch.testing.assert_close(tensor, shape(x, width=0.75, height=height), rtol=rtol, atol=1e-6)


@every_shape
def test_a_width_a_channel_broadcasts(shape):
    x, widths = torch.randn(2, 3, 4, 4), torch.tensor([0.5, 1.0, 2.0])
    h = shape(x, width=widths.view(3, 1, 1))
    for channel, width in enumerate(widths):
        torch.testing.assert_close(h[:, channel], shape(x[:, channel], width=float(width)))


@every_shape
@every_width
@every_dtype
def test_height_is_the_value_at_zero_exactly(shape, width, dtype):
    for height in (1.0, 0.25, 3.0):
        at_zero = shape(torch.zeros(1, dtype=dtype), width=width, height=height).item()
        # The one shape whose h(0) is a sum.
        rel = 2 * torch.finfo(dtype).eps if shape is shapes.multi_gaussian else 0
        assert at_zero == pytest.approx(height, rel=rel, abs=0)


@every_shape
@every_width
def test_height_scales_and_does_nothing_else(shape, width):
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    expected = shape(x, width=width) / scalar(shape, width=width)(0.0) * 0.7
    torch.testing.assert_close(shape(x, width=width, height=0.7), expected, rtol=1e-13, atol=1e-300)


@every_shape
@settings(max_examples=50)
@given(x=st.floats(-20, 20), width=st.floats(0.1, 10))
def test_scaling_law(shape, x, width):
    """h(x; w) = h(x/w; 1) / w."""
    scaled = scalar(shape, width=1.0)(x / width) / width
    # x/w and w/2 round apart, so the edge itself may fall on either side.
    if any(abs(abs(x / width) - kink) < 1e-9 for kink in KINKS.get(shape, [])):
        return
    assert scalar(shape, width=width)(x) == pytest.approx(scaled, rel=1e-9, abs=1e-15 / width)


def test_the_multi_gaussian_is_its_three_normals():
    """At the published s = 0.5, c = 0.15 and ratio 6."""
    x = np.linspace(-6, 6, 1201)
    expected = (
        1.15 * stats.norm.pdf(x, 0, 0.5)
        - 0.15 * stats.norm.pdf(x, 0.5, 3)
        - 0.15 * stats.norm.pdf(x, -0.5, 3)
    )
    ours = shapes.multi_gaussian(torch.from_numpy(x), width=0.5 * shapes.MULTI_GAUSSIAN_FWHM).numpy()
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-15)
    assert expected.min() < 0


@pytest.mark.parametrize("b", [0.5, 1.7, 1.8, 3.0, 10.0])
@every_width
def test_tanh_has_its_width_and_area_at_every_temperature(b, width):
    h = scalar(shapes.tanh, width=width, b=b)
    edge = shapes.tanh_support(width, b) / 2
    assert 2 * integrate.quad(h, 0, edge)[0] == pytest.approx(1, abs=1e-9)
    assert h(edge * (1 + 1e-9)) == 0
    assert half_maximum(h) == pytest.approx(width, rel=1e-9)
    assert shapes.tanh_support(torch.tensor(width), torch.tensor(b)).item() == pytest.approx(2 * edge)


def test_tanh_is_dspike_at_its_support():
    x = torch.linspace(-1, 1, 401, dtype=torch.float64)
    at_paper = shapes.tanh(x, width=shapes.SECH2_FWHM / 3, b=3.0)
    inside = 3 / torch.cosh(3 * x).square() / (2 * math.tanh(1.5))
    expected = torch.where(x.abs() <= 0.5, inside, 0)
    torch.testing.assert_close(at_paper, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(shapes.dspike(x, 3.0, 1.0), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("q", [1.2, 1.56, 2.0, 3.0, 8.0])
@every_width
def test_q_pseudo_spike_has_its_width_at_every_tail(q, width):
    h = scalar(shapes.q_pseudo_spike, width=width, q=q)
    assert half_maximum(h) == pytest.approx(width, rel=1e-9)
    # A Pareto (Lomax) density on either side.
    k = (q - 1) * (2 ** (1 / q) - 1) / width
    density = stats.lomax(q - 1, scale=(q - 1) / (2 * k)).pdf
    for x in (0.0, 0.3, 1.0, 50.0):
        assert h(x) == pytest.approx(density(x) / 2, rel=1e-9)


def test_q_pseudo_spike_as_published_has_height_and_area_one():
    """(1 + 2|x|/(q - 1))^-q, which is this width."""
    x, q = torch.linspace(-5, 5, 101, dtype=torch.float64), 1.56
    ours = shapes.q_pseudo_spike(x, width=(q - 1) * (2 ** (1 / q) - 1), q=q)
    torch.testing.assert_close(ours, (1 + 2 * x.abs() / (q - 1)) ** -q, rtol=1e-12, atol=0)


def test_q_pseudo_spike_at_two_is_the_fast_sigmoid():
    x = torch.linspace(-5, 5, 101, dtype=torch.float64)
    torch.testing.assert_close(
        shapes.q_pseudo_spike(x, 0.7, q=2.0), shapes.fast_sigmoid(x, 0.7), rtol=1e-12, atol=0
    )


def test_the_leaky_rectangle_is_a_rectangle_with_a_floor():
    x = torch.tensor([-1e4, -0.5, -0.4999, 0.0, 0.4999, 0.5, 1e4])
    leaky = partial(shapes.leaky_rectangle, x, width=1.0)
    assert torch.equal(leaky(leak=0.1), torch.tensor([0.1, 0.1, 1, 1, 1, 0.1, 0.1]))
    assert torch.equal(leaky(leak=0.1, height=3.0), torch.tensor([0.1, 0.1, 3, 3, 3, 0.1, 0.1]))
    assert torch.equal(leaky(leak=0.0), shapes.rectangle(x, 1.0))


@every_dtype
def test_straight_through_is_constant(dtype):
    x = torch.tensor([-1e4, 0, 1e4], dtype=dtype)
    assert torch.equal(shapes.straight_through(x), torch.ones(3, dtype=dtype))
    assert torch.equal(shapes.straight_through(x, height=0.25), torch.full((3,), 0.25, dtype=dtype))


DENSITIES = {
    shapes.rectangle: stats.uniform(-0.5, 1).pdf,
    shapes.triangle: stats.triang(0.5, loc=-1, scale=2).pdf,
    shapes.sigmoid: stats.logistic.pdf,
    shapes.arctan: stats.cauchy.pdf,
    shapes.gaussian: stats.norm.pdf,
    shapes.laplace: stats.laplace.pdf,
}


@pytest.mark.parametrize(("shape", "density"), DENSITIES.items(), ids=lambda v: getattr(v, "__name__", ""))
@every_width
def test_equals_scipys_density_of_that_width(shape, density, width):
    scale = width / half_maximum(density)
    x = np.linspace(-4.003, 4.003, 801)
    ours = shape(torch.from_numpy(x), width=width).numpy()
    np.testing.assert_allclose(ours, density(x / scale) / scale, rtol=1e-8, atol=1e-14)


@every_width
def test_fast_sigmoid_is_the_derivative_of_its_primitive(width):
    """It has no density in scipy: H(x) = (1 + kx/(1 + k|x|)) / 2."""
    x, step = np.linspace(-4.003, 4.003, 800), 1e-5  # 800: not at 0, where the second derivative jumps
    scale = width / half_maximum(lambda z: 1 / (1 + abs(z)) ** 2)

    def primitive(y):
        return (1 + y / (scale + np.abs(y))) / 2

    slope = (primitive(x + step) - primitive(x - step)) / (2 * step)
    ours = shapes.fast_sigmoid(torch.from_numpy(x), width=width).numpy()
    np.testing.assert_allclose(ours, slope, rtol=1e-6)


# (theirs, ours, width of ours, height of ours; None: theirs has area 1 too)
SECH2 = 2 * math.acosh(math.sqrt(2))  # FWHM of sech^2(x)
CONVERSIONS = {
    "snntorch atan": (snntorch.atan(alpha=3), shapes.arctan, 4 / (3 * math.pi), None),
    "snntorch sigmoid": (snntorch.sigmoid(slope=5), shapes.sigmoid, shapes.SIGMOID_FWHM / 5, None),
    "snntorch fast_sigmoid": (
        snntorch.fast_sigmoid(slope=7),
        shapes.fast_sigmoid,
        shapes.FAST_SIGMOID_FWHM / 7,
        1.0,
    ),
    "norse super": (
        partial(norse, method="super", alpha=100),
        shapes.fast_sigmoid,
        shapes.FAST_SIGMOID_FWHM,
        1.0,
    ),
    "norse triangle": (partial(norse, method="triangle", alpha=0.3), shapes.triangle, 1.0, 0.3),
    "norse tanh": (partial(norse, method="tanh", alpha=2.0), shapes.sigmoid, SECH2 / 2, 1.0),
    "norse erfc": (
        partial(norse, method="heavi_erfc", alpha=2.0),
        shapes.gaussian,
        shapes.GAUSSIAN_FWHM / (2 * math.sqrt(2)),
        2 / math.sqrt(math.pi),
    ),
}


@pytest.mark.parametrize("name", CONVERSIONS)
def test_equals_the_library_at_the_converted_parameter(name):
    theirs, ours, width, height = CONVERSIONS[name]
    x = torch.linspace(-3.001, 3.001, 601, dtype=torch.float64, requires_grad=True)
    theirs(x).sum().backward()
    # norse takes its sqrt(pi) in float32.
    rtol = 1e-7 if name == "norse erfc" else 1e-10
    torch.testing.assert_close(ours(x.detach(), width=width, height=height), x.grad, rtol=rtol, atol=1e-14)
