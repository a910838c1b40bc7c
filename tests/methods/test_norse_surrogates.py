"""norse's surrogates are its own, as they ship, and how ours convert to them."""

import math
import warnings
from functools import partial

import pytest
import torch
from library_rows import (
    FOUND,
    assert_declares,
    assert_network_equals_loop,
    assert_twin_is_the_same_function,
    derivative,
    row,
    rows,
    run,
)
from scipy import integrate

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
    from norse.torch.functional import threshold as norse
    from norse.torch.functional.lif_box import LIFBoxParameters

ALPHA = LIFBoxParameters().alpha
THEIRS = {
    "superspike": lambda x: norse.threshold(x, LIFBoxParameters().method, ALPHA),
    **{
        name: partial(norse.threshold, method=name, alpha=ALPHA)
        for name in ("triangle", "tanh", "circ", "heavi_erfc", "heaviside")
    },
    "logistic": lambda x: norse.logistic_fn(x, ALPHA),
    "circ_dist": lambda x: norse.circ_dist_fn(x, ALPHA),
}
# h as the row's formula says, of one float.
FORMULAS = {
    "superspike": lambda x: 1 / (1 + abs(x)) ** 2,
    "triangle": lambda x: 100 * max(0, 1 - abs(x)),
    "tanh": lambda x: 1 - math.tanh(100 * x) ** 2,
    "circ": lambda x: 1 / (1 + (x / 100) ** 2) ** 1.5,
    "heavi_erfc": lambda x: 2 * math.exp(-((100 * x) ** 2)) / math.sqrt(math.pi),
    "logistic": lambda x: 1 - math.tanh(100 * x) ** 2,
    "circ_dist": lambda x: 1 / (1 + (x / 100) ** 2) ** 1.5,
}
RANDOM = ["logistic", "circ_dist"]
TWINS = [name for name in rows("norse") if row(f"norse/{name}").twin.method]


def test_every_surrogate_is_a_row():
    # Of what `threshold` takes by name it lists all but one in its error message.
    with pytest.raises(ValueError, match="heaviside, super, tanh, triangle, circ, and heavi_erfc"):
        norse.threshold(torch.zeros(1), "none", ALPHA)
    functions = {name for name in vars(norse) if name.endswith("_fn")} - {"super_fn", "superspike_fn"}
    by_name = {"heavi_erfc_fn", "heavi_tanh_fn", "heavi_circ_fn", "triangle_fn"}
    assert functions - by_name == {"logistic_fn", "circ_dist_fn"}
    assert set(rows("norse")) == set(THEIRS)


