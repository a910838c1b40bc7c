"""CPNG: a triangle wide enough for a given share of neurons; and controls that hold this share."""

import math
from functools import partial

import torch
from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import Param, Site, Surrogate, Values, method

PAPER = "Lin, Deng & Gu, Efficient Surrogate Gradients for Training Spiking Neural Networks, 2022"
LINK = "https://openreview.net/forum?id=nsT1vO6i3Ri"
control = partial(
    method, kind="control", fidelity="reconstructed", paper=f"a control of CPNG ({PAPER})", link=LINK
)


def inside(width: Tensor, mean: Tensor, std: Tensor, threshold: float) -> Tensor:
    """The share of N(mean, std^2) within `width` of the threshold."""
    upper, lower = ((threshold + side * width - mean) / std for side in (1, -1))
    return (torch.erf(upper / math.sqrt(2)) - torch.erf(lower / math.sqrt(2))) / 2


def moments(u: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of all potentials, without gradient, in float32 at least."""
    known = u.detach().to(torch.promote_types(u.dtype, torch.float32))
    std, mean = torch.std_mean(known, correction=0)
    return mean, std.clamp(min=1e-6 * threshold)


def sharpness(
    share: Tensor | float, mean: Tensor, std: Tensor, threshold: float, least: float, most: float
) -> Tensor:
    """The beta from least/v_th to most/v_th at which `share` is inside; bisection, to 1e-4/v_th or less."""
    low, high = torch.full_like(mean, least / threshold), torch.full_like(mean, most / threshold)
    for _ in range(math.ceil(math.log2((most - least) / 1e-4))):
        middle = (low + high) / 2
        narrow = inside(1 / middle, mean, std, threshold) < share
        low, high = torch.where(narrow, low, middle), torch.where(narrow, middle, high)
    return (low + high) / 2


@method(
    "cpng",
    formula=r"h(x) = \max(0, \beta - \beta^2 |x|), \quad \beta: \; \Phi\left(\frac{v_{th} + 1/\beta - "
    r"\mu}{\sigma}\right) - \Phi\left(\frac{v_{th} - 1/\beta - \mu}{\sigma}\right) = \chi",
    kind="adaptive",
    fidelity="reconstructed",
    paper=PAPER,
    link=LINK,
    note="schedule and numbers as the authors of A2SG (ICML 2026) made it anew, at v_th = 1; their new beta "
    "is used once and not kept, here it holds from the next batch on. In a training of fewer than `every` "
    "batches nothing changes; cpng:0.2, cpng:0.3 and cpng:0.5 adapt in every batch",
    beta=Param(2.0, search=(0.5, 8.0), per_threshold=-1),
    share=Param(0.3, search=(0.1, 0.7), log=False),
    every=Param(500.0),
)
class Cpng(Surrogate):
    """h(x) = max(0, b - b^2 |x|); b keeps the share of neurons with a gradient at a record, from 0.3 up.

    X is the share of N(m, s^2) within 1/b of the threshold, m and s mean and standard deviation of u over
    batch and layer at the last step. The record is X after the first batch. In every 500th batch after it,
    it becomes 0.3 if it is below, else X if X is below; if X is then another, b becomes, by bisection from
    0.5/v_th to 2/v_th, the one at which X is the record. chi -> X, 0.3 is `share`, 500 `every`.
    """

    shape = staticmethod(shapes.triangle)
    primitive = staticmethod(primitives.triangle)
    sharp: Tensor  # beta now
    record: Tensor
    batches: Tensor  # of training, so far

    def bind(self, site: Site) -> None:
        super().bind(site)
        self.register_buffer("sharp", torch.tensor(float(self.values["beta"])))
        self.register_buffer("record", torch.zeros(()))
        self.register_buffer("batches", torch.tensor(0))

    def params(self, u: Tensor, t: int) -> Values:
        now = {"width": 1 / self.sharp.to(u.dtype)}
        if self.training and t == self.site.timesteps - 1:
            self.adapt(u)
        return now

    def adapt(self, u: Tensor) -> None:
        """Count a batch, and change record and beta if it is time. No `if`: this is compiled."""
        threshold, share = self.site.neuron.threshold, self.values["share"]
        mean, std = moments(u, threshold)
        found = inside(1 / self.sharp.to(mean.dtype), mean, std, threshold)
        record = self.record.to(mean.dtype)
        kept = torch.where(record < share, share, torch.minimum(found, record))
        solved = sharpness(kept, mean, std, threshold, 0.5, 2.0)
        first, due = self.batches == 0, self.batches % max(1, round(self.values["every"])) == 0
        moved = due & ~first & (kept != found)
        self.sharp = torch.where(moved, solved.to(self.sharp.dtype), self.sharp)
        self.record = torch.where(due, torch.where(first, found, kept), record).to(self.record.dtype)
        self.batches = self.batches + 1


class Share(Surrogate):
    """h(x) = max(0, b - b^2 |x|), b such that a share of the neurons has a gradient."""

    shape = staticmethod(shapes.triangle)
    primitive = staticmethod(primitives.triangle)
    share: float

    def params(self, u: Tensor, t: int) -> Values:
        threshold = self.site.neuron.threshold
        # Wider bounds than the paper's, within which one half cannot always be reached.
        beta = sharpness(self.share, *moments(u, threshold), threshold, 0.02, 50.0)
        return {"width": (1 / beta).to(u.dtype)}


SHARE_FORMULA = (
    r"h(x) = \max(0, \beta - \beta^2 |x|), \quad \beta: \; \Phi\left(\frac{v_{th} + 1/\beta - "
    r"\mu_t}{\sigma_t}\right) - \Phi\left(\frac{v_{th} - 1/\beta - \mu_t}{\sigma_t}\right) = "
)
SHARE_NOTE = "the share of cpng held at every step of every batch; the potential is taken to be Gaussian"


@control("cpng:0.2", formula=SHARE_FORMULA + "0.2", note=SHARE_NOTE)
class Share20(Share):
    """h(x) = max(0, b - b^2 |x|), b such that a Gaussian of u[t]'s mean and std has 20 % within 1/b."""

    share = 0.2


@control("cpng:0.3", formula=SHARE_FORMULA + "0.3", note=SHARE_NOTE)
class Share30(Share):
    """h(x) = max(0, b - b^2 |x|), b such that a Gaussian of u[t]'s mean and std has 30 % within 1/b."""

    share = 0.3


@control("cpng:0.5", formula=SHARE_FORMULA + "0.5", note=SHARE_NOTE)
class Share50(Share):
    """h(x) = max(0, b - b^2 |x|), b such that a Gaussian of u[t]'s mean and std has 50 % within 1/b."""

    share = 0.5
