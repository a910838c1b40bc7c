"""The interface of a backbone, and building a network from one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from bench.errors import BenchError
from bench.model.layers import Layers, NeuronOptions, TdBN
from bench.model.neuron import SpikingNeuron
from bench.surrogate import Method, Site, Surrogate


@dataclass(frozen=True)
class Backbone:
    """A backbone as the registry knows it.

    build(layers, shape, classes, width) returns a Module that maps [T, B, *shape] to logits [T, B, classes].
    shape: that of one sample at one time step, (C, H, W) for images, (units,) for flat data.

    `build` creates its spiking layers with `layers` and scales its channel counts by `width`. It raises
    BenchError if a shape does not fit: see `picture`.
    """

    name: str
    build: Callable[..., nn.Module]
    description: str


Builder = TypeVar("Builder", bound=Callable[..., nn.Module])


def backbone(name: str) -> Callable[[Builder], Builder]:
    """Declare a Module class (or a function that returns one) as the backbone `name`."""

    def declare(build: Builder) -> Builder:
        found = Backbone(name, build, (build.__doc__ or "").strip().split("\n")[0])
        build.declared = (*vars(build).get("declared", ()), found)  # type: ignore[attr-defined]
        return build

    return declare


class Network(nn.Module):
    """A backbone under one method: static [B, *shape] or events [B, T, *shape] to [T, B, classes].

    sites: its spiking layers, from the input.
    surrogates: the method's instances in them.
    sample_ndim: the number of dimensions of one sample at one time step, 3 for images and 1 for flat data.
    compiled: if set, replaces `over_time` in training.
    """

    def __init__(
        self,
        body: nn.Module,
        sites: list[Site],
        surrogates: list[Surrogate],
        timesteps: int,
        sample_ndim: int = 3,
    ) -> None:
        super().__init__()
        self.body = body
        self.sites = sites
        self.timesteps = timesteps
        self.sample_ndim = sample_ndim
        self.compiled: Callable[[Network, Tensor], Tensor] | None = None
        for module in self.modules():
            if isinstance(module, SpikingNeuron | TdBN):
                module.timesteps = timesteps
        # Registered once, inside their neurons; these are only references.
        self._surrogates = tuple(surrogates)

    @property
    def surrogates(self) -> tuple[Surrogate, ...]:
        """One per spiking layer, in order."""
        return self._surrogates

    @property
    def neurons(self) -> tuple[SpikingNeuron, ...]:
        """One per spiking layer, in order."""
        return tuple(site.neuron for site in self.sites if isinstance(site.neuron, SpikingNeuron))

    def is_events(self, x: Tensor) -> bool:
        """Whether [B, ...] has a time dimension."""
        return x.ndim == 2 + self.sample_ndim

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every time step; the prediction is their mean over time."""
        if self.compiled is not None and self.training:
            return self.compiled(self, x)
        return self.over_time(x)

    def over_time(self, x: Tensor) -> Tensor:
        """The same as `forward`, never compiled."""
        if self.is_events(x):
            steps: Tensor = self.body(x.transpose(0, 1))
            return steps
        # Static input is a single step until the first spiking layer.
        logits: Tensor = self.body(x[None])
        return logits.expand(self.timesteps, *logits.shape[1:])


def build_network(
    found: Backbone,
    method: Method,
    values: Mapping[str, float | None],
    options: NeuronOptions,
    *,
    shape: tuple[int, ...],
    classes: int,
    width: float,
    timesteps: int,
    epochs: int = 1,
    seed: int = 0,
) -> Network:
    """The network of one cell, with initial weights from torch's global generator.

    Raises BenchError if method and backbone, or backbone and input shape, do not fit.
    """
    surrogates: list[Surrogate] = []

    def make(site: Site) -> Surrogate:
        # Random numbers drawn while a method is built must not change the weights of later layers.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(site.seed)
            surrogates.append(method.build(site, values))
        return surrogates[-1]

    layers = Layers(found.name, make, options, timesteps=timesteps, epochs=epochs, seed=seed)
    body = found.build(layers, shape, classes, width)
    return Network(body, layers.sites, surrogates, timesteps, len(shape))


def scaled(channels: int, width: float) -> int:
    """A channel count under a width multiplier, at least 1."""
    return max(1, round(channels * width))


def picture(backbone: str, shape: tuple[int, ...], *, smallest: int = 1) -> tuple[int, int, int]:
    """The (C, H, W) of a sample, for backbones that take images only.

    smallest: the smallest height and width that the backbone supports.

    Raises BenchError if the sample has another number of dimensions, or is smaller.
    """
    size = f" with H and W of at least {smallest}" if smallest > 1 else ""
    needs = f"{backbone} needs samples of shape (C, H, W){size}, got {shape}"
    if len(shape) != 3:
        raise BenchError(f"{needs}: use the backbone mlp or rsnn, which take any shape")
    channels, height, width = shape
    if min(height, width) < smallest:
        raise BenchError(f"{needs}: use the backbone convnet, resnet18 or resnet19, which take any size")
    return channels, height, width


def synapses(network: nn.Module) -> list[nn.Parameter]:
    """Weights of synapses and readout: matrices and kernels, but none of a norm, a neuron or a method.

    Includes the matrix of a recurrent layer.
    """
    own: set[int] = set()
    for module in network.modules():
        if isinstance(module, nn.LayerNorm | nn.RMSNorm):
            # With several normalised dimensions, their weights are not vectors.
            own |= {id(p) for p in module.parameters()}
        if isinstance(module, SpikingNeuron):
            over_time = module.recurrent.parameters() if module.recurrent is not None else ()
            own |= {id(p) for p in module.parameters()} - {id(p) for p in over_time}
    return [p for p in network.parameters() if p.ndim > 1 and id(p) not in own]
