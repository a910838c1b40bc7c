"""docs/libraries.md: its numbers are the libraries' own, and what to use instead is what was promised."""

import importlib.util
import math
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import registry
from bench.measures.single_layer import Probe

FOUND = registry.load()
sys.path.append(str(Path(__file__).resolve().parents[1] / "docs"))
PAGE = import_module("libraries")
KEPT = PAGE.kept()
ROOT2 = math.sqrt(2)
CIRC = (1, 200, 200 * math.sqrt(2 ** (2 / 3) - 1))
TANH = (1, 0.02, 2 * math.atanh(math.sqrt(0.5)) / 100)
# h(0), area and full width at half maximum, worked out from the formulas by hand; None is no finite number.
EXACT = {
    "snntorch/atan": (1, 1, 2 / math.pi),
    "snntorch/fast_sigmoid": (1, 2 / 25, 2 * (ROOT2 - 1) / 25),
    "snntorch/heaviside": (0, None, None),
    "snntorch/SFS": (0, 1 / (25 * 26), (26 * ROOT2 - 1) / 25 - 1),
    "snntorch/sigmoid": (25 / 4, 1, 2 * math.log(3 + 2 * ROOT2) / 25),
    "snntorch/spike_rate_escape": (25 / math.e, 50, 2 * math.log(2)),
    "snntorch/straight_through_estimator": (1, None, None),
    "snntorch/triangular": (-1, None, None),
    "norse/superspike": (1, 2, 2 * (ROOT2 - 1)),
    "norse/triangle": (100, 100, 1),
    "norse/tanh": TANH,
    "norse/circ": CIRC,
    "norse/heavi_erfc": (2 / math.sqrt(math.pi), 0.02, 2 * math.sqrt(math.log(2)) / 100),
    "norse/heaviside": (0, 0, None),
    "norse/logistic": TANH,
    "norse/circ_dist": CIRC,
    "spikingjelly/PiecewiseQuadratic": (1, 1, 1),
    "spikingjelly/PiecewiseExp": (0.5, 1, 2 * math.log(2)),
    "spikingjelly/Sigmoid": (1, 1, 2 * math.log(3 + 2 * ROOT2) / 4),
    "spikingjelly/SoftSign": (1, 1, ROOT2 - 1),
    "spikingjelly/SuperSpike": (1, 2, 2 * (ROOT2 - 1)),
    "spikingjelly/ATan": (1, 1, 2 / math.pi),
    "spikingjelly/NonzeroSignLogAbs": (1, None, 2),
    "spikingjelly/Erf": (2 / math.sqrt(math.pi), 1, math.sqrt(math.log(2))),
    "spikingjelly/PiecewiseLeakyReLU": (0.5, None, 2),
    "spikingjelly/SquarewaveFourierSeries": (0.5, None, 8 / 3),
    "spikingjelly/S2NN": (1, None, 1 + math.log(3 + 2 * ROOT2) / 4),
    "spikingjelly/QPseudoSpike": (1, 1, ROOT2 - 1),
    "spikingjelly/LeakyKReLU": (1, None, None),
    "spikingjelly/FakeNumericalGradient": (0.3, None, 2 / 0.15),
    "spikingjelly/LogTailedReLU": (0, None, 2),
    "spikingjelly/DeterministicPass": (1, None, None),
    "spikingjelly/Rect": (1, 1, 1),
}
WITHOUT_SHAPE = {"snntorch/LSO", "snntorch/SSO", "spikingjelly/PoissonPass"}


def bell(x):
    return np.maximum(0, 1 - np.abs(x))


# What a function promises, for those that the page has an equal of.
PROMISED = {
    "norse/superspike": lambda x: (1 + 100 * np.abs(x)) ** -2,
    "snntorch/triangular": bell,
    "snntorch/sigmoid": lambda x: 25 / (4 * np.cosh(12.5 * x) ** 2),
    "snntorch/spike_rate_escape": lambda x: 25 * np.exp(-np.abs(x)),
    "norse/triangle": lambda x: 0.3 * bell(x),
    "norse/tanh": lambda x: 50 / np.cosh(100 * x) ** 2,
    "norse/heavi_erfc": lambda x: 100 / math.sqrt(math.pi) * np.exp(-((100 * x) ** 2)),
    "norse/logistic": lambda x: 50 / np.cosh(100 * x) ** 2,
    "spikingjelly/SuperSpike": lambda x: (1 + np.abs(x)) ** -2,
}


def ours(name, x):
    """The gradient of what the page says to use instead of a function."""
    method, params = PAGE.KNOWN[name].instead
    return Probe(FOUND.method(method).item, params).eval().gradient(torch.from_numpy(x))[:, 0].numpy()


def test_the_page_is_the_one_that_the_kept_numbers_make():
    # If this fails: tox run -e libraries.
    assert PAGE.PAGE.read_text(encoding="utf-8") == PAGE.text(KEPT, FOUND)


