"""tdBN, and the blocks synapse + normalisation + spiking neuron that backbones are made of.

T time steps, B samples, C channels, H x W pixels. All tensors between blocks are [T, B, C, ...].

For static data, the layers before the first spiking layer run once, not T times: their tensors have one step,
[1, B, C, ...], which stands for all steps. The first spiking neurons repeat it T times. Norms and neurons get
the number of repeats from their network; on their own they treat one step as one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.model.neuron import NeuronKind, Reset, SpikingNeuron
from bench.surrogate import Site, Surrogate

NormKind = Literal["tdbn", "bn", "none"]


class TdBN(nn.Module):
    """Threshold-dependent batch normalisation, for [T, B, C] and [T, B, C, ...].

        I = scale * gamma * (x - mean) / sqrt(var + eps) + beta,   scale = alpha * v_th

    Statistics are taken over time, batch and space (Zheng et al., Going Deeper With Directly-Trained Larger
    Spiking Neural Networks, AAAI 2021, eqs. 6 to 8), alpha = 1. With scale = 1 it is ordinary batch
    normalisation over the same axes.

    gamma is `weight`, beta is `bias`.
    timesteps: how many steps one step stands for.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(
        self, channels: int, scale: float, timesteps: int = 1, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__()
        self.scale = scale
        self.timesteps = timesteps
        self.eps = eps
        self.momentum = momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, C, ...] to the same shape and dtype."""
        values = len(x) * x.shape[1] * x.shape[3:].numel()
        repeated = self.training and len(x) == 1 and self.timesteps > 1
        if repeated and values == 1:
            # A single value per channel has no unbiased variance; over all repeated steps it is 0.
            return self.forward(x.repeat(self.timesteps, *[1] * (x.ndim - 1)))
        if repeated:
            return self._for_all_steps(x[0], values)[None]
        return self._normalise(x.flatten(0, 1), self.running_var).view(x.shape)

    def _for_all_steps(self, x: Tensor, values: int) -> Tensor:
        """[B, C, ...] normalised as if repeated at every step; values: the number of values per channel."""
        measured = torch.zeros_like(self.running_var)
        y = self._normalise(x, measured)
        # Running variances are unbiased, n / (n - 1) times the mean square; n counts the repeated steps.
        n = self.timesteps * values
        correction = (values - 1) / values * n / (n - 1)
        self.running_var.mul_(1 - self.momentum).add_(measured, alpha=correction)
        return y

    def _normalise(self, x: Tensor, running_var: Tensor) -> Tensor:
        """[N, C, ...]; in training, `running_var` and the running mean move by the momentum."""
        return functional.batch_norm(
            x,
            self.running_mean,
            running_var,
            self.weight * self.scale,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )


class OverTime(nn.Module):
    """Applies a stateless module to all time steps at once: [T, B, ...] as [T*B, ...]."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        flat: Tensor = self.module(x.flatten(0, 1))
        over_time: Tensor = flat.unflatten(0, x.shape[:2])
        return over_time


FEW_CHANNELS = 8
"""With fewer channels, torch's own strided 1x1 convolution writes out of bounds in the backward pass.

Seen on CPUs with AVX2 in torch 2.14 (oneDNN), for channels-last images.
"""


class PointwiseConv(nn.Conv2d):
    """A 1x1 convolution that subsamples its input by the stride first."""

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W] to [N, C', H', W']."""
        down, right = self.stride
        return functional.conv2d(x[..., ::down, ::right], self.weight, self.bias)


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
    """The options that every backbone shares; `bench.suite.BackboneSpec` describes them."""

    neuron: NeuronKind = "lif"
    norm: NormKind = "tdbn"
    reset: Reset = "zero"
    detach_reset: bool = False
    threshold: float = 0.5
    decay: float = 0.2


class Layers:
    """Creates a backbone's spiking layers; holds the method, the options and the layer count.

    make: returns the surrogate of a site.

    Layers are numbered in the order in which they are created, and each is one deeper than the one before it.
    The exception is a shortcut: create it right after the layer that it bypasses, with `parallel=True`, and
    it gets that layer's depth.
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

    def conv(
        self,
        name: str,
        inputs: int,
        outputs: int,
        *,
        kernel: int = 3,
        stride: int = 1,
        parallel: bool = False,
    ) -> SpikeBlock:
        """A padded convolution block, kaiming-normal over fan-out; no bias under a norm."""
        bias = self.options.norm == "none"
        few = kernel == 1 and stride > 1 and inputs < FEW_CHANNELS
        synapse = (PointwiseConv if few else nn.Conv2d)(
            inputs, outputs, kernel, stride, padding=kernel // 2, bias=bias
        )
        nn.init.kaiming_normal_(synapse.weight, mode="fan_out", nonlinearity="relu")
        return self.block(name, synapse, outputs, parallel=parallel)

    def linear(self, name: str, inputs: int, outputs: int, *, recurrent: bool = False) -> SpikeBlock:
        """A fully connected block; no bias under a norm. recurrent: see `bench.model.neuron`."""
        synapse = nn.Linear(inputs, outputs, bias=self.options.norm == "none")
        over_time = nn.Linear(outputs, outputs, bias=False) if recurrent else None
        return self.block(name, synapse, outputs, recurrent=over_time)

    def block(
        self,
        name: str,
        synapse: nn.Module,
        channels: int,
        *,
        parallel: bool = False,
        recurrent: nn.Linear | None = None,
    ) -> SpikeBlock:
        """Any synapse, followed by the norm and the neuron given by the options."""
        norm = self.norm(channels)
        return SpikeBlock(synapse, norm, self.spike(name, norm, parallel=parallel, recurrent=recurrent))

    def norm(self, channels: int) -> nn.Module:
        """The normalisation before a neuron."""
        if self.options.norm == "none":
            return nn.Identity()
        scale = self.options.threshold if self.options.norm == "tdbn" else 1.0
        return TdBN(channels, scale)

    def spike(
        self, name: str, norm: nn.Module, *, parallel: bool = False, recurrent: nn.Linear | None = None
    ) -> SpikingNeuron:
        """A spiking layer fed by `norm`.

        Raises BenchError if the method does not fit the site.
        """
        o = self.options
        neuron = SpikingNeuron(
            o.neuron,
            threshold=o.threshold,
            decay=o.decay,
            reset=o.reset,
            detach_reset=o.detach_reset,
            recurrent=recurrent,
        )
        tdbn = norm if isinstance(norm, TdBN) and o.norm == "tdbn" else None
        index = len(self.sites)
        # Each layer has its own random stream. Cells are 2^20 seeds apart: more than any network has layers.
        seed = self.seed * 2**20 + index
        site = Site(f"{self.backbone}/{name}", index, neuron, tdbn, self.timesteps, self.epochs, seed)
        neuron.surrogate = self.make(site)
        if not parallel:
            for earlier in self.sites:
                earlier.depth += 1
        self.sites.append(site)
        for each in self.sites:
            each.layers = len(self.sites)
        return neuron
