"""Multi-Gaussian: a normal density between two negative lobes."""

from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import HEIGHT, WIDTH, method


@method(
    "multi-gaussian",
    formula=r"h(x) = (1 + c) N(x; 0, s^2) - c N(x; s, (6s)^2) - c N(x; -s, (6s)^2), \quad c = 0.15, \quad "
    r"s = \frac{\mathrm{width}}{2.285}",
    paper="Yin, Corradi & Bohte, Accurate and efficient time-domain classification with adaptive spiking "
    "recurrent neural networks, Nat. Mach. Intell. 2021",
    link="https://doi.org/10.1038/s42256-021-00397-w",
    note="negative lobes: area 1 - c, as published; width is that of the positive centre",
    area=1 - shapes.LOBE_SHARE,
    primitive=primitives.multi_gaussian,
    width=WIDTH,
    height=HEIGHT,
)
def multi_gaussian(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = (1 + c) N(0, s^2) - c N(s, (6s)^2) - c N(-s, (6s)^2), c = 0.15, s = width/2.285."""
    return shapes.multi_gaussian(x, width, height)
