"""Sigmoid: the derivative of the logistic function."""

from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import HEIGHT, WIDTH, method


@method(
    "sigmoid",
    formula=r"h(x) = k \sigma(k x) (1 - \sigma(k x)), \quad k = \frac{3.526}{\mathrm{width}}",
    paper="Zenke & Ganguli, SuperSpike, Neural Computation 2018 (as the derivative of a sigmoid)",
    link="https://doi.org/10.1162/neco_a_01086",
    primitive=primitives.sigmoid,
    width=WIDTH,
    height=HEIGHT,
)
def sigmoid(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = k sigmoid(kx) (1 - sigmoid(kx)), k = 3.526/width."""
    return shapes.sigmoid(x, width, height)
