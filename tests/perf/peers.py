"""The same network with the neurons of other libraries in place of ours: same weights, same surrogate.

    u[t] = 0.2 v[t-1] + I[t],   s[t] = 1(u[t] >= 0.5),   v[t] = u[t] (1 - s[t])

The gradient goes through the reset. The surrogate derivative is 1 / (1 + |x|)^2: norse 1.1 has it whatever
slope it is given, so the others are given its own.
Convolutions, norms and their layout are ours in all of them, so that what is compared are neurons.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench import registry, shapes
from bench.backbone import Network, build_network
from bench.layers import NeuronOptions

DECAY, THRESHOLD, SLOPE = 0.2, 0.5, 1.0
FOUND = registry.load()
SURROGATE = {"width": shapes.FAST_SIGMOID_FWHM / SLOPE, "height": 1.0}
"""Of our fast-sigmoid, for 1 / (1 + |x|)^2."""


class _Steps(nn.Module):
    """A neuron for one step, (input, state) -> (spikes, state), over T steps [T, B, ...]."""

    def __init__(self, cell: Callable[..., tuple[Tensor, object]], gain: float = 1.0) -> None:
        super().__init__()
        self.cell = cell
        self.gain = gain

    def forward(self, current: Tensor) -> Tensor:
        state, out = None, []
        for i in current.unbind(0):
            spikes, state = self.cell(i if self.gain == 1 else self.gain * i, state)
            out.append(spikes)
        return torch.stack(out)


def snntorch_neuron() -> nn.Module:
    """Leaky. Without `reset_delay`, since with it no gradient goes through the reset."""
    import snntorch
    from snntorch import surrogate

    leaky = snntorch.Leaky(
        beta=DECAY,
        threshold=THRESHOLD,
        spike_grad=surrogate.fast_sigmoid(slope=SLOPE),
        reset_mechanism="zero",
        reset_delay=False,
    )
    return _Steps(lambda i, v: leaky(i, leaky.init_leaky() if v is None else v))


def norse_neuron() -> nn.Module:
    """lif_box_feed_forward_step: v + dt/tau_mem (i - v), so the current is scaled by tau_mem/dt."""
    from norse.torch.functional import lif_box

    p = lif_box.LIFBoxParameters(
        tau_mem_inv=torch.tensor((1 - DECAY) * 1000),
        v_leak=torch.tensor(0.0),
        v_th=torch.tensor(THRESHOLD),
        v_reset=torch.tensor(0.0),
        method="super",
        alpha=torch.tensor(SLOPE),
    )

    def cell(i: Tensor, state: object) -> tuple[Tensor, object]:
        before = lif_box.LIFBoxFeedForwardState(torch.zeros_like(i)) if state is None else state
        return lif_box.lif_box_feed_forward_step(i, before, p)

    return _Steps(cell, gain=1 / (1 - DECAY))


class _SuperSpike(torch.autograd.Function):
    """1 / (1 + |x|)^2, as SpikingJelly wants it; its own SoftSign is half as high."""

    @staticmethod
    def forward(ctx, x, alpha):
        ctx.save_for_backward(x)
        return (x >= 0).to(x)

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        return upstream / (1 + x.abs()).square(), None


class _SpikingJelly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        from spikingjelly.activation_based import neuron, surrogate

        class SuperSpike(surrogate.SoftSign):
            spiking_function = staticmethod(_SuperSpike.apply)

        self.node = neuron.LIFNode(
            tau=1 / (1 - DECAY),
            decay_input=False,
            v_threshold=THRESHOLD,
            v_reset=0.0,
            surrogate_function=SuperSpike(alpha=SLOPE),
            step_mode="m",
        )

    def forward(self, current: Tensor) -> Tensor:
        self.node.reset()
        out: Tensor = self.node(current)
        return out


def peers() -> dict[str, Callable[[], nn.Module]]:
    """The neurons of the libraries that are installed."""
    found: dict[str, Callable[[], nn.Module]] = {}
    if importlib.util.find_spec("snntorch"):
        found["snntorch"] = snntorch_neuron
    if importlib.util.find_spec("norse"):
        found["norse"] = norse_neuron
    if importlib.util.find_spec("spikingjelly"):
        # All steps at once; version 2 chooses by itself what computes them: torch on a CPU.
        found["spikingjelly"] = _SpikingJelly
    return found


class Repeats(nn.Module):
    """Shows a current of one step to a neuron of another library at every step, as its users do."""

    def __init__(self, neuron: nn.Module, timesteps: int) -> None:
        super().__init__()
        self.neuron = neuron
        self.timesteps = timesteps

    def forward(self, current: Tensor) -> Tensor:
        if len(current) == 1 < self.timesteps:
            current = current.expand(self.timesteps, *current.shape[1:])
        out: Tensor = self.neuron(current)
        return out


def ours(
    backbone: str,
    timesteps: int,
    shape: tuple[int, ...],
    width: float,
    *,
    method: str = "fast-sigmoid",
    channels_last: bool = True,
) -> Network:
    """A network with our neurons; the same weights every time."""
    torch.manual_seed(0)
    network = build_network(
        FOUND.backbone(backbone).item,
        FOUND.method(method).item,
        SURROGATE if method == "fast-sigmoid" else {},
        NeuronOptions(threshold=THRESHOLD, decay=DECAY),
        shape=shape,
        classes=10,
        width=width,
        timesteps=timesteps,
    )
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
    for surrogate in network.surrogates:
        surrogate.on_epoch(0.0)
    return network.train()


def with_neurons(network: Network, make: Callable[[], nn.Module]) -> Network:
    """The same network, changed: each of its neurons is one of make()."""
    for neuron in network.neurons:
        for parent in network.modules():
            for name, child in parent.named_children():
                if child is neuron:
                    setattr(parent, name, Repeats(make(), network.timesteps))
    return network
