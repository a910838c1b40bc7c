"""ESG: a surrogate that sharpens while the network trains; and the IM loss published with it."""

import torch
from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import Param, Site, Statistics, Surrogate, Values, method

PAPER = (
    "Guo, Chen, Zhang, Liu, Wang, Huang & Ma, IM-Loss: Information Maximization Loss for Spiking Neural "
    "Networks, NeurIPS 2022"
)
LINK = "https://openreview.net/forum?id=Jw34v_84m2b"
NOTE = (
    "the exponent of the published schedule is not confirmed: progress p is taken as the power of 10. The "
    "released code has no schedule, but Dspike's shape with a constant b = 3"
)
IM_NOTE = (
    f"{NOTE}; and the weight 0.005 on (mean(I) - 0.5/T)^2 of a block's input current, where the paper "
    "has 2, u and the threshold"
)
K_MIN = Param(1.0, per_threshold=-1)
K_MAX = Param(10.0, search=(2.0, 50.0), per_threshold=-1)


@method(
    "esg",
    formula=r"h(x) = \frac{K}{2} \mathrm{sech}^2(K x), \quad K = \frac{(10^p - 1) k_{max} + (10 - 10^p) "
    r"k_{min}}{9}",
    kind="adaptive",
    fidelity="reconstructed",
    paper=PAPER,
    link=LINK,
    note=NOTE,
    k_min=K_MIN,
    k_max=K_MAX,
)
class Esg(Surrogate):
    """h(x) = (K/2) sech^2(Kx), K = ((10^p - 1) k_max + (10 - 10^p) k_min) / 9.

    p is the progress of the training: 0 in the first epoch, 1 in the last, so that K runs from k_min
    to k_max. h is the derivative of tanh(Kx)/2 + 1/2. K is in units of 1/potential.
    """

    shape = staticmethod(shapes.sigmoid)
    primitive = staticmethod(primitives.sigmoid)
    k: Tensor

    def bind(self, site: Site) -> None:
        super().bind(site)
        # A tensor: code compiled around a number is compiled anew for each of its values.
        self.register_buffer("k", torch.zeros(()), persistent=False)
        self.on_epoch(0.0)

    def on_epoch(self, progress: float) -> None:
        k_min, k_max = self.values["k_min"], self.values["k_max"]
        self.k.fill_(((10**progress - 1) * k_max + (10 - 10**progress) * k_min) / 9)

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": shapes.SECH2_FWHM / self.k}


@method(
    "esg+im",
    formula=r"h(x) = \frac{K}{2} \mathrm{sech}^2(K x), \quad L = L_{task} + \mathrm{weight} \sum_l "
    r"\left(\frac{\bar{u}_l - v_{th}}{2 v_{th}}\right)^2",
    kind="adaptive",
    changes="loss",
    fidelity="reconstructed",
    paper=PAPER,
    link=LINK,
    note=IM_NOTE,
    k_min=K_MIN,
    k_max=K_MAX,
    weight=Param(2.0, search=(0.1, 10.0)),
)
class EsgIm(Esg):
    """h(x) as in esg; the loss of the task + weight * sum over layers ((mean(u) - v_th) / (2 v_th))^2.

    The mean goes over batch, layer and time; u is the potential before reset. At the paper's v_th =
    0.5 the divisor is 1. The paper's lambda -> weight.
    """

    def penalty(self, statistics: Statistics) -> Tensor:
        threshold = self.site.neuron.threshold
        loss: Tensor = (
            self.values["weight"] * ((statistics.mean.mean() - threshold) / (2 * threshold)).square()
        )
        return loss
