"""Every surrogate of snntorch.surrogate, called as it ships, at its defaults.

Nothing is mended on the way, neither H(0) = 0 nor the float32 that comes out whatever goes in, nor
what fails. What a note says was found in snntorch 1.0.0. `custom_surrogate` wraps a function of the
user's own and is no row. The package is imported when a network is built, so that a listing needs none.
"""

import math
from collections.abc import Mapping
from typing import ClassVar, get_args

from torch import Tensor

from bench.shapes import FAST_SIGMOID_FWHM, SIGMOID_FWHM
from bench.surrogate import Law, Site, Surrogate, Twin, Values, method

AS_SHIPPED = {
    "forward": "H(0) = 0 as shipped",
    "dtype": "float32 comes out, whatever goes in",
}


class _Snntorch(Surrogate):
    function_name: ClassVar[str]

    def bind(self, site: Site) -> None:
        from snntorch import surrogate

        super().bind(site)
        self.function = getattr(surrogate, self.function_name)()

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
) -> type[_Snntorch]:
    """The row of a function; call: with the defaults it ships with; source: what it cites, if anything."""
    name = call.split("(")[0]
    made = type(name, (_Snntorch,), {"__module__": __name__, "__doc__": formula, "function_name": name})
    declare = method(
        f"snntorch/{name}",
        # In the call, since a table beside it would be part of the code that results depend on.
        formula={
            "atan": r"h(x) = \frac{a/2}{1 + (\pi a x / 2)^2}, \quad a = 2",
            "fast_sigmoid": r"h(x) = \frac{1}{(1 + k |x|)^2}, \quad k = 25",
            "heaviside": r"h(x) = \mathbf{1}(x > 0)",
            "LSO": r"h(x) = \begin{cases} 1 & x > 0 \\ 0.1 & x \leq 0 \end{cases}",
            "SFS": r"h(x) = \frac{\mathbf{1}(x > B)}{(1 + k |x|)^2}, \quad k = 25, \quad B = 1",
            "sigmoid": r"h(x) = \frac{k e^{-k x}}{(1 + e^{-k x})^2}, \quad k = 25",
            "spike_rate_escape": r"h(x) = k e^{-b |x - 1|}, \quad k = 25, \quad b = 1",
            "SSO": r"h(x) = \begin{cases} 1 & x > 0 \\ U(-0.1, 0.1) & x \leq 0 \end{cases}",
            "straight_through_estimator": r"h(x) = 1",
            "triangular": r"h(x) = \begin{cases} 1 & x < 0 \\ -1 & x \geq 0 \end{cases}",
        }[name],
        kind="library",
        fidelity="library",
        paper=f"{source}, as in snntorch.surrogate.{call}" if source else f"snntorch.surrogate.{call}",
        link="https://snntorch.readthedocs.io",
        note=note,
        requires=["snntorch"],
        area=None,
        breaks={**AS_SHIPPED, **(breaks or {})},
        twin=twin,
    )
    return declare(made)


atan = _row(
    "atan(alpha=2)",
    "h(x) = (a/2) / (1 + (pi a x / 2)^2), a = 2.",
    source="Fang et al., ICCV 2021",
    twin=Twin("arctan", {"width": 4 / (math.pi * 2)}),
)

fast_sigmoid = _row(
    "fast_sigmoid(slope=25)",
    "h(x) = 1 / (1 + k|x|)^2, k = 25.",
    source="Zenke & Ganguli, Neural Computation 2018",
    note="h(0) = 1, so the area is 2/k = 0.08",
    twin=Twin("fast-sigmoid", {"width": FAST_SIGMOID_FWHM / 25, "height": 1.0}),
)

heaviside = _row(
    "heaviside()",
    "h(x) = 1(x > 0).",
    twin=Twin(why="one-sided: no gradient at all below the threshold"),
)

lso = _row(
    "LSO(slope=0.1)",
    "h(x) = 1 where x > 0, else 0.1, as documented; as shipped every call raises TypeError.",
    note="as shipped in 1.0.0 every call raises TypeError: it calls SSO's function without its last argument",
    breaks={law: "every call raises TypeError" for law in get_args(Law) if law != "derivative"},
    twin=Twin(why="every call raises TypeError"),
)

sfs = _row(
    "SFS(slope=25, B=1)",
    "h(x) = 1(x > B) / (1 + k|x|)^2, k = 25, B = 1.",
    source="Perez-Nieves & Goodman, Sparse Spiking Gradient Descent, NeurIPS 2021",
    note="no gradient below x = 1, that is below a potential of v_th + 1",
    twin=Twin(why="one-sided: zero up to x = 1"),
)

sigmoid = _row(
    "sigmoid(slope=25)",
    "h(x) = k e^(-kx) / (1 + e^(-kx))^2, k = 25.",
    source="Zenke & Ganguli, Neural Computation 2018",
    note="as shipped in 1.0.0 it overflows to NaN for x <= -3.5 in float32",
    breaks={
        "finite": "e^(-kx) overflows: NaN for x <= -3.5 in float32",
        "training": "x <= -3.5 occurs, and its NaN reaches the weights",
    },
    twin=Twin("sigmoid", {"width": SIGMOID_FWHM / 25}),
)

spike_rate_escape = _row(
    "spike_rate_escape(beta=1, slope=25)",
    "h(x) = k e^(-b|x - 1|), k = 25, b = 1.",
    source="Gerstner & Kistler, Spiking Neuron Models, 2002",
    note="it peaks at x = 1, not at the threshold: h(0) = 9.2, h(1) = 25",
    twin=Twin(why="not symmetric: it peaks at x = 1"),
)

sso = _row(
    "SSO(mean=0, variance=0.2)",
    "h(x) = 1 where x > 0, else uniform noise in [-0.1, 0.1).",
    note="stochastic: below the threshold the gradient is noise from torch's global generator",
    breaks={"deterministic": "its noise depends on what others draw from torch's global generator"},
    twin=Twin(why="stochastic below the threshold"),
)

straight_through_estimator = _row(
    "straight_through_estimator()",
    "h(x) = 1.",
    twin=Twin("straight-through", {"height": 1.0}),
)

triangular = _row(
    "triangular(threshold=1)",
    "h(x) = 1 where x < 0, else -1.",
    note="as shipped in 1.0.0 it is no triangle: constant, and negative from the threshold on",
    twin=Twin(why="negative from the threshold on"),
)
