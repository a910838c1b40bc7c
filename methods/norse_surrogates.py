"""Every surrogate of norse.torch.functional.threshold, called as it ships, with alpha = 100.

`threshold(x, NAME, alpha)` is what a norse neuron calls for the method NAME of its parameters, 100 the
alpha that these ship with. It reaches all but the two stochastic functions, which are called by
themselves. Nothing is mended on the way: H(0) = 0, and alpha is sharpness, height, width or nothing,
as the function has it. What a note says was found in norse 1.1.0. The package is imported when a
network is built, so that a listing needs none.
"""

import math
import warnings
from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from bench.shapes import FAST_SIGMOID_FWHM, GAUSSIAN_FWHM, SIGMOID_FWHM
from bench.surrogate import Changes, Site, Surrogate, Twin, Values, method

ALPHA = 100
"""LIFBoxParameters().alpha in norse 1.1.0; here for the conversions, what is called reads it there."""

OVERFLOW = {"finite": "x^2 overflows in float16: NaN for |x| >= 256"}


class _Norse(Surrogate):
    call: ClassVar[tuple[str, ...]]

    def bind(self, site: Site) -> None:
        # norse makes its defaults, as tensors, when it is imported: a plan does so on the device "meta",
        # where they would have no values.
        with warnings.catch_warnings(), torch.device("cpu"):
            # norse 1.1.0 compiles functions with torch.jit.script when it is imported.
            warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
            from norse.torch.functional import threshold
            from norse.torch.functional.lif_box import LIFBoxParameters

        super().bind(site)
        function, *self.arguments = self.call
        self.function, self.alpha = getattr(threshold, function), LIFBoxParameters().alpha

    def spike(self, x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        spikes: Tensor = self.function(x, *self.arguments, self.alpha)
        return spikes


def _row(
    name: str,
    formula: str,
    *call: str,
    twin: Twin,
    source: str = "",
    note: str = "",
    changes: Changes = "gradient",
    breaks: Mapping[str, str] | None = None,
) -> type[_Norse]:
    """A row; call: the function, and what goes between x and alpha; source: what it cites, if anything."""
    made = type(name, (_Norse,), {"__module__": __name__, "__doc__": formula, "call": call})
    arguments = ", ".join(["x", *(f"'{a}'" for a in call[1:]), f"alpha={ALPHA}"])
    shipped = f"norse's {call[0]}({arguments})"
    declare = method(
        f"norse/{name}",
        # In the call, since a table beside it would be part of the code that results depend on.
        formula={
            "superspike": r"h(x) = \frac{1}{(1 + |x|)^2}",
            "triangle": r"h(x) = a \max(0, 1 - |x|), \quad a = 100",
            "tanh": r"h(x) = 1 - \tanh^2(a x), \quad a = 100",
            "circ": r"h(x) = \left(1 + (x/a)^2\right)^{-3/2}, \quad a = 100",
            "heavi_erfc": r"h(x) = \frac{2}{\sqrt{\pi}} e^{-(a x)^2}, \quad a = 100",
            "heaviside": r"h(x) = 0",
            "logistic": r"h(x) = 1 - \tanh^2(a x), \quad a = 100",
            "circ_dist": r"h(x) = \left(1 + (x/a)^2\right)^{-3/2}, \quad a = 100",
        }[name],
        kind="library",
        changes=changes,
        fidelity="library",
        paper=f"{source}, as in {shipped}" if source else shipped,
        link="https://norse.github.io/norse",
        note=note,
        requires=["norse"],
        area=None,
        breaks={"forward": "H(0) = 0 as shipped", **(breaks or {})},
        twin=twin,
    )
    return declare(made)


superspike = _row(
    "superspike",
    "h(x) = 1 / (1 + |x|)^2 as shipped; documented as 1 / (alpha |x| + 1)^2, alpha = 100.",
    "threshold",
    "super",
    source="Zenke & Ganguli, Neural Computation 2018",
    note="norse 1.1.0 computes 1/(1 + |x|)^2 whatever alpha is: area 2",
    twin=Twin("fast-sigmoid", {"width": FAST_SIGMOID_FWHM, "height": 1.0}),
)

triangle = _row(
    "triangle",
    "h(x) = a max(0, 1 - |x|), a = 100.",
    "threshold",
    "triangle",
    source="Esser et al., PNAS 2016; Bellec et al., Nature Communications 2020",
    note="alpha is the height: at its default of 100 the area is 100; triangle_fn's own default is 0.3",
    breaks={"training": "a height of 100 in every layer: in 20 steps the loss rises"},
    twin=Twin("triangle", {"width": 1.0, "height": ALPHA}),
)

tanh = _row(
    "tanh",
    "h(x) = 1 - tanh(a x)^2, a = 100.",
    "threshold",
    "tanh",
    note="alpha is the sharpness, the height is 1: area 2/alpha = 0.02",
    twin=Twin("sigmoid", {"width": SIGMOID_FWHM / (2 * ALPHA), "height": 1.0}),
)

circ = _row(
    "circ",
    "h(x) = 1 / (1 + (x/a)^2)^(3/2), a = 100.",
    "threshold",
    "circ",
    note="alpha is the width: at its default of 100 a straight-through estimator to 0.4% for |x| < 5",
    breaks=OVERFLOW,
    twin=Twin(why="the power 3/2 of 1 + (x/alpha)^2, where arctan has 1"),
)

heavi_erfc = _row(
    "heavi_erfc",
    "h(x) = 2 exp(-(a x)^2) / sqrt(pi), a = 100.",
    "threshold",
    "heavi_erfc",
    note="alpha is the sharpness, the height is 2/sqrt(pi): area 2/alpha = 0.02",
    twin=Twin(
        "gaussian",
        {"width": GAUSSIAN_FWHM / (ALPHA * math.sqrt(2)), "height": 2 / math.sqrt(math.pi)},
    ),
)

heaviside = _row(
    "heaviside",
    "h(x) = 0.",
    "threshold",
    "heaviside",
    note="no surrogate at all: what training without a gradient through the spikes gives",
    breaks={"training": "no gradient at all: only the readout could learn, which is frozen"},
    twin=Twin(why="no gradient at all"),
)

logistic = _row(
    "logistic",
    "h(x) = 1 - tanh(a x)^2, a = 100.",
    "logistic_fn",
    note="stochastic: spikes with probability (1 + tanh(a x))/2, from torch's global generator",
    changes="forward",
    breaks={
        "forward": "spikes are drawn with probability (1 + tanh(a x))/2",
        "deterministic": "spikes are drawn in evaluation too",
    },
    twin=Twin(why="its spikes are random; h alone equals that of norse/tanh"),
)

circ_dist = _row(
    "circ_dist",
    "h(x) = 1 / (1 + (x/a)^2)^(3/2), a = 100.",
    "circ_dist_fn",
    note="stochastic: spikes with probability (1 + x / sqrt(x^2 + a^2))/2, at a = 100 nearly 1/2 for any x",
    changes="forward",
    breaks={
        "forward": "spikes are drawn with probability (1 + x / sqrt(x^2 + a^2))/2",
        "deterministic": "spikes are drawn in evaluation too",
        "training": "a spike at a = 100 is a coin that hardly knows of x",
        **OVERFLOW,
    },
    twin=Twin(why="its spikes are random; h alone equals that of norse/circ"),
)
