"""Leaky rectangle: a rectangle that is not zero outside."""

from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import HEIGHT, WIDTH, Param, method


@method(
    "leaky-rectangle",
    formula=r"h(x) = \begin{cases} 1/\mathrm{width} & |x| < \mathrm{width}/2 \\ \mathrm{leak} & "
    r"\mathrm{otherwise} \end{cases}",
    fidelity="library",
    paper="SpikingJelly, surrogate.PiecewiseLeakyReLU(w=1, c=0.01)",
    link="https://spikingjelly.readthedocs.io",
    note="the default is SpikingJelly's at v_th = 1: width 2, height 1/2, leak 0.01",
    area=None,
    primitive=primitives.leaky_rectangle,
    width=WIDTH,
    leak=Param(0.02, search=(0.002, 0.5), per_threshold=-1),
    height=HEIGHT,
)
def leaky_rectangle(x: Tensor, width: float, leak: float, height: float | None) -> Tensor:
    """h(x) = 1/width inside |x| < width/2, leak outside."""
    return shapes.leaky_rectangle(x, width, leak, height)
