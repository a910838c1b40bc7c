"""How much a cell has to compute, from its shapes alone; and what of it that decides.

One pass of the same network with ReLU over a batch on the meta device, where nothing is computed and
nothing allocated, counts numbers and operations. Costs below were measured, as `tox run -e perf` does, on
one thread of an AMD EPYC (family 25, AVX2) with torch 2.14; they decide between ways to compute the same,
so that being off by a factor of two costs seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.compiling import CompileMode, compiler_missing, suited
from bench.data import Facts
from bench.metrics.gradients import RELU
from bench.registry import Registry
from bench.suite import Cell
from bench.surrogate import Method

SAVED = {"neuron": 4e-9, "step": 6.5e-9}
"""Seconds that compiling saves in a training step for each current of a neuron."""
COMPILING = {"neuron": (10.0, 0.0), "step": (8.0, 1.5)}
"""Seconds that it takes: in all, and for each spiking layer."""
TRACED = 5e-9
"""Seconds of an eager step for each current, neurons alone."""
PER_MAC = 1.2e-10
"""Seconds of a training step for each multiplication with a weight in the forward pass."""
BYTES = 4


@dataclass(frozen=True)
class Workload:
    """What one training step of a cell goes through, and how many steps there are.

    currents: numbers that enter neurons, T x B x neurons over all layers. macs: multiplications of the
    forward pass. weights: numbers of the network. layers: spiking ones. steps: of the whole training.
    """

    currents: int
    macs: int
    weights: int
    layers: int
    steps: int

    @property
    def seconds(self) -> float:
        """Roughly what the training takes on one thread, eager: to order cells by, not to promise."""
        return self.steps * (self.currents * TRACED + self.macs * PER_MAC + 1e-3 * self.layers)

    @property
    def memory(self) -> float:
        """Bytes of a training, on the large side: what eager neurons keep, and four copies of the weights."""
        kept = 12 * self.currents
        return BYTES * (kept + 4 * self.weights)


class Workloads:
    """The workload of each cell, counted once for all methods and seeds of a network."""

    def __init__(self, found: Registry) -> None:
        self._found = found
        self._known: dict[str, Workload | None] = {}

    def of(self, cell: Cell, known: Facts) -> Workload | None:
        """None where its network cannot be built or run, which its training will say."""
        same = cell.model_dump_json(exclude={"method", "seed", "measure"})
        key = f"{same} {known.checksum} {known.shape} {known.classes}"
        if key not in self._known:
            try:
                self._known[key] = _workload(cell, self._found, known)
            except Exception:
                self._known[key] = None
        return self._known[key]


def _workload(cell: Cell, found: Registry, known: Facts) -> Workload:
    from bench.train import build

    recipe = cell.recipe
    counts = {"currents": 0, "macs": 0}
    with torch.device("meta"):
        network = build(cell, found, known, RELU).train()
        hooks = [n.register_forward_pre_hook(partial(_count_currents, counts)) for n in network.neurons]
        hooks += [
            module.register_forward_hook(partial(_count_macs, counts))
            for module in network.modules()
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear)
        ]
        dtype = next(network.parameters()).dtype
        network(torch.zeros(recipe.batch_size, cell.timesteps, *known.shape, dtype=dtype))
    weights = sum(p.numel() for p in network.parameters())
    steps = recipe.epochs * math.ceil(known.train_samples / recipe.batch_size)
    return Workload(counts["currents"], counts["macs"], weights, len(network.sites), steps)


def compile_mode(cell: Cell, load: Workload | None, method: Method) -> CompileMode:
    """What `compile = "auto"` means for this cell on this machine.

    On a CPU what makes one training shortest, compiling counted in: other seeds are not counted, so that
    more of them change nothing. On a GPU the neurons, whose many small kernels are what an eager step
    waits for; which of the two is faster there has not been measured.
    """
    if method.surrogate.activation is not None or "compile" in method.breaks:
        # Of the network without spikes eager steps are the faster ones.
        return "off"
    if load is None or compiler_missing(cell.profile.device):
        return "off"
    if cell.profile.device == "cuda":
        return "neuron"
    modes: tuple[CompileMode, ...] = ("off", "neuron", "step")
    best = min(modes, key=lambda mode: _lost(mode, cell, load))
    return suited(best, method.surrogate)


def _lost(mode: CompileMode, cell: Cell, load: Workload) -> float:
    """Seconds of a training under this mode, less those of an eager one."""
    if mode == "off":
        return 0.0
    once, per_layer = COMPILING[mode]
    saved = load.steps * load.currents * SAVED[mode] / cell.profile.threads
    return once + per_layer * load.layers - saved


def _count_currents(counts: dict[str, int], _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    counts["currents"] += inputs[0].numel()


def _count_macs(counts: dict[str, int], module: Any, _: object, out: Tensor) -> None:
    counts["macs"] += out.numel() * module.weight[0].numel()
