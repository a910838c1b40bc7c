"""DeepTAGE: an arctangent's derivative that widens as potentials move away from the threshold."""

import math

import torch
from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import Param, Surrogate, Values, method


@method(
    "deeptage",
    formula=r"h(x) = \frac{\mathrm{height}}{1 + (2 x / k_t)^2}, \quad k_t = \mathrm{width} \left(w "
    r"\frac{\sigma_t}{\sigma_0} + 1 - w\right), \quad \sigma_t = \overline{\lVert u_t - v_{th} \rVert_2}",
    kind="adaptive",
    fidelity="reconstructed",
    paper="Liu, Yang, Zhao, Wang, Gao, Li, Li & Hu, DeepTAGE: Deep Temporal-Aligned Gradient Enhancement for "
    "Optimizing Spiking Neural Networks, ICLR 2025",
    link="https://openreview.net/forum?id=drPDukdY3t",
    note="the surrogate alone: the paper's auxiliary heads, which change the network, are left out. The "
    "authors' code was not found; the rule is that of somebody else's. Width and height are those of "
    "h = 1 / (1 + (pi x / d)^2) at v_th = 1",
    area=None,
    width=Param(1 / math.pi, search=(0.08, 1.28), per_threshold=1),
    height=Param(2.0, per_threshold=-1),
    w=Param(0.25, search=(0.05, 1.0), log=False),
)
class DeepTage(Surrogate):
    """h(x) = height / (1 + (2x/k)^2), k = width d, d = w s[t]/s[0] + 1 - w.

    s[t] is the mean over the batch of the Euclidean norm of a sample's u[t] - v_th, without gradient. The
    paper counts steps from 1, and its delta -> d.
    """

    shape = staticmethod(shapes.arctan)
    primitive = staticmethod(primitives.arctan)
    first: Tensor

    def params(self, u: Tensor, t: int) -> Values:
        distance = (u.detach() - self.site.neuron.threshold).flatten(1)
        # In float16 a sum of squares overflows.
        wide = torch.promote_types(u.dtype, torch.float32)
        norm = torch.linalg.vector_norm(distance, dim=1, dtype=wide).mean()
        if t == 0:
            self.first = norm.clamp(min=torch.finfo(wide).tiny)
        w = self.values["w"]
        d = w * norm / self.first + 1 - w
        return {"width": self.values["width"] * d.to(u.dtype), "height": self.values["height"]}
