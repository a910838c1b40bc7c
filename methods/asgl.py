"""ASGL: while it trains, a random part of the spikes is the smooth step itself, of learned width."""

import math
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from bench import primitives, shapes
from bench.surrogate import NoiseStream, Param, Site, Surrogate, Values, learned_spike, method

asgl = partial(
    method,
    kind="adaptive",
    changes="forward",
    fidelity="official-code",
    paper="Wang, Jiang, Lian, Yan & Tang, Adaptive Smoothing Gradient Learning for Spiking Neural Networks, "
    "ICML 2023",
    link="https://proceedings.mlr.press/v202/wang23j.html",
)
P = Param(0.2, search=(0.05, 0.8))


@asgl(
    "asgl",
    formula=r"h(x) = \frac{1}{a} \sigma^\prime\left(\frac{x}{a}\right), \quad H(x) = "
    r"\sigma\left(\frac{x}{a}\right)",
    note="the sigmoid and a = 2 v_th are the code's defaults for images (a = 1 at v_th = 0.5; its CIFAR-100 "
    "example starts at 5 v_th). There 1/a itself is learned, here log a, as for the code's rectangle: it "
    "does not depend on the scale of the threshold. There the same Adam learns the decay too, here the "
    "recipe's optimizer does. There a layer passes on v_th y, here y: a norm after it makes both the same, "
    "a readout without one has inputs of 1 in place of v_th",
    a=Param(1.0, search=(0.1, 5.0), per_threshold=1),
    p=P,
)
class Asgl(Surrogate):
    """h(x) = sigmoid'(x/a) / a, H(x) = sigmoid(x/a); y = H + sg[m (1(x >= 0) - H)] while it trains.

    sg stops the gradient; m is 0 with probability p and else 1, anew for each neuron and step. The
    neuron is reset with y. In evaluation y = 1(x >= 0). log a, one a layer, learns through y under
    Adam of its own; a starts at 2 v_th. The paper's alpha -> a.
    """

    shape = staticmethod(shapes.sigmoid)
    primitive = staticmethod(primitives.sigmoid)
    fwhm: ClassVar[float] = shapes.SIGMOID_FWHM
    """Full width at half maximum of h at a = 1."""

    def __init__(self, a: float, p: float) -> None:
        super().__init__()
        self.p = p
        self.log_a = nn.Parameter(torch.tensor(math.log(a)))

    def bind(self, site: Site) -> None:
        super().bind(site)
        self.stream = NoiseStream(site.seed)

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": self.fwhm * self.log_a.exp()}

    def noise(self, shape: torch.Size, like: Tensor) -> Tensor | None:
        return self.stream.draw(shape, like) if self.training else None

    def spike(self, x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        if noise is None:
            return learned_spike(x, self.primitive, params)
        smooth = self.primitive(x, **params)
        y = torch.where(noise < self.p, smooth, (x >= 0).to(x.dtype))
        # H - H is exactly 0: what comes out is y itself.
        return y.detach() + (smooth - smooth.detach())

    @classmethod
    def optimizers(cls, layers: Sequence["Asgl"]) -> list[torch.optim.Optimizer]:
        return [torch.optim.Adam([layer.log_a for layer in layers], lr=3e-4)]


@asgl(
    "asgl:rectangle",
    formula=r"h(x) = \frac{1}{a} \mathbf{1}\left(|x| < \frac{a}{2}\right), \quad H(x) = "
    r"\mathrm{clip}\left(\frac{x}{a} + \frac{1}{2}, 0, 1\right)",
    note="the code's setting for CIFAR10-DVS: a = 1 at v_th = 0.5, p = 0.1",
    a=Param(1.0, search=(0.1, 5.0), per_threshold=1),
    p=Param(0.1, search=(0.05, 0.8)),
)
class AsglRectangle(Asgl):
    """h(x) = 1(|x| < a/2) / a, H(x) = clip(x/a + 1/2, 0, 1); all else as in asgl."""

    shape = staticmethod(shapes.rectangle)
    primitive = staticmethod(primitives.rectangle)
    fwhm = 1.0
