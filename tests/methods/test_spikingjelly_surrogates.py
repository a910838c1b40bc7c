"""SpikingJelly's surrogates are its own, as they ship, and how ours convert to them."""

import importlib.util
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

installed = pytest.mark.skipif(
    importlib.util.find_spec("spikingjelly") is None,
    reason="spikingjelly is not installed: pip install spikegrad-bench[peers]",
)


def logistic(x):
    return 1 / (1 + math.exp(-4 * x))


# h as the row's formula says, of one float; PoissonPass cannot be called on a potential.
FORMULAS = {
    "PiecewiseQuadratic": lambda x: max(0, 1 - abs(x)),
    "PiecewiseExp": lambda x: math.exp(-abs(x)) / 2,
    "Sigmoid": lambda x: 4 * logistic(x) * logistic(-x),
    "SoftSign": lambda x: 1 / (1 + 2 * abs(x)) ** 2,
    "SuperSpike": lambda x: 1 / (1 + abs(x)) ** 2,
    "ATan": lambda x: 1 / (1 + (math.pi * x) ** 2),
    "NonzeroSignLogAbs": lambda x: 1 / (1 + abs(x)),
    "Erf": lambda x: 2 * math.exp(-((2 * x) ** 2)) / math.sqrt(math.pi),
    "PiecewiseLeakyReLU": lambda x: 0.5 if abs(x) < 1 else 0.01,
    "SquarewaveFourierSeries": lambda x: math.cos(math.pi * x / 4) / 2,
    "S2NN": lambda x: 4 * logistic(x) * logistic(-x) if x < 0 else 1 / (x + 1),
    "QPseudoSpike": lambda x: (1 + 2 * abs(x)) ** -2,
    "LeakyKReLU": lambda x: float(x >= 0),
    "FakeNumericalGradient": lambda x: 0.3 if x == 0 else min(1 / abs(x), 0.3),
    "LogTailedReLU": lambda x: 0.0 if x <= 0 else min(1.0, 1 / x),
    "DeterministicPass": lambda x: 1.0,
    "Rect": lambda x: float(abs(x) < 0.5),
}
NO_AREA = {
    "NonzeroSignLogAbs",
    "PiecewiseLeakyReLU",
    "SquarewaveFourierSeries",
    "S2NN",
    "LeakyKReLU",
    "FakeNumericalGradient",
    "LogTailedReLU",
    "DeterministicPass",
}
TWINS = [name for name in rows("spikingjelly") if row(f"spikingjelly/{name}").twin.method]


def theirs(name):
    from spikingjelly.activation_based import surrogate

    return getattr(surrogate, name)()


@installed
def test_every_surrogate_with_defaults_is_a_row():
    from spikingjelly.activation_based import surrogate

    classes = {
        name
        for name, found in inspect.getmembers(surrogate, inspect.isclass)
        if issubclass(found, surrogate.SurrogateFunctionBase)
    }
    assert set(rows("spikingjelly")) == classes - {"SurrogateFunctionBase", "MultiLevelSpikeCount"}
    with pytest.raises(TypeError, match="max_spike_count"):
        surrogate.MultiLevelSpikeCount()


@pytest.mark.parametrize("name", rows("spikingjelly"))
def test_what_it_declares(name):
    assert_declares(f"spikingjelly/{name}")
    assert name in {*FORMULAS, "PoissonPass"}


@installed
@pytest.mark.parametrize("name", rows("spikingjelly"))
def test_its_text_names_the_defaults(name):
    assert_paper_names_the_defaults(f"spikingjelly/{name}", type(theirs(name)))


@installed
@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_a_network_equals_a_loop_that_calls_the_library(layers_under, name, reset):
    assert_network_equals_loop(layers_under, f"spikingjelly/{name}", theirs(name), reset)


