"""Whether compiled code computes what eager code does: seen on the first batch, before it is believed.

A compiler may be wrong without a word: torch 2.11's left out the gradient of every spike, torch 2.9's took
other numbers for MPD-AGL's widths; losses stayed finite. So each compiled neuron gets the currents that its
layer sees, there and back, beside its eager self (`check_neurons`). Of a network that is compiled as a whole
no more can be asked than that the gradient of each weight is there and of eager's size (`check_whole`):
spiking networks amplify rounding, and 1e-5 of the input already changes gradients by more than themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from bench.model.backbone import Network, synapses
from bench.model.copying import detached_copy
from bench.model.neuron import Moment, SpikingNeuron
from bench.randomness import drawing_from

BOUND = {torch.float64: 1e-3, torch.float32: 1e-2}
"""By what share of itself a layer's gradient may differ: a few potentials lie on the edge of a surrogate."""
BOUND_16_BITS = 0.2
"""The same in 16 bits, which compiled code rounds to less often than eager code."""
ROUNDINGS = 4
"""How many roundings away from the threshold a potential may be for its spike to differ."""
SIZE = 1.5
"""How many times as large or small as eager's the gradient of a weight may be in a network compiled whole.

In ResNet-19 and VGGSNN, narrow and untrained, changing the input by 1e-5 to 1e-2 of itself turned gradients
until nothing of their direction was left, and changed their sizes by at most 19 %.
"""


class Differs(Exception):
    """Compiled and eager code do not compute the same; the message is one sentence that says where."""


