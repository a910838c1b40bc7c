"""A2SG: an asymmetric window, whose width in each layer and time step is found by a search between epochs.

Its parts are methods of their own, so that a difference in the tables has one reason. The search leaves the
network as it was, but for the widths.
"""

from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from bench import primitives, shapes
from bench.errors import BenchError
from bench.surrogate import Param, SearchContext, Site, Surrogate, Values, method

PAPER = (
    "Kang, Kweon, Seo, Park, Jeon, Park, Jang, Kim, Jeong, Lee & Park, A2SG: Adaptive and Asymmetric "
    "Surrogate Gradients for Training Deep Spiking Neural Networks, ICML 2026"
)
LINK = "https://arxiv.org/abs/2606.11236"
LEAST, MOST = 0.1, 1.0
"""The grid of the search, in thresholds."""
START = Param(0.5, search=(0.1, 1.0), per_threshold=1)
POINTS = Param(30)
control = partial(
    method, kind="control", fidelity="reconstructed", paper=f"a part of A2SG ({PAPER})", link=LINK
)


def asymmetric(x: Tensor, half_width: float | Tensor, height: float | None = None) -> Tensor:
    """h(x) = height (x + half_width) / (2 half_width) within |x| <= half_width; area 1 without a height."""
    peak = 1 / half_width if height is None else height
    inside = (x.abs() <= half_width).to(x.dtype)
    # Far from 0 the quotient can overflow in 16 bits.
    return inside * ((x / half_width).clamp(-1, 1) + 1) * (peak / 2)


def step(x: Tensor, half_width: float | Tensor, height: float | None = None) -> Tensor:
    """H(x) = area ((z + 1) / 2)^2, z = clip(x/half_width, -1, 1)."""
    area = 1 if height is None else height * half_width
    return (((x / half_width).clamp(-1, 1) + 1) / 2).square() * area


@control(
    "a2sg:asymmetric",
    formula=r"h(x) = \frac{x + b}{2 b^2} \mathbf{1}(|x| \leq b)",
    note="the shape alone, with the width that the search starts at",
    primitive=step,
    half_width=START,
)
def fixed(x: Tensor, half_width: float) -> Tensor:
    """h(x) = (x + b) / (2 b^2) within |x| <= b, b = half_width."""
    return asymmetric(x, half_width)


@method(
    "a2sg",
    formula=r"h(x) = \frac{1}{v_{th}} \cdot \frac{x + b_t}{2 b_t} \mathbf{1}(|x| \leq b_t)",
    kind="adaptive",
    fidelity="official-code",
    paper=PAPER,
    link=LINK,
    note="after the authors' working tree (kyccj/surro_duddnr at 191c8e1), with the fixed height that its "
    "configuration sets last; which commit made the paper's numbers is not said. Their threshold is 1, their "
    "neuron has the soft reset. Before every epoch but the first, there every 500 steps; 30 points, there up "
    "to 100. In their cosine 1e-8 is added to the denominator; a width stays where all gradients are 0",
    start=START,
    points=POINTS,
)
class A2sg(Surrogate):
    """h(x) = (x + b) / (2 b) / v_th within |x| <= b; b, one a layer and time step, starts at start.

    Before each epoch but the first, b is searched on a grid of `points` from 0.1 to 1 thresholds, on one
    batch. With g_t(b) the gradient at a spike times h: at the last step the b with the smallest
    Var(g) / mean|g|, at step t before it that with the largest cosine of g_t(b) and g_{t+1}, whose own
    b is the old one.
    """

    shape = staticmethod(asymmetric)
    primitive = staticmethod(step)
    LAST = EARLIER = True
    half_width: Tensor  # b, [T]

    def bind(self, site: Site) -> None:
        """Raises BenchError if `points` is no whole number from 2."""
        points = self.values["points"]
        if points < 2 or points != int(points):
            raise BenchError(f"points = {points:g}: the grid of a2sg needs a whole number of points, from 2")
        super().bind(site)
        start = float(self.values["start"])
        self.register_buffer("half_width", torch.full((site.timesteps,), start))

    def params(self, u: Tensor, t: int) -> Values:
        return self.at(self.half_width[t])

    def at(self, half_width: Tensor) -> Values:
        """The parameters of the shape at this width."""
        return {"half_width": half_width, "height": 1 / self.site.neuron.threshold}

    @classmethod
    def search(cls, layers: Sequence["A2sg"], context: SearchContext) -> None:
        batch = next(iter(context.batches()), None)
        if context.progress == 0 or batch is None:
            return
        for layer, steps in zip(layers, context.at_spikes(layers, *batch), strict=True):
            layer.choose(steps)

    def choose(self, steps: Sequence[tuple[Tensor, Tensor]]) -> None:
        """Take the best widths of the grid. steps: of each step x, and the gradient at the spikes."""
        threshold, points = self.site.neuron.threshold, int(self.values["points"])
        kind = {"dtype": self.half_width.dtype, "device": self.half_width.device}
        grid = torch.linspace(LEAST, MOST, points, **kind) * threshold
        with torch.no_grad():
            old = [self._gradient(*of, b) for of, b in zip(steps, self.half_width, strict=True)]
            for t, of in enumerate(steps):
                last = t == len(steps) - 1
                if not (self.LAST if last else self.EARLIER):
                    continue
                tried = (self._gradient(*of, b) for b in grid)
                cost = _spreads(tried) if last else -_cosines(tried, old[t + 1])
                cost = cost.nan_to_num(torch.inf, torch.inf)
                # Of equals the first.
                best = grid[cost.argmin()]
                self.half_width[t] = torch.where(cost.isfinite().any(), best, self.half_width[t])

    def _gradient(self, x: Tensor, upstream: Tensor, half_width: Tensor) -> Tensor:
        shape = type(self).shape
        return (upstream * shape(x, **self.at(half_width))).flatten()


