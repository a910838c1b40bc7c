"""The surrogate derivative h of one layer: where its potentials are, and over all of its range.

For every method h is what autograd delivers, whether it declares a shape or calls a library's function.
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
"""How far the range is looked at on both sides, in thresholds."""
POINTS = 2049
"""Of the range, 0 among them; they lie denser toward it, 1/40 of a threshold apart at its ends."""
FEW_POINTS = 129
"""Where neurons of one channel differ in their parameters: no more than half a batch of 256."""


class Derivative:
    """h in one layer.

    peak: at the last moment, the maximum of each neuron's h over the range and all that was seen; of a
    shape that broadcasts to [1, C, ...], one number where all neurons share one h.
    """

    def __init__(self, neuron: SpikingNeuron) -> None:
        self.neuron = neuron
        self.peak: Tensor
        self._curve: tuple[Tensor, Tensor] | None = None

    def at(self, moment: Moment) -> Tensor:
        """h(u - threshold), [B, C, ...]; looks at the range too."""
        params = {k: v.detach() if isinstance(v, Tensor) else v for k, v in moment.params.items()}
        threshold = moment.threshold
        x = moment.u.detach() - (threshold.detach() if isinstance(threshold, Tensor) else threshold)
        self._curve = self._over_range(x, moment.t, params)
        h = self._slope(x, moment.t, params, moment.noise)
        if self._curve is None:
            self.peak = h.amax(0, keepdim=True)
        else:
            highest = self._curve[1].amax(0, keepdim=True)
            # Neurons with the same h share what was seen of it.
            shared = [d for d in range(h.ndim) if d == 0 or highest.shape[d] == 1]
            self.peak = torch.maximum(highest, h.amax(shared, keepdim=True))
        return h

    def extent(self, moment: Moment) -> dict[str, Tensor]:
        """width: the parameter of this name, else the full width at half maximum. height: the maximum.

        Means over channels. No width under an activation, and NaN where h does not fall to half its
        maximum in the range.
        """
        height = {"height": self.peak.mean(dtype=torch.float64)}
        width = moment.params.get("width")
        if width is not None:
            return {"width": torch.as_tensor(width, dtype=torch.float64).detach().mean(), **height}
        if self._curve is None or type(self.neuron.surrogate).activation is not None:
            return height
        return {"width": _full_width(*self._curve).mean(), **height}

    def _over_range(self, x: Tensor, t: int, params: dict[str, Any]) -> tuple[Tensor, Tensor] | None:
        """Points [G] and h there, one curve for all, for each channel or for each neuron [G, C, ...].

        None where it cannot be told, as for a method that keeps something of the shape of its batch.
        """
        reach = REACH * self.neuron.threshold
        ones = [1 for _ in x.shape[2:]]
        for shape, points in (([1, *ones], POINTS), ([x.shape[1], *ones], POINTS), (x.shape[1:], FEW_POINTS)):
            if not all(_broadcasts(v, shape) for v in params.values() if isinstance(v, Tensor)):
                continue
            # In 16 bits neighbouring points would be one.
            dtype = torch.promote_types(x.dtype, torch.float32)
            even = torch.linspace(-1, 1, points, dtype=dtype, device=x.device)
            line = reach * even**3
            grid = line.view(-1, *(1 for _ in shape)).expand(-1, *shape).contiguous()
            try:
                # Some libraries' derivatives are NaN far from the threshold.
                return line, self._slope(grid, t, params, None).nan_to_num(0.0, 0.0, 0.0)
            except Exception:
                continue
        return None

    def _slope(self, x: Tensor, t: int, params: dict[str, Any], noise: Tensor | None) -> Tensor:
        """The derivative at x, of its shape; x must be nobody else's."""
        surrogate = self.neuron.surrogate
        activation = type(surrogate).activation
        with torch.enable_grad(), _as_it_was(surrogate):
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
    """Full width at half maximum around the maximum of each curve [G, ...] over points [G]; float64.

    The crossings lie on the line between two points. NaN where a curve does not fall to its half.
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
def _as_it_was(module: nn.Module) -> Iterator[None]:
    """A block after which a module holds what it held before, buffers among it."""
    kept = []
    for part in module.modules():
        state = vars(part)
        kept.append((state, {k: copy.copy(v) if isinstance(v, dict | list) else v for k, v in state.items()}))
        for name, buffer in part.named_buffers(recurse=False):
            # Written in place it would be another one for the pass that is under way.
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
