"""Whether the surrogate gradient points downhill on the loss of the spiking network itself.

The loss L is that of the task, with spikes that are 0 or 1 and without a method's noise or extra loss,
batch statistics in the norms, float64, on the device of the network. theta are the weights of the synapses,
readout included: not norms, neurons or what a method learns. g is the surrogate gradient of L there.

Where a batch in float64 would not fit in AT_ONCE bytes, L is the mean over parts of it as equal as can be,
each with statistics of its own, as batches have in training.
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
"""Lengths of the steps that are tried, in lengths of theta."""
DIRECTIONS = 64
SIGMA = 1e-2
"""Half the distance over which the loss is differenced, in lengths of theta."""

BACK_TOO = 3
"""A pass there and back takes as long as so many there."""
FLOAT64 = {"cpu": 2, "cuda": 64}
"""How many times as long as in float32 a pass takes: on a GPU, by the rate of those made for games."""
REDUCED = 8
"""How many times as fast as in float32 a GPU trains in 16 bits or TF32."""
SHARE = 0.5
"""Of the time that training takes: each of the two functions here may take it, before and after together."""
FREE = 10**11
"""Multiplications that may be done whatever training takes: some ten seconds on one thread."""
AT_ONCE = 8 * 2**30
BYTES = 16 * 8
"""Kept for the way back, in float64, for each number that enters a neuron; on the large side."""
FEWEST = 8
"""Samples in a part: with fewer, statistics of a batch mean little."""

Direction = Sequence[Tensor]


class LeftOut(Exception):
    """What is not looked at, since it would take too long beside the training."""


def descent_gains(
    network: Network, batches: Sequence[tuple[Tensor, Tensor]], seed: int
) -> dict[str, float | None]:
    """By what share of itself the loss falls along g: (L(theta) - L(theta - eps |theta| g/|g|)) / L(theta).

    Medians over batches, for eps of 1e-3 and 1e-2, and beside each the same for a random direction, one a
    batch. 0 where g is zero everywhere, since then nothing moves; None where a loss is not finite or
    already 0. The network is left as it is, and so are all generators.
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
    """The correlation, over 64 random directions d of length 1, of g·d with the slope of the loss.

    The slope is (L(theta + s d) - L(theta - s d)) / 2s with s of 1e-2 |theta|. None where one of the two
    does not vary, or is not finite. Costs 128 forward passes.
    """
    landscape = _Landscape(network, seed, at_once(network, x))
    _, gradient = landscape.gradient(x, y)
    told, seen = [], []
    for k in range(DIRECTIONS):
        direction = landscape.random(derive(seed, "difference", k))
        products = [torch.sum(g * d) for g, d in zip(gradient, direction, strict=True)]
        told.append(float(sum(products)) / _length(direction))
        ahead, behind = (landscape.loss(x, y, direction, sign * SIGMA) for sign in (1, -1))
        # Without the constant 2 s: a correlation has no scale.
        seen.append(ahead - behind)
    if not (np.isfinite([told, seen]).all() and np.ptp(told) and np.ptp(seen)):
        return None
    return float(np.corrcoef(told, seen)[0, 1])


def gain_passes(samples: int) -> int:
    """Passes of a sample that `descent_gains` takes on so many, before and after training together."""
    return 2 * samples * (BACK_TOO + 2 * len(STEPS))


def agreement_passes(samples: int) -> int:
    """The same for `finite_difference_agreement`."""
    return 2 * samples * (BACK_TOO + 2 * DIRECTIONS)


def afford(network: Network, x: Tensor, passes: int, trained: int, profile: Profile) -> None:
    """Raises LeftOut where so many passes of a sample in float64 would take too long beside the training.

    x: samples [B, ...] as the network takes them. trained: samples that training takes, over all epochs.
    Both are counted, not timed, on the shapes of the network alone: all methods and seeds are treated alike,
    on whatever machine.
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
        f"estimate; up to {SHARE:g} times is looked at"
    )


def at_once(network: Network, x: Tensor) -> int:
    """How many samples of x [B, ...] a pass there and back takes at a time, in float64."""
    currents = list[int]()
    twin = copied(network)
    for neuron in twin.neurons:
        neuron.register_forward_pre_hook(lambda _, inputs: currents.append(inputs[0].numel()))
    _pass_one(twin, x)
    return max(FEWEST, AT_ONCE // (BYTES * sum(currents)))


def _multiplications(network: Network, x: Tensor) -> int:
    """With a weight, in one pass of a sample."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counted:
        _pass_one(copied(network), x)
    # It counts the addition too.
    return int(counted.get_total_flops()) // 2


@torch.no_grad()
def _pass_one(network: Network, x: Tensor) -> None:
    """One sample goes there, and moves, whether x does or not: it is then as much work without spikes."""
    one = x[:1] if network.is_events(x) else x[:1, None].expand(1, network.timesteps, *x.shape[1:])
    with drawing_from(0, x.device):
        network.eval().to(x.dtype)(one)


class _Landscape:
    """The loss of a network as a function of its weights: a copy that can be set down anywhere.

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
        """L(theta) on a batch, and g but for its scale: its largest entry is 1, or all are 0."""
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
        # Squares of very large or small numbers would not be finite, or 0.
        return whole, [torch.zeros_like(w) if g is None else g / largest for g, w in pairs]

    def random(self, seed: int) -> Direction:
        """A direction out of all, each as likely."""
        generator = torch.Generator().manual_seed(seed)
        drawn = (torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in self.weights)
        return [d.to(w.device) for d, w in zip(drawn, self.weights, strict=True)]

    @torch.no_grad()
    def loss(self, x: Tensor, y: Tensor, direction: Direction, step: float) -> float:
        """L after a step in a direction; its length is `step` times that of theta."""
        self._return()
        length = _length(direction)
        scale = step * self.length / length if length else 0.0
        for weight, d in zip(self.weights, direction, strict=True):
            weight.add_(d, alpha=scale)
        return sum(share * self._loss(*part).item() for share, *part in self._parts(x, y))

    def _parts(self, x: Tensor, y: Tensor) -> Iterator[tuple[float, Tensor, Tensor]]:
        """The samples and labels of each part, and its share of all."""
        number = math.ceil(len(y) / self.most)
        for some, labels in zip(x.tensor_split(number), y.tensor_split(number), strict=True):
            yield len(labels) / len(y), some, labels

    def _return(self) -> None:
        # With all state: a method may follow in a buffer what passes through.
        self.twin.load_state_dict(self.network.state_dict())

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        # Some libraries' functions draw in a forward pass: the same at every point.
        with drawing_from(self.seed, x.device):
            return functional.cross_entropy(self.twin(x.double()).mean(0), y)


def _added(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


def _in_its_dtype(spike: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same with spikes of the dtype of x: some libraries' are float32 whatever x is."""
    return lambda x, *rest: spike(x, *rest).to(x.dtype)


def _no_noise(shape: torch.Size, like: Tensor) -> None:
    return None


def _length(direction: Direction) -> float:
    return float(torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(d) for d in direction])))


def _median(values: Sequence[float]) -> float | None:
    # NaN has no place in an order.
    return statistics.median(values) if all(map(math.isfinite, values)) else None
