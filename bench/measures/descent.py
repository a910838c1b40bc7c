"""Whether the surrogate gradient points downhill on the loss of the spiking network itself.

L is the task loss with spikes of 0 or 1, without a method's noise or extra loss, with batch statistics in the
norms, in float64, on the network's device. theta are the synaptic weights, readout included, but not the
parameters of norms, neurons or methods. g is the surrogate gradient of L at theta.

If a batch does not fit in AT_ONCE bytes in float64, L is the mean over parts of it, as equal in size as
possible, each with its own statistics, as batches have in training.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.model.backbone import Network, synapses
from bench.model.copying import copied
from bench.randomness import derive, drawing_from
from bench.suite import Profile

STEPS = {"1e-3": 1e-3, "1e-2": 1e-2}
"""Step lengths, relative to |theta|."""
DIRECTIONS = 64
SIGMA = 1e-2
"""Half the interval of the finite differences, relative to |theta|."""

BACK_TOO = 3
"""Cost of a forward and backward pass, in forward passes."""
FLOAT64 = {"cpu": 2, "cuda": 64}
"""How many times slower a pass is in float64 than in float32. GPU: the rate of consumer GPUs."""
REDUCED = 8
"""How many times faster a GPU trains in 16 bits or TF32 than in float32."""
SHARE = 0.5
"""Share of the training time that each of the two measurements may take, before and after training together.
"""
FREE = 10**11
"""Multiplications that are always allowed, however short the training: some ten seconds on one thread."""
AT_ONCE = 8 * 2**30
BYTES = 16 * 8
"""Bytes kept for the backward pass, in float64, per number that enters a neuron; a high estimate."""
FEWEST = 8
"""Fewest samples in a part: with fewer, batch statistics mean little."""

Direction = Sequence[Tensor]


class LeftOut(Exception):
    """A measurement was skipped because it would take too long compared with the training."""


def descent_gains(
    network: Network, batches: Sequence[tuple[Tensor, Tensor]], seed: int
) -> dict[str, float | None]:
    """Relative fall of the loss along g: (L(theta) - L(theta - eps |theta| g/|g|)) / L(theta).

    Medians over batches, for eps of 1e-3 and 1e-2, and the same for a random direction, one per batch. 0 if g
    is zero everywhere, since then nothing moves; None if a loss is not finite or already 0. The network and
    all random generators keep their state.
    """
    landscape = _Landscape(network, seed, at_once(network, batches[0][0]))
    found: dict[str, list[float]] = {}
    for number, (x, y) in enumerate(batches):
        before, gradient = landscape.gradient(x, y)
        random = landscape.random(derive(seed, "descent", number))
        for name, direction in (("", gradient), ("random_", random)):
            for label, step in STEPS.items():
                after = landscape.loss(x, y, direction, -step)
                gain = (before - after) / before if before else math.nan
                found.setdefault(f"descent_gain_{name}{label}", []).append(gain)
    return {name: _median(gains) for name, gains in found.items()}


def finite_difference_agreement(network: Network, x: Tensor, y: Tensor, seed: int) -> float | None:
    """The correlation of g·d with the slope of the loss, over 64 random directions d of length 1.

    The slope is (L(theta + s d) - L(theta - s d)) / 2s with s = 1e-2 |theta|. None if either does not vary or
    is not finite. Costs 128 forward passes.
    """
    landscape = _Landscape(network, seed, at_once(network, x))
    _, gradient = landscape.gradient(x, y)
    told, seen = [], []
    for k in range(DIRECTIONS):
        direction = landscape.random(derive(seed, "difference", k))
        products = [torch.sum(g * d) for g, d in zip(gradient, direction, strict=True)]
        told.append(float(sum(products)) / _length(direction))
        ahead, behind = (landscape.loss(x, y, direction, sign * SIGMA) for sign in (1, -1))
        # The constant 2 s is left out: it does not affect a correlation.
        seen.append(ahead - behind)
    if not (np.isfinite([told, seen]).all() and np.ptp(told) and np.ptp(seen)):
        return None
    return float(np.corrcoef(told, seen)[0, 1])


def gain_passes(samples: int) -> int:
    """Single-sample passes of `descent_gains` on so many samples, before and after training together."""
    return 2 * samples * (BACK_TOO + 2 * len(STEPS))


def agreement_passes(samples: int) -> int:
    """The same for `finite_difference_agreement`."""
    return 2 * samples * (BACK_TOO + 2 * DIRECTIONS)


def afford(network: Network, x: Tensor, passes: int, trained: int, profile: Profile) -> None:
    """Raises LeftOut if so many float64 passes of a sample would take too long compared with the training.

    x: samples [B, ...] as the network takes them.
    trained: the number of samples in training, over all epochs.

    Both costs are counted from the shapes of the network, not timed, so all methods and seeds are treated
    alike on every machine.
    """
    longer = 1
    if profile.dtype == "float32":
        reduced = profile.device == "cuda" and (profile.tf32 or profile.autocast != "off")
        longer = FLOAT64[profile.device] * (REDUCED if reduced else 1)
    share = longer * passes / (BACK_TOO * trained)
    if share <= SHARE or passes * _multiplications(network, x) <= FREE:
        return
    raise LeftOut(
        f"{passes:,} passes of a sample in float64 would take {share:,.1f} times as long as the training, by "
        f"estimate; up to {SHARE:g} times is measured"
    )


def at_once(network: Network, x: Tensor) -> int:
    """How many samples of x [B, ...] fit in a forward and backward pass in float64."""
    currents = list[int]()
    twin = copied(network)
    for neuron in twin.neurons:
        neuron.register_forward_pre_hook(lambda _, inputs: currents.append(inputs[0].numel()))
    _pass_one(twin, x)
    return max(FEWEST, AT_ONCE // (BYTES * sum(currents)))


def _multiplications(network: Network, x: Tensor) -> int:
    """Multiplications with a weight, in one pass of a sample."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counted:
        _pass_one(copied(network), x)
    # The counter includes additions.
    return int(counted.get_total_flops()) // 2


