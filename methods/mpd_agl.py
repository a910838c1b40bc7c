"""MPD-AGL: the rectangle's width follows the spread of the membrane potential."""

import math

import torch
from torch import Tensor

from bench.errors import BenchError
from bench.shapes import rectangle
from bench.surrogate import Site, Surrogate, Values, method


@method(
    "mpd-agl",
    kind="adaptive",
    fidelity="official-code",
    paper="Jiang, Wang, Jiang, Fan & Yan, Adaptive Gradient Learning for Spiking Neural Networks "
    "by Exploiting Membrane Potential Dynamics, IJCAI 2025",
    link="https://doi.org/10.24963/ijcai.2025/464",
    note="the authors' code computes the mean of beta too and does not use it",
)
class MpdAgl(Surrogate):
    """h(x) = 1(|x| < k/2) / k; k = 2 g v_th at t = 0, then 2 sqrt(1 + tau^2) g v_th.

    g is the channel mean of the gamma of the tdBN before the neuron, tau the neuron's own decay
    (learned in PLIF); both without gradient. k is the paper's kappa, two standard deviations of
    the potential that tdBN and the decay imply. As in the code there is no clamp: g < 0 gives a
    zero gradient, g = 0 gives NaN.
    """

    shape = staticmethod(rectangle)

    def bind(self, site: Site) -> None:
        """Raises BenchError where no tdBN feeds the neuron: there is then no gamma to follow."""
        if site.norm is None:
            raise BenchError(
                f"mpd-agl needs a tdBN before every spiking layer; {site.name} has none: "
                f"set norm = 'tdbn', or choose another method"
            )
        super().bind(site)

    def params(self, u: Tensor, t: int) -> Values:
        neuron, norm = self.site.neuron, self.site.norm
        assert norm is not None  # bind refuses
        spread = 1.0 if t == 0 else _sqrt(1 + neuron.decay**2)
        # gamma is read through the site: as an attribute it would be a second parameter, of the method's own.
        return {"width": 2 * neuron.threshold * spread * norm.weight.detach().mean()}


def _sqrt(value: float | Tensor) -> float | Tensor:
    return torch.sqrt(value.detach()) if isinstance(value, Tensor) else math.sqrt(value)
