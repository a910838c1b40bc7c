"""Counts spikes, synaptic operations and MACs during inference, and estimates energy.

A synaptic operation is one spike that reaches one weight: an addition. An activation that is a whole number n
counts as n spikes, as in the sum of spikes over a shortcut. Means and average pools are folded into the
weights that follow: the spikes count, not their averages. A layer fed by real numbers multiplies: each of its
inputs, zero or not, times each weight that it reaches is a MAC. At image borders an input reaches fewer
weights; padding reaches none. Biases, norms (folded into the weights) and the neurons themselves are not
counted. See docs/cost.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.measures.spike_counts import Following, Mark
from bench.model.backbone import Network
from bench.model.neuron import Moment

PICOJOULE_PER_MAC = 4.6
PICOJOULE_PER_SOP = 0.9
"""A multiplication (3.7) with an addition (0.9), and an addition alone; 32-bit floating point, 45 nm.

Horowitz, Computing's energy problem (and what we can do about it), ISSCC 2014, fig. 1.1.9.
"""
ROWS = 256
"""So many rows are summed in float32, which is exact for values below 2**16; these sums are added in float64.
"""


class Counts:
    """Totals so far, over all samples. Whole numbers, exact in float64 up to 2**53."""

    def __init__(self) -> None:
        self.samples = 0
        # Moves to the network's device with the first operation.
        self.spikes = self.sops = self.macs = torch.zeros((), dtype=torch.float64)

    def per_sample(self) -> dict[str, float]:
        """The columns of the record; energy is an estimate, in microjoules.

        Raises ValueError if no sample has been counted.
        """
        if not self.samples:
            raise ValueError("nothing has been counted: the network has seen no sample")
        spikes, sops, macs = (float(n) / self.samples for n in (self.spikes, self.sops, self.macs))
        return {
            "spikes_per_sample": spikes,
            "sops_per_sample": sops,
            "macs_per_sample": macs,
            "energy_uj": (PICOJOULE_PER_MAC * macs + PICOJOULE_PER_SOP * sops) * 1e-6,
        }


@contextmanager
def counting(network: Network) -> Iterator[Counts]:
    """Count the operations inside the network, in evaluation mode and without gradients.

    The network's outputs do not change, and its state is restored on exit. A neuron's own observer is still
    called. Raises BenchError if an operation cannot be counted.
    """
    counts = Counts()
    following = Following(partial(_count_layer, counts))
    observers = [(neuron, neuron.observer) for neuron in network.neurons]
    hook = network.register_forward_pre_hook(partial(_enter, counts, following))
    try:
        for neuron, before in observers:
            if type(neuron.surrogate).activation is None:
                neuron.observer = partial(_observe, counts, following, before)
        with following:
            yield counts
    finally:
        hook.remove()
        for neuron, before in observers:
            neuron.observer = before


def _enter(counts: Counts, following: Following, network: nn.Module, inputs: tuple[Any, ...]) -> None:
    (x,) = inputs
    assert isinstance(network, Network)
    counts.samples += len(x)
    # Pixel values are real numbers even if they happen to be whole. So are all values in a network without
    # spikes, which cannot make use of events.
    spiking = any(type(surrogate).activation is None for surrogate in network.surrogates)
    if spiking and network.is_events(x):
        following.mark(x, Mark(_is_whole(x), x.abs().double()))


def _observe(
    counts: Counts, following: Following, before: Callable[[Moment], None] | None, moment: Moment
) -> None:
    with torch.no_grad():
        s, out = moment.s, moment.out
        whole = _is_whole(s)
        counts.spikes = counts.spikes + torch.where(whole, _over_rows(s.abs(), 0).sum(), 0)
        if out is s:
            following.mark(out, Mark(whole))
        else:
            following.mark(out, Mark(whole & _is_scaled(out, s), s.abs()))
    if before is not None:
        before(moment)


def _is_whole(x: Tensor) -> Tensor:
    """Whether all values are whole numbers, as a tensor: no synchronisation."""
    return x.frac().abs_().sum() == 0


def _is_scaled(out: Tensor, s: Tensor) -> Tensor:
    """Whether [B, C, ...] is s times one constant per channel, up to sign and rounding."""
    out, s = out.abs(), s.abs()
    others = [d for d in range(s.ndim) if d != 1]
    most = out.amax(others, keepdim=True)
    constant = most / s.amax(others, keepdim=True).clamp(min=1)
    off = (s * constant).sub_(out).abs_().amax(others, keepdim=True)
    return (off <= 4 * torch.finfo(s.dtype).eps * most).all()


def _count_layer(
    counts: Counts, name: str, x: Tensor, mark: Mark | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    fan = (_fan_of_linear if name == "linear" else _fan_of_convolution)(*args, **kwargs)
    macs = x.numel() // fan.reached.numel() * fan.total
    if mark is None:
        counts.macs = counts.macs + macs
        return
    with torch.no_grad():
        spikes = _over_rows(x.abs() if mark.counts is None else mark.counts, fan.reached.ndim)
        counts.sops = counts.sops + torch.where(mark.whole, (spikes * fan.reached).sum(), 0)
        counts.macs = counts.macs + torch.where(mark.whole, 0, macs)


def _over_rows(x: Tensor, keep: int) -> Tensor:
    """The sum over all but the last `keep` dimensions, in float64; exact for whole numbers, see ROWS."""
    total = torch.stack([rows.sum(0).double() for rows in x.split(ROWS)]).sum(0)
    others = tuple(range(total.ndim - keep))
    return total.sum(others) if others else total


class _FanOut(NamedTuple):
    """Fan-out of a layer.

    reached: the number of weights that an input at each position [*S] reaches, float64.
    total: their sum.
    S: the spatial dimensions, none in a linear layer.
    """

    reached: Tensor
    total: int


def _fan_of_linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> _FanOut:
    return _reached(weight.shape[0], (), input.device)


def _fan_of_convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> _FanOut:
    dims = weight.ndim - 2
    sizes, kernels = input.shape[-dims:], weight.shape[2:]
    strides, dilations = _each(stride, dims), _each(dilation, dims)
    if padding == "same":
        # Torch adds the odd element at the end.
        span = [d * (k - 1) for k, d in zip(kernels, dilations, strict=True)]
        pads = [(s // 2, s - s // 2) for s in span]
    else:
        pads = [(p, p) for p in _each(0 if isinstance(padding, str) else padding, dims)]
    axes = zip(sizes, kernels, strides, pads, dilations, strict=True)
    return _reached(weight.shape[0] // groups, tuple(axes), input.device)


def _each(value: int | Sequence[int], dims: int) -> tuple[int, ...]:
    given = (value,) if isinstance(value, int) else tuple(value)
    return given * dims if len(given) == 1 else given


_Axis = tuple[int, int, int, tuple[int, int], int]


@lru_cache(maxsize=512)
def _reached(outputs: int, axes: tuple[_Axis, ...], device: torch.device) -> _FanOut:
    """axes: size, kernel, stride, padding at both ends and dilation of each spatial dimension."""
    reached = torch.tensor(outputs, dtype=torch.float64)
    for axis in axes:
        reached = reached[..., None] * torch.tensor(_taps(*axis), dtype=torch.float64)
    return _FanOut(reached.to(device), int(reached.sum()))


def _taps(size: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int) -> list[int]:
    """How many kernel offsets meet each position along one dimension."""
    taps = [0] * size
    last = size + sum(pads) - dilation * (kernel - 1) - 1
    for start in range(-pads[0], last - pads[0] + 1, stride):
        for place in range(start, start + dilation * kernel, dilation):
            if 0 <= place < size:
                taps[place] += 1
    return taps
