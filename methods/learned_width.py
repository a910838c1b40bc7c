"""Learned width: what becomes of a surrogate whose width is one more weight."""

import torch
from torch import Tensor, nn

from bench import primitives, shapes
from bench.surrogate import Param, Surrogate, Values, learned_spike, method


@method(
    "learned-width",
    formula=r"h(x) = \frac{2}{\pi k} \cdot \frac{1}{1 + (2x/k)^2}, \quad k = \mathrm{width} \cdot e^r",
    kind="control",
    fidelity="reconstructed",
    paper="a control of the adaptive methods: arctan (Fang et al., Incorporating learnable membrane time "
    "constant, ICCV 2021), its width learned",
    link="https://doi.org/10.1109/ICCV48922.2021.00266",
    note="arctan, since a width is learned from every potential only where h is nowhere zero",
    width=Param(1.0, search=(0.25, 4.0), per_threshold=1),
)
class LearnedWidth(Surrogate):
    """h(x) = 2 / (pi k) / (1 + (2x/k)^2), k = width exp(r); r, one a layer, is learned from 0.

    The gradient of r is that of the primitive H(x) = 1/2 + arctan(2x/k) / pi. k is positive whatever
    r is, and weight decay draws it to where it starts.
    """

    shape = staticmethod(shapes.arctan)
    primitive = staticmethod(primitives.arctan)

    def __init__(self, width: float) -> None:
        super().__init__()
        self.width = width
        self.log_ratio = nn.Parameter(torch.zeros(()))

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": self.width * self.log_ratio.exp()}

    def spike(self, x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        return learned_spike(x, primitives.arctan, params)
