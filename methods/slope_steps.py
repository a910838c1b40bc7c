"""Stepped slopes: a fast sigmoid that sharpens at given times of the training."""

import torch
from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import Param, Site, Surrogate, Values, method


@method(
    "slope-steps",
    formula=r"h(x) = \frac{\mathrm{height}}{(1 + k |x|)^2}, \quad k = \mathrm{start} "
    r"\left(\frac{\mathrm{end}}{\mathrm{start}}\right)^{i / \mathrm{steps}}",
    kind="adaptive",
    paper="Van den Berghe, Stroobants, Janapa Reddi & de Croon, Adaptive Surrogate Gradients for Sequential "
    "Reinforcement Learning in Spiking Neural Networks, NeurIPS 2025",
    link="https://arxiv.org/abs/2510.24461",
    note="the published range, k from 1 to 100, taken to be at v_th = 0.5: thresholds are learned in the "
    "authors' code, from 0.5 in the mean. Four steps, evenly in epochs and in log k, are chosen here. The "
    "paper's adaptive schedule follows a reward, which a classifier has not",
    fidelity="reconstructed",
    area=None,
    start=Param(1.0, per_threshold=-1),
    end=Param(100.0, per_threshold=-1),
    steps=Param(4.0),
    height=Param(1.0, per_threshold=-1),
)
class SlopeSteps(Surrogate):
    """h(x) = height / (1 + k|x|)^2, k from start to end in equal steps of log k, of equal length in epochs.

    k is a sharpness, in units of 1/potential, and so is height.
    `steps` is the number of steps up, rounded, at least 1: there is one more value of k.
    """

    shape = staticmethod(shapes.fast_sigmoid)
    primitive = staticmethod(primitives.fast_sigmoid)
    k: Tensor

    def bind(self, site: Site) -> None:
        super().bind(site)
        # A tensor: code compiled around a number is compiled anew for each of its values.
        self.register_buffer("k", torch.zeros(()), persistent=False)
        self.on_epoch(0.0)

    def on_epoch(self, progress: float) -> None:
        start, end, steps = (self.values[name] for name in ("start", "end", "steps"))
        steps = max(1, round(steps))
        taken = min(int(progress * (steps + 1)), steps)
        self.k.fill_(start * (end / start) ** (taken / steps))

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": shapes.FAST_SIGMOID_FWHM / self.k, "height": self.values["height"]}
