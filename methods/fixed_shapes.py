"""The fixed surrogates: six shapes with constant width.

All start from one scale: area 1 and full width at half maximum 2 * v_th (1.0 at v_th = 0.5, the
rectangle's own), so that the default table compares shape and nothing else. Papers used other
scales; `width` is a parameter and `height` overrides the area rule.
"""

from torch import Tensor

from bench import shapes
from bench.surrogate import Param, method

WIDTH = Param(1.0, search=(0.25, 4.0), per_threshold=True)
HEIGHT = Param(None)


@method(
    "rectangle",
    paper="Wu et al., Spatio-temporal backpropagation for training high-performance spiking neural networks, "
    "Front. Neurosci. 2018",
    link="https://doi.org/10.3389/fnins.2018.00331",
    width=WIDTH,
    height=HEIGHT,
)
def rectangle(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = 1(|x| < width/2) / width."""
    return shapes.rectangle(x, width, height)


@method(
    "triangle",
    paper="Esser et al., Convolutional networks for fast, energy-efficient neuromorphic computing, PNAS 2016",
    link="https://doi.org/10.1073/pnas.1604850113",
    width=WIDTH,
    height=HEIGHT,
)
def triangle(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = max(0, 1 - |x|/width) / width."""
    return shapes.triangle(x, width, height)


@method(
    "sigmoid",
    paper="Zenke & Ganguli, SuperSpike, Neural Computation 2018 (as the derivative of a sigmoid)",
    link="https://doi.org/10.1162/neco_a_01086",
    width=WIDTH,
    height=HEIGHT,
)
def sigmoid(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = k sigmoid(kx) (1 - sigmoid(kx)), k = 3.526/width."""
    return shapes.sigmoid(x, width, height)


@method(
    "arctan",
    paper="Fang et al., Incorporating learnable membrane time constant, ICCV 2021",
    link="https://doi.org/10.1109/ICCV48922.2021.00266",
    width=WIDTH,
    height=HEIGHT,
)
def arctan(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = (a/2) / (1 + (pi a x / 2)^2), a = 4/(pi width)."""
    return shapes.arctan(x, width, height)


@method(
    "fast-sigmoid",
    paper="Zenke & Ganguli, SuperSpike, Neural Computation 2018",
    link="https://doi.org/10.1162/neco_a_01086",
    width=WIDTH,
    height=HEIGHT,
)
def fast_sigmoid(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = (k/2) / (1 + k|x|)^2, k = 0.828/width."""
    return shapes.fast_sigmoid(x, width, height)


@method(
    "gaussian",
    paper="Yin, Corradi & Bohte, Effective and efficient computation with multiple-timescale spiking "
    "recurrent neural networks, ICONS 2020",
    link="https://doi.org/10.1145/3407197.3407225",
    width=WIDTH,
    height=HEIGHT,
)
def gaussian(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = exp(-x^2 / (2 s^2)) / (s sqrt(2 pi)), s = width/2.355."""
    return shapes.gaussian(x, width, height)
