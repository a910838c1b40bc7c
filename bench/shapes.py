"""Surrogate derivatives h(x): pure functions of x = u - v_th.

Every shape has area 1 and takes `width`, its full width at half maximum (FWHM), in units of the
membrane potential, so that two shapes of one width differ in shape alone. An optional `height`
sets h(0) instead and gives up the area. Papers state sharpness k, alpha or sigma; the conversion
stands in each docstring. `width` and `height` are numbers or tensors that broadcast against x.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Number = float | Tensor

SIGMOID_FWHM = 4 * math.log(1 + math.sqrt(2))
"""FWHM of sigmoid'(x): sech^2(x/2) = 1/2 at |x| = 2 ln(1 + sqrt 2)."""
FAST_SIGMOID_FWHM = 2 * (math.sqrt(2) - 1)
"""FWHM of 1 / (1 + |x|)^2."""
GAUSSIAN_FWHM = 2 * math.sqrt(2 * math.log(2))
"""FWHM of a normal density of unit standard deviation."""


def rectangle(x: Tensor, width: Number, height: Number | None = None) -> Tensor:
    """h(x) = 1(|x| < width/2) / width.

    Wu et al., Spatio-temporal backpropagation for training high-performance spiking neural
    networks, Front. Neurosci. 2018, eq. 24 (a1 -> width).
    """
    peak = 1 / width if height is None else height
    return (x.abs() < width / 2).to(x.dtype) * peak


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
    # At -|kx|: where p is near 1, 1 - p has lost its digits, and h would not be symmetric.
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
