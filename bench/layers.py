"""tdBN, and the blocks synapse + normalisation + spiking neuron that backbones are made of.

T time steps, B samples, C channels, H W space. Everything between blocks is [T, B, C, ...].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.neuron import NeuronKind, Reset, SpikingNeuron
from bench.surrogate import Site, Surrogate

NormKind = Literal["tdbn", "bn", "none"]


class TdBN(nn.Module):
    """Threshold-dependent batch normalisation, for [T, B, C] and [T, B, C, ...].

        I = scale * gamma * (x - mean) / sqrt(var + eps) + beta,   scale = alpha * v_th

    Statistics go over time, batch and space (Zheng et al., Going Deeper With Directly-Trained
    Larger Spiking Neural Networks, AAAI 2021, eqs. 6 to 8), alpha = 1. With scale = 1 it is
    ordinary batch normalisation over the same axes. gamma is `weight`, beta is `bias`.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, scale: float, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.scale = scale
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, C, ...] to the same shape and dtype."""
        flat = functional.batch_norm(
            x.flatten(0, 1),
            self.running_mean,
            self.running_var,
            self.weight * self.scale,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )
        return flat.view(x.shape)


class OverTime(nn.Module):
    """Applies a stateless module to every time step at once: [T, B, ...] as [T*B, ...]."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        flat: Tensor = self.module(x.flatten(0, 1))
        over_time: Tensor = flat.unflatten(0, x.shape[:2])
        return over_time


class SpikeBlock(nn.Sequential):
    """synapse (conv or linear) -> norm -> neuron, [T, B, ...] to [T, B, ...]."""

    def __init__(self, synapse: nn.Module, norm: nn.Module, neuron: SpikingNeuron) -> None:
        super().__init__(OverTime(synapse), norm, neuron)

    @property
    def neuron(self) -> SpikingNeuron:
        """Its last part."""
        neuron = self[2]
        assert isinstance(neuron, SpikingNeuron)
        return neuron


@dataclass(frozen=True)
class NeuronOptions:
    """The choices every backbone shares; see `bench.suite.BackboneSpec` for their meaning."""

    neuron: NeuronKind = "lif"
    norm: NormKind = "tdbn"
    reset: Reset = "zero"
    detach_reset: bool = False
    threshold: float = 0.5
    decay: float = 0.2


class Layers:
    """What a backbone builds its spiking layers with: it carries method, options and counting.

    make: gives the surrogate of a site. Layers are numbered in the order in which they are made;
    a backbone with shortcuts passes `depth` itself, else it is counted from the end.
    """

    def __init__(
        self,
        backbone: str,
        make: Callable[[Site], Surrogate],
        options: NeuronOptions,
        *,
        timesteps: int,
        epochs: int = 1,
        seed: int = 0,
    ) -> None:
        self.backbone = backbone
        self.make = make
        self.options = options
        self.timesteps = timesteps
        self.epochs = epochs
        self.seed = seed
        self.sites: list[Site] = []
        self._chain: list[Site] = []

    def conv(self, name: str, inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> SpikeBlock:
        """A padded convolution block, kaiming-normal over fan-out; no bias under a norm."""
        bias = self.options.norm == "none"
        synapse = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=bias)
        nn.init.kaiming_normal_(synapse.weight, mode="fan_out", nonlinearity="relu")
        return self.block(name, synapse, outputs)

    def linear(self, name: str, inputs: int, outputs: int) -> SpikeBlock:
        """A fully connected block; no bias under a norm."""
        return self.block(name, nn.Linear(inputs, outputs, bias=self.options.norm == "none"), outputs)

    def block(self, name: str, synapse: nn.Module, channels: int, *, depth: int | None = None) -> SpikeBlock:
        """Any synapse followed by the norm and the neuron that the options ask for."""
        norm = self.norm(channels)
        return SpikeBlock(synapse, norm, self.spike(name, norm, depth=depth))

    def norm(self, channels: int) -> nn.Module:
        """The normalisation before a neuron."""
        if self.options.norm == "none":
            return nn.Identity()
        return TdBN(channels, self.options.threshold if self.options.norm == "tdbn" else 1.0)

    def spike(self, name: str, norm: nn.Module, *, depth: int | None = None) -> SpikingNeuron:
        """A spiking layer fed by `norm`.

        Raises BenchError if the method does not fit the site.
        """
        o = self.options
        neuron = SpikingNeuron(
            o.neuron, threshold=o.threshold, decay=o.decay, reset=o.reset, detach_reset=o.detach_reset
        )
        tdbn = norm if isinstance(norm, TdBN) and o.norm == "tdbn" else None
        index = len(self.sites)
        # Layers draw from streams of their own: 2^20 apart, more than any network has layers.
        seed = self.seed * 2**20 + index
        site = Site(f"{self.backbone}/{name}", index, neuron, tdbn, self.timesteps, self.epochs, seed)
        neuron.surrogate = self.make(site)
        self.sites.append(site)
        for each in self.sites:
            each.layers = len(self.sites)
        if depth is None:
            for earlier in self._chain:
                earlier.depth += 1
            self._chain.append(site)
        else:
            site.depth = depth
        return neuron
