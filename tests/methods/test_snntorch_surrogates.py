"""snntorch's surrogates are its own, as they ship, and how ours convert to them."""

import inspect
import math

import pytest
import torch
from library_rows import (
    assert_declares,
    assert_network_equals_loop,
    assert_not_symmetric,
    assert_paper_names_the_defaults,
    assert_twin_is_the_same_function,
    derivative,
    row,
    rows,
    run,
)
from scipy import integrate
from snntorch import surrogate as snntorch

# h as the row's formula says, of one float; SSO draws, LSO cannot be called.
FORMULAS = {
    "atan": lambda x: 1 / (1 + (math.pi * x) ** 2),
    "fast_sigmoid": lambda x: 1 / (1 + 25 * abs(x)) ** 2,
    "heaviside": lambda x: float(x > 0),
    "SFS": lambda x: (x > 1) / (1 + 25 * abs(x)) ** 2,
    "sigmoid": lambda x: 25 * math.exp(-25 * x) / (1 + math.exp(-25 * x)) ** 2,
    "spike_rate_escape": lambda x: 25 * math.exp(-abs(x - 1)),
    "straight_through_estimator": lambda x: 1.0,
    "triangular": lambda x: 1.0 if x < 0 else -1.0,
}
CALLABLE = [*FORMULAS, "SSO"]
TWINS = [name for name in rows("snntorch") if row(f"snntorch/{name}").twin.method]


def theirs(name):
    return getattr(snntorch, name)()


def test_every_surrogate_is_a_row():
    functions = {name for name, _ in inspect.getmembers(snntorch, inspect.isfunction)}
    assert set(rows("snntorch")) == functions - {"custom_surrogate"} == {*CALLABLE, "LSO"}


@pytest.mark.parametrize("name", rows("snntorch"))
def test_what_it_declares(name):
    assert_declares(f"snntorch/{name}")
    assert_paper_names_the_defaults(f"snntorch/{name}", getattr(snntorch, name))


@pytest.mark.parametrize("name", CALLABLE)
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_network_equals_a_loop_that_calls_the_library(layers_under, name, reset):
    assert_network_equals_loop(layers_under, f"snntorch/{name}", theirs(name), reset)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_formula_is_what_it_computes(name):
    x = torch.linspace(-5, 5, 401)
    expected = torch.tensor([FORMULAS[name](each) for each in x.tolist()]).double()
    torch.testing.assert_close(derivative(theirs(name), x), expected, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("name", CALLABLE)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_no_spike_at_the_threshold_and_float32_whatever_goes_in(name, dtype):
    x = torch.tensor([-1e-4, 0, 1e-4], dtype=dtype, requires_grad=True)
    spikes = theirs(name)(x)
    assert (spikes.tolist(), spikes.dtype) == ([0, 0, 1], torch.float32)
    spikes.sum().backward()
    assert x.grad.dtype == dtype
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(("name", "area"), [("atan", 1), ("fast_sigmoid", 0.08), ("sigmoid", 1)])
def test_areas(name, area):
    # Beyond 20 the sigmoid has nothing left, and then overflows.
    reach = 20 if name == "sigmoid" else math.inf
    found, _ = integrate.quad(lambda x: derivative(theirs(name), torch.tensor(x)).item(), 0, reach)
    assert 2 * found == pytest.approx(area, rel=1e-6)


@pytest.mark.parametrize("name", TWINS)
def test_ours_at_the_converted_parameters_equals_their_default(name):
    assert_twin_is_the_same_function(f"snntorch/{name}", theirs(name))


@pytest.mark.parametrize("name", ["heaviside", "SFS", "spike_rate_escape", "triangular"])
def test_what_has_no_twin_is_not_symmetric(name):
    assert name not in TWINS
    assert_not_symmetric(theirs(name))


def test_sso_is_noise_below_the_threshold():
    x = torch.linspace(-1, -0.001, 1000)
    one, other = derivative(theirs("SSO"), x), derivative(theirs("SSO"), x)
    assert not torch.equal(one, other)
    assert -0.1 <= one.min() < -0.09
    assert 0.09 < one.max() < 0.1
    assert derivative(theirs("SSO"), -x).eq(1).all()


def test_lso_is_built_and_fails_when_it_is_called(layers_under):
    neuron = layers_under(row("snntorch/LSO"), norm="none").spike("layer", torch.nn.Identity())
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'variance'"):
        neuron(torch.randn(4, 5))


def test_sigmoid_overflows_in_float32():
    x = torch.tensor([-3.5, -3.4, 3.5], requires_grad=True)
    theirs("sigmoid")(x).sum().backward()
    assert x.grad.isnan().tolist() == [True, False, False]


def test_spike_rate_escape_peaks_at_one():
    x = torch.linspace(-3, 3, 601)
    h = derivative(theirs("spike_rate_escape"), x)
    assert x[h.argmax()].item() == pytest.approx(1)
    assert h[300].item() == pytest.approx(25 / math.e)


def test_sfs_has_no_gradient_up_to_one():
    assert derivative(theirs("SFS"), torch.linspace(-5, 1, 100)).eq(0).all()


def test_loading_does_not_import_it_and_building_warns_of_nothing():
    program = """
import types, torch
rows = load("snntorch_surrogates")
assert "snntorch" not in sys.modules
with torch.device("meta"):
    for row in (rows.atan, rows.lso):
        row().bind(types.SimpleNamespace(neuron=None))
"""
    assert run(program) == (0, "")
