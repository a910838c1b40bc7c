"""What is measured of library functions, against plain arithmetic."""

import math
from importlib.metadata import version

import pytest
import torch

from bench.measures.library_functions import measure, not_finite
from bench.surrogate import Surrogate, method


def test_a_gradient_that_is_finite_everywhere_has_nothing_to_report():
    assert not_finite(lambda x: 1 / (1 + x.abs()), torch.float32) == ""


@pytest.mark.parametrize(
    ("dtype", "expected"),
    # exp(25 |x|) overflows at ln(largest)/25, rounded up to three digits.
    [
        (torch.float16, "infinite for x <= -0.444"),
        (torch.float32, "infinite for x <= -3.55"),
        (torch.float64, "infinite for x <= -28.4"),
    ],
)
def test_the_onset_of_an_overflow_is_found(dtype, expected):
    assert not_finite(lambda x: torch.exp(-25 * x), dtype) == expected
    digits = float(expected.split("-")[1])
    assert 0 <= digits - math.log(torch.finfo(dtype).max) / 25 < 0.06


def test_both_sides_become_one_text():
    assert (
        not_finite(lambda x: torch.where(x.abs() < 256, x, math.nan), torch.float32) == "NaN for |x| >= 256"
    )


def test_a_range_within_is_told_from_one_without_end():
    h = lambda x: torch.where((x > 10) & (x < 20), math.inf, x)  # noqa: E731
    assert not_finite(h, torch.float64).startswith("infinite for some x >= 10")


def test_both_zeros_are_looked_at():
    assert not_finite(lambda x: torch.where(torch.signbit(x) & (x == 0), -math.inf, 1.0), torch.float32) == (
        "-inf at x = -0"
    )


def measured(target):
    """What is measured of a function x -> spikes, as if torch were the library that ships it."""
    kind = type("Fake", (Surrogate,), {"spike": lambda self, x, t, params, noise: target(x), "__doc__": "h."})
    declare = method("fake", paper="", kind="library", requires=["torch"], area=None)
    (item,) = declare(kind).declared
    return measure(item)


class Step(torch.autograd.Function):
    """A triangle of area 1 from -0.5 to 1.5, with float32 spikes and no spike at 0."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).float()

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return upstream * (1 - (x - 0.5).abs()).clamp(min=0)


def test_shape_step_and_dtypes():
    found = measured(Step.apply)
    assert (found.version, found.problem, found.random) == (version("torch"), "", "")
    assert found.height == pytest.approx(0.5)
    assert found.area == pytest.approx(1, rel=1e-5)
    assert found.fwhm == pytest.approx(1, rel=1e-3)
    assert (found.at_threshold, found.symmetric, found.at_infinity) == ("0", False, "0 and 0")
    assert set(found.dtypes.values()) == {"float32"}
    assert set(found.not_finite.values()) == {""}


def test_random_spikes_and_random_gradients_are_told_apart():
    assert measured(lambda x: Step.apply(x) * 0 + (torch.rand_like(x) > 0.5).to(x)).random == "spikes"
    assert measured(lambda x: Step.apply(x) + (x - x.detach()) * torch.rand_like(x)).random == "gradient"


def test_a_function_that_fails_is_a_result():
    def fails(x):
        raise TypeError("one argument too few")

    found = measured(fails)
    assert (found.problem, found.height, found.dtypes) == ("TypeError", None, {})
