"""Stepped slopes: a fast sigmoid that sharpens at given times of the training."""

from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import Param, Site, Surrogate, Values, method


@method(
    "slope-steps",
    kind="adaptive",
    paper="Van den Berghe, Stroobants, Janapa Reddi & de Croon, Adaptive Surrogate Gradients for Sequential "
    "Reinforcement Learning in Spiking Neural Networks, NeurIPS 2025",
    link="https://arxiv.org/abs/2510.24461",
    note="the published range, k from 1 to 100 at a threshold of 1; four steps, evenly in epochs and in "
    "log k, are chosen here. The paper's adaptive schedule follows a reward, which a classifier has not",
    area=None,
    start=Param(2.0, per_threshold=-1),
    end=Param(200.0, per_threshold=-1),
    steps=Param(4.0, search=(1.0, 10.0)),
)
class SlopeSteps(Surrogate):
    """h(x) = 1 / (1 + k|x|)^2, k from start to end in equal steps of log k, of equal length in epochs.

    k is a sharpness, in units of 1/potential. `steps` is the number of steps up: there are one more
    values of k. As in the paper h(0) = 1, so that the area is 2/k.
    """

    shape = staticmethod(shapes.fast_sigmoid)
    primitive = staticmethod(primitives.fast_sigmoid)

    def bind(self, site: Site) -> None:
        super().bind(site)
        self.on_epoch(0.0)

    def on_epoch(self, progress: float) -> None:
        start, end, steps = (self.values[name] for name in ("start", "end", "steps"))
        taken = min(int(progress * (steps + 1)), int(steps))
        self.k = start * (end / start) ** (taken / steps)

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": shapes.FAST_SIGMOID_FWHM / self.k, "height": 1.0}
