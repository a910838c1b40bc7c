"""The fixed methods: their scale, that each is the shape of its name, and what presets change."""

import math
from itertools import pairwise

import pytest
import torch
from scipy import integrate, optimize

from bench import primitives, shapes

# name: (shape, primitive, parameters beside width and height at v_th = 0.5, area)
SHAPES = {
    "rectangle": (shapes.rectangle, primitives.rectangle, {}, 1),
    "triangle": (shapes.triangle, primitives.triangle, {}, 1),
    "sigmoid": (shapes.sigmoid, primitives.sigmoid, {}, 1),
    "arctan": (shapes.arctan, primitives.arctan, {}, 1),
    "fast-sigmoid": (shapes.fast_sigmoid, primitives.fast_sigmoid, {}, 1),
    "gaussian": (shapes.gaussian, primitives.gaussian, {}, 1),
    "multi-gaussian": (shapes.multi_gaussian, primitives.multi_gaussian, {}, 0.85),
    "laplace": (shapes.laplace, primitives.laplace, {}, 1),
    "tanh": (shapes.tanh, primitives.tanh, {"b": 3.0}, 1),
    "q-pseudo-spike": (shapes.q_pseudo_spike, primitives.q_pseudo_spike, {"q": 1.56}, 1),
    "leaky-rectangle": (shapes.leaky_rectangle, primitives.leaky_rectangle, {"leak": 0.02}, None),
}
CONTROLS = {"rectangle:0.25": 0.25, "rectangle:0.5": 0.5, "rectangle:2": 2.0, "rectangle:4": 4.0}
every_name = pytest.mark.parametrize("name", SHAPES)


def dspike(x):
    return 3 / math.cosh(3 * x) ** 2 / (2 * math.tanh(1.5)) if abs(x) <= 0.5 else 0.0


# As the papers or their code have them: (threshold, h(x)), both in the paper's units of the potential.
PAPERS = {
    "triangle:paper": (0.03, lambda x: 0.3 * max(0.0, 1 - abs(x) / 0.03) / 0.03),
    "arctan:paper": (1.0, lambda x: 1 / (1 + (math.pi * x) ** 2)),
    # In millivolts above rest.
    "fast-sigmoid:paper": (10.0, lambda x: 1 / (1 + abs(x)) ** 2),
    "laplace:paper": (10.0, lambda x: math.exp(-abs(x) / 10) / 10),
    "tanh:paper": (0.5, dspike),
}


@pytest.fixture
def fixed(plugin):
    """The methods of the files of all fixed shapes, by name."""
    stems = [name.replace("-", "_") for name in (*SHAPES, "straight-through")]
    return {name: found for stem in stems for name, found in plugin(stem).items()}


@pytest.fixture
def derivative(fixed, layers_under):
    """derivative(name, values, **options) -> h, read off the backward pass of a neuron in a network."""

    def make(name, values=None, **options):
        layers = layers_under(fixed[name], values, norm="none", **options)
        neuron = layers.spike("layer", torch.nn.Identity())

        def h(x):
            current = (x.double() + neuron.threshold).requires_grad_()
            neuron(current[None]).sum().backward()
            return current.grad

        return h

    return make


def at(h, x):
    return h(torch.tensor([x], dtype=torch.float64)).item()


def test_the_whole_table(fixed):
    assert set(fixed) == {*SHAPES, "straight-through", *PAPERS, *CONTROLS}


@every_name
@pytest.mark.parametrize("threshold", [0.5, 1.0, 0.3])
def test_all_start_at_area_one_and_the_width_of_two_thresholds(fixed, derivative, name, threshold):
    h = derivative(name, threshold=threshold)
    half = optimize.brentq(lambda x: at(h, x) - at(h, 0.0) / 2, 0, 100, xtol=1e-12)
    assert half == pytest.approx(threshold, rel=1e-9)
    area = fixed[name].area
    assert area == pytest.approx(SHAPES[name][3])
    if area is None:
        return
    support = shapes.tanh_support(2 * threshold, 3.0) / 2
    inner = [0, threshold, support, 2 * threshold]
    found = sum(integrate.quad(lambda x: at(h, x), a, b, limit=20)[0] for a, b in pairwise(inner))
    # Over log x, where a thick tail is smooth.
    start = math.log(2 * threshold) + 1e-12
    found += integrate.quad(lambda s: at(h, math.exp(s)) * math.exp(s), start, 40, epsabs=1e-7)[0]
    assert 2 * found == pytest.approx(area, abs=1e-5)


