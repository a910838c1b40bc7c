"""LocalZO: the derivative is the mean of a few random finite differences of the spike."""

import math
from functools import partial

import torch
from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import NoiseStream, Param, Site, Surrogate, Values, method, spike

SAMPLES = 5
localzo = partial(
    method,
    kind="adaptive",
    paper="Mukhoty, Bojkovic, de Vazelhes, Zhao, De Masi, Xiong & Gu, Direct Training of SNN using Local "
    "Zeroth Order Method, NeurIPS 2023",
    link="https://arxiv.org/abs/2302.00910",
    delta=Param(0.25, search=(0.0625, 1.0), per_threshold=1),
)


def given(x: Tensor, h: Tensor) -> Tensor:
    """h, computed before."""
    return h


def normal(x: Tensor, delta: float) -> Tensor:
    """h(x) = N(x; 0, delta^2), the mean over z ~ N(0, 1)."""
    return shapes.gaussian(x, shapes.GAUSSIAN_FWHM * delta)


def uniform(x: Tensor, delta: float) -> Tensor:
    """h(x) = max(0, 3 - (x/delta)^2) / (4 sqrt(3) delta), the mean over z uniform with variance 1."""
    return (3 - (x / delta).square()).clamp(min=0) / (4 * math.sqrt(3) * delta)


def laplace(x: Tensor, delta: float) -> Tensor:
    """h(x) = (a + 1/sqrt(2)) exp(-sqrt(2) a) / (2 delta), a = |x|/delta; the mean over Laplace's z."""
    a = x.abs() / delta
    return (a + math.sqrt(0.5)) * torch.exp(-math.sqrt(2) * a) / (2 * delta)


@localzo(
    "localzo",
    formula=r"h(x) = \frac{1}{5} \sum_{k=1}^{5} \mathbf{1}(|x| < \delta |z_k|) \frac{|z_k|}{2 \delta}, \quad "
    r"z_k \sim \mathcal{N}(0, 1)",
    fidelity="official-code",
    note="the code's delta = 0.5 at v_th = 1. Curve and numbers are those of the mean over z",
)
class LocalZO(Surrogate):
    """h(x) = mean over five z of 1(|x| < |z| delta) |z| / (2 delta), z ~ N(0, 1).

    Two spikes at u + z delta and u - z delta, their difference over 2 delta, times z. z is drawn anew for
    each neuron and step while it trains. Without noise h is its mean over z, N(x; 0, delta^2).
    """

    shape = staticmethod(normal)

    def bind(self, site: Site) -> None:
        super().bind(site)
        self.stream = NoiseStream(site.seed)

    def noise(self, shape: torch.Size, like: Tensor) -> Tensor | None:
        """|z|, [T, 5, B, ...]."""
        steps, *one = shape
        drawn = torch.Size((steps, SAMPLES, *one))
        return self.size(self.stream.draw(drawn, like)) if self.training else None

    @staticmethod
    def size(r: Tensor) -> Tensor:
        """|z| for uniform numbers r in [0, 1)."""
        return math.sqrt(2) * torch.erfinv(r)

    def spike(self, x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        if noise is None:
            return spike(x, type(self).shape, params)
        z, delta = noise.to(x.dtype), params["delta"]
        # Computed here, so that the backward pass keeps one number a neuron and not five.
        inside = x.detach().abs() < z * delta
        return spike(x, given, {"h": (inside * z).mean(0) / (2 * delta)})


@localzo(
    "localzo:uniform",
    formula=r"h(x) = \frac{1}{5} \sum_{k=1}^{5} \mathbf{1}(|x| < \delta |z_k|) \frac{|z_k|}{2 \delta}, \quad "
    r"z_k \sim \mathcal{U}(-\sqrt{3}, \sqrt{3})",
    note="from the paper; the code has the normal z alone. Curve and numbers are those of the mean over z",
)
class Uniform(LocalZO):
    """h(x) = mean over five z of 1(|x| < |z| delta) |z| / (2 delta), z uniform in +-sqrt(3)."""

    shape = staticmethod(uniform)

    @staticmethod
    def size(r: Tensor) -> Tensor:
        return math.sqrt(3) * r


@localzo(
    "localzo:laplace",
    formula=r"h(x) = \frac{1}{5} \sum_{k=1}^{5} \mathbf{1}(|x| < \delta |z_k|) \frac{|z_k|}{2 \delta}, \quad "
    r"z_k \sim \mathrm{Laplace}(0, 1/\sqrt{2})",
    note="from the paper; the code has the normal z alone. Curve and numbers are those of the mean over z",
)
class Laplace(LocalZO):
    """h(x) = mean over five z of 1(|x| < |z| delta) |z| / (2 delta), z Laplace's with variance 1."""

    shape = staticmethod(laplace)

    @staticmethod
    def size(r: Tensor) -> Tensor:
        return -torch.log1p(-r) / math.sqrt(2)


@method(
    "localzo:mean",
    formula=r"h(x) = \frac{1}{\delta \sqrt{2 \pi}} e^{-x^2 / (2 \delta^2)}",
    kind="control",
    fidelity="reconstructed",
    paper="a control of LocalZO (Mukhoty et al., Direct Training of SNN using Local Zeroth Order Method, "
    "NeurIPS 2023)",
    link="https://arxiv.org/abs/2302.00910",
    note="what localzo is in the mean over z, without its noise: gaussian at width 2.355 delta",
    primitive=primitives.gaussian,
    width=Param(0.25 * shapes.GAUSSIAN_FWHM, search=(0.147, 2.355), per_threshold=1),
)
def mean(x: Tensor, width: float) -> Tensor:
    """h(x) = N(x; 0, d^2), d = width/2.355."""
    return shapes.gaussian(x, width)
