"""Fast sigmoid, the surrogate of SuperSpike."""

from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import HEIGHT, WIDTH, Param, method, preset


@preset(
    "fast-sigmoid:paper",
    fidelity="official-code",
    note="beta / (1 + beta|x|)^2 at beta = 1/mV, 10 mV from rest to threshold: beta = 20 at v_th = 0.5. As "
    "in the authors' code (pub2018superspike on Auryn); the paper's formula has height 1 instead of beta",
    area=2.0,
    params={
        "width": Param(shapes.FAST_SIGMOID_FWHM / 20, per_threshold=1),
        "height": Param(20.0, per_threshold=-1),
    },
)
@method(
    "fast-sigmoid",
    formula=r"h(x) = \frac{k/2}{(1 + k |x|)^2}, \quad k = \frac{0.828}{\mathrm{width}}",
    paper="Zenke & Ganguli, SuperSpike, Neural Computation 2018",
    link="https://doi.org/10.1162/neco_a_01086",
    primitive=primitives.fast_sigmoid,
    width=WIDTH,
    height=HEIGHT,
)
def fast_sigmoid(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = (k/2) / (1 + k|x|)^2, k = 0.828/width."""
    return shapes.fast_sigmoid(x, width, height)
