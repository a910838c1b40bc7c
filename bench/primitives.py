"""Primitives H(x) of the surrogate derivatives: smooth steps, H' = h.

Needed if a parameter of the shape is learned: the gradient of H reaches the parameter as well as x
(`bench.surrogate.learned_spike`). Names, parameters and sources are those of `bench.shapes`. A step goes from
0 to the area of h: 1 unless the shape says otherwise, or the resulting area if `height` is set. If h has no
area, H(0) is 1/2 or 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from bench.shapes import (
    FAST_SIGMOID_FWHM,
    GAUSSIAN_FWHM,
    LAPLACE_FWHM,
    LOBE_SCALE,
    LOBE_SHARE,
    MULTI_GAUSSIAN_FWHM,
    MULTI_GAUSSIAN_PEAK,
    SIGMOID_FWHM,
    Number,
    tanh_support,
)


def rectangle(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """H(x) = clip(x/width + 1/2, 0, 1)."""
    area = 1 if height is None else height * width
    return (x / width + 0.5).clamp(0, 1) * area


def triangle(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """H(x) = 1/2 + z - z|z|/2, z = clip(x/width, -1, 1)."""
    area = 1 if height is None else height * width
    z = (x / width).clamp(-1, 1)
    return (0.5 + z - z * z.abs() / 2) * area


def sigmoid(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """H(x) = sigmoid(kx), k = 3.526/width."""
    k = SIGMOID_FWHM / width
    area = 1 if height is None else height * 4 / k
    return torch.sigmoid(k * x) * area


def arctan(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """H(x) = 1/2 + arctan(pi alpha x / 2) / pi, alpha = 4/(pi width)."""
    area = 1 if height is None else height * math.pi * width / 2
    return (0.5 + torch.atan(2 * x / width) / math.pi) * area


def fast_sigmoid(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """H(x) = 1/2 + kx / (1 + k|x|) / 2, k = 0.828/width."""
    k = FAST_SIGMOID_FWHM / width
    area = 1 if height is None else height * 2 / k
    return (0.5 + k * x / (1 + k * x.abs()) / 2) * area


def gaussian(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """H(x) = (1 + erf(x / (s sqrt 2))) / 2, s = width/2.355."""
    s = width / GAUSSIAN_FWHM
    area = 1 if height is None else height * s * math.sqrt(2 * math.pi)
    return (0.5 + torch.erf(x / (s * math.sqrt(2))) / 2) * area


def multi_gaussian(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """H(x) = (1 + c) F(z) - c F((z - 1)/6) - c F((z + 1)/6), z = x/s, F normal; s = width/2.285."""
    s = width / MULTI_GAUSSIAN_FWHM
    z = x / s
    scale = 1 if height is None else height * s * math.sqrt(2 * math.pi) / MULTI_GAUSSIAN_PEAK
    lobes = _normal((z - 1) / LOBE_SCALE) + _normal((z + 1) / LOBE_SCALE)
    return ((1 + LOBE_SHARE) * _normal(z) - LOBE_SHARE * lobes) * scale


def laplace(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """H(x) = exp(kx)/2 below 0, 1 - exp(-kx)/2 above, k = 1.386/width."""
    k = LAPLACE_FWHM / width
    area = 1 if height is None else height * 2 / k
    return _mirrored(x, lambda distance: torch.exp(-k * distance) / 2) * area


def tanh(x: Tensor, width: Number, b: Number = 3.0, height: Number | None = None) -> Tensor:
    """H(x) = tanh(b z) / (2 tanh(b/2)) + 1/2, z = clip(x/w, -1/2, 1/2), w = width max(1, b/1.763)."""
    support = tanh_support(width, b)
    area = 1 if height is None else height * 2 * _tanh(b / 2) * support / b
    return dspike(x, b, support) * area


def dspike(x: Tensor, b: Number, support: Number) -> Tensor:
    """H(x) = tanh(b z) / (2 tanh(b/2)) + 1/2, z = clip(x/support, -1/2, 1/2)."""
    z = (x / support).clamp(-0.5, 0.5)
    return 0.5 + torch.tanh(b * z) / (2 * _tanh(b / 2))


def q_pseudo_spike(x: Tensor, width: Number, q: Number = 1.56, height: Number | None = None) -> Tensor:
    """H(x) = 1 - (1 + 2kx/(q - 1))^(1 - q) / 2 above 0, mirrored below; k as in the shape."""
    slope = 2 * (2 ** (1 / q) - 1) / width
    area = 1 if height is None else height * 2 / ((q - 1) * slope)
    return _mirrored(x, lambda distance: (1 + slope * distance) ** (1 - q) / 2) * area


def leaky_rectangle(x: Tensor, width: Number, leak: Number = 0.02, height: Number | None = None) -> Tensor:
    """H(x) = clip(x/width + 1/2, 0, 1), and leak (|x| - width/2) more on either side."""
    area = 1 if height is None else height * width
    z = (x / width + 0.5).clamp(0, 1)
    return z * area + (x - (z - 0.5) * width) * leak


def straight_through(x: Tensor, height: Number = 1.0) -> Tensor:
    """H(x) = height x."""
    return x * height


def _normal(z: Tensor) -> Tensor:
    return 0.5 + torch.erf(z / math.sqrt(2)) / 2


def _tanh(value: Number) -> Number:
    return torch.tanh(value) if isinstance(value, Tensor) else math.tanh(value)


def _mirrored(x: Tensor, beyond: Callable[[Tensor], Tensor]) -> Tensor:
    """The step with the area `beyond(distance)` on each side of 0, 1/2 at 0."""
    # Not with |x|: autograd takes its slope at 0 as 0, which would lose h(0). This distance has slope 1.
    side = torch.where(x < 0, -1, 1).to(x.dtype)
    outside = beyond(side * x)
    return torch.where(x < 0, outside, 1 - outside)
