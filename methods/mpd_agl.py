"""MPD-AGL, whose rectangle's width follows the spread of the membrane potential, and its controls.

A control changes one thing about the method, so that a difference in the tables has one reason.
v_th is the threshold; k, the paper's kappa, is the width.
"""

import math
from functools import partial

import torch
from torch import Tensor

from bench import primitives, shapes
from bench.errors import BenchError
from bench.surrogate import Site, Surrogate, Values, method

PAPER = (
    "Jiang, Wang, Jiang, Fan & Yan, Adaptive Gradient Learning for Spiking Neural Networks "
    "by Exploiting Membrane Potential Dynamics, IJCAI 2025"
)
LINK = "https://doi.org/10.24963/ijcai.2025/464"
control = partial(
    method, kind="control", fidelity="reconstructed", paper=f"a control of MPD-AGL ({PAPER})", link=LINK
)


@method(
    "mpd-agl",
    formula=r"h(x) = \frac{1}{k} \mathbf{1}\left(|x| < \frac{k}{2}\right), \quad k_0 = 2 \bar{\gamma} "
    r"v_{th}, \quad k_{t \geq 1} = 2 \sqrt{1 + \tau^2} \, \bar{\gamma} v_{th}",
    kind="adaptive",
    fidelity="official-code",
    paper=PAPER,
    link=LINK,
    note="the authors' code computes the mean of beta too and does not use it",
)
class MpdAgl(Surrogate):
    """h(x) = 1(|x| < k/2) / k; k = 2 g v_th at t = 0, then 2 sqrt(1 + tau^2) g v_th.

    g is the channel mean of the gamma of the tdBN before the neuron, tau the neuron's own decay
    (learned in PLIF); both without gradient. k is two standard deviations of the potential that
    tdBN and the decay imply. As in the code there is no clamp: g < 0 gives a zero gradient, g = 0
    gives NaN.
    """

    shape = staticmethod(shapes.rectangle)
    primitive = staticmethod(primitives.rectangle)

    def bind(self, site: Site) -> None:
        """Raises BenchError where no tdBN feeds the neuron: there is then no gamma to follow."""
        if site.norm is None:
            raise BenchError(
                f"mpd-agl needs a tdBN before every spiking layer; {site.name} has none: "
                f"set norm = 'tdbn', or choose mpd-agl:measured, which needs none"
            )
        super().bind(site)

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": self.kappa(t)}

    def kappa(self, t: int) -> Tensor:
        """The width at step t, in units of the potential."""
        return 2 * self.site.neuron.threshold * self.spread(t) * self.gamma()

    def spread(self, t: int) -> float | Tensor:
        """The potential's standard deviation, in those of its input."""
        return 1.0 if t == 0 else _sqrt(1 + self.site.neuron.decay**2)

    def gamma(self) -> Tensor:
        norm = self.site.norm
        assert norm is not None  # bind refuses
        # Read through the site: as an attribute it would be a second parameter, of the method's own.
        return norm.weight.detach().mean()


def _sqrt(value: float | Tensor) -> float | Tensor:
    return torch.sqrt(value.detach()) if isinstance(value, Tensor) else math.sqrt(value)


@control(
    "mpd-agl:window",
    formula=r"h(x) = \frac{1}{2 v_{th}} \mathbf{1}\left(|x| < \frac{k}{2}\right)",
    area=None,
    note="the window of mpd-agl alone; the height is that of the fixed one",
)
class Window(MpdAgl):
    """h(x) = 1(|x| < k/2) / (2 v_th), k as in mpd-agl."""

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": self.kappa(t), "height": 1 / (2 * self.site.neuron.threshold)}


@control(
    "mpd-agl:height",
    formula=r"h(x) = \frac{1}{k} \mathbf{1}(|x| < v_{th})",
    area=None,
    note="the height of mpd-agl alone; the window is that of the fixed one",
)
class Height(MpdAgl):
    """h(x) = 1(|x| < v_th) / k, k as in mpd-agl."""

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": 2 * self.site.neuron.threshold, "height": 1 / self.kappa(t)}


@control(
    "mpd-agl:channel",
    formula=r"h(x) = \frac{1}{k_c} \mathbf{1}\left(|x| < \frac{k_c}{2}\right), \quad k_{c, t \geq 1} = 2 "
    r"\sqrt{1 + \tau^2} \, \gamma_c v_{th}",
    note="each channel follows its own gamma, not their mean",
)
class Channel(MpdAgl):
    """h(x) = 1(|x| < k/2) / k, k as in mpd-agl with gamma_c of channel c for g."""

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": self.kappa(t).view(-1, *[1] * (u.ndim - 2))}  # against u: [B, C, ...]

    def gamma(self) -> Tensor:
        norm = self.site.norm
        assert norm is not None  # bind refuses
        return norm.weight.detach()


