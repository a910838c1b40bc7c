"""Gaussian: a normal density."""

from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import HEIGHT, WIDTH, method


@method(
    "gaussian",
    formula=r"h(x) = \frac{1}{s \sqrt{2 \pi}} e^{-x^2 / (2 s^2)}, \quad s = \frac{\mathrm{width}}{2.355}",
    paper="Yin, Corradi & Bohte, Effective and efficient computation with multiple-timescale spiking "
    "recurrent neural networks, ICONS 2020",
    link="https://doi.org/10.1145/3407197.3407225",
    primitive=primitives.gaussian,
    width=WIDTH,
    height=HEIGHT,
)
def gaussian(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = exp(-x^2 / (2 s^2)) / (s sqrt(2 pi)), s = width/2.355."""
    return shapes.gaussian(x, width, height)
