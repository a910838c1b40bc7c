"""The surrogate derivative h of one layer: at its potentials, and over its whole range.

h is always what autograd delivers, whether a method declares a shape or calls a library function.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from bench.model.neuron import Moment, SpikingNeuron

REACH = 8.0
"""Half-width of the sampled range, in thresholds."""
POINTS = 2049
"""Points in the range, including 0. They are denser toward 0; at the ends they are 1/40 of a threshold apart.
"""
FEW_POINTS = 129
"""Points if neurons within one channel differ in their parameters: at most half a batch of 256."""


class Derivative:
    """h in one layer.

    peak: the maximum of each neuron's h over the range and all potentials seen, at the last moment. Its shape
    broadcasts to [1, C, ...]; a single number if all neurons share one h.
    """

    def __init__(self, neuron: SpikingNeuron) -> None:
        self.neuron = neuron
        self.peak: Tensor
        self._curve: tuple[Tensor, Tensor] | None = None

    def at(self, moment: Moment) -> Tensor:
        """h(u - threshold), [B, C, ...]. Also samples the range."""
        params = {k: v.detach() if isinstance(v, Tensor) else v for k, v in moment.params.items()}
        threshold = moment.threshold
        x = moment.u.detach() - (threshold.detach() if isinstance(threshold, Tensor) else threshold)
        self._curve = self._over_range(x, moment.t, params)
        h = self._slope(x, moment.t, params, moment.noise)
        if self._curve is None:
            self.peak = h.amax(0, keepdim=True)
        else:
            highest = self._curve[1].amax(0, keepdim=True)
            # Neurons that share one h also share its observed maximum.
            shared = [d for d in range(h.ndim) if d == 0 or highest.shape[d] == 1]
            self.peak = torch.maximum(highest, h.amax(shared, keepdim=True))
        return h

    def extent(self, moment: Moment) -> dict[str, Tensor]:
        """Width and height of h, averaged over channels.

        width: the parameter of this name, otherwise the full width at half maximum. Absent under an
            activation; NaN if h does not fall to half its maximum within the range.
        height: the maximum of h.
        """
        height = {"height": self.peak.mean(dtype=torch.float64)}
        width = moment.params.get("width")
        if width is not None:
            return {"width": torch.as_tensor(width, dtype=torch.float64).detach().mean(), **height}
        if self._curve is None or type(self.neuron.surrogate).activation is not None:
            return height
        return {"width": _full_width(*self._curve).mean(), **height}

    def _over_range(self, x: Tensor, t: int, params: dict[str, Any]) -> tuple[Tensor, Tensor] | None:
        """Points [G] and h there: one curve for all neurons, per channel, or per neuron, [G, C, ...].

        None if it cannot be evaluated, for example if a method stores a tensor of the shape of its batch.
        """
        reach = REACH * self.neuron.threshold
        ones = [1 for _ in x.shape[2:]]
        for shape, points in (([1, *ones], POINTS), ([x.shape[1], *ones], POINTS), (x.shape[1:], FEW_POINTS)):
            if not all(_broadcasts(v, shape) for v in params.values() if isinstance(v, Tensor)):
                continue
            # In 16 bits neighbouring points would coincide.
            dtype = torch.promote_types(x.dtype, torch.float32)
            even = torch.linspace(-1, 1, points, dtype=dtype, device=x.device)
            line = reach * even**3
            grid = line.view(-1, *(1 for _ in shape)).expand(-1, *shape).contiguous()
            try:
                # Some library derivatives are NaN far from the threshold.
                return line, self._slope(grid, t, params, None).nan_to_num(0.0, 0.0, 0.0)
            except Exception:
                continue
        return None

    def _slope(self, x: Tensor, t: int, params: dict[str, Any], noise: Tensor | None) -> Tensor:
        """The derivative at x, of the shape of x. The caller must own x: it is set to require gradients."""
        surrogate = self.neuron.surrogate
        activation = type(surrogate).activation
        with torch.enable_grad(), as_it_was(surrogate):
            out = (
                activation(x.requires_grad_())
                if activation is not None
                else surrogate.spike(x.requires_grad_(), t, params, noise)
            )
            if out.shape != x.shape:
                raise ValueError(f"spikes of shape {tuple(out.shape)} where x has {tuple(x.shape)}")
            if not out.requires_grad:
                return torch.zeros_like(x)
            (h,) = torch.autograd.grad(out, x, torch.ones_like(out[:1, :1]).expand_as(out), allow_unused=True)
        return torch.zeros_like(x) if h is None else h


def _full_width(x: Tensor, curve: Tensor) -> Tensor:
    """Full width at half maximum around the peak of each curve [G, ...] over points [G]; float64.

    Crossings are interpolated linearly. NaN if a curve does not fall to half its maximum.
    """
    curve = curve.double().flatten(1)
    x = x.double()
    highest, peak = curve.max(0)
    number = torch.arange(len(x), device=x.device)[:, None]
    below = curve < highest / 2
    left = torch.where(below & (number < peak), number, -1).amax(0)
    right = torch.where(below & (number > peak), number, len(x)).amin(0)
    falls = (left >= 0) & (right < len(x)) & (highest > 0)

    def crossing(outside: Tensor, inside: Tensor) -> Tensor:
        outside, inside = outside.clamp(0, len(x) - 1), inside.clamp(0, len(x) - 1)
        out, there = curve.gather(0, outside[None])[0], curve.gather(0, inside[None])[0]
        return x[outside] + (x[inside] - x[outside]) * (highest / 2 - out) / (there - out)

    return torch.where(falls, crossing(right, right - 1) - crossing(left, left + 1), torch.nan)


@contextmanager
def as_it_was(module: nn.Module) -> Iterator[None]:
    """Restores a module's state on exit, buffers included."""
    kept = []
    for part in module.modules():
        state = vars(part)
        kept.append((state, {k: copy.copy(v) if isinstance(v, dict | list) else v for k, v in state.items()}))
        for name, buffer in part.named_buffers(recurse=False):
            # Clone: an in-place write would change the buffer that the current pass uses.
            part._buffers[name] = buffer.clone()
    try:
        yield
    finally:
        for state, before in kept:
            state.clear()
            state.update(before)


def _broadcasts(value: Tensor, shape: Any) -> bool:
    """Whether a parameter fits x of shape [G, *shape] without widening it."""
    try:
        return tuple(torch.broadcast_shapes(value.shape, (1, *shape))) == (1, *shape)
    except RuntimeError:
        return False
