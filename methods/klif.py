"""KLIF: a learned factor scales the membrane potential, and with it the surrogate."""

import torch
from torch import Tensor, nn

from bench import primitives, shapes
from bench.errors import BenchError
from bench.surrogate import Param, Site, Surrogate, Values, method


@method(
    "klif",
    formula=r"h(x) = c \, \sigma(c x) (1 - \sigma(c x)), \quad c = \frac{3.526}{\mathrm{width}}, \quad x = "
    r"\mathrm{ReLU}(k u) - v_{th}",
    kind="adaptive",
    changes="network",
    fidelity="reconstructed",
    paper="Jiang & Zhang, KLIF: An optimized spiking neuron unit for tuning surrogate gradient slope and "
    "membrane potential, 2023",
    link="https://arxiv.org/abs/2302.09238",
    note="after SpikingJelly's KLIFNode at scale_reset = False, with its default surrogate, a sigmoid of "
    "slope 4 at v_th = 1; the authors' own code was not found. The input keeps its weight. The hard reset "
    "only: the soft one takes v_th from ReLU(k u), not from u. The recipe's weight decay, where it has one, "
    "draws k towards 0",
    width=Param(shapes.SIGMOID_FWHM / 8, search=(0.125, 4.0), per_threshold=1),
)
class Klif(Surrogate):
    """h(x) = c sigmoid(cx) (1 - sigmoid(cx)), c = 3.526/width, x = ReLU(k u) - v_th; k is learned.

    k, one a layer, starts at 1. After a spike the potential is 0; otherwise ReLU(k u) goes on.
    """

    shape = staticmethod(shapes.sigmoid)
    primitive = staticmethod(primitives.sigmoid)

    def bind(self, site: Site) -> None:
        """Raises BenchError under the soft reset."""
        if site.neuron.reset != "zero":
            raise BenchError(
                f"klif has the hard reset only, and {site.name} subtracts the threshold: set reset = 'zero'"
            )
        super().bind(site)
        self.k = nn.Parameter(torch.ones(()))

    def transform(self, u: Tensor, t: int) -> Tensor:
        return torch.relu(self.k * u)

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": self.values["width"]}

    def carry(self, v: Tensor, t: int) -> Tensor:
        # ReLU(k u) (1 - s). Not ReLU again: its slope at 0 would lose the gradient of the reset.
        scaled = self.k * v
        return torch.where(scaled >= 0, scaled, 0.0)
