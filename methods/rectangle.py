"""Rectangle: constant near the threshold, nothing elsewhere."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import HEIGHT, WIDTH, Param, method, preset


def rectangle_of(width: float) -> Callable[[Any], Any]:
    """A control: the rectangle at another width."""
    return preset(
        f"rectangle:{width:g}",
        kind="control",
        note=f"width {width:g} at v_th = 0.5, after the width ablation of Lian et al., IJCAI 2023; "
        "width 1 is rectangle itself",
        params={"width": Param(width, per_threshold=1)},
    )


@rectangle_of(4)
@rectangle_of(2)
@rectangle_of(0.5)
@rectangle_of(0.25)
@method(
    "rectangle",
    formula=r"h(x) = \frac{1}{\mathrm{width}} \mathbf{1}\left(|x| < \frac{\mathrm{width}}{2}\right)",
    paper="Wu et al., Spatio-temporal backpropagation for training high-performance spiking neural networks, "
    "Front. Neurosci. 2018",
    link="https://doi.org/10.3389/fnins.2018.00331",
    note="the authors' code has width 1 and height 1 at v_th = 0.5: the default here is its scale",
    primitive=primitives.rectangle,
    width=WIDTH,
    height=HEIGHT,
)
def rectangle(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = 1(|x| < width/2) / width."""
    return shapes.rectangle(x, width, height)
