"""A single layer for one method, and its derivative there: evaluated, never typed in by hand.

The layer is tdBN and PLIF neurons, a setting that suits every method, in its initial state. The derivative is
what autograd delivers at t = 0 in evaluation, that is without noise, averaged over channels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.model.layers import Layers, NeuronOptions
from bench.model.neuron import SpikingNeuron
from bench.registry import missing_packages
from bench.surrogate import REFERENCE_THRESHOLD, Method, Values

CHANNELS = 2
FAR = 1e12
"""Limit of integration, in thresholds: beyond it even |x|^-1.3 has less than 1e-3 of its area."""
POINTS = 16001
MOST_POINTS = 200_000
Curve = Callable[[Tensor], Tensor]


class Probe(nn.Module):
    """One tdBN and one spiking layer under a method, in float64 unless converted.

    Raises any error that the method raises when it is built.
    """

    def __init__(
        self,
        method: Method,
        values: Mapping[str, float | None] | None = None,
        *,
        threshold: float = REFERENCE_THRESHOLD,
        timesteps: int = 2,
        seed: int = 0,
    ) -> None:
        super().__init__()
        options = NeuronOptions(neuron="plif", threshold=threshold)
        layers = Layers(
            "probe",
            lambda site: method.build(site, values or {}),
            options,
            timesteps=timesteps,
            epochs=2,
            seed=seed,
        )
        self.norm = layers.norm(CHANNELS)
        self.neuron: SpikingNeuron = layers.spike("layer", self.norm)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, CHANNELS] through norm and neuron."""
        out: Tensor = self.neuron(self.norm(x))
        return out

    def params(self, like: Tensor) -> Values:
        """The parameters at t = 0 for potentials as tdBN makes them: mean 0 and standard deviation v_th.

        What a method makes of the potentials before it compares them is left out.
        """
        levels = torch.linspace(0, 1, 1002, dtype=torch.float64, device=like.device)[1:-1]
        u = torch.special.ndtri(levels) * self.neuron.threshold
        u = u.to(like)[:, None].expand(-1, CHANNELS)
        # In the neuron's order: a method may measure in `threshold` what `params` returns.
        self.neuron.surrogate.threshold(u, 0)
        return self.neuron.surrogate.params(u, 0)

    def spikes(self, x: Tensor) -> Tensor:
        """[N] to [N, CHANNELS]."""
        wide = x[:, None].expand(-1, CHANNELS)
        return self.neuron.surrogate.spike(wide, 0, self.params(x), None)

    def gradient(self, x: Tensor) -> Tensor:
        """What autograd delivers at x, [N] to [N, CHANNELS]; zero if the spikes have no gradient."""
        wide = x[:, None].expand(-1, CHANNELS).clone().requires_grad_()
        out = self.neuron.surrogate.spike(wide, 0, self.params(x), None)
        if not out.requires_grad:
            return torch.zeros_like(wide)
        (gradient,) = torch.autograd.grad(out.sum(), wide)
        return gradient

    def declared(self, x: Tensor) -> Tensor | None:
        """The declared derivative at x, [N] to [N, CHANNELS]; None if there is none."""
        wide = x[:, None].expand(-1, CHANNELS)
        return self.neuron.surrogate.derivative(wide, self.params(x))


@contextmanager
def repeatable() -> Iterator[None]:
    """Forks and seeds torch's generator: some library gradients draw from it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def curve(
    method: Method, x: Tensor, values: Mapping[str, float | None] | None = None
) -> tuple[list[float | None], str]:
    """The derivative at x, [N], with None at points where it is not finite; and a problem, otherwise "".

    The problem says why there is no curve, or that the curve differs between evaluations.
    """
    if method.surrogate.activation is not None:
        return [], "no spikes, so no surrogate"
    try:
        with repeatable():
            probe = Probe(method, values).eval()
            h, again = (probe.gradient(x).mean(1) for _ in range(2))
    except (Exception, SystemExit) as problem:
        # A library function that cannot be called has no curve; that is a result too.
        return [], f"{type(problem).__name__}: {problem}"
    random = "" if torch.equal(h.nan_to_num(), again.nan_to_num()) else "random: another one at each look"
    return [value if math.isfinite(value) else None for value in h.tolist()], random


@dataclass(frozen=True)
class Properties:
    """Properties of a derivative at v_th = 0.5; None if it has no such number.

    height: h(0).
    fwhm: the width over which h is at least half its maximum, around that maximum.
    area: the integral of h.
    tail: the share of the area of |h| beyond |x| = 2 v_th.
    problem: why numbers are missing.
    """

    height: float | None = None
    fwhm: float | None = None
    area: float | None = None
    tail: float | None = None
    problem: str = ""


def properties(method: Method) -> Properties:
    """The properties of a method's derivative at its defaults."""
    if missing := missing_packages(method):
        return Properties(problem=f"{missing[0]} is not installed")
    if method.surrogate.activation is not None:
        return Properties(problem="no spikes, so no surrogate")
    try:
        with repeatable():
            probe = Probe(method).eval()
            near = torch.linspace(-2, 2, 9, dtype=torch.float64)
            if not torch.equal(probe.gradient(near).nan_to_num(), probe.gradient(near).nan_to_num()):
                return Properties(problem="random: another one at each look")
            return properties_of(lambda x: probe.gradient(x).mean(1))
    except (Exception, SystemExit) as problem:
        # A library function that cannot be called is a result too.
        return Properties(problem=f"{type(problem).__name__}: {problem}")


