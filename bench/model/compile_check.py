"""Checks on the first batch that compiled code computes what eager code does.

A compiler can be wrong without an error: torch 2.11's left out the gradient of every spike, torch 2.9's used
wrong values for MPD-AGL's widths, and losses stayed finite. So each compiled neuron runs forward and backward
on the currents that its layer sees, and is compared with its eager version (`check_neurons`). For a network
compiled as a whole, the check is only that each weight's gradient exists and has the size of the eager one
(`check_whole`): spiking networks amplify rounding, and perturbing the input by 1e-5 already changes gradients
by more than 100 %.
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
"""Allowed relative difference of a layer's gradient: a few potentials lie on the edge of a surrogate."""
BOUND_16_BITS = 0.2
"""The same in 16 bits, to which compiled code rounds less often than eager code."""
ROUNDINGS = 4
"""A spike may differ if its potential is within this many rounding errors of the threshold."""
SIZE = 1.5
"""Largest allowed ratio between the compiled and eager gradient norm of a weight, in a network compiled
whole.

In ResNet-19 and VGGSNN, narrow and untrained, relative changes of the input by 1e-5 to 1e-2 changed the
direction of gradients completely, but their sizes by at most 19 %.
"""


class Differs(Exception):
    """Compiled and eager code compute different things; the message is one sentence that says where."""


@contextmanager
def check_neurons(network: Network) -> Iterator[None]:
    """Within this block, compare every compiled neuron with its eager version as currents reach it.

    For one forward pass in training mode. That pass raises Differs if a neuron differs.
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
    """Compare the gradients of two copies of a network after a backward pass, weight by weight.

    Raises Differs if a gradient is zero in only one of the two, or if one norm is more than SIZE times the
    other.
    """
    names = {id(weight): name for name, weight in compiled.named_parameters()}
    for one, other in zip(synapses(compiled), synapses(eager), strict=True):
        sizes = _size(one.grad), _size(other.grad)
        # Non-finite gradients are no evidence; detecting them is up to the training.
        if all(map(math.isfinite, sizes)) and max(sizes) > SIZE * min(sizes):
            raise Differs(
                f"the gradient of {names[id(one)]} has size {sizes[0]:.3g} compiled, {sizes[1]:.3g} eager"
            )


def _compare(neuron: SpikingNeuron, current: Tensor, name: str) -> None:
    steps = neuron.timesteps if len(current) == 1 else len(current)
    # Drawn by a copy, so that the layer's own stream does not advance.
    noise = detached_copy(neuron).surrogate.noise(torch.Size((steps, *current.shape[1:])), current)
    edges = _Edges()
    eager = _there_and_back(neuron, current, noise, edges)
    compiled = _there_and_back(neuron, current, noise, None)
    excused = _differing_spikes(
        compiled.out, eager.out, edges.near, name, coupled=neuron.recurrent is not None
    )
    bound = BOUND.get(current.dtype, BOUND_16_BITS)
    # Without the currents' gradient, the effect of one more or fewer spike is unknown.
    slack = math.inf if excused.any() else 0.0
    if current.requires_grad:
        one, other = compiled.gradients.pop(CURRENT), eager.gradients.pop(CURRENT)
        sizes = other.abs().double()
        # A sum over neurons is no more precise than its terms.
        rounding = ROUNDINGS**2 * torch.finfo(current.dtype).eps
        slack = float((sizes * excused).nansum() + rounding * sizes.nansum())
        _compare_gradients(one * ~excused, other * ~excused, bound, 0.0, f"the currents of {name}")
    for of, expected in eager.gradients.items():
        _compare_gradients(compiled.gradients[of], expected, bound, slack, f"{of} in {name}")


CURRENT = ""
"""The key of the currents among the gradients of a pass."""


class _Pass(NamedTuple):
    """One forward and backward pass.

    out: what a neuron emits, [T, B, ...].
    gradients: those of its currents, and of its parameters by name.
    """

    out: Tensor
    gradients: dict[str, Tensor]


def _there_and_back(
    neuron: SpikingNeuron, current: Tensor, noise: Tensor | None, observer: Callable[[Moment], None] | None
) -> _Pass:
    """One forward and backward pass of a copy of the neuron: eager and observed, or compiled."""
    own, device = detached_copy(neuron), current.device
    own.observer = observer
    run = own.compiled if observer is None else SpikingNeuron.unroll
    assert run is not None
    leaf = current.detach().requires_grad_(current.requires_grad)
    # Some library functions draw random numbers: both passes draw the same.
    with torch.enable_grad(), drawing_from(0, device):
        # In a network, currents are computed by a layer and never leaves.
        out = run(own, leaf.clone(), noise)
        # A different weight for each output, so that swapped outputs are detected; positive, so that sums do
        # not cancel.
        upstream = torch.linspace(0.5, 1.5, out.numel(), device=device).view(out.shape)
        loss = (out * upstream.to(torch.promote_types(out.dtype, torch.float32))).sum()
        if own.statistics is not None:
            loss = loss + own.statistics.mean.sum() + own.statistics.variance.sum()
    wanted = {CURRENT: leaf, **dict(own.named_parameters())}
    wanted = {name: of for name, of in wanted.items() if of.requires_grad}
    gradients = {name: torch.zeros_like(of) for name, of in wanted.items()}
    if loss.requires_grad:
        # As in training, where the backward pass runs outside autocast.
        with torch.autocast(device.type, enabled=False), drawing_from(1, device):
            found = torch.autograd.grad(loss, [*wanted.values()], allow_unused=True)
        gradients |= {name: g for name, g in zip(wanted, found, strict=True) if g is not None}
    return _Pass(out.detach(), gradients)


class _Edges:
    """An observer that records where a potential was so close to the threshold that rounding decides.

    near: [B, ...] of each step.
    """

    def __init__(self) -> None:
        self.near: list[Tensor] = []
        self._largest: Tensor | None = None

    @torch.no_grad()
    def __call__(self, moment: Moment) -> None:
        away = moment.u - moment.threshold
        reach = moment.u.abs() + away.abs()
        # Rounding errors of earlier steps carry over.
        self._largest = reach if self._largest is None else torch.maximum(reach, self._largest)
        self.near.append(away.abs() <= ROUNDINGS * torch.finfo(away.dtype).eps * self._largest)


def _differing_spikes(out: Tensor, eager: Tensor, near: list[Tensor], name: str, *, coupled: bool) -> Tensor:
    """The neurons [B, ...] whose spikes [T, B, ...] differ because a potential was on the threshold.

    coupled: whether a spike reaches the other neurons of its sample.

    Raises Differs if a spike differs for another reason.
    """
    # Outputs need not be spikes, and can lie between 0 and 1.
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
    """Raises Differs if compiled `one` is not `other`, up to a relative `bound` and an absolute `slack`.

    Also raises Differs whenever `one` is zero and `other` is not.
    """
    both = one.isfinite() & other.isfinite()
    away = torch.where(both | (one.isfinite() == other.isfinite()), 0.0, torch.inf)
    off = float(torch.where(both, one.double() - other.double(), away).norm())
    size = float(torch.where(both, other.double(), 0.0).norm())
    if off > bound * size + slack or (size > 0 and not one.any()):
        raise Differs(f"the gradient of {of} is off by {off:.3g}, and has size {size:.3g}")


def _size(gradient: Tensor | None) -> float:
    return 0.0 if gradient is None else float(torch.linalg.vector_norm(gradient, dtype=torch.float64))
