"""Straight-through: the same gradient everywhere."""

from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import Param, method


@method(
    "straight-through",
    formula=r"h(x) = \mathrm{height}",
    paper="Bengio, Leonard & Courville, Estimating or propagating gradients through stochastic neurons for "
    "conditional computation, 2013",
    link="https://arxiv.org/abs/1308.3432",
    note="1 at v_th = 0.5, where the rectangle's height is 1 too",
    area=None,
    primitive=primitives.straight_through,
    height=Param(1.0, search=(0.1, 10.0), per_threshold=-1),
)
def straight_through(x: Tensor, height: float) -> Tensor:
    """h(x) = height, everywhere."""
    return shapes.straight_through(x, height)
