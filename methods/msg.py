"""MSG: a random half of the gradient is left out."""

import torch
from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import NoiseStream, Param, Site, Surrogate, Values, method, spike


def masked_triangle(x: Tensor, width: float, keep: float | Tensor = 1.0) -> Tensor:
    """h(x) = keep * max(0, 1 - |x|/width) / width; keep: 0 or 1, of the shape of x."""
    return shapes.triangle(x, width) * keep


@method(
    "msg",
    formula=r"h(x) = m \max(0, a - a^2 |x|), \quad P(m = 0) = p, \quad P(m = 1) = 1 - p",
    kind="adaptive",
    fidelity="official-code",
    paper="Li, Zhao, Zhao & Zeng, Directly Training Temporal Spiking Neural Network with Sparse Surrogate "
    "Gradient, Neural Networks 2024",
    link="https://arxiv.org/abs/2406.19645",
    note="the masked gradient alone, with the probability fixed; the paper's weighting of the output over "
    "time steps is no part of it",
    a=Param(2.0, search=(0.5, 8.0), per_threshold=-1),
    p=Param(0.5, search=(0.05, 0.95), log=False),
)
class Msg(Surrogate):
    """h(x) = m max(0, a - a^2 |x|), m = 0 with probability p, else 1.

    m is drawn anew for each neuron and step while it trains; what is left is not scaled up.
    Without noise m = 1. In the code alpha = 2 at v_th = 0.5. alpha -> a.
    """

    shape = staticmethod(masked_triangle)
    primitive = staticmethod(primitives.triangle)

    def __init__(self, a: float, p: float) -> None:
        super().__init__()
        self.a, self.p = a, p

    def bind(self, site: Site) -> None:
        super().bind(site)
        self.stream = NoiseStream(site.seed)

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": 1 / self.a}

    def noise(self, shape: torch.Size, like: Tensor) -> Tensor | None:
        return self.stream.draw(shape, like) if self.training else None

    def spike(self, x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        kept = {} if noise is None else {"keep": (noise >= self.p).to(x.dtype)}
        return spike(x, masked_triangle, {**params, **kept})
