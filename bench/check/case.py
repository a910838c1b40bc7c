"""The case that a law of conformance is tested on, and its possible outcomes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch.nn import functional

from bench.data import loading
from bench.measures.single_layer import Probe
from bench.model.backbone import Network, build_network
from bench.model.layers import NeuronOptions
from bench.model.neuron import NeuronKind
from bench.registry import Registry
from bench.surrogate import Method

Compiler = Literal["aot_eager", "inductor"]
CLASSES = 10
SAMPLE = (1, 8, 8)
"""The networks are for scikit-learn's digits, which need no download."""
FRAMED = (1, 16, 16)
"""The digits within a frame: the smallest image size that every shipped backbone accepts."""


class NoClaim(str):
    """The reason why a law does not apply to a method."""


NO_SPIKES = NoClaim("no spikes")


class Broken(Exception):
    """A law does not hold; the message says where and by how much."""


@dataclass(frozen=True)
class Case:
    """A method under test, the registry, and the compiler.

    aot_eager captures the graph but generates no code: it is faster and needs no C++ compiler.
    """

    method: Method
    registry: Registry
    compiler: Compiler = "inductor"

    @property
    def spiking(self) -> bool:
        """Whether the method has spikes."""
        return self.method.surrogate.activation is None

    def probe(self, *, dtype: torch.dtype = torch.float64, **values: float) -> Probe:
        """One layer in evaluation mode."""
        return Probe(self.method, values).to(dtype).eval()

    def network(
        self,
        backbone: str = "mlp",
        *,
        neuron: NeuronKind = "plif",
        timesteps: int = 2,
        seed: int = 0,
        sample: tuple[int, ...] = SAMPLE,
        width: float = 0.25,
    ) -> Network:
        """A small network; its weights depend on `seed`, the method's own random numbers do not.

        Raises BenchError if the method refuses the network.
        """
        torch.manual_seed(seed)
        return build_network(
            self.registry.backbone(backbone).item,
            self.method,
            {},
            NeuronOptions(neuron=neuron),
            shape=sample,
            classes=CLASSES,
            width=width,
            timesteps=timesteps,
            epochs=2,
            seed=7,
        )

    def framed_digits(self, count: int) -> loading.Split:
        """Some training samples, [count, *FRAMED]."""
        digits, rows = self.digits(), torch.arange(count)
        border = (FRAMED[1] - SAMPLE[1]) // 2
        return loading.Split(functional.pad(digits.x[rows], [border] * 4), digits.y[rows], digits.ids[rows])

    def digits(self) -> loading.Split:
        """Training samples, [N, *SAMPLE]."""
        return loading.prepare(self.registry.dataset("digits").item, loading.Request(Path(), 1), None).train
