"""Surrogate derivatives h(x): pure functions of x = u - v_th.

Every shape has area 1, unless it says otherwise, and takes `width`, its full width at half maximum (FWHM), in
units of the membrane potential. Two shapes of the same width therefore differ in shape alone. An optional
`height` sets h(0) instead and gives up the area. Papers state sharpness k, alpha or sigma; each docstring
gives the conversion. Parameters are numbers or tensors that broadcast against x. In low precision a square
can overflow to infinity far from 0; its inverse is then 0, as it should be.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Number = float | Tensor

SIGMOID_FWHM = 4 * math.log(1 + math.sqrt(2))
"""FWHM of sigmoid'(x): sech^2(x/2) = 1/2 at |x| = 2 ln(1 + sqrt 2)."""
ARCTAN_FWHM = 4 / math.pi
"""FWHM of 1 / (1 + (pi x / 2)^2)."""
FAST_SIGMOID_FWHM = 2 * (math.sqrt(2) - 1)
"""FWHM of 1 / (1 + |x|)^2."""
GAUSSIAN_FWHM = 2 * math.sqrt(2 * math.log(2))
"""FWHM of a normal density of unit standard deviation."""
LAPLACE_FWHM = 2 * math.log(2)
"""FWHM of exp(-|x|)."""
SECH2_FWHM = 2 * math.acosh(math.sqrt(2))
"""FWHM of sech^2(x)."""
LOBE_SHARE = 0.15
"""Area of each negative lobe of the multi-gaussian."""
LOBE_SCALE = 6.0
"""Standard deviation of its lobes over that of its centre."""
MULTI_GAUSSIAN_FWHM = 2.284907069294106
"""FWHM of the centre of the multi-gaussian at s = 1, LOBE_SHARE and LOBE_SCALE.

It has no closed form: the root of h(x) = h(0)/2 in float64 (scipy.optimize.brentq), doubled.
"""
MULTI_GAUSSIAN_PEAK = 1 + LOBE_SHARE - 2 * LOBE_SHARE / LOBE_SCALE * math.exp(-1 / (2 * LOBE_SCALE**2))
"""Its h(0) at s = 1, over that of a normal density."""


