"""Arctan: the derivative of the inverse tangent, a Cauchy density."""

from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import HEIGHT, WIDTH, Param, method, preset


@preset(
    "arctan:paper",
    fidelity="official-code",
    note="alpha = 2 at v_th = 1, so 4 at v_th = 0.5: the authors' code (PLIFNode, SpikingJelly's ATan)",
    params={"width": Param(shapes.ARCTAN_FWHM / 4, per_threshold=1)},
)
@method(
    "arctan",
    formula=r"h(x) = \frac{a/2}{1 + (\pi a x / 2)^2}, \quad a = \frac{4}{\pi \, \mathrm{width}}",
    paper="Fang et al., Incorporating learnable membrane time constant, ICCV 2021",
    link="https://doi.org/10.1109/ICCV48922.2021.00266",
    primitive=primitives.arctan,
    width=WIDTH,
    height=HEIGHT,
)
def arctan(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = (a/2) / (1 + (pi a x / 2)^2), a = 4/(pi width)."""
    return shapes.arctan(x, width, height)