@torch.no_grad()
def _pass_one(network: Network, x: Tensor) -> None:
    """Pass one sample forward, expanded over time if x is static, so the work does not depend on spikes."""
    one = x[:1] if network.is_events(x) else x[:1, None].expand(1, network.timesteps, *x.shape[1:])
    with drawing_from(0, x.device):
        network.eval().to(x.dtype)(one)


class _Landscape:
    """The loss of a network as a function of its weights, computed on a copy.

    most: how many samples are computed at once.
    """

    def __init__(self, network: Network, seed: int, most: int) -> None:
        self.network = network
        self.seed = derive(seed, "landscape")
        self.most = most
        self.twin = copied(network).double().train()
        self.weights = synapses(self.twin)
        self.length = _length([weight.detach() for weight in self.weights])
        for surrogate in self.twin.surrogates:
            surrogate.noise = _no_noise  # type: ignore[method-assign]
            surrogate.spike = _in_its_dtype(surrogate.spike)  # type: ignore[method-assign]

    def gradient(self, x: Tensor, y: Tensor) -> tuple[float, Direction]:
        """L(theta) on a batch, and g up to scale: its largest entry is 1, or all are 0."""
        self._return()
        whole = 0.0
        found: list[Tensor | None] = [None] * len(self.weights)
        for share, *part in self._parts(x, y):
            loss = share * self._loss(*part)
            whole += loss.item()
            slope = torch.autograd.grad(loss, self.weights, allow_unused=True)
            found = [_added(*both) for both in zip(found, slope, strict=True)]
        largest = max((float(g.abs().max()) for g in found if g is not None), default=0.0) or 1.0
        pairs = zip(found, self.weights, strict=True)
        # Rescaled, because squares of very large or small numbers overflow or underflow.
        return whole, [torch.zeros_like(w) if g is None else g / largest for g, w in pairs]

    def random(self, seed: int) -> Direction:
        """A random direction, uniformly distributed."""
        generator = torch.Generator().manual_seed(seed)
        drawn = (torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in self.weights)
        return [d.to(w.device) for d, w in zip(drawn, self.weights, strict=True)]

    @torch.no_grad()
    def loss(self, x: Tensor, y: Tensor, direction: Direction, step: float) -> float:
        """L after a step in a direction; the step has length `step` * |theta|."""
        self._return()
        length = _length(direction)
        scale = step * self.length / length if length else 0.0
        for weight, d in zip(self.weights, direction, strict=True):
            weight.add_(d, alpha=scale)
        return sum(share * self._loss(*part).item() for share, *part in self._parts(x, y))

    def _parts(self, x: Tensor, y: Tensor) -> Iterator[tuple[float, Tensor, Tensor]]:
        """Each part's share of the batch, its samples and its labels."""
        number = math.ceil(len(y) / self.most)
        for some, labels in zip(x.tensor_split(number), y.tensor_split(number), strict=True):
            yield len(labels) / len(y), some, labels

    def _return(self) -> None:
        # Restores all state: a method may update a buffer in each pass.
        self.twin.load_state_dict(self.network.state_dict())

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        # Some library functions draw random numbers in the forward pass: fix them for every point.
        with drawing_from(self.seed, x.device):
            return functional.cross_entropy(self.twin(x.double()).mean(0), y)


def _added(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


def _in_its_dtype(spike: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Casts spikes to the dtype of x: some library functions always return float32."""
    return lambda x, *rest: spike(x, *rest).to(x.dtype)


def _no_noise(shape: torch.Size, like: Tensor) -> None:
    return None


def _length(direction: Direction) -> float:
    return float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(d) for d in direction])))


def _median(values: Sequence[float]) -> float | None:
    # NaN cannot be ordered.
    return statistics.median(values) if all(map(math.isfinite, values)) else None
