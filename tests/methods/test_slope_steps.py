"""Stepped slopes: the shape is snntorch's fast sigmoid at k, and k takes the steps that it declares."""

import numpy as np
import pytest
import torch
from snntorch import surrogate as snntorch
from torch import nn


@pytest.fixture
def surrogate(plugin, layers_under):
    def make(values=None, **options):
        layers = layers_under(plugin("slope_steps")["slope-steps"], values, norm="none", **options)
        return layers.spike("layer", nn.Identity()).double().surrogate

    return make


def slope(made):
    """k, read off the width: h falls to 1/4 where k|x| = 1."""
    x = 1 / made.k[None]
    at_zero = made.derivative(0 * x, made.params(x, 0)).item()
    assert made.derivative(x, made.params(x, 0)).item() == pytest.approx(at_zero / 4, rel=1e-12)
    return made.k.item()


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_the_shape_is_the_libraries(surrogate, progress):
    made = surrogate()
    made.on_epoch(progress)
    ours = torch.linspace(-2, 2, 101, dtype=torch.float64, requires_grad=True)
    made.spike(ours, 0, made.params(ours, 0), None).sum().backward()
    theirs = ours.detach().clone().requires_grad_()
    snntorch.fast_sigmoid(slope=made.k.item())(theirs).sum().backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=0)


@pytest.mark.parametrize("steps", [0.2, 1, 2.5, 4, 7])
def test_k_goes_in_equal_steps_of_its_logarithm(surrogate, steps):
    made, ks = surrogate({"steps": float(steps)}), []
    steps = max(1, round(steps))
    for progress in np.linspace(0, 1, 10 * (steps + 1) + 1):
        made.on_epoch(float(progress))
        ks.append(slope(made))
    levels = np.unique(np.round(ks, 9))
    np.testing.assert_allclose(levels, np.geomspace(1, 100, steps + 1), rtol=1e-8)
    assert (np.diff(ks) >= 0).all()
    # Each level lasts as long as the others, but for the last epoch itself.
    lengths = [np.sum(np.isclose(ks, level)) for level in levels]
    assert max(lengths) - min(lengths) <= 1


def test_the_sharpness_goes_with_the_threshold(surrogate):
    narrow, wide = surrogate(threshold=0.25), surrogate(threshold=1.0)
    assert (narrow.k.item(), wide.k.item()) == pytest.approx((2, 0.5))
    x = torch.linspace(-1, 1, 41, dtype=torch.float64)
    scaled = 4 * wide.derivative(4 * x, wide.params(x, 0))
    torch.testing.assert_close(narrow.derivative(x, narrow.params(x, 0)), scaled)


def test_it_starts_at_the_start_without_being_told(surrogate):
    assert surrogate().k.item() == 1
