"""One layer of neurons, ours or a peer's, there and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import ours
import torch
from apart import Work
from peers import METHOD, PEERS, VALUES
from torch import Tensor, nn

from bench import registry
from bench.model.layers import Layers, NeuronOptions
from bench.model.neuron import SpikingNeuron

FLOOR, EAGER, COMPILED = "five copies", "spikegrad, compile = off", "spikegrad, compile = neuron"
THEIRS_COMPILED = ", compiled"
DIFFERENCE = {torch.float32: (1e-5, 1e-4), torch.bfloat16: (0.05, 0.05)}
"""The share of spikes that may differ, and what of the largest gradient is a difference.

Roundings differ, and of millions of potentials a few lie on the threshold; of those in 16 bits many do.
"""


def neuron(timesteps: int, method: str, values: Iterable[tuple[str, float]] = ()) -> SpikingNeuron:
    """A layer of a method."""
    found = registry.load().method(method).item
    layers = Layers(
        "perf", lambda site: found.build(site, dict(values)), NeuronOptions(), timesteps=timesteps
    )
    return layers.spike("layer", layers.norm(1))


def there_and_back(layer: Callable[[Tensor], Tensor], current: Tensor, upstream: Tensor) -> Tensor:
    """The spikes; what comes back is in `current.grad`."""
    current.grad = None
    out = layer(current)
    out.backward(upstream)
    return out


def work(name: str, timesteps: int, currents: int, dtype: torch.dtype, device: torch.device) -> Work:
    """What a process of its own times. name: FLOOR, EAGER, COMPILED, or a peer's, compiled or not.

    All have the same currents, whose spikes and gradients are compared with those of our eager layer.
    """
    shape = timesteps, currents // timesteps

    def drawn(seed: int) -> Tensor:
        generator = torch.Generator(device).manual_seed(seed)
        return torch.randn(shape, generator=generator, device=device).to(dtype)

    normal = drawn(0)
    if name == FLOOR:
        target = torch.empty_like(normal)
        return Work(lambda: [target.copy_(normal) for _ in range(5)])
    layer, scale, note = _layer(name, timesteps, device)
    current, upstream = (normal * scale).requires_grad_(), drawn(1)

    def check(spikes: Tensor) -> str:
        known = normal.detach().requires_grad_()
        expected = there_and_back(neuron(timesteps, METHOD, VALUES.items()), known, upstream)
        gradients = current.grad, known.grad
        assert gradients[0] is not None and gradients[1] is not None
        return _difference(spikes, expected, gradients[0] * scale, gradients[1])

    compiles = name == COMPILED or name.endswith(THEIRS_COMPILED)
    return Work(lambda: there_and_back(layer, current, upstream).detach(), check, compiles, note)


def _layer(name: str, timesteps: int, device: torch.device) -> tuple[nn.Module, float, str]:
    """The layer, how much larger it wants its currents, and a note."""
    if name in (EAGER, COMPILED):
        own = neuron(timesteps, METHOD, VALUES.items()).to(device).train()
        if name == COMPILED:
            ours.compile_neurons([own])
        return own, 1.0, ""
    peer, options = PEERS[name.removesuffix(THEIRS_COMPILED)], NeuronOptions()
    theirs = peer.layer(options.decay, options.threshold).to(device, torch.float32)
    is_compiled = name.endswith(THEIRS_COMPILED)
    note = "; ".join(filter(None, [peer.computed_by(device, is_compiled), peer.note]))
    if is_compiled:
        theirs = torch.compile(theirs, dynamic=False)  # type: ignore[assignment]
    return theirs, peer.current_scale, note


def _difference(spikes: Tensor, expected: Tensor, gradient: Tensor, known: Tensor) -> str:
    """What is wrong with them, or ""."""
    share, size = DIFFERENCE[spikes.dtype]
    other = float((spikes != expected).double().mean())
    if other > share:
        return f"{other:.2%} of its spikes are others than those of our eager layer"
    off = float(((gradient - known).abs() > size * known.abs().max()).double().mean())
    return f"{off:.2%} of its gradients are others than those of our eager layer" if off > share else ""