@control(
    "mpd-agl:measured",
    formula=r"h(x) = \frac{1}{k} \mathbf{1}\left(|x| < \frac{k}{2}\right), \quad k = 2 \, \mathrm{std}(u[t])",
    note="the standard deviation is measured in the batch; needs no tdBN",
)
class Measured(Surrogate):
    """h(x) = 1(|x| < k/2) / k, k = 2 std(u[t]) over batch and layer, without gradient."""

    shape = staticmethod(shapes.rectangle)
    primitive = staticmethod(primitives.rectangle)

    def params(self, u: Tensor, t: int) -> Values:
        kappa = 2 * u.detach().std(correction=0)
        # Where all potentials are nearly equal the height would grow without bound.
        return {"width": kappa.clamp(min=0.1 * self.site.neuron.threshold)}


@control(
    "mpd-agl:sum",
    formula=r"h(x) = \frac{1}{k} \mathbf{1}\left(|x| < \frac{k}{2}\right), \quad k_t = 2 "
    r"\sqrt{\sum_{i=0}^{t} \tau^{2i}} \, \bar{\gamma} v_{th}",
    note="the potential's spread over all steps so far, where mpd-agl stops after two",
)
class Sum(MpdAgl):
    """h(x) = 1(|x| < k/2) / k, k = 2 sqrt(sum_{i=0..t} tau^(2i)) g v_th."""

    def spread(self, t: int) -> float | Tensor:
        return _sqrt(sum(self.site.neuron.decay ** (2 * i) for i in range(t + 1)))


@control(
    "mpd-agl:frozen",
    formula=r"h(x) = \frac{1}{k} \mathbf{1}\left(|x| < \frac{k}{2}\right), \quad k = k_{epoch \, 1}",
    note="adapts in the first epoch and keeps the widths that it has at its end",
)
class Frozen(MpdAgl):
    """h(x) = 1(|x| < k/2) / k, k as in mpd-agl at the end of the first epoch."""

    kept: Tensor  # [2]: k at t = 0 and after
    frozen: Tensor

    def bind(self, site: Site) -> None:
        super().bind(site)
        self.register_buffer("kept", torch.zeros(2))
        self.register_buffer("frozen", torch.tensor(False))

    def on_epoch(self, progress: float) -> None:
        if progress > 0 and not self.frozen:
            self.kept.copy_(torch.stack([super(Frozen, self).kappa(t) for t in range(2)]))
            self.frozen.fill_(True)

    def kappa(self, t: int) -> Tensor:
        # No `if`: this is compiled, and the flag is loaded with the weights.
        return torch.where(self.frozen, self.kept[min(t, 1)], super().kappa(t))


@control(
    "mpd-agl:triangle",
    formula=r"h(x) = \frac{1}{k} \max\left(0, 1 - \frac{|x|}{k}\right)",
    note="the policy of mpd-agl with another shape",
)
class Triangle(MpdAgl):
    """h(x) = max(0, 1 - |x|/k) / k, k as in mpd-agl."""

    shape = staticmethod(shapes.triangle)
    primitive = staticmethod(primitives.triangle)


@control(
    "mpd-agl:arctan",
    formula=r"h(x) = \frac{2}{\pi k} \cdot \frac{1}{1 + (2x/k)^2}",
    note="the policy of mpd-agl with another shape",
)
class Arctan(MpdAgl):
    """h(x) = 2 / (pi k) / (1 + (2x/k)^2), the full width at half maximum k as in mpd-agl."""

    shape = staticmethod(shapes.arctan)
    primitive = staticmethod(primitives.arctan)


@control(
    "mpd-agl:fast-sigmoid",
    formula=r"h(x) = \frac{c/2}{(1 + c |x|)^2}, \quad c = \frac{0.828}{k}",
    note="the policy of mpd-agl with another shape",
)
class FastSigmoid(MpdAgl):
    """h(x) = (c/2) / (1 + c|x|)^2, c = 0.828/k, the full width at half maximum k as in mpd-agl."""

    shape = staticmethod(shapes.fast_sigmoid)
    primitive = staticmethod(primitives.fast_sigmoid)
