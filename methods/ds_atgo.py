"""DS-ATGO: threshold and width follow the membrane potential of the batch."""

import torch
from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import Site, Surrogate, Values, method


@method(
    "ds-atgo",
    formula=r"h(x) = \frac{1}{k} \mathbf{1}\left(|x| < \frac{k}{2}\right), \quad k = v_{th} \left(1 + "
    r"\tanh\left(\frac{s}{v_{th}} - 1\right)\right), \quad \theta = m + s",
    kind="adaptive",
    changes="forward",
    fidelity="official-code",
    paper="Jiang, Xu, Fan & Yan, DS-ATGO: Dual-Stage Synergistic Learning via Forward Adaptive Threshold and "
    "Backward Gradient Optimization for Spiking Neural Networks, AAAI 2026",
    link="https://arxiv.org/abs/2511.13050",
    note="the width as in the authors' code, whose threshold starts at 1: it has std(u) where the paper's "
    "text has the threshold. The running average starts at v_th. The authors' neuron has the hard reset "
    "only. As in the code a batch of one neuron gives NaN: it has no standard deviation",
)
class DsAtgo(Surrogate):
    """h(x) = 1(|x| < k/2) / k, k = v_th (1 + tanh(s/v_th - 1)); the threshold is m + s.

    m and s are mean and standard deviation of u[t] over batch and layer, without gradient. v_th is
    the threshold that the neuron is built with. In evaluation the threshold is the running average
    over the training batches, one a time step, nine parts old and one new.
    """

    shape = staticmethod(shapes.rectangle)
    primitive = staticmethod(primitives.rectangle)
    running: Tensor  # [T]

    def bind(self, site: Site) -> None:
        super().bind(site)
        self.register_buffer("running", torch.full((site.timesteps,), site.neuron.threshold))

    def threshold(self, u: Tensor, t: int) -> Tensor:
        if not self.training:
            return self.running[t]
        std, mean = torch.std_mean(u.detach())
        theta = mean + std
        self.running[t] = 0.9 * self.running[t] + 0.1 * theta
        return theta

    def params(self, u: Tensor, t: int) -> Values:
        start = self.site.neuron.threshold
        return {"width": start * (1 + torch.tanh(u.detach().std() / start - 1))}
