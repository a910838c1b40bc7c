"""Tanh: Dspike's shape with a constant temperature."""

from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import HEIGHT, WIDTH, Param, method, preset


@preset(
    "tanh:paper",
    note="b = 3 on a support of 1 at v_th = 0.5, constant, as in code by co-authors; the paper adapts b in "
    "training: see dspike",
    fidelity="reconstructed",
    params={"width": Param(shapes.SECH2_FWHM / 3, per_threshold=1)},
)
@method(
    "tanh",
    formula=r"h(x) = \frac{1}{w} \cdot \frac{b \, \mathrm{sech}^2(b z)}{2 \tanh(b/2)}, \quad z = "
    r"\frac{x}{w} \in \left[-\frac{1}{2}, \frac{1}{2}\right], \quad w = \mathrm{width} \cdot \max\left(1, "
    r"\frac{b}{1.763}\right)",
    paper="Li et al., Differentiable Spike: rethinking gradient-descent for training spiking neural "
    "networks, NeurIPS 2021",
    link="https://proceedings.neurips.cc/paper/2021/hash/c4ca4238a0b923820dcc509a6f75849b-Abstract.html",
    note="Dspike's shape with a constant temperature b",
    primitive=primitives.tanh,
    width=WIDTH,
    b=Param(3.0, search=(1.0, 6.0)),
    height=HEIGHT,
)
def tanh(x: Tensor, width: float, b: float, height: float | None) -> Tensor:
    """h(x) = b sech^2(bz) / (2 tanh(b/2)) / w, z = x/w in [-1/2, 1/2], w = width max(1, b/1.763)."""
    return shapes.tanh(x, width, b, height)
