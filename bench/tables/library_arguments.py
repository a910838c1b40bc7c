"""The arguments with which other libraries compute the shapes of this project at a given width.

width: full width at half maximum, in units of the potential. tests/bench/tables/test_library_arguments.py
compares each with the library's own gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Argument:
    """How a library gets a shape.

    call: the surrogate, with `{}` for the number. number: that number at a width. height: by which factor the
    library's gradient is higher than the one here, whose area is 1; it acts as a learning rate on each layer.
    """

    call: str
    number: Callable[[float], float]
    height: Callable[[float], float] = lambda width: 1.0

    def text(self, width: float) -> str:
        """The call at this width."""
        return self.call.format(f"{self.number(width):.4g}")


def _fast_sigmoid(width: float) -> float:
    """C of h(x) = (c/2) / (1 + c|x|)^2."""
    return 2 * (math.sqrt(2) - 1) / width


def _sigmoid(width: float) -> float:
    """A of h(x) = a s(ax) (1 - s(ax))."""
    return 2 * math.log(3 + 2 * math.sqrt(2)) / width


def _arctan(width: float) -> float:
    """A of h(x) = (a/2) / (1 + (pi a x / 2)^2)."""
    return 4 / (math.pi * width)


def _gaussian(width: float) -> float:
    """A of h(x) = a / sqrt(pi) exp(-a^2 x^2)."""
    return 2 * math.sqrt(math.log(2)) / width


ARGUMENTS: dict[str, dict[str, Argument]] = {
    "snntorch": {
        "arctan": Argument("spike_grad=surrogate.atan(alpha={})", _arctan),
        "fast-sigmoid": Argument(
            "spike_grad=surrogate.fast_sigmoid(slope={})",
            _fast_sigmoid,
            lambda width: 2 / _fast_sigmoid(width),
        ),
        "sigmoid": Argument("spike_grad=surrogate.sigmoid(slope={})", _sigmoid),
    },
    "SpikingJelly": {
        "arctan": Argument("surrogate_function=surrogate.ATan(alpha={})", _arctan),
        "fast-sigmoid": Argument("surrogate_function=surrogate.SoftSign(alpha={})", _fast_sigmoid),
        "sigmoid": Argument("surrogate_function=surrogate.Sigmoid(alpha={})", _sigmoid),
        "gaussian": Argument("surrogate_function=surrogate.Erf(alpha={})", _gaussian),
        "triangle": Argument(
            "surrogate_function=surrogate.PiecewiseQuadratic(alpha={})", lambda width: 1 / width
        ),
        "rectangle": Argument(
            "surrogate_function=surrogate.PiecewiseLeakyReLU(w={}, c=0)", lambda width: width / 2
        ),
    },
    # Its "super" computes 1 / (1 + |x|)^2 whatever alpha is, and its "triangle" is always 1 wide.
    "norse": {
        "sigmoid": Argument(
            'method="tanh", alpha={}', lambda width: _sigmoid(width) / 2, lambda width: 4 / _sigmoid(width)
        ),
        "gaussian": Argument('method="heavi_erfc", alpha={}', _gaussian, lambda width: 2 / _gaussian(width)),
    },
}
"""By library and shape; a library that has no such shape lacks it here. `bench.loop` gives any method to
snntorch and SpikingJelly."""
