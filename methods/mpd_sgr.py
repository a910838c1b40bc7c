"""MPD-SGR: a loss on the share of potentials that lie where the surrogate is not zero."""

import torch
from torch import Tensor

from bench import primitives, shapes
from bench.errors import BenchError
from bench.surrogate import Param, Site, Statistics, Surrogate, Values, method


@method(
    "mpd-sgr",
    formula=r"h(x) = \frac{1}{g} \max\left(0, 1 - \frac{|x|}{g}\right), \quad L = L_{task} + "
    r"\mathrm{weight} \cdot \mathrm{mean} \, P(|u - v_{th}| < g)",
    kind="adaptive",
    changes="loss",
    fidelity="reconstructed",
    paper="Jiang, Jiang, Yan & Tang, MPD-SGR: Robust Spiking Neural Networks with Membrane Potential "
    "Distribution-Driven Surrogate Gradient Regularization, AAAI 2026",
    link="https://arxiv.org/abs/2511.12199",
    note="made for robustness. The weight of the loss and the reset term were not found: 0.1 is chosen here, "
    "and the reset takes away what a normal potential is expected to lose",
    width=Param(1.0, search=(0.25, 4.0), per_threshold=1),
    weight=Param(0.1, search=(0.001, 1.0)),
)
class MpdSgr(Surrogate):
    """h(x) = max(0, 1 - |x|/g) / g; the loss of the task + weight * mean of P(|u - v_th| < g).

    The mean goes over layers, channels and time. u_c[t] ~ N(m_c[t], s_c[t]^2) is the potential before
    reset that tdBN and the decay imply: with gamma_c, beta_c and tau, without gradient in tau,

        s_c[t]^2 = (gamma_c alpha v_th)^2 (1 + tau^2 + ... + tau^(2t))
        m_c[t] = tau (m_c[t-1] - r_c[t-1]) + beta_c,  r_c = E[u 1(u >= v_th)], or v_th P(u >= v_th)

    for the hard and the soft reset. The paper's eta -> weight; the half-width g is `width`.
    """

    shape = staticmethod(shapes.triangle)
    primitive = staticmethod(primitives.triangle)

    def bind(self, site: Site) -> None:
        """Raises BenchError where no tdBN feeds the neuron: there is then no distribution to follow."""
        if site.norm is None:
            raise BenchError(
                f"mpd-sgr needs a tdBN before every spiking layer; {site.name} has none: set norm = 'tdbn'"
            )
        super().bind(site)

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": self.values["width"]}

    def penalty(self, statistics: Statistics) -> Tensor:
        v, g = self.site.neuron.threshold, self.values["width"]
        inside = [
            torch.special.ndtr((v + g - m) / s) - torch.special.ndtr((v - g - m) / s)
            for m, s in self.moments()
        ]
        mass: Tensor = self.values["weight"] * torch.stack(inside).mean() / self.site.layers
        return mass

    def moments(self) -> list[tuple[Tensor, Tensor]]:
        """Mean and standard deviation of each channel's potential, [C] and [C], for every time step."""
        norm, neuron = self.site.norm, self.site.neuron
        assert norm is not None  # bind refuses
        # In half precision the ratio of a potential to a small spread overflows.
        wide = torch.promote_types(norm.weight.dtype, torch.float32)
        tau, beta = torch.as_tensor(neuron.decay).detach().to(wide), norm.bias.to(wide)
        # A gamma of 0 leaves a distribution without width: divided by, it would be NaN.
        first = (norm.weight.to(wide) * norm.scale).abs().clamp(min=1e-6)
        found: list[tuple[Tensor, Tensor]] = [(beta, first)]
        for t in range(1, self.site.timesteps):
            m, s = found[-1]
            a = (m - neuron.threshold) / s
            above, density = torch.special.ndtr(a), torch.exp(-a.square() / 2) / (2 * torch.pi) ** 0.5
            lost = m * above + s * density if neuron.reset == "zero" else neuron.threshold * above
            spread = torch.sqrt(sum((tau ** (2 * i) for i in range(t + 1)), torch.zeros_like(tau)))
            found.append((tau * (m - lost) + beta, first * spread))
        return found