@every_name
@pytest.mark.parametrize(
    "values", [{}, {"width": 0.6}, {"height": 1.0}, {"width": 2.5, "height": 0.2}], ids=str
)
def test_the_network_uses_the_shape_of_that_name(derivative, name, values):
    shape, _, extra, _ = SHAPES[name]
    x = torch.linspace(-2.003, 2.003, 200, dtype=torch.float64)
    expected = shape(x, **{"width": 1.0, **extra, **values})
    torch.testing.assert_close(derivative(name, values)(x), expected, rtol=1e-9, atol=1e-12)


@every_name
@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_the_area_is_kept_when_the_threshold_scales(derivative, name, threshold):
    """h(x; v) = h(x/v; 1) / v: a network in units of its threshold trains alike."""
    x = torch.linspace(-3.01, 3.01, 60, dtype=torch.float64)
    scaled = derivative(name, threshold=1.0)(x / threshold) / threshold
    torch.testing.assert_close(derivative(name, threshold=threshold)(x), scaled, rtol=1e-9, atol=1e-12)


@every_name
def test_what_it_declares(fixed, name):
    _, primitive, extra, _ = SHAPES[name]
    found = fixed[name]
    assert (found.kind, found.changes) == ("fixed", "gradient")
    assert found.defaults(0.5) == {"width": 1.0, "height": None, **extra}
    assert found.defaults(1.0)["width"] == 2.0
    assert found.params["width"].search == (0.25, 4.0)
    assert found.formula.startswith("h(x) = ")
    assert found.primitive is primitive
    assert found.paper
    assert found.link.startswith("https://")


def test_leak_is_a_height(fixed):
    found = fixed["leaky-rectangle"]
    # SpikingJelly's defaults, at its threshold of 1.
    assert found.defaults(1.0) == {"width": 2.0, "leak": 0.01, "height": None}


@pytest.mark.parametrize(("threshold", "height"), [(0.5, 1.0), (1.0, 0.5)])
def test_straight_through_is_one_everywhere_in_units_of_the_reference(derivative, threshold, height):
    x = torch.tensor([-50.0, -0.1, 0.0, 3.0], dtype=torch.float64)
    expected = torch.full_like(x, height)
    assert torch.equal(derivative("straight-through", threshold=threshold)(x), expected)
    assert torch.equal(derivative("straight-through", {"height": 2.0})(x), torch.full_like(x, 2.0))


@pytest.mark.parametrize("name", PAPERS)
@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_a_papers_value_is_its_formula_in_units_of_its_threshold(derivative, name, threshold):
    theirs, formula = PAPERS[name]
    ratio = theirs / threshold
    x = torch.linspace(-2.003, 2.003, 400, dtype=torch.float64) * threshold
    expected = torch.tensor([formula(v * ratio) * ratio for v in x.tolist()], dtype=torch.float64)
    torch.testing.assert_close(
        derivative(name, threshold=threshold)(x), expected, rtol=1e-9, atol=1e-12 * ratio
    )


@pytest.mark.parametrize("name", PAPERS)
def test_a_papers_value_is_not_tuned_and_its_area_is_declared(fixed, derivative, name):
    found = fixed[name]
    assert found.kind == "fixed"
    assert found.note
    assert found.params["width"].search is None
    threshold, formula = PAPERS[name]
    edges = [0, threshold / 50, threshold / 2, threshold, 20 * threshold]
    area = 2 * sum(integrate.quad(formula, a, b, limit=200)[0] for a, b in pairwise(edges))
    area += 2 * integrate.quad(formula, 20 * threshold, math.inf)[0]
    assert found.area == pytest.approx(area, rel=1e-6)


@pytest.mark.parametrize("threshold", [0.5, 1.0])
@pytest.mark.parametrize("name", CONTROLS)
def test_the_controls_are_rectangles_of_other_widths(fixed, derivative, name, threshold):
    found = fixed[name]
    width = CONTROLS[name] * threshold / 0.5
    assert found.kind == "control"
    assert found.defaults(threshold) == {"width": width, "height": None}
    assert "width 1 is rectangle itself" in found.note
    x = torch.linspace(-3.003, 3.003, 400, dtype=torch.float64)
    expected = shapes.rectangle(x, width)
    torch.testing.assert_close(derivative(name, threshold=threshold)(x), expected, rtol=1e-9, atol=0)
