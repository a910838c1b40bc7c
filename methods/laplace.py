"""Laplace: falls off exponentially, as in SLAYER."""

from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import HEIGHT, WIDTH, Param, method, preset


@preset(
    "laplace:paper",
    fidelity="official-code",
    note="exp(-|x|/v_th) / v_th, so k = 2 and height 2 at v_th = 0.5: tauRho = 1 (in thresholds) and "
    "scaleRho = 1 of the authors' examples (slayerPytorch)",
    area=2.0,
    params={
        "width": Param(shapes.LAPLACE_FWHM / 2, per_threshold=1),
        "height": Param(2.0, per_threshold=-1),
    },
)
@method(
    "laplace",
    formula=r"h(x) = \frac{k}{2} e^{-k |x|}, \quad k = \frac{1.386}{\mathrm{width}}",
    paper="Shrestha & Orchard, SLAYER: spike layer error reassignment in time, NeurIPS 2018",
    link="https://arxiv.org/abs/1810.08646",
    primitive=primitives.laplace,
    width=WIDTH,
    height=HEIGHT,
)
def laplace(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = (k/2) exp(-k|x|), k = 1.386/width."""
    return shapes.laplace(x, width, height)
