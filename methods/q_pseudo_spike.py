"""q-pseudo-spike: a tail of any fatness."""

from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import HEIGHT, WIDTH, Param, method


@method(
    "q-pseudo-spike",
    formula=r"h(x) = k \left(1 + \frac{2 k |x|}{q - 1}\right)^{-q}, \quad k = \frac{(q - 1) (2^{1/q} - "
    r"1)}{\mathrm{width}}",
    paper="Herranz-Celotti & Rouat, Stabilizing spiking neuron training, 2022",
    link="https://arxiv.org/abs/2202.00282",
    note="q = 1.56 is the default of the authors' code; q = 2 is the fast sigmoid",
    primitive=primitives.q_pseudo_spike,
    width=WIDTH,
    q=Param(1.56, search=(1.3, 6.0)),
    height=HEIGHT,
)
def q_pseudo_spike(x: Tensor, width: float, q: float, height: float | None) -> Tensor:
    """h(x) = k / (1 + 2k|x|/(q - 1))^q, k = (q - 1) (2^(1/q) - 1) / width."""
    return shapes.q_pseudo_spike(x, width, q, height)
