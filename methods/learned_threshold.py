"""Learned threshold: what becomes of a surrogate that keeps its scale while the threshold learns."""

import torch
from torch import Tensor, nn

from bench import primitives, shapes
from bench.surrogate import Param, Site, Surrogate, method


@method(
    "learned-threshold",
    formula=r"h(x) = \frac{1}{\mathrm{width}} \mathbf{1}\left(|x| < \frac{\mathrm{width}}{2}\right), \quad "
    r"x = u - \theta, \quad \theta = v_{th} e^r",
    kind="control",
    changes="forward",
    fidelity="reconstructed",
    paper="a control of the learned widths: rectangle (Wu et al., Spatio-temporal backpropagation for "
    "training high-performance spiking neural networks, Front. Neurosci. 2018), its threshold learned",
    link="https://doi.org/10.3389/fnins.2018.00331",
    note="is a learned width the same as a learned threshold? The width stays as it is; trsg has a window "
    "that follows its threshold, and emits it",
    width=Param(1.0, search=(0.25, 4.0), per_threshold=1),
)
class LearnedThreshold(Surrogate):
    """h(x) = 1(|x| < width/2) / width, x = u - theta; theta = v_th exp(r), r, one a layer, learned from 0.

    The gradient of theta is that of x, and with the soft reset also that of what is subtracted. theta is
    positive whatever r is, and weight decay draws it to where it starts.
    """

    shape = staticmethod(shapes.rectangle)
    primitive = staticmethod(primitives.rectangle)

    def bind(self, site: Site) -> None:
        super().bind(site)
        self.log_ratio = nn.Parameter(torch.zeros(()))

    def threshold(self, u: Tensor, t: int) -> Tensor:
        return self.site.neuron.threshold * self.log_ratio.exp()
