"""MPD-AGL's policy with a sigmoid whose slope is clamped, as a spiking language model uses it."""

import torch
from torch import Tensor

from bench import primitives, shapes
from bench.errors import BenchError
from bench.surrogate import Param, Site, Surrogate, Values, method


@method(
    "mpd-agl:sigmoid",
    formula=r"h(x) = k \, \sigma^\prime(k x), \quad k = \mathrm{clip}\left(\frac{c}{\sqrt{1 + \tau^2} \, "
    r"\bar{\gamma} v_{th}}, \mathrm{low}, \mathrm{high}\right)",
    kind="control",
    fidelity="reconstructed",
    paper="a control of MPD-AGL: its policy as in Tang, NeuronSpark: A Spiking Neural Network Language Model "
    "with Selective State Space Dynamics, 2026",
    link="https://arxiv.org/abs/2603.16148",
    note="the policy of mpd-agl with another shape, and with a clamp, which mpd-agl has not: a mean gamma "
    "near 0 makes the gradient neither NaN nor large without bound. The slope is the same at every step. At "
    "which threshold the clamp from 2 to 16 is stated was not found; taken to be 0.5",
    c=Param(2.236, search=(0.5, 9.0)),
    low=Param(2.0, per_threshold=-1),
    high=Param(16.0, per_threshold=-1),
)
class Sigmoid(Surrogate):
    """h(x) = k sigmoid(kx) (1 - sigmoid(kx)), k = c / (sqrt(1 + tau^2) g v_th), clamped to low..high.

    g is the channel mean of the gamma of the tdBN before the neuron, tau the neuron's own decay, as in
    mpd-agl; both without gradient. k, low and high are in units of 1/potential.
    """

    shape = staticmethod(shapes.sigmoid)
    primitive = staticmethod(primitives.sigmoid)

    def bind(self, site: Site) -> None:
        """Raises BenchError where no tdBN feeds the neuron: there is then no gamma to follow."""
        if site.norm is None:
            raise BenchError(
                f"mpd-agl:sigmoid needs a tdBN before every spiking layer; {site.name} has none: "
                f"set norm = 'tdbn', or choose mpd-agl:measured, which needs none"
            )
        super().bind(site)

    def params(self, u: Tensor, t: int) -> Values:
        neuron, norm = self.site.neuron, self.site.norm
        assert norm is not None  # bind refuses
        gamma = norm.weight.detach().mean()
        spread = torch.sqrt(1 + torch.as_tensor(neuron.decay).detach() ** 2) * gamma * neuron.threshold
        slope = torch.clamp(self.values["c"] / spread, self.values["low"], self.values["high"])
        return {"width": shapes.SIGMOID_FWHM / slope}