@contextmanager
def check_neurons(network: Network) -> Iterator[None]:
    """A block in which every compiled neuron is compared with its eager self, as currents reach it.

    For one forward pass in training. Raises Differs out of that pass.
    """

    def compare(neuron: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(neuron, SpikingNeuron)
        if neuron.compiled is not None:
            _compare(neuron, inputs[0], names[neuron])

    names = {neuron: site.name for site, neuron in zip(network.sites, network.neurons, strict=True)}
    hooks = [neuron.register_forward_pre_hook(compare) for neuron in network.neurons]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def check_whole(compiled: Network, eager: Network) -> None:
    """Compare the gradients that two copies of a network have after a backward pass, weight by weight.

    Raises Differs where a compiled one is zero and eager's is not, or the other way round, or where one is
    more than SIZE times the other.
    """
    names = {id(weight): name for name, weight in compiled.named_parameters()}
    for one, other in zip(synapses(compiled), synapses(eager), strict=True):
        sizes = _size(one.grad), _size(other.grad)
        # Gradients that are not finite say nothing; that they are not is for the training to find.
        if all(map(math.isfinite, sizes)) and max(sizes) > SIZE * min(sizes):
            raise Differs(
                f"the gradient of {names[id(one)]} has size {sizes[0]:.3g} compiled, {sizes[1]:.3g} eager"
            )


def _compare(neuron: SpikingNeuron, current: Tensor, name: str) -> None:
    steps = neuron.timesteps if len(current) == 1 else len(current)
    # Drawn by a copy: the stream of the layer itself goes on from where it is.
    noise = detached_copy(neuron).surrogate.noise(torch.Size((steps, *current.shape[1:])), current)
    edges = _Edges()
    eager = _there_and_back(neuron, current, noise, edges)
    compiled = _there_and_back(neuron, current, noise, None)
    excused = _differing_spikes(
        compiled.out, eager.out, edges.near, name, coupled=neuron.recurrent is not None
    )
    bound = BOUND.get(current.dtype, BOUND_16_BITS)
    # How much one spike more or less changes is known from the currents' gradient alone.
    slack = math.inf if excused.any() else 0.0
    if current.requires_grad:
        one, other = compiled.gradients.pop(CURRENT), eager.gradients.pop(CURRENT)
        sizes = other.abs().double()
        # A sum over neurons is no more exact than its terms.
        rounding = ROUNDINGS**2 * torch.finfo(current.dtype).eps
        slack = float((sizes * excused).nansum() + rounding * sizes.nansum())
        _compare_gradients(one * ~excused, other * ~excused, bound, 0.0, f"the currents of {name}")
    for of, expected in eager.gradients.items():
        _compare_gradients(compiled.gradients[of], expected, bound, slack, f"{of} in {name}")


CURRENT = ""
"""The name of the currents among what a pass has gradients of."""


class _Pass(NamedTuple):
    """out: what a neuron emits, [T, B, ...]. gradients: of its currents, and of its parameters by name."""

    out: Tensor
    gradients: dict[str, Tensor]


def _there_and_back(
    neuron: SpikingNeuron, current: Tensor, noise: Tensor | None, observer: Callable[[Moment], None] | None
) -> _Pass:
    """One pass of a copy of the neuron: eager and observed, or compiled."""
    own, device = detached_copy(neuron), current.device
    own.observer = observer
    run = own.compiled if observer is None else SpikingNeuron.unroll
    assert run is not None
    leaf = current.detach().requires_grad_(current.requires_grad)
    # Some libraries' functions draw by themselves: both passes draw the same.
    with torch.enable_grad(), drawing_from(0, device):
        # In a network currents are what a layer computes, and never leaves.
        out = run(own, leaf.clone(), noise)
        # Another number for each, so that none passes for another; positive, so that sums do not cancel.
        upstream = torch.linspace(0.5, 1.5, out.numel(), device=device).view(out.shape)
        loss = (out * upstream.to(torch.promote_types(out.dtype, torch.float32))).sum()
        if own.statistics is not None:
            loss = loss + own.statistics.mean.sum() + own.statistics.variance.sum()
    wanted = {CURRENT: leaf, **dict(own.named_parameters())}
    wanted = {name: of for name, of in wanted.items() if of.requires_grad}
    gradients = {name: torch.zeros_like(of) for name, of in wanted.items()}
    if loss.requires_grad:
        # As in training, where the way back is outside of mixed precision.
        with torch.autocast(device.type, enabled=False), drawing_from(1, device):
            found = torch.autograd.grad(loss, [*wanted.values()], allow_unused=True)
        gradients |= {name: g for name, g in zip(wanted, found, strict=True) if g is not None}
    return _Pass(out.detach(), gradients)


class _Edges:
    """An observer that keeps where a potential was so near to the threshold that rounding decides.

    near: [B, ...] of each step.
    """

    def __init__(self) -> None:
        self.near: list[Tensor] = []
        self._largest: Tensor | None = None

    @torch.no_grad()
    def __call__(self, moment: Moment) -> None:
        away = moment.u - moment.threshold
        reach = moment.u.abs() + away.abs()
        # What was rounded at an earlier step is carried along.
        self._largest = reach if self._largest is None else torch.maximum(reach, self._largest)
        self.near.append(away.abs() <= ROUNDINGS * torch.finfo(away.dtype).eps * self._largest)


def _differing_spikes(out: Tensor, eager: Tensor, near: list[Tensor], name: str, *, coupled: bool) -> Tensor:
    """The neurons [B, ...] whose spikes [T, B, ...] differ because a potential lay on the threshold.

    coupled: whether a spike reaches the other neurons of its sample. Raises Differs where one differs for
    no such reason.
    """
    # What is emitted may be no spike, or lie between 0 and 1.
    tolerance = torch.finfo(out.dtype).eps ** 0.5 * float(eager.abs().amax())
    differs = ((out - eager).abs() > tolerance) | (out.isnan() != eager.isnan())
    excused = torch.zeros_like(differs[0])
    for now, on_threshold in zip(differs, near, strict=True):
        wrong = now & ~on_threshold & ~excused
        if bool(wrong.any()):
            share = f"{int(wrong.sum())} of {wrong.numel()} neurons"
            raise Differs(f"spikes of {share} of {name} differ, away from the threshold")
        excused |= now
        if coupled:
            excused |= excused.flatten(1).any(1).view(-1, *[1] * (excused.ndim - 1))
    return excused


def _compare_gradients(one: Tensor, other: Tensor, bound: float, slack: float, of: str) -> None:
    """Raise Differs where `one`, compiled, is not `other` but for a share `bound` of it, and `slack`.

    And always where it is zero and `other` is not.
    """
    both = one.isfinite() & other.isfinite()
    away = torch.where(both | (one.isfinite() == other.isfinite()), 0.0, torch.inf)
    off = float(torch.where(both, one.double() - other.double(), away).norm())
    size = float(torch.where(both, other.double(), 0.0).norm())
    if off > bound * size + slack or (size > 0 and not one.any()):
        raise Differs(f"the gradient of {of} is off by {off:.3g}, and has size {size:.3g}")


def _size(gradient: Tensor | None) -> float:
    return 0.0 if gradient is None else float(torch.linalg.vector_norm(gradient, dtype=torch.float64))
