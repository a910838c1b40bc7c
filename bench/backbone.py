"""What a backbone is to the harness, and how a network is built from one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from bench.layers import Layers, NeuronOptions
from bench.surrogate import Method, Site, Surrogate


@dataclass(frozen=True)
class Backbone:
    """A backbone as the registry knows it.

    build(layers, shape, classes, width) -> Module mapping [T, B, C, H, W] to logits [T, B, classes].
    It makes its spiking layers with `layers`, and scales its channel counts by `width`. It raises
    BenchError where an input shape (C, H, W) does not fit.
    """

    name: str
    build: Callable[..., nn.Module]
    description: str


Builder = TypeVar("Builder", bound=Callable[..., nn.Module])


def backbone(name: str) -> Callable[[Builder], Builder]:
    """Declare a Module class (or a function that makes one) as the backbone `name`."""

    def declare(build: Builder) -> Builder:
        found = Backbone(name, build, (build.__doc__ or "").strip().split("\n")[0])
        build.declared = (*vars(build).get("declared", ()), found)  # type: ignore[attr-defined]
        return build

    return declare


class Network(nn.Module):
    """A backbone under one method: static [B, C, H, W] or events [B, T, C, H, W] to [T, B, classes].

    sites: its spiking layers, from the input. surrogates: the method's instances in them.
    """

    def __init__(
        self, body: nn.Module, sites: list[Site], surrogates: list[Surrogate], timesteps: int
    ) -> None:
        super().__init__()
        self.body = body
        self.sites = sites
        self.timesteps = timesteps
        # Registered once, inside their neurons; here they are only at hand.
        self._surrogates = tuple(surrogates)

    @property
    def surrogates(self) -> tuple[Surrogate, ...]:
        """One a spiking layer, in order."""
        return self._surrogates

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every time step; the prediction is their mean over time."""
        over_time = x.transpose(0, 1) if x.ndim == 5 else x.expand(self.timesteps, *x.shape)
        logits: Tensor = self.body(over_time)
        return logits


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
    """The network of one cell, initial weights from torch's global generator.

    Raises BenchError where method and backbone, or backbone and input shape, do not fit.
    """
    surrogates: list[Surrogate] = []

    def make(site: Site) -> Surrogate:
        # What a method draws while it is built must not change the weights of the layers after it.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(site.seed)
            surrogates.append(method.build(site, values))
        return surrogates[-1]

    layers = Layers(found.name, make, options, timesteps=timesteps, epochs=epochs, seed=seed)
    body = found.build(layers, shape, classes, width)
    return Network(body, layers.sites, surrogates, timesteps)


def scaled(channels: int, width: float) -> int:
    """A channel count under a width multiplier, at least 1."""
    return max(1, round(channels * width))
