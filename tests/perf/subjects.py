"""Whose training steps are compared: one network over and over, with different neurons in it.

Every network starts from the same weights and takes the same samples: events, B samples of T steps each,
so that nobody can compute a step once for all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from ours import MODES, Mode, compiled
from peers import INSTALLED, METHOD, PEERS, VALUES, take_over
from torch import Tensor
from trained_networks import network_of, training_step

from bench.model.backbone import Network


class Case(NamedTuple):
    """A network and the samples that it is trained on; width multiplies its channels."""

    backbone: str
    width: float
    shape: tuple[int, ...]
    batch: int
    timesteps: int

    def __str__(self) -> str:
        width = "" if self.width == 1 else f" at width 1/{1 / self.width:g}"
        size = "×".join(map(str, self.shape))
        return f"{self.backbone}{width}, {size}, batch {self.batch}, T = {self.timesteps}"

    def samples(self, device: torch.device) -> Tensor:
        """[B, T, C, H, W], the same for all."""
        generator = torch.Generator().manual_seed(1)
        return torch.rand(self.batch, self.timesteps, *self.shape, generator=generator).to(device)


@dataclass(frozen=True)
class Subject:
    """What computes the neurons of a network: one of our methods, or a peer in its place.

    values: the method's parameters, where they are not its defaults.
    """

    name: str
    method: str = METHOD
    values: tuple[tuple[str, float], ...] = tuple(VALUES.items())
    mode: Mode = "off"
    peer: str = ""

    def network(self, case: Case, device: torch.device, *, channels_last: bool) -> Network:
        network = network_of(
            case.backbone, self.method, case.shape, case.width, case.timesteps, dict(self.values)
        )
        if self.peer:
            take_over(network, self.peer)
        if channels_last:
            network = network.to(memory_format=torch.channels_last)
        return compiled(network.to(device), self.mode, case.batch)

    def step(self, case: Case, device: torch.device, *, channels_last: bool) -> Callable[[], object]:
        """One training step of a new network."""
        return training_step(self.network(case, device, channels_last=channels_last), case.samples(device))


def of_method(method: str, mode: Mode) -> Subject:
    """One of our methods at its defaults."""
    return Subject(f"{method}, compile = {mode}", method, (), mode)


OURS = {mode: Subject(f"spikegrad, compile = {mode}", mode=mode) for mode in MODES}
RELU = Subject("ReLU", "ann-relu", ())
COMPILED_RELU = Subject("ReLU, compiled", "ann-relu", (), "step")
AS_SHIPPED = [Subject(name, peer=name) for name in INSTALLED]
COMPILED_PEERS = [
    Subject(f"{name}, compiled", peer=name, mode="step") for name in INSTALLED if PEERS[name].compiles
]
