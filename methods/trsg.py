"""TrSG: a learned threshold, and a window that is relative to it."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import primitives, shapes
from bench.surrogate import Site, Surrogate, Values, learned_spike, method


@method(
    "trsg",
    formula=r"h(x) = \frac{1}{\theta} \mathbf{1}\left(|x| < \frac{\theta}{2}\right), \quad \theta = "
    r"\mathrm{softplus}(r)",
    kind="adaptive",
    changes="forward",
    fidelity="official-code",
    paper="Kook, Yu, Oh & Park, Stabilizing Direct Training of Spiking Neural Networks: Membrane Potential "
    "Initialization and Threshold-robust Surrogate Gradient, WACV 2026",
    link="https://arxiv.org/abs/2511.08708",
    note="without the paper's MP-Init. At u = theta it spikes in training too, where the authors' code "
    "rounds down; their neuron has the soft reset only. The recipe's weight decay, where it has one, draws "
    "theta towards 0.69, whatever v_th is",
)
class TrSG(Surrogate):
    """h(x) = 1(|x| < theta/2) / theta; theta is learned, and the layer emits theta or 0.

    s = 1(u >= theta), its gradient that of z = clip(u/theta - 1/2, 0, 1), to u and to theta; s theta
    goes to the next layer and into the soft reset. theta = softplus(raw), one a layer, starts at v_th.
    """

    shape = staticmethod(shapes.rectangle)
    primitive = staticmethod(primitives.rectangle)

    def bind(self, site: Site) -> None:
        super().bind(site)
        self.raw = nn.Parameter(torch.tensor(math.log(math.expm1(site.neuron.threshold))))

    def threshold(self, u: Tensor, t: int) -> Tensor:
        return functional.softplus(self.raw)

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": self.threshold(u, t)}

    def spike(self, x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        # With x = u - theta and width theta the primitive is the paper's z.
        return learned_spike(x, primitives.rectangle, params)

    def emit(self, s: Tensor, t: int) -> Tensor:
        return s * self.threshold(s, t)
