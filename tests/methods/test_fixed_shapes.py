"""The six fixed methods: their scale, and that each is the shape of its name."""

from itertools import pairwise

import pytest
import torch
from scipy import integrate, optimize

from bench import shapes

SHAPES = {
    "rectangle": shapes.rectangle,
    "triangle": shapes.triangle,
    "sigmoid": shapes.sigmoid,
    "arctan": shapes.arctan,
    "fast-sigmoid": shapes.fast_sigmoid,
    "gaussian": shapes.gaussian,
}
every_name = pytest.mark.parametrize("name", SHAPES)


@pytest.fixture
def derivative(plugin, layers_under):
    """derivative(name, values, **options) -> h, read off the backward pass of a neuron in a network."""

    def make(name, values=None, **options):
        layers = layers_under(plugin("fixed_shapes")[name], values, norm="none", **options)
        neuron = layers.spike("layer", torch.nn.Identity())

        def h(x):
            current = (x.double() + neuron.threshold).requires_grad_()
            neuron(current[None]).sum().backward()
            return current.grad

        return h

    return make


def test_there_are_six(plugin):
    assert list(plugin("fixed_shapes")) == list(SHAPES)


@every_name
@pytest.mark.parametrize("threshold", [0.5, 1.0, 0.3])
def test_all_start_at_area_one_and_the_width_of_two_thresholds(derivative, name, threshold):
    h = derivative(name, threshold=threshold)

    def at(x):
        return h(torch.tensor([x], dtype=torch.float64)).item()

    half = optimize.brentq(lambda x: at(x) - at(0.0) / 2, 0, 100, xtol=1e-12)
    assert half == pytest.approx(threshold, rel=1e-9)
    edges = [0, threshold, 2 * threshold, float("inf")]
    area = sum(integrate.quad(at, a, b, limit=20)[0] for a, b in pairwise(edges))
    assert 2 * area == pytest.approx(1, abs=1e-5)


@every_name
@pytest.mark.parametrize(
    "values", [{}, {"width": 0.6}, {"height": 1.0}, {"width": 2.5, "height": 0.2}], ids=str
)
def test_the_network_uses_the_shape_of_that_name(derivative, name, values):
    x = torch.linspace(-2.003, 2.003, 200, dtype=torch.float64)
    expected = SHAPES[name](x, **{"width": 1.0, **values})
    torch.testing.assert_close(derivative(name, values)(x), expected, rtol=1e-9, atol=1e-12)


@every_name
def test_what_it_declares(plugin, name):
    found = plugin("fixed_shapes")[name]
    assert (found.kind, found.changes, found.fidelity) == ("fixed", "gradient", "paper")
    assert found.defaults(0.5) == {"width": 1.0, "height": None}
    assert found.defaults(1.0) == {"width": 2.0, "height": None}
    assert found.params["width"].search == (0.25, 4.0)
    assert found.formula.startswith("h(x) = ")
    assert found.paper
    assert found.link.startswith("https://doi.org/")