def rectangle(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """h(x) = 1(|x| < width/2) / width.

    Wu et al., Spatio-temporal backpropagation for training high-performance spiking neural
    networks, Front. Neurosci. 2018, eq. 24 (a1 -> width).
    """
    peak = 1 / width if height is None else height
    # Not a comparison: booleans are slow to create, and slower still to keep in compiled code.
    return (width / 2 - x.abs()).sign().clamp(min=0) * peak


def triangle(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """h(x) = max(0, 1 - |x|/width) / width.

    Esser et al., PNAS 2016; Bellec et al., NeurIPS 2018 (both: height instead of area).
    """
    peak = 1 / width if height is None else height
    return (1 - x.abs() / width).clamp(min=0) * peak


def sigmoid(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """h(x) = k sigmoid(kx) (1 - sigmoid(kx)), k = 3.526/width.

    Zenke & Ganguli, SuperSpike, Neural Computation 2018 (as the derivative of a sigmoid).
    """
    k = SIGMOID_FWHM / width
    # At -|kx|: if p is near 1, 1 - p loses its digits, and h would not be symmetric.
    p = torch.sigmoid(-(k * x).abs())
    peak = k / 4 if height is None else height
    return 4 * p * (1 - p) * peak


def arctan(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """h(x) = (alpha/2) / (1 + (pi alpha x / 2)^2), alpha = 4/(pi width).

    Fang et al., Incorporating learnable membrane time constant, ICCV 2021, sec. 4.
    """
    peak = 2 / (math.pi * width) if height is None else height
    return 1 / (1 + (2 * x / width).square()) * peak


def fast_sigmoid(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """h(x) = (k/2) / (1 + k|x|)^2, k = 0.828/width.

    Zenke & Ganguli, SuperSpike, Neural Computation 2018, sec. 3.3.2 (beta -> k; there h(0) = 1).
    """
    k = FAST_SIGMOID_FWHM / width
    peak = k / 2 if height is None else height
    return 1 / (1 + k * x.abs()).square() * peak


def gaussian(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """h(x) = exp(-x^2 / (2 s^2)) / (s sqrt(2 pi)), s = width/2.355.

    Yin, Corradi & Bohte, ICONS 2020, sec. 2.
    """
    s = width / GAUSSIAN_FWHM
    peak = 1 / (s * math.sqrt(2 * math.pi)) if height is None else height
    return torch.exp(-(x / s).square() / 2) * peak


def multi_gaussian(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """h(x) = (1 + c) N(x; 0, s^2) - c N(x; s, (6s)^2) - c N(x; -s, (6s)^2), c = 0.15; area 1 - c.

    Yin, Corradi & Bohte, Accurate and efficient time-domain classification, Nat. Mach. Intell. 2021 (h -> c,
    sigma -> s). s = width/2.285: `width` is the FWHM of the positive centre, and scales everything.
    """
    s = width / MULTI_GAUSSIAN_FWHM
    z = x / s
    # The mirrored lobes are added first, so that h is symmetric to the last digit.
    lobes = _bell((z - 1) / LOBE_SCALE) + _bell((z + 1) / LOBE_SCALE)
    peak = MULTI_GAUSSIAN_PEAK / (s * math.sqrt(2 * math.pi)) if height is None else height
    return ((1 + LOBE_SHARE) * _bell(z) - LOBE_SHARE / LOBE_SCALE * lobes) * (peak / MULTI_GAUSSIAN_PEAK)


def laplace(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """h(x) = (k/2) exp(-k|x|), k = 1.386/width.

    Shrestha & Orchard, SLAYER, NeurIPS 2018 (beta -> k, 1/alpha -> height).
    """
    k = LAPLACE_FWHM / width
    peak = k / 2 if height is None else height
    return torch.exp(-k * x.abs()) * peak


def tanh(x: Tensor, width: Number, b: Number = 3.0, height: Number | None = None) -> Tensor:
    """h(x) = b sech^2(b z) / (2 tanh(b/2)) / w, z = x/w, inside |z| <= 1/2, w = width max(1, b/1.763).

    `dspike` parametrised by its FWHM: for b up to 1.763, half the maximum is not reached inside the support
    w.
    """
    support = tanh_support(width, b)
    peak = b / (2 * _tanh(b / 2) * support) if height is None else height
    return _sech2(x, b, support) * peak


def tanh_support(width: Number, b: Number) -> Number:
    """The support of `tanh` for this FWHM and temperature."""
    stretch = b / SECH2_FWHM
    return width * (stretch.clamp(min=1) if isinstance(stretch, Tensor) else max(1.0, stretch))


def dspike(x: Tensor, b: Number, support: Number) -> Tensor:
    """h(x) = b sech^2(b z) / (2 tanh(b/2)) / support, z = x/support, inside |z| <= 1/2; area 1.

    Li et al., Differentiable Spike, NeurIPS 2021, eq. 7 (there support = 1, centred at v_th = 0.5).
    `b` is the temperature: 0 gives the rectangle of width `support`, large b a spike.
    """
    return _sech2(x, b, support) * (b / (2 * _tanh(b / 2) * support))


def q_pseudo_spike(x: Tensor, width: Number, q: Number = 1.56, height: Number | None = None) -> Tensor:
    """h(x) = k / (1 + 2k|x|/(q - 1))^q, k = (q - 1) (2^(1/q) - 1) / width, q > 1.

    Herranz-Celotti & Rouat, Stabilizing spiking neuron training, 2022 (there k = 1, so height and area are
    1). The smaller q, the fatter the tail; q = 2 is the fast sigmoid.
    """
    slope = 2 * (2 ** (1 / q) - 1) / width
    peak = (q - 1) * slope / 2 if height is None else height
    return (1 + slope * x.abs()) ** (-q) * peak


def leaky_rectangle(x: Tensor, width: Number, leak: Number = 0.02, height: Number | None = None) -> Tensor:
    """h(x) = 1/width inside |x| < width/2, leak outside; no area.

    Like the slopes of the leaky ReLU; SpikingJelly's PiecewiseLeakyReLU (2w -> width, c -> leak).
    """
    peak = 1 / width if height is None else height
    inside = (x.abs() < width / 2).to(x.dtype)
    return inside * peak + (1 - inside) * leak


def straight_through(x: Tensor, height: Number = 1.0) -> Tensor:
    """h(x) = height; no area, no width.

    Bengio, Leonard & Courville, Estimating or propagating gradients through stochastic neurons for
    conditional computation, 2013 (height = 1).
    """
    return torch.ones_like(x) * height


def _bell(z: Tensor) -> Tensor:
    return torch.exp(-z.square() / 2)


def _tanh(value: Number) -> Number:
    return torch.tanh(value) if isinstance(value, Tensor) else math.tanh(value)


def _sech2(x: Tensor, b: Number, support: Number) -> Tensor:
    """sech^2(b z) inside |z| <= 1/2, z = x/support."""
    z = x / support
    # 1 / cosh overflows, 1 - tanh^2 only rounds to 0; inside the support it is never small.
    inside = (z.abs() <= 0.5).to(x.dtype)
    return inside * (1 - torch.tanh(b * z).square())
