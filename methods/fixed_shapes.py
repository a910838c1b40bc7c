"""The fixed surrogates: shapes with constant parameters.

All start from one scale where they have it: area 1 and full width at half maximum 2 * v_th (1.0 at
v_th = 0.5, the rectangle's own), so that the default table compares shape and nothing else. Papers
used other scales: NAME:paper is the shape at its paper's, converted to v_th = 0.5, where value and
threshold are known. `width` is a parameter of all, and `height` overrides the area.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import Param, method, preset

WIDTH = Param(1.0, search=(0.25, 4.0), per_threshold=1)
HEIGHT = Param(None, per_threshold=-1)


def rectangle_of(width: float) -> Callable[[Any], Any]:
    """A control: the rectangle at another width."""
    return preset(
        f"rectangle:{width:g}",
        kind="control",
        note=f"width {width:g} at v_th = 0.5, after the width ablation of Lian et al., IJCAI 2023; "
        "width 1 is rectangle itself",
        params={"width": Param(width, per_threshold=1)},
    )


@rectangle_of(4)
@rectangle_of(2)
@rectangle_of(0.5)
@rectangle_of(0.25)
@method(
    "rectangle",
    paper="Wu et al., Spatio-temporal backpropagation for training high-performance spiking neural networks, "
    "Front. Neurosci. 2018",
    link="https://doi.org/10.3389/fnins.2018.00331",
    note="the authors' code has width 1 and height 1 at v_th = 0.5: the default here is its scale",
    primitive=primitives.rectangle,
    width=WIDTH,
    height=HEIGHT,
)
def rectangle(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = 1(|x| < width/2) / width."""
    return shapes.rectangle(x, width, height)


