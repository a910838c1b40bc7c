"""MPBN: the membrane potential is normalised before it meets the threshold."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import primitives, shapes
from bench.errors import BenchError
from bench.surrogate import Param, Site, Surrogate, Values, method


@method(
    "mpbn",
    formula=r"h(x) = \frac{1}{2 v_{th}} \cdot \frac{b \, \mathrm{sech}^2(b z)}{2 \tanh(b/2)}, \quad z = "
    r"\frac{x}{2 v_{th}} \in \left[-\frac{1}{2}, \frac{1}{2}\right], \quad x = \mathrm{BN}(u) - v_{th}",
    kind="adaptive",
    changes="network",
    fidelity="official-code",
    paper="Guo, Zhang, Chen, Peng, Liu, Zhang, Huang & Ma, Membrane Potential Batch Normalization for "
    "Spiking Neural Networks, ICCV 2023",
    link="https://arxiv.org/abs/2308.08359",
    note="one normalisation a layer for all time steps, each over its own batch and pixels, beside the one "
    "before the neuron; in evaluation its running statistics, which the paper folds into a threshold a "
    "channel: the spikes are the same. At the threshold itself it spikes, where the authors' code does not; "
    "their neuron has the hard reset only. One value a channel has no variance: the running statistics "
    "stand in",
    b=Param(3.0, search=(1.0, 6.0)),
)
class Mpbn(Surrogate):
    """h(x) = b sech^2(bz) / (2 tanh(b/2)) / (2 v_th), z = x / (2 v_th) in [-1/2, 1/2], x = BN(u) - v_th.

    BN is batch normalisation with a learned scale and shift a channel, from 1 and 0, momentum 0.1 and eps
    1e-5. The reset acts on u itself.
    """

    shape = staticmethod(shapes.dspike)
    primitive = staticmethod(primitives.dspike)
    running_mean: Tensor  # [C], as is
    running_var: Tensor

    def bind(self, site: Site) -> None:
        """Raises BenchError where no norm feeds the neuron, which says how many channels there are."""
        if site.norm is None:
            raise BenchError(
                f"mpbn takes the number of channels from the norm before every spiking layer; {site.name} "
                "has none: set norm = 'tdbn'"
            )
        super().bind(site)
        channels = len(site.norm.weight)
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def transform(self, u: Tensor, t: int) -> Tensor:
        # Not `and`: compiled, the comparison is a symbol and no bool.
        measures = self.training if u.numel() > u.shape[1] else False
        return functional.batch_norm(
            u, self.running_mean, self.running_var, self.weight, self.bias, measures, 0.1, 1e-5
        )

    def params(self, u: Tensor, t: int) -> Values:
        return {"b": self.values["b"], "support": 2 * self.site.neuron.threshold}
