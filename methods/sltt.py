"""SLTT, which cuts the gradient between time steps, and controls that cut or weaken it elsewhere.

With all of it kept, each is `rectangle` at the same width: `rectangle:0.5` by default.
"""

from torch import Tensor

from bench import primitives, shapes
from bench.errors import BenchError
from bench.surrogate import Param, Site, Surrogate, Values, method

PAPER = (
    "Meng, Xiao, Yan, Wang, Lin & Luo, Towards Memory- and Time-Efficient Backpropagation for Training "
    "Spiking Neural Networks, ICCV 2023"
)
LINK = "https://arxiv.org/abs/2302.14311"
WIDTH = Param(0.5, search=(0.125, 2.0), per_threshold=1)


class Rectangular(Surrogate):
    """A rectangle of constant width; subclasses say what goes on to the next step."""

    shape = staticmethod(shapes.rectangle)
    primitive = staticmethod(primitives.rectangle)

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": self.values["width"]}


@method(
    "sltt",
    formula=r"h(x) = \frac{1}{\mathrm{width}} \mathbf{1}\left(|x| < \frac{\mathrm{width}}{2}\right), \quad "
    r"\frac{\partial u[t]}{\partial v[t-1]} = 0",
    fidelity="official-code",
    paper=PAPER,
    link=LINK,
    note="the rectangle of the authors' code, as wide as the threshold; the default of their scripts is a "
    "triangle. Their neuron has the soft reset, and their loss is taken at each step, which needs the "
    "memory of one step only: here the loss is the recipe's, and memory is that of any method. A decay that "
    "is learned gets the gradient of each step. Recurrent connections still carry a gradient through time",
    width=WIDTH,
)
class Sltt(Rectangular):
    """h(x) = 1(|x| < width/2) / width; no gradient goes from a time step to the potential before it."""

    def carry(self, v: Tensor, t: int) -> Tensor:
        return v.detach()


@method(
    "sltt:truncated",
    formula=r"h(x) = \frac{1}{\mathrm{width}} \mathbf{1}\left(|x| < \frac{\mathrm{width}}{2}\right), \quad "
    r"\frac{\partial u[t]}{\partial v[t-1]} = 0 \text{ if } \mathrm{every} \mid t",
    kind="control",
    fidelity="reconstructed",
    paper=f"a control of SLTT ({PAPER}): truncated backpropagation through time (Williams & Peng, An "
    "efficient gradient-based algorithm for on-line training of recurrent network trajectories, Neural "
    "Computation 1990)",
    link=LINK,
    note="segments of `every` steps, one after the other; 1 is sltt, and the number of time steps or more is "
    "the whole gradient",
    width=WIDTH,
    every=Param(2),
)
class Truncated(Rectangular):
    """h(x) = 1(|x| < width/2) / width; the gradient in time is cut after every so many steps."""

    def bind(self, site: Site) -> None:
        """Raises BenchError if `every` is no whole number from 1."""
        every = self.values["every"]
        if every < 1 or every != int(every):
            raise BenchError(
                f"sltt:truncated cuts the gradient after whole steps: every = {every:g} must be 1, 2, 3, ..."
            )
        super().bind(site)

    def carry(self, v: Tensor, t: int) -> Tensor:
        return v if (t + 1) % int(self.values["every"]) else v.detach()


@method(
    "sltt:scaled",
    formula=r"h(x) = \frac{1}{\mathrm{width}} \mathbf{1}\left(|x| < \frac{\mathrm{width}}{2}\right), \quad "
    r"\frac{\partial u[t]}{\partial v[t-1]} = \mathrm{factor} \cdot \tau",
    kind="control",
    fidelity="reconstructed",
    paper=f"a control of SLTT ({PAPER}): the gradient between time steps is scaled",
    link=LINK,
    note="factor 0 is sltt, 1 the whole gradient; above 1 the past counts more than it does. The potential "
    "itself is not scaled",
    width=WIDTH,
    factor=Param(0.5),
)
class Scaled(Rectangular):
    """h(x) = 1(|x| < width/2) / width; the gradient from a time step to the one before is times factor."""

    def carry(self, v: Tensor, t: int) -> Tensor:
        fixed = v.detach()
        # v - fixed is exactly 0: the potential keeps its bits.
        return fixed + (v - fixed) * self.values["factor"]