def test_every_function_of_every_library_is_on_it():
    library = [name for name, entry in FOUND.methods.items() if entry.item.kind == "library"]
    assert [*KEPT] == library
    assert PAGE.KNOWN.keys() == set(library) == EXACT.keys() | WITHOUT_SHAPE


@pytest.mark.parametrize("library", PAGE.LIBRARIES)
def test_the_kept_numbers_are_what_is_measured_now(library):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    then = {name: row for name, row in KEPT.items() if name.startswith(f"{library}/")}
    (recorded,) = {row["version"] for row in then.values()}
    if version(library) != recorded:
        pytest.skip(f"measured in {library} {recorded}, installed is {version(library)}")
    now = PAGE.measured(FOUND, library)
    assert now.keys() == then.keys()
    for name, row in then.items():
        for column, text in row.items():
            if column in ("height", "fwhm", "area") and text:
                assert float(now[name][column]) == pytest.approx(float(text), rel=1e-3), (name, column)
            else:
                assert now[name][column] == text, (name, column)


@pytest.mark.parametrize("name", EXACT)
def test_the_kept_shape_is_the_exact_one(name):
    for column, exact in zip(("height", "area", "fwhm"), EXACT[name], strict=True):
        if exact is None:
            assert KEPT[name][column] == ""
        else:
            assert float(KEPT[name][column]) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("name", sorted(WITHOUT_SHAPE))
def test_what_fails_or_is_random_has_no_shape(name):
    assert not any(KEPT[name][column] for column in ("height", "area", "fwhm"))
    assert bool(KEPT[name]["problem"]) != (KEPT[name]["random"] == "gradient")


def test_what_is_said_of_whole_libraries():
    for name, row in KEPT.items():
        if row["problem"]:
            continue
        library = name.split("/")[0]
        assert row["at_threshold"] in ({"1"} if library == "spikingjelly" else {"0", "random"}), name
        kept = all(row[f"spikes_{dtype}"] == dtype for dtype in PAGE.NAMES)
        assert kept == (library != "snntorch"), name


def test_the_overflow_of_the_sigmoid_is_where_arithmetic_puts_it():
    # 25 e^(25 |x|) overflows; in float16 e^(25 |x|) does, as the gradient that arrives is float32.
    exact = {"float32": math.log(torch.finfo(torch.float32).max / 25) / 25, "float16": math.log(65504) / 25}
    for dtype, onset in exact.items():
        text = KEPT["snntorch/sigmoid"][f"not_finite_{dtype}"]
        assert text.startswith("NaN for x <= -")
        assert 0 <= float(text.split("-")[1]) - onset < 0.01


@pytest.mark.parametrize("name", [n for n, known in PAGE.KNOWN.items() if known.instead and known.equal])
def test_what_is_to_be_used_instead_is_what_was_promised(name):
    reach = 0.1 if "100" in PAGE.KNOWN[name].promise else 3
    x = np.linspace(-reach, reach, 1234)
    expected = PROMISED[name](x)
    np.testing.assert_allclose(ours(name, x), expected, rtol=1e-6, atol=1e-9 * expected.max())


@pytest.mark.parametrize("name", [n for n, known in PAGE.KNOWN.items() if known.instead and not known.equal])
def test_what_is_to_be_used_instead_exists(name):
    assert PAGE.KNOWN[name].wrong
    assert ours(name, np.array([0.0]))[0] > 0


def test_what_is_said_of_those_that_are_not_equal():
    x = np.linspace(1, 50, 500)
    assert ours("snntorch/SFS", x).max() < 0.0015
    assert (ours("spikingjelly/SquarewaveFourierSeries", x) >= 0).all()
    near = np.linspace(-3, 3, 602)
    np.testing.assert_allclose(ours("snntorch/atan", near), 1 / (1 + (math.pi * near) ** 2), rtol=1e-9)
    # norse/circ_dist: the probability of a spike at x = 1.
    assert round(0.5 + 0.5 / math.sqrt(1 + 100**2), 3) == 0.505
    # norse/circ against its documented function.
    x, a = np.linspace(-5, 5, 101), 100
    documented = a**2 / (2 * (x**2 + a**2) ** 1.5)
    np.testing.assert_allclose(2 * a * documented, (1 + (x / a) ** 2) ** -1.5)
    assert ((1 + (x / a) ** 2) ** -1.5).min() > 0.996


def test_the_page_of_conversions_has_a_number_where_a_library_is_not_installed():
    page = (PAGE.DOCS / "methods.md").read_text(encoding="utf-8").split("## Conversions")[1]
    assert "not installed" not in page
    for name, row in KEPT.items():
        (line,) = (line for line in page.splitlines() if line.startswith(f"| {name} |"))
        assert line.endswith(f"| {row['difference']} |")