@control(
    "a2sg:last",
    formula=r"h(x) = \frac{1}{v_{th}} \cdot \frac{x + b_t}{2 b_t} \mathbf{1}(|x| \leq b_t), \quad "
    r"b_{t < T} = \mathrm{start}",
    note="the first rule alone: only the last step is searched",
    start=START,
    points=POINTS,
)
class Last(A2sg):
    """h(x) as in a2sg; b of the last step is searched, that of all others stays."""

    EARLIER = False


@control(
    "a2sg:earlier",
    formula=r"h(x) = \frac{1}{v_{th}} \cdot \frac{x + b_t}{2 b_t} \mathbf{1}(|x| \leq b_t), \quad b_T = "
    r"\mathrm{start}",
    note="the second rule alone: the last step keeps its width",
    start=START,
    points=POINTS,
)
class Earlier(A2sg):
    """h(x) as in a2sg; b of all steps but the last is searched."""

    LAST = False


@control(
    "a2sg:area",
    formula=r"h(x) = \frac{x + b_t}{2 b_t^2} \mathbf{1}(|x| \leq b_t)",
    note="the area is 1 at every width, as in a variant of the authors' code",
    start=START,
    points=POINTS,
)
class Area(A2sg):
    """h(x) = (x + b) / (2 b^2) within |x| <= b, b as in a2sg."""

    def at(self, half_width: Tensor) -> Values:
        return {"half_width": half_width}


@control(
    "a2sg:triangle",
    formula=r"h(x) = \frac{1}{v_{th}} \max\left(0, 1 - \frac{|x|}{b_t}\right)",
    note="the search with a symmetric shape, as in a variant of the authors' code",
    start=START,
    points=POINTS,
)
class Triangle(A2sg):
    """h(x) = max(0, 1 - |x|/b) / v_th, b as in a2sg."""

    shape = staticmethod(shapes.triangle)
    primitive = staticmethod(primitives.triangle)

    def at(self, half_width: Tensor) -> Values:
        return {"width": half_width, "height": 1 / self.site.neuron.threshold}


def _spreads(gradients: Iterable[Tensor]) -> Tensor:
    """Var(g) / mean|g| of each."""
    return torch.stack([g.var(correction=0) / g.abs().mean() for g in gradients])


def _cosines(gradients: Iterable[Tensor], reference: Tensor) -> Tensor:
    """That of each with the reference; NaN where one of them is 0."""
    size = reference.norm()
    return torch.stack([(g @ reference) / (g.norm() * size) for g in gradients])