@preset(
    "triangle:paper",
    fidelity="official-code",
    paper="Bellec et al., Long short-term memory and learning-to-learn in networks of spiking neurons, "
    "NeurIPS 2018",
    link="https://arxiv.org/abs/1803.09574",
    note="0.3 max(0, 1 - |v|) over v = (u - v_th)/v_th, so height 0.3/v_th and width v_th; "
    "dampening 0.3 as in the authors' code (LSNN-official)",
    area=0.3,
    params={"width": Param(0.5, per_threshold=1), "height": Param(0.6, per_threshold=-1)},
)
@method(
    "triangle",
    paper="Esser et al., Convolutional networks for fast, energy-efficient neuromorphic computing, PNAS 2016",
    link="https://doi.org/10.1073/pnas.1604850113",
    primitive=primitives.triangle,
    width=WIDTH,
    height=HEIGHT,
)
def triangle(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = max(0, 1 - |x|/width) / width."""
    return shapes.triangle(x, width, height)


@method(
    "sigmoid",
    paper="Zenke & Ganguli, SuperSpike, Neural Computation 2018 (as the derivative of a sigmoid)",
    link="https://doi.org/10.1162/neco_a_01086",
    primitive=primitives.sigmoid,
    width=WIDTH,
    height=HEIGHT,
)
def sigmoid(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = k sigmoid(kx) (1 - sigmoid(kx)), k = 3.526/width."""
    return shapes.sigmoid(x, width, height)


@preset(
    "arctan:paper",
    fidelity="official-code",
    note="alpha = 2 at v_th = 1, so 4 at v_th = 0.5: the authors' code (PLIFNode, SpikingJelly's ATan)",
    params={"width": Param(shapes.ARCTAN_FWHM / 4, per_threshold=1)},
)
@method(
    "arctan",
    paper="Fang et al., Incorporating learnable membrane time constant, ICCV 2021",
    link="https://doi.org/10.1109/ICCV48922.2021.00266",
    primitive=primitives.arctan,
    width=WIDTH,
    height=HEIGHT,
)
def arctan(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = (a/2) / (1 + (pi a x / 2)^2), a = 4/(pi width)."""
    return shapes.arctan(x, width, height)


@preset(
    "fast-sigmoid:paper",
    fidelity="official-code",
    note="beta / (1 + beta|x|)^2 at beta = 1/mV, 10 mV from rest to threshold: beta = 20 at v_th = 0.5. As "
    "in the authors' code (pub2018superspike on Auryn); the paper's formula has height 1 instead of beta",
    area=2.0,
    params={
        "width": Param(shapes.FAST_SIGMOID_FWHM / 20, per_threshold=1),
        "height": Param(20.0, per_threshold=-1),
    },
)
@method(
    "fast-sigmoid",
    paper="Zenke & Ganguli, SuperSpike, Neural Computation 2018",
    link="https://doi.org/10.1162/neco_a_01086",
    primitive=primitives.fast_sigmoid,
    width=WIDTH,
    height=HEIGHT,
)
def fast_sigmoid(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = (k/2) / (1 + k|x|)^2, k = 0.828/width."""
    return shapes.fast_sigmoid(x, width, height)


@method(
    "gaussian",
    paper="Yin, Corradi & Bohte, Effective and efficient computation with multiple-timescale spiking "
    "recurrent neural networks, ICONS 2020",
    link="https://doi.org/10.1145/3407197.3407225",
    primitive=primitives.gaussian,
    width=WIDTH,
    height=HEIGHT,
)
def gaussian(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = exp(-x^2 / (2 s^2)) / (s sqrt(2 pi)), s = width/2.355."""
    return shapes.gaussian(x, width, height)


@method(
    "multi-gaussian",
    paper="Yin, Corradi & Bohte, Accurate and efficient time-domain classification with adaptive spiking "
    "recurrent neural networks, Nat. Mach. Intell. 2021",
    link="https://doi.org/10.1038/s42256-021-00397-w",
    note="negative lobes: area 1 - c, as published; width is that of the positive centre",
    area=1 - shapes.LOBE_SHARE,
    primitive=primitives.multi_gaussian,
    width=WIDTH,
    height=HEIGHT,
)
def multi_gaussian(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = (1 + c) N(0, s^2) - c N(s, (6s)^2) - c N(-s, (6s)^2), c = 0.15, s = width/2.285."""
    return shapes.multi_gaussian(x, width, height)


@preset(
    "laplace:paper",
    fidelity="official-code",
    note="exp(-|x|/v_th) / v_th, so k = 2 and height 2 at v_th = 0.5: tauRho = 1 (in thresholds) and "
    "scaleRho = 1 of the authors' examples (slayerPytorch)",
    area=2.0,
    params={
        "width": Param(shapes.LAPLACE_FWHM / 2, per_threshold=1),
        "height": Param(2.0, per_threshold=-1),
    },
)
@method(
    "laplace",
    paper="Shrestha & Orchard, SLAYER: spike layer error reassignment in time, NeurIPS 2018",
    link="https://arxiv.org/abs/1810.08646",
    primitive=primitives.laplace,
    width=WIDTH,
    height=HEIGHT,
)
def laplace(x: Tensor, width: float, height: float | None) -> Tensor:
    """h(x) = (k/2) exp(-k|x|), k = 1.386/width."""
    return shapes.laplace(x, width, height)


@preset(
    "tanh:paper",
    note="b = 3 on a support of 1 at v_th = 0.5, constant; the paper adapts b in training",
    params={"width": Param(shapes.SECH2_FWHM / 3, per_threshold=1)},
)
@method(
    "tanh",
    paper="Li et al., Differentiable Spike: rethinking gradient-descent for training spiking neural "
    "networks, NeurIPS 2021",
    link="https://proceedings.neurips.cc/paper/2021/hash/c4ca4238a0b923820dcc509a6f75849b-Abstract.html",
    note="Dspike's shape with a constant temperature b",
    primitive=primitives.tanh,
    width=WIDTH,
    b=Param(3.0, search=(1.0, 6.0)),
    height=HEIGHT,
)
def tanh(x: Tensor, width: float, b: float, height: float | None) -> Tensor:
    """h(x) = b sech^2(bz) / (2 tanh(b/2)) / w, z = x/w in [-1/2, 1/2], w = width max(1, b/1.763)."""
    return shapes.tanh(x, width, b, height)


@method(
    "q-pseudo-spike",
    paper="Herranz-Celotti & Rouat, Stabilizing spiking neuron training, 2022",
    link="https://arxiv.org/abs/2202.00282",
    note="q = 1.56 is the default of the authors' code; q = 2 is the fast sigmoid",
    primitive=primitives.q_pseudo_spike,
    width=WIDTH,
    q=Param(1.56, search=(1.3, 6.0)),
    height=HEIGHT,
)
def q_pseudo_spike(x: Tensor, width: float, q: float, height: float | None) -> Tensor:
    """h(x) = k / (1 + 2k|x|/(q - 1))^q, k = (q - 1) (2^(1/q) - 1) / width."""
    return shapes.q_pseudo_spike(x, width, q, height)


@method(
    "leaky-rectangle",
    fidelity="library",
    paper="SpikingJelly, surrogate.PiecewiseLeakyReLU(w=1, c=0.01)",
    link="https://spikingjelly.readthedocs.io",
    note="the default is SpikingJelly's at v_th = 1: width 2, height 1/2, leak 0.01",
    area=None,
    primitive=primitives.leaky_rectangle,
    width=WIDTH,
    leak=Param(0.02, search=(0.002, 0.5), per_threshold=-1),
    height=HEIGHT,
)
def leaky_rectangle(x: Tensor, width: float, leak: float, height: float | None) -> Tensor:
    """h(x) = 1/width inside |x| < width/2, leak outside."""
    return shapes.leaky_rectangle(x, width, leak, height)


@method(
    "straight-through",
    paper="Bengio, Leonard & Courville, Estimating or propagating gradients through stochastic neurons for "
    "conditional computation, 2013",
    link="https://arxiv.org/abs/1308.3432",
    note="1 at v_th = 0.5, where the rectangle's height is 1 too",
    area=None,
    primitive=primitives.straight_through,
    height=Param(1.0, search=(0.1, 10.0), per_threshold=-1),
)
def straight_through(x: Tensor, height: float) -> Tensor:
    """h(x) = height, everywhere."""
    return shapes.straight_through(x, height)