@installed
@pytest.mark.parametrize("name", FORMULAS)
def test_the_formula_is_what_it_computes(name):
    x = torch.linspace(-5, 5, 401)
    expected = torch.tensor([FORMULAS[name](each) for each in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(derivative(theirs(name), x), expected, rtol=1e-6, atol=1e-12)


@installed
@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_a_spike_at_the_threshold_and_the_dtype_of_the_input(name, dtype):
    x = torch.tensor([-1e-4, 0, 1e-4], dtype=dtype, requires_grad=True)
    spikes = theirs(name)(x)
    assert (spikes.tolist(), spikes.dtype) == ([0, 1, 1], dtype)
    spikes.sum().backward()
    assert x.grad.dtype == dtype
    assert x.grad.isfinite().all()


@installed
@pytest.mark.parametrize("name", sorted(FORMULAS.keys() - NO_AREA))
def test_areas(name):
    def h(x):
        return derivative(theirs(name), torch.tensor(x)).item()

    # Some of them have a kink at 1/2 or 1.
    right = sum(integrate.quad(h, *part)[0] for part in [(0, 0.5), (0.5, 1), (1, math.inf)])
    assert 2 * right == pytest.approx(2 if name == "SuperSpike" else 1, rel=1e-6)


@installed
@pytest.mark.parametrize("alpha", [0.5, 3.0])
def test_superspikes_alpha_is_its_height(alpha):
    from spikingjelly.activation_based import surrogate

    x = torch.linspace(-3, 3, 61)
    scaled = derivative(surrogate.SuperSpike(alpha), x)
    torch.testing.assert_close(scaled, alpha * derivative(surrogate.SuperSpike(), x))


@installed
@pytest.mark.parametrize("name", TWINS)
def test_ours_at_the_converted_parameters_equals_their_default(name):
    assert_twin_is_the_same_function(f"spikingjelly/{name}", theirs(name))


@installed
@pytest.mark.parametrize("name", ["S2NN", "LeakyKReLU", "LogTailedReLU"])
def test_some_without_a_twin_are_not_symmetric(name):
    assert name not in TWINS
    assert_not_symmetric(theirs(name))


@installed
@pytest.mark.parametrize("name", ["NonzeroSignLogAbs", "FakeNumericalGradient"])
def test_some_without_a_twin_fall_as_1_over_x(name):
    assert name not in TWINS
    x = torch.tensor([1e6, 1e8]).double()
    torch.testing.assert_close(x * derivative(theirs(name), x), torch.ones(2).double(), rtol=1e-5, atol=0)


@installed
def test_the_fourier_series_is_a_cosine_that_turns_negative():
    h = derivative(theirs("SquarewaveFourierSeries"), torch.tensor([2.1, 4.0, 5.9, 8.0]))
    assert h.sign().tolist() == [-1, -1, -1, 1]
    assert h[3].item() == pytest.approx(0.5)


@installed
def test_the_fake_numerical_gradient_is_infinite_at_minus_zero():
    x = torch.tensor([-0.0, 0.0], requires_grad=True)
    theirs("FakeNumericalGradient")(x).sum().backward()
    assert x.grad.tolist() == [-math.inf, pytest.approx(0.3)]


@installed
def test_poisson_pass_is_built_and_fails_when_it_is_called(layers_under):
    neuron = layers_under(row("spikingjelly/PoissonPass"), norm="none").spike("layer", torch.nn.Identity())
    with pytest.raises(RuntimeError, match="p_in >= 0"):
        neuron(torch.zeros(4, 5))


def test_loading_does_not_import_it():
    assert run('load("spikingjelly_surrogates")\nassert "spikingjelly" not in sys.modules') == (0, "")


@installed
def test_building_warns_of_nothing():
    program = """
import types, torch
rows = load("spikingjelly_surrogates")
with torch.device("meta"):
    for row in (rows.ATan, rows.PoissonPass):
        row().bind(types.SimpleNamespace(neuron=None))
"""
    assert run(program) == (0, "")
