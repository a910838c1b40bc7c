"""Height, width, area and tail of curves whose numbers are known, and of methods."""

import math

import pytest
import torch
from scipy import stats

from bench import registry, shapes
from bench.measures.single_layer import Probe, Properties, properties, properties_of
from bench.surrogate import Surrogate, method

FOUND = registry.load()


def fact_tuple(found):
    return found.height, found.fwhm, found.area, found.tail


@pytest.mark.parametrize("width", [0.05, 1.0, 7.0])
@pytest.mark.parametrize(
    ("shape", "density"),
    [
        (shapes.rectangle, stats.uniform(-0.5, 1)),
        (shapes.triangle, stats.triang(0.5, loc=-1, scale=2)),
        (shapes.sigmoid, stats.logistic(scale=1 / shapes.SIGMOID_FWHM)),
        (shapes.arctan, stats.cauchy(scale=0.5)),
        (shapes.gaussian, stats.norm(scale=1 / shapes.GAUSSIAN_FWHM)),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_against_scipys_densities(shape, density, width):
    found = properties_of(lambda x: shape(x, width=width))
    assert found.height == pytest.approx(density.pdf(0) / width, rel=1e-12)
    assert found.fwhm == pytest.approx(width, rel=1e-4)
    assert found.area == pytest.approx(1, abs=1e-5)
    assert found.tail == pytest.approx(2 * density.sf(1 / width), abs=1e-5)
    assert found.problem == ""


@pytest.mark.parametrize("q", [1.3, 1.56, 4.0])
def test_the_area_of_a_fat_tail(q):
    assert properties_of(lambda x: shapes.q_pseudo_spike(x, 1.0, q)).area == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_a_tail_that_has_no_area(power):
    assert properties_of(lambda x: (1 + x.abs()) ** -power).problem == "no finite area"


def test_the_area_may_be_negative_and_the_tail_is_of_the_absolute_value():
    found = properties_of(lambda x: -shapes.rectangle(x, width=4.0) * torch.sign(x + 1))
    assert found.area == pytest.approx(-0.5, abs=1e-5)
    assert found.tail == pytest.approx(0.5, abs=1e-5)


def test_a_maximum_elsewhere():
    found = properties_of(lambda x: shapes.triangle(x - 1, width=0.5))
    assert (found.height, found.area) == (0, pytest.approx(1, abs=1e-6))
    assert found.fwhm == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize("value", [1.0, 0.1])
def test_a_constant_has_neither_width_nor_area(value):
    assert properties_of(lambda x: torch.full_like(x, value)) == Properties(value, problem="no finite area")


def test_zero_everywhere():
    assert properties_of(torch.zeros_like) == Properties(0.0, area=0.0)


def test_not_finite_somewhere():
    found = properties_of(lambda x: torch.where(x < -20, math.nan, shapes.triangle(x, 1.0)))
    assert (found.height, found.area, found.tail) == (1, None, None)
    assert found.fwhm == pytest.approx(1, rel=1e-6)
    assert found.problem.startswith("not finite at x = -2")


def test_noise_ends():
    # A curve that is another one at each look cannot be refined; it must not be tried forever.
    found = properties_of(torch.rand_like)
    assert found.fwhm is None or found.fwhm >= 0


def test_of_methods():
    def of(values):
        probe = Probe(FOUND.method("rectangle").item, values).eval()
        return properties_of(lambda x: probe.gradient(x).mean(1))

    assert of({"width": 0.5}).height == 2
    assert of({"height": 3.0}).area == pytest.approx(3, rel=1e-4)
    assert properties(FOUND.method("ann-relu").item) == Properties(problem="no spikes, so no surrogate")


def test_a_method_that_raises_has_no_numbers_but_a_reason():
    @method("no", paper="")
    class No(Surrogate):
        def spike(self, x, t, params, noise):
            raise TypeError("not like this")

    assert properties(No.declared[0]) == Properties(problem="TypeError: not like this")


def test_the_typical_potentials_have_the_spread_of_the_threshold():
    seen = []

    @method("look", paper="")
    class Look(Surrogate):
        def params(self, u, t):
            seen.append(u)
            return {}

    for threshold in (0.5, 1.0):
        Probe(Look.declared[0], threshold=threshold).params(torch.zeros(1, dtype=torch.float64))
        assert seen[-1].mean().item() == pytest.approx(0, abs=1e-12)
        assert seen[-1].std().item() == pytest.approx(threshold, rel=0.01)
