"""The gradient probe for any network: which share of each spiking layer passes a gradient, and how much.

Works for layers of this project (`bench.neuron`), and for those of other libraries that keep their spike
function in an attribute: `spike_grad` in snntorch, `surrogate_function` in SpikingJelly. The measures are
those of `bench.measures.gradients`, with the same definitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bench.errors import BenchError
from bench.measures.derivative import FEW_POINTS, POINTS, as_it_was
from bench.measures.gradients import passing, wide
from bench.model.neuron import SpikingNeuron
from bench.surrogate import Surrogate

if TYPE_CHECKING:
    import pandas as pd

SPIKE_FUNCTIONS = ("spike_grad", "surrogate_function")
"""Attributes in which snntorch and SpikingJelly keep the spike function of a layer."""
REACH = 8.0
"""The maximum of h is sought at the potentials seen, and within this distance of the threshold."""


def probe(network: nn.Module, loss: Callable[[], Tensor]) -> pd.DataFrame:
    """One row per spiking layer and time step of one forward and backward pass.

        probe(net, lambda: criterion(net(x), y))

    loss: runs the network on a batch and returns the loss, a number. Columns: layer and kind (name and class
    of its module), t, spike_rate, available_fraction (the share of neurons and samples with h above 1 % of
    its maximum), participation, gain (the mean of h), and gradient_norm, that of the loss with respect to
    the input of the layer at this step. docs/gradients.md defines them.

    The network, its gradients and torch's random generators keep their state.

    Raises BenchError if no layer is known to spike, or the loss does not depend on one.
    """
    import pandas as pd

    if not callable(loss):
        raise BenchError(f"the loss of a probe must be a function without arguments, not {loss!r}")
    layers = [
        _Layer(name, module, *place)
        for name, module in network.named_modules()
        if (place := _place(module)) is not None
    ]
    if not layers:
        raise BenchError(
            "this network has no spiking layer whose spike function is known: of this project, of snntorch "
            f"(spike_grad) or of SpikingJelly (surrogate_function); it is a {type(network).__name__}"
        )
    devices = sorted({p.device.index for p in network.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices), as_it_was(network), ExitStack() as stack:
        for layer in layers:
            stack.enter_context(layer.watched())
        whole = loss()
        currents = [current for layer in layers for current in layer.currents]
        if not (isinstance(whole, Tensor) and whole.numel() == 1 and whole.requires_grad and currents):
            raise BenchError(
                "the loss of a probe must be a number whose gradient reaches a spiking layer, "
                f"not {_described(whole)}"
            )
        # Not backward(): gradients of weights stay what they were.
        found = iter(torch.autograd.grad(whole, currents, allow_unused=True))
        gradients = [[next(found) for _ in layer.currents] for layer in layers]
        rows = [row for layer, own in zip(layers, gradients, strict=True) for row in layer.rows(own)]
    return pd.DataFrame(rows)


def _described(whole: object) -> str:
    if not isinstance(whole, Tensor):
        return type(whole).__name__
    return f"a tensor of shape {tuple(whole.shape)}" + ", which is detached" * (not whole.requires_grad)


def _place(module: nn.Module) -> tuple[nn.Module, str] | None:
    """The object and the attribute that hold the spike function of a layer; None for any other module."""
    for name in SPIKE_FUNCTIONS:
        held: Any = getattr(module, name, None)
        if isinstance(getattr(held, "surrogate", None), Surrogate):
            return held.surrogate, "spike"
        if callable(held):
            return module, name
    if isinstance(module, SpikingNeuron) and type(module.surrogate).activation is None:
        return module.surrogate, "spike"
    return None


class _Layer:
    """What is seen of one layer. currents: its inputs, for one step or for several each."""

    def __init__(self, name: str, module: nn.Module, holder: nn.Module, attribute: str) -> None:
        self.name = name
        self.module = module
        self.holder = holder
        self.attribute = attribute
        self.currents: list[Tensor] = []
        self.calls: list[list[dict[str, Tensor]]] = []

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Sees what enters the layer, and each call of its spike function."""
        hook = self.module.register_forward_pre_hook(self._enter)
        # In the instance's dictionary it hides what the class or `_modules` has under this name.
        state = vars(self.holder)
        before = {self.attribute: state[self.attribute]} if self.attribute in state else {}
        spike = getattr(self.holder, self.attribute)
        state[self.attribute] = partial(self._fire, spike)
        try:
            yield
        finally:
            hook.remove()
            del state[self.attribute]
            state.update(before)

    def rows(self, gradients: Sequence[Tensor | None]) -> Iterator[dict[str, Any]]:
        """A row per step. gradients: those of `currents`."""
        steps: list[dict[str, Tensor]] = []
        for calls, gradient in zip(self.calls, gradients, strict=True):
            # snntorch's layers call it twice a step: first on the last potential, for the reset.
            own = calls[-1:] if self.attribute == "spike_grad" else calls
            if gradient is None:
                norms = [torch.zeros(())] * len(own)
            elif len(own) == 1:
                norms = [wide(gradient).norm()]
            else:
                norms = [wide(step).norm() for step in gradient]
            steps += [call | {"gradient_norm": norm} for call, norm in zip(own, norms, strict=True)]
        place = {"layer": self.name, "kind": type(self.module).__name__}
        for t, step in enumerate(steps):
            yield place | {"t": t} | {name: float(value) for name, value in step.items()}

    def _enter(self, module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        current, *rest = inputs
        if not current.requires_grad:
            current = current.detach().requires_grad_()
        if isinstance(module, SpikingNeuron) and len(current) == 1:
            # Separate gradients for each step, not their sum.
            current = current.expand(module.timesteps, *current.shape[1:])
        self.currents.append(current)
        self.calls.append([])
        return (current, *rest)

    def _fire(self, spike: Callable[..., Tensor], x: Tensor, *rest: Any) -> Tensor:
        if not x.requires_grad:
            x = x.detach().requires_grad_()
        s = spike(x, *rest)
        h = _slope(s, x)
        highest = self._highest(spike, x, rest)
        if highest is None:
            peak = h.amax(0, keepdim=True)
        else:
            # Neurons that share one h also share its observed maximum.
            shared = [d for d in range(h.ndim) if d == 0 or highest.shape[d] == 1]
            peak = torch.maximum(highest, h.amax(shared, keepdim=True))
        # What enters the layer can be unseen: a layer that is called in another way than by its forward.
        if self.calls:
            self.calls[-1].append({"spike_rate": wide(s.detach()).mean()} | passing(h, peak))
        return s

    def _highest(self, spike: Callable[..., Tensor], x: Tensor, rest: tuple[Any, ...]) -> Tensor | None:
        """The maximum of h over the range: of all neurons, of each channel, or of each neuron, [1, ...].

        None for a function that cannot be asked there, for example one that stores a tensor of the shape of
        its batch.
        """
        if self.attribute == "spike":
            t, params, _ = rest
            rest = (t, params, None)
        ones = [1 for _ in x.shape[2:]]
        channels = [*x.shape[1:2], *ones]
        for shape, points in (([1] * (x.ndim - 1), POINTS), (channels, POINTS), ([*x.shape[1:]], FEW_POINTS)):
            line = REACH * torch.linspace(-1, 1, points, dtype=x.dtype, device=x.device) ** 3
            at = line.view(-1, *(1 for _ in shape)).expand(-1, *shape).contiguous().requires_grad_()
            try:
                s = spike(at, *rest)
                if s.shape == at.shape:
                    return _slope(s, at).nan_to_num(0.0, 0.0, 0.0).amax(0, keepdim=True)
            except (RuntimeError, ValueError, IndexError):
                continue
        return None


def _slope(s: Tensor, x: Tensor) -> Tensor:
    """H at x, [B, ...]: what autograd delivers from s to x."""
    if not s.requires_grad:
        return torch.zeros_like(x)
    (h,) = torch.autograd.grad(s, x, torch.ones_like(s), retain_graph=True, allow_unused=True)
    return torch.zeros_like(x) if h is None else wide(h)
