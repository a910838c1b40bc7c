"""NSNN: while it trains a neuron spikes at random, with the probability that noise carries it over."""

import torch
from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import NoiseStream, Param, Site, Surrogate, Values, method, spike


def density(x: Tensor, width: float, mu: float) -> Tensor:
    """h(x) = N(x; mu, s^2), s = width/2.355."""
    return shapes.gaussian(x - mu, width)


def probability(x: Tensor, width: float, mu: float) -> Tensor:
    """H(x) = F((x - mu) / s), F the normal distribution, s = width/2.355."""
    return primitives.gaussian(x - mu, width)


@method(
    "nsnn",
    formula=r"h(x) = \mathcal{N}(x; \mu, \sigma^2), \quad P(s = 1) = \Phi\left(\frac{x - \mu}{\sigma}\right)",
    kind="adaptive",
    changes="forward",
    paper="Ma, Yan & Tang, Exploiting noise as a resource for computation and learning in spiking neural "
    "networks, Patterns 2023",
    link="https://arxiv.org/abs/2305.16044",
    note="noise in training only: the authors keep it in evaluation, here spikes are then 1(x >= 0). sigma "
    "as in their command for CIFAR-10, 0.3 at v_th = 1 (0.2 for CIFAR10-DVS). Their code, beside this rule, "
    "adds noise of the same sigma to the potential, which stays in it: here it does not",
    sigma=Param(0.15, search=(0.0375, 0.6), per_threshold=1),
    mu=Param(0.0, per_threshold=1),
)
class Nsnn(Surrogate):
    """h(x) = N(x; mu, sigma^2); while it trains s = 1 with probability F((x - mu) / sigma), F normal.

    The spike is drawn anew for each neuron and step, and the reset uses it. h is the derivative of the
    probability. In evaluation s = 1(x >= 0).
    """

    shape = staticmethod(density)
    primitive = staticmethod(probability)

    def bind(self, site: Site) -> None:
        super().bind(site)
        self.stream = NoiseStream(site.seed)

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": shapes.GAUSSIAN_FWHM * self.values["sigma"], "mu": self.values["mu"]}

    def noise(self, shape: torch.Size, like: Tensor) -> Tensor | None:
        return self.stream.draw(shape, like) if self.training else None

    def spike(self, x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        if noise is None:
            return spike(x, density, params)
        smooth = probability(x, **params)
        # Compared in the precision of the noise: in a lower one a rare spike would be rarer.
        drawn = (noise < smooth.detach()).to(x.dtype)
        # H - H is exactly 0: what comes out is 0 or 1.
        return drawn + (smooth - smooth.detach())