def properties_of(h: Curve) -> Properties:
    """The properties of a curve, [N] to [N] in float64."""
    x, y = _refined(h)
    height = h(torch.zeros(1, dtype=torch.float64)).item()
    finite = torch.isfinite(y)
    problem = "" if bool(finite.all()) else f"not finite at x = {_first(x[~finite]):g}"
    at_zero = height if torch.isfinite(torch.tensor(height)) else None
    fwhm = _fwhm(x, y)
    if problem:
        return Properties(at_zero, fwhm, problem=problem)
    inside = _integral(x, y.abs(), 1e-2 * FAR * REFERENCE_THRESHOLD)
    size = _integral(x, y.abs())
    # A summable tail has nothing left in the last two decades.
    if size - inside > 0.01 * size:
        return Properties(at_zero, fwhm, problem="no finite area")
    beyond = size - _integral(x, y.abs(), 2 * REFERENCE_THRESHOLD)
    return Properties(at_zero, fwhm, _integral(x, y), max(0.0, beyond / size) if size else None)


def _refined(h: Curve) -> tuple[Tensor, Tensor]:
    """Adaptive sampling: intervals are halved until each contributes little error."""
    end = torch.asinh(torch.tensor(FAR, dtype=torch.float64)).item()
    s = torch.linspace(-end, end, POINTS, dtype=torch.float64)
    cuts = torch.tensor([-2 * REFERENCE_THRESHOLD, 2 * REFERENCE_THRESHOLD], dtype=torch.float64)
    x = torch.cat([torch.sinh(s) * REFERENCE_THRESHOLD, cuts]).sort().values
    y = h(x)
    while len(x) < MOST_POINTS:
        error = y.diff().abs() * x.diff()
        split = error > 1e-7
        if not bool(split.any()):
            break
        new = ((x[1:] + x[:-1]) / 2)[split]
        x, order = torch.cat([x, new]).sort()
        y = torch.cat([y, h(new)])[order]
    return x, y


def _integral(x: Tensor, y: Tensor, within: float | None = None) -> float:
    inside = torch.ones_like(x, dtype=torch.bool) if within is None else x.abs() <= within
    return torch.trapezoid(y[inside], x[inside]).item()


def _fwhm(x: Tensor, y: Tensor) -> float | None:
    known = torch.nan_to_num(y, nan=-torch.inf)
    # Of equal maxima, take the one nearest to the threshold.
    top = known.max()
    if not bool(top > 0):
        return None
    at_top = torch.nonzero(known == top).flatten()
    peak = int(at_top[x[at_top].abs().argmin()])
    below = known < top / 2
    left, right = torch.nonzero(below[:peak]).flatten(), torch.nonzero(below[peak:]).flatten()
    if not len(left) or not len(right):
        return None
    i, j = int(left[-1]), peak + int(right[0])
    return _crossing(x, known, j - 1, j, top) - _crossing(x, known, i, i + 1, top)


def _crossing(x: Tensor, y: Tensor, i: int, j: int, top: Tensor) -> float:
    """Where the line between two points falls to half of `top`; the midpoint of a jump."""
    if not bool(torch.isfinite(y[i]) & torch.isfinite(y[j])):
        return ((x[i] + x[j]) / 2).item()
    share = (top / 2 - y[i]) / (y[j] - y[i])
    return (x[i] + share * (x[j] - x[i])).item()


def _first(x: Tensor) -> float:
    """The value nearest to 0."""
    return x[x.abs().argmin()].item()
