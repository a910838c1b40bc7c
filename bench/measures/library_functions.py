"""What a library's surrogate computes as it ships: shape, step, dtypes, and where it is not finite."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from bench.measures.single_layer import Probe, properties_of, repeatable
from bench.surrogate import Method

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
LOOKS = 8
"""How often spikes and gradient are compared to find out whether they are random."""
PER_DECADE = 200
SMALLEST = 1e-8
"""Gradients are looked at from here, or from the smallest normal number, to the largest of each dtype, on
both sides, and at both zeros."""


@dataclass(frozen=True)
class Measured:
    """What was measured of a library function at its defaults; None or "" where there is no such thing.

    version: of the library.
    height, fwhm, area: of h, in float64, over where h is finite; fwhm in units of the potential.
    at_threshold: the spike at x = 0, or "random".
    symmetric: whether h(-x) = h(x).
    random: "spikes", "gradient", "spikes and gradient", or "".
    dtypes: of the spikes, by dtype of the input.
    not_finite: at which finite x the gradient is not, by dtype.
    at_infinity: h(-inf) and h(inf) in float32.
    problem: the error that a call raises.
    """

    version: str
    height: float | None = None
    fwhm: float | None = None
    area: float | None = None
    at_threshold: str = ""
    symmetric: bool | None = None
    random: str = ""
    dtypes: dict[str, str] = field(default_factory=dict)
    not_finite: dict[str, str] = field(default_factory=dict)
    at_infinity: str = ""
    problem: str = ""


def measure(method: Method) -> Measured:
    """Measure the function of an installed library. Raises PackageNotFoundError if it is not installed."""
    version = importlib.metadata.version(method.requires[0])
    try:
        with repeatable():
            return _measure(Probe(method).eval(), version)
    except (Exception, SystemExit) as problem:
        # A library function that cannot be called is a result too.
        return Measured(version, problem=type(problem).__name__)


def _measure(probe: Probe, version: str) -> Measured:
    def h(x: Tensor) -> Tensor:
        return probe.gradient(x)[:, 0]

    near = torch.linspace(-2, 2, 9, dtype=torch.float64)
    drawn = [
        name
        for name, look in (("spikes", probe.spikes), ("gradient", probe.gradient))
        if _differs([look(near) for _ in range(LOOKS)])
    ]
    shape: dict[str, Any] = {}
    if "gradient" not in drawn:
        found = properties_of(lambda x: h(x).nan_to_num(0.0, 0.0, 0.0))
        # Off the round numbers: at a kink the two sides may differ.
        x = torch.linspace(0.0123, 5, 2000, dtype=torch.float64)
        right, left = h(x), h(-x)
        shape = {
            "height": found.height,
            "fwhm": found.fwhm,
            "area": found.area,
            "symmetric": bool(((right - left).abs() <= 1e-6 * right.abs().max()).all()),
        }
    zero = torch.zeros(1, dtype=torch.float64)
    return Measured(
        version,
        at_threshold="random" if "spikes" in drawn else f"{probe.spikes(zero)[0, 0].item():g}",
        random=" and ".join(drawn),
        dtypes={_name(d): _name(probe.spikes(zero.to(d)).dtype) for d in DTYPES},
        not_finite={_name(d): not_finite(h, d) for d in DTYPES},
        at_infinity="random"
        if "gradient" in drawn
        else " and ".join(_at(h, end) for end in (-math.inf, math.inf)),
        **shape,
    )


def _at(h: Callable[[Tensor], Tensor], x: float) -> str:
    """The gradient at one x in float32, or that there is an error."""
    try:
        return f"{h(torch.tensor([x])).item():.4g}".replace("nan", "NaN")
    except Exception:
        # Of which type depends on the process: its first torch.compile turns off torch's checks of arguments.
        return "an error"


def _differs(looks: Sequence[Tensor]) -> bool:
    return any(not torch.equal(look.nan_to_num(), looks[0].nan_to_num()) for look in looks)


def not_finite(h: Callable[[Tensor], Tensor], dtype: torch.dtype) -> str:
    """At which finite x the gradient h is not finite in a dtype, in words; "" if nowhere.

    h: [N] to [N]. Bounds have three digits and lie inside the range.
    """
    most, least = torch.finfo(dtype).max, max(SMALLEST, torch.finfo(dtype).smallest_normal)
    decades = math.log10(most) - math.log10(least)
    sizes = least * 10 ** torch.linspace(0, decades, int(decades * PER_DECADE), dtype=torch.float64)
    sizes = torch.cat([sizes.clamp(max=most), torch.tensor([1e4, most], dtype=torch.float64)]).sort().values
    sides: dict[int, tuple[str, str]] = {}
    for sign in (-1, 1):
        value = h((sign * sizes).to(dtype))
        bad = ~value.isfinite()
        if not bool(bad.any()):
            continue
        first = int(bad.nonzero()[0])
        kinds = [k for k, mask in (("NaN", value.isnan()), ("infinite", value.isinf())) if bool(mask.any())]
        what = f"{' or '.join(kinds)} for{'' if bool(bad[first:].all()) else ' some'}"
        sides[sign] = what, _onset(h, dtype, sign, sizes[max(first - 1, 0)].item(), sizes[first].item())
    if sides and sides.get(-1) == sides.get(1):
        texts = ["{} |x| >= {}".format(*sides[1])]
    else:
        texts = [f"{what} x {'<= -' if sign < 0 else '>= '}{bound}" for sign, (what, bound) in sides.items()]
    for zero in (-0.0, 0.0):
        at_zero = h(torch.tensor([zero], dtype=dtype)).item()
        if not math.isfinite(at_zero):
            texts.append(f"{at_zero:g} at x = {zero:g}".replace("nan", "NaN"))
    return ", ".join(texts)


def _onset(h: Callable[[Tensor], Tensor], dtype: torch.dtype, sign: int, good: float, bad: float) -> str:
    """The smallest |x|, between two, where h is not finite."""
    for _ in range(40):
        middle = good + (bad - good) / 2
        if bool(h(torch.tensor([sign * middle], dtype=dtype)).isfinite().all()):
            good = middle
        else:
            bad = middle
    size = 10.0 ** (math.floor(math.log10(bad)) - 2)
    # What is found by halving may lie a rounding error above a round number.
    return f"{math.ceil(bad / size - 1e-6) * size:.3g}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
