"""Every surrogate of spikingjelly.activation_based.surrogate, called as it ships, at its defaults.

Nothing is mended on the way. What a note says was found in SpikingJelly 2.0.0. `MultiLevelSpikeCount`
has no default for its one parameter, and is no row. The package is not among the dependencies of this
one: the extra `peers` installs it. It is imported when a network is built, so that a listing needs none.
"""

import math
from collections.abc import Mapping
from typing import ClassVar, get_args

from torch import Tensor

from bench.shapes import FAST_SIGMOID_FWHM, GAUSSIAN_FWHM, SIGMOID_FWHM
from bench.surrogate import Law, Site, Surrogate, Twin, Values, method

NO_PROBABILITY = "x is taken for a probability: one below 0 raises RuntimeError"


class _SpikingJelly(Surrogate):
    class_name: ClassVar[str]

    def bind(self, site: Site) -> None:
        from spikingjelly.activation_based import surrogate

        super().bind(site)
        self.function = getattr(surrogate, self.class_name)()

    def spike(self, x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        spikes: Tensor = self.function(x)
        return spikes


def _row(
    call: str,
    formula: str,
    *,
    twin: Twin,
    source: str = "",
    note: str = "",
    breaks: Mapping[str, str] | None = None,
) -> type[_SpikingJelly]:
    """The row of a class; call: with the defaults it ships with; source: what it cites, if anything."""
    name = call.split("(")[0]
    made = type(name, (_SpikingJelly,), {"__module__": __name__, "__doc__": formula, "class_name": name})
    declare = method(
        f"spikingjelly/{name}",
        # In the call, since a table beside it would be part of the code that results depend on.
        formula={
            "PiecewiseQuadratic": r"h(x) = \max(0, a - a^2 |x|), \quad a = 1",
            "PiecewiseExp": r"h(x) = \frac{a}{2} e^{-a |x|}, \quad a = 1",
            "Sigmoid": r"h(x) = a \sigma(a x) (1 - \sigma(a x)), \quad a = 4",
            "SoftSign": r"h(x) = \frac{a/2}{(1 + a |x|)^2}, \quad a = 2",
            "SuperSpike": r"h(x) = \frac{a}{(1 + |x|)^2}, \quad a = 1",
            "ATan": r"h(x) = \frac{a/2}{1 + (\pi a x / 2)^2}, \quad a = 2",
            "NonzeroSignLogAbs": r"h(x) = \frac{1}{1/a + |x|}, \quad a = 1",
            "Erf": r"h(x) = \frac{a}{\sqrt{\pi}} e^{-(a x)^2}, \quad a = 2",
            "PiecewiseLeakyReLU": r"h(x) = \begin{cases} 1/(2w) & |x| < w \\ c & |x| \geq w \end{cases}, "
            r"\quad w = 1, \quad c = 0.01",
            "SquarewaveFourierSeries": r"h(x) = \frac{4}{T} \cos\left(\frac{2 \pi x}{T}\right), \quad T = 8",
            "S2NN": r"h(x) = \begin{cases} a \sigma(a x) (1 - \sigma(a x)) & x < 0 \\ "
            r"b/(x + 1) & x \geq 0 \end{cases}, \quad a = 4, \quad b = 1",
            "QPseudoSpike": r"h(x) = \left(1 + \frac{2 |x|}{a - 1}\right)^{-a}, \quad a = 2",
            "LeakyKReLU": r"h(x) = \begin{cases} k & x \geq 0 \\ \mathrm{leak} & x < 0 \end{cases}, "
            r"\quad k = 1, \quad \mathrm{leak} = 0",
            "FakeNumericalGradient": r"h(x) = \min\left(\frac{1}{|x|}, a\right), \quad a = 0.3",
            "LogTailedReLU": r"h(x) = \begin{cases} a & x \leq 0 \\ 1 & 0 < x \leq 1 \\ 1/x & x > 1 "
            r"\end{cases}, \quad a = 0",
            "DeterministicPass": r"h(x) = 1",
            "PoissonPass": r"h(x) = 1",
            "Rect": r"h(x) = a \mathbf{1}\left(|x| < \frac{1}{2a}\right), \quad a = 1",
        }[name],
        kind="library",
        fidelity="library",
        paper=f"{source}, as in SpikingJelly's {call}" if source else f"SpikingJelly's {call}",
        link="https://spikingjelly.readthedocs.io",
        note=note,
        requires=["spikingjelly"],
        area=None,
        breaks=breaks,
        twin=twin,
    )
    return declare(made)


PiecewiseQuadratic = _row(
    "PiecewiseQuadratic(alpha=1)",
    "h(x) = max(0, a - a^2 |x|), a = 1.",
    source="Esser et al., PNAS 2016",
    twin=Twin("triangle", {"width": 1.0}),
)

PiecewiseExp = _row(
    "PiecewiseExp(alpha=1)",
    "h(x) = (a/2) e^(-a|x|), a = 1.",
    source="Shrestha & Orchard, SLAYER, NeurIPS 2018",
    twin=Twin("laplace", {"width": 2 * math.log(2)}),
)

Sigmoid = _row(
    "Sigmoid(alpha=4)",
    "h(x) = a sigmoid(ax) (1 - sigmoid(ax)), a = 4.",
    twin=Twin("sigmoid", {"width": SIGMOID_FWHM / 4}),
)

SoftSign = _row(
    "SoftSign(alpha=2)",
    "h(x) = (a/2) / (1 + a|x|)^2, a = 2.",
    source="Zenke & Ganguli, Neural Computation 2018",
    twin=Twin("fast-sigmoid", {"width": FAST_SIGMOID_FWHM / 2}),
)

SuperSpike = _row(
    "SuperSpike(alpha=1)",
    "h(x) = a / (1 + |x|)^2, a = 1.",
    source="Zenke & Ganguli, Neural Computation 2018",
    note="alpha is the height: area 2 alpha",
    twin=Twin("fast-sigmoid", {"width": FAST_SIGMOID_FWHM, "height": 1.0}),
)

ATan = _row(
    "ATan(alpha=2)",
    "h(x) = (a/2) / (1 + (pi a x / 2)^2), a = 2.",
    twin=Twin("arctan", {"width": 4 / (math.pi * 2)}),
)

NonzeroSignLogAbs = _row(
    "NonzeroSignLogAbs(alpha=1)",
    "h(x) = 1 / (1/a + |x|), a = 1.",
    note="it falls as 1/|x|: no finite area",
    twin=Twin(why="it falls as 1/|x|"),
)

Erf = _row(
    "Erf(alpha=2)",
    "h(x) = a exp(-(a x)^2) / sqrt(pi), a = 2.",
    source="Yin et al., ICONS 2020",
    twin=Twin("gaussian", {"width": GAUSSIAN_FWHM / (2 * math.sqrt(2))}),
)

PiecewiseLeakyReLU = _row(
    "PiecewiseLeakyReLU(w=1, c=0.01)",
    "h(x) = 1/(2w) where |x| < w, else c; w = 1, c = 0.01.",
    twin=Twin("leaky-rectangle", {"width": 2.0, "leak": 0.01}),
)

SquarewaveFourierSeries = _row(
    "SquarewaveFourierSeries(n=2, T_period=8)",
    "h(x) = (4/T) cos(2 pi x / T), T = 8.",
    note="n = 2 sums one term: a cosine of period 8, negative for 2 < |x| < 6",
    twin=Twin(why="negative for 2 < |x| < 6, and periodic"),
)

S2NN = _row(
    "S2NN(alpha=4, beta=1)",
    "h(x) = a sigmoid(ax) (1 - sigmoid(ax)) where x < 0, else b / (x + 1); a = 4, b = 1.",
    source="Suetake et al., S2NN, 2022",
    note="no finite area",
    twin=Twin(why="not symmetric"),
)

QPseudoSpike = _row(
    "QPseudoSpike(alpha=2)",
    "h(x) = (1 + 2|x| / (a - 1))^(-a), a = 2.",
    source="Herranz-Celotti & Rouat, Surrogate Gradients Design, 2022",
    twin=Twin("q-pseudo-spike", {"width": math.sqrt(2) - 1, "q": 2.0}),
)

LeakyKReLU = _row(
    "LeakyKReLU(leak=0, k=1)",
    "h(x) = k where x >= 0, else leak; k = 1, leak = 0.",
    twin=Twin(why="one-sided: no gradient at all below the threshold"),
)

FakeNumericalGradient = _row(
    "FakeNumericalGradient(alpha=0.3)",
    "h(x) = min(1/|x|, a), a = 0.3.",
    note="it falls as 1/|x|: no finite area",
    breaks={"finite": "at x = -0 it divides 1 by -0: -inf, which the limit from above lets through"},
    twin=Twin(why="it falls as 1/|x|"),
)

LogTailedReLU = _row(
    "LogTailedReLU(alpha=0)",
    "h(x) = a where x <= 0, 1 up to x = 1, then 1/x; a = 0.",
    source="Cai et al., Deep Learning with Low Precision by Half-wave Gaussian Quantization, CVPR 2017",
    twin=Twin(why="one-sided: no gradient at all below the threshold"),
)

DeterministicPass = _row(
    "DeterministicPass()",
    "h(x) = 1.",
    twin=Twin("straight-through", {"height": 1.0}),
)

PoissonPass = _row(
    "PoissonPass()",
    "h(x) = 1; x itself is the probability of a spike, and must lie in [0, 1].",
    note="made for inputs that are rates: a potential below the threshold raises RuntimeError",
    breaks={law: NO_PROBABILITY for law in get_args(Law) if law != "derivative"},
    twin=Twin(why=NO_PROBABILITY),
)

Rect = _row(
    "Rect(alpha=1)",
    "h(x) = a 1(|x| < 1/(2a)), a = 1.",
    twin=Twin("rectangle", {"width": 1.0}),
)
