"""Triangle: falls off linearly on both sides of the threshold."""

from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import HEIGHT, WIDTH, Param, method, preset


@preset(
    "triangle:paper",
    fidelity="official-code",
    paper="Bellec et al., Long short-term memory and learning-to-learn in networks of spiking neurons, "
    "NeurIPS 2018",
    link="https://arxiv.org/abs/1803.09574",
    note="0.3 max(0, 1 - |v|) over v = (u - v_th)/v_th, so height 0.3/v_th and width v_th; "
    "dampening 0.3 as in the authors' code (LSNN-official)",
    area=0.3,
    params={"width": Param(0.5, per_threshold=1), "height": Param(0.6, per_threshold=-1)},
)
@method(
    "triangle",
    formula=r"h(x) = \frac{1}{\mathrm{width}} \max\left(0, 1 - \frac{|x|}{\mathrm{width}}\right)",
    paper="Esser et al., Convolutional networks for fast, energy-efficient neuromorphic computing, PNAS 2016",
    link="https://doi.org/10.1073/pnas.1604850113",
    primitive=primitives.triangle,
    width=WIDTH,
    height=HEIGHT,
)
def triangle(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = max(0, 1 - |x|/width) / width."""
    return shapes.triangle(x, width, height)