@pytest.mark.parametrize("name", THEIRS)
def test_what_it_declares(name):
    # Two draw their spikes.
    assert_declares(f"norse/{name}", "forward" if name in ("logistic", "circ_dist") else "gradient")
    assert row(f"norse/{name}").paper.endswith(f"alpha={ALPHA:g})")


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_network_equals_a_loop_that_calls_the_library(layers_under, name, reset):
    assert_network_equals_loop(layers_under, f"norse/{name}", THEIRS[name], reset)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_formula_is_what_it_computes(name):
    x = torch.cat([torch.linspace(-5, 5, 201), torch.linspace(-0.05, 0.05, 201)])
    expected = torch.tensor([FORMULAS[name](each) for each in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(derivative(THEIRS[name], x), expected, rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_no_spike_at_the_threshold_and_the_dtype_of_the_input(name, dtype):
    x = torch.tensor([-1e-4, 0, 1e-4], dtype=dtype, requires_grad=True)
    spikes = THEIRS[name](x)
    assert spikes.dtype == dtype
    if name not in RANDOM:
        assert spikes.tolist() == [0, 0, 1]
    if spikes.requires_grad:
        spikes.sum().backward()
        assert x.grad.dtype == dtype
        assert x.grad.isfinite().all()


@pytest.mark.parametrize(
    ("name", "area", "reach"),
    [("superspike", 2, math.inf), ("triangle", 100, 1), ("tanh", 0.02, 1), ("heavi_erfc", 0.02, 1)],
)
def test_areas(name, area, reach):
    found, _ = integrate.quad(lambda x: derivative(THEIRS[name], torch.tensor(x)).item(), 0, reach)
    assert 2 * found == pytest.approx(area, rel=1e-6)


@pytest.mark.parametrize("name", TWINS)
def test_ours_at_the_converted_parameters_equals_their_default(name):
    assert_twin_is_the_same_function(f"norse/{name}", THEIRS[name])


def test_superspike_ignores_alpha():
    x = torch.linspace(-3, 3, 61)
    one, other = (derivative(partial(norse.threshold, method="super", alpha=a), x) for a in (1.0, 100.0))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("name", "at", "expected"),
    [
        ("triangle", 0.0, lambda a: a),
        ("tanh", 0.01, lambda a: 1 - math.tanh(0.01 * a) ** 2),
        ("circ", 1.0, lambda a: (1 + a**-2) ** -1.5),
    ],
    ids=["height", "sharpness", "width"],
)
def test_what_alpha_means(name, at, expected):
    for alpha in (2.0, 50.0):
        h = derivative(partial(norse.threshold, method=name, alpha=alpha), torch.tensor(at))
        assert h.item() == pytest.approx(expected(alpha), rel=1e-6)


def test_circ_is_nearly_straight_through_and_equals_none_of_ours():
    assert derivative(THEIRS["circ"], torch.linspace(-5, 5, 11)).min() > 0.996
    half = 100 * math.sqrt(2 ** (2 / 3) - 1)  # where it is 1/2
    x = torch.linspace(0, 4 * half, 41).double()
    h = derivative(THEIRS["circ"], x)
    assert h[10].item() == pytest.approx(0.5)
    ours = [entry.item for entry in FOUND.methods.values() if not isinstance(entry.item.target, type)]
    fixed = [item for item in ours if {"width", "height"} <= item.params.keys()]
    assert len(fixed) >= 6
    for ours in fixed:
        values = {**ours.defaults(0.5), "width": 2 * half, "height": 1.0}
        assert (ours.target(x, **values) - h).abs().max() > 0.01, ours.name


def test_heaviside_has_no_gradient():
    x = torch.randn(5, requires_grad=True)
    assert not THEIRS["heaviside"](x).requires_grad


@pytest.mark.parametrize("name", RANDOM)
def test_stochastic_ones_draw_spikes_with_their_probability(name):
    at = 0.005 if name == "logistic" else 50.0
    p = 0.5 + 0.5 * (math.tanh(0.5) if name == "logistic" else 0.5 / math.sqrt(1.25))
    torch.manual_seed(0)
    one, other = (THEIRS[name](torch.full((10_000,), at)) for _ in range(2))
    assert not torch.equal(one, other)
    assert one.mean().item() == pytest.approx(p, abs=0.02)  # 4 standard deviations


@pytest.mark.parametrize("name", RANDOM)
def test_the_derivative_of_a_stochastic_one_is_that_of_the_other(name):
    x = torch.linspace(-5, 5, 101)
    other = {"logistic": "tanh", "circ_dist": "circ"}[name]
    assert torch.equal(derivative(THEIRS[name], x), derivative(THEIRS[other], x))


@pytest.mark.parametrize("name", ["circ", "circ_dist"])
def test_circ_overflows_in_float16(name):
    x = torch.tensor([-256.0, -255.0], dtype=torch.float16, requires_grad=True)
    THEIRS[name](x).sum().backward()
    assert x.grad.isnan().tolist() == [True, False]


def test_loading_does_not_import_it_and_a_plan_on_the_meta_device_leaves_it_whole():
    program = """
import types, torch
rows = load("norse_surrogates")
assert "norse" not in sys.modules
site = types.SimpleNamespace(neuron=None)
with torch.device("meta"):
    rows.superspike().bind(site)
made = rows.triangle()
made.bind(site)
x = torch.zeros(3, requires_grad=True)
made.spike(x, 0, {}, None).sum().backward()
assert x.grad.tolist() == [100, 100, 100]
"""
    assert run(program) == (0, "")
