"""How much a cell has to compute, from its shapes alone; and what of it that decides.

One pass of the same network with ReLU over a single sample counts numbers and operations. Costs below were
measured, as `tox run -e perf` does, on one thread of an AMD EPYC (family 25, AVX2) with torch 2.14; they
decide between ways to compute the same, so that being off by a factor of two costs seconds. Those of GPUs
are in `bench.run.gpu_steps`.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.data.loading import Facts
from bench.measures.gradients import RELU
from bench.measures.looks import SAMPLES
from bench.model.compiling import CompileMode, compiler_missing, suited
from bench.registry import Registry
from bench.run import gpu_steps
from bench.suite import Cell, Profile
from bench.surrogate import Method

SAVED = {"neuron": 6e-9, "step": 1e-8}
"""Seconds that compiling saves in a training step for each current of a neuron."""
COMPILING = {"neuron": (10.0, 0.0), "step": (8.0, 1.5)}
"""Seconds that it takes: in all, and for each spiking layer."""
TRACED = 5e-9
"""Seconds of an eager step for each current, neurons alone."""
PER_MAC = 1.2e-10
"""Seconds of a training step for each multiplication with a weight in the forward pass."""
BYTES = 48.0
"""That a training on a CPU keeps for each current, on the large side: a dozen numbers."""
BYTES_PER_WEIGHT = 16
"""Four copies: the weights, their gradients and what optimizers keep."""
MODES: tuple[CompileMode, ...] = ("off", "neuron", "step")
STEPS = 2
"""Time steps that are looked at: a recurrent layer has work to do from the second on."""


@dataclass(frozen=True)
class Workload:
    """What one training step of a cell goes through, and how many steps there are.

    currents: numbers that enter neurons, T x B x neurons over all layers. macs: multiplications of the
    forward pass. weights: numbers of the network. layers: spiking ones. steps: of the whole training.
    memory: bytes of a training at its peak, on the large side, on the device that it runs on.
    """

    currents: int
    macs: int
    weights: int
    layers: int
    steps: int
    memory: float = 0.0

    @property
    def seconds(self) -> float:
        """Roughly what the training takes on one thread, eager: to order cells by, not to promise."""
        return self.steps * (self.currents * TRACED + self.macs * PER_MAC + 1e-3 * self.layers)


class Workloads:
    """The workload of each cell; every network is looked at once, for all methods, recipes and seeds."""

    def __init__(self, found: Registry) -> None:
        self._found = found
        self._known: dict[str, _Network | None] = {}

    def of(self, cell: Cell, known: Facts) -> Workload | None:
        """None where its network cannot be built or run, which its training will say."""
        key = f"{cell.backbone.model_dump_json()} {known.shape} {known.classes}"
        if key not in self._known:
            try:
                self._known[key] = _look(cell, self._found, known)
            except Exception:
                self._known[key] = None
        network, recipe = self._known[key], cell.recipe
        if network is None:
            return None
        seen = recipe.batch_size * cell.timesteps
        kept = _bytes(cell, known) * network.currents * cell.timesteps / STEPS
        return Workload(
            currents=network.currents * seen // STEPS,
            macs=network.macs * seen // STEPS,
            weights=network.weights,
            layers=network.layers,
            steps=recipe.epochs * math.ceil(known.train_samples / recipe.batch_size),
            memory=kept
            + BYTES_PER_WEIGHT * network.weights
            + gpu_steps.RESIDENT * (cell.profile.device == "cuda"),
        )


def _bytes(cell: Cell, known: Facts) -> float:
    """That a training keeps for each current of one sample: those of a batch, or of a look, if it has more.

    On a CPU looks are not counted.
    """
    profile, batch = cell.profile, cell.recipe.batch_size
    if profile.device != "cuda":
        return BYTES * batch
    mode: CompileMode = "off" if profile.compile == "auto" else profile.compile
    trained = batch * gpu_steps.bytes_per_current(profile, mode)
    if cell.measure.probe == "off":
        return trained
    # A look is eager.
    looked_at = min(SAMPLES, known.train_samples or SAMPLES)
    return max(trained, looked_at * gpu_steps.bytes_per_current(profile, "off"))


class _Network(NamedTuple):
    """As in `Workload`, for one sample of STEPS time steps."""

    currents: int
    macs: int
    weights: int
    layers: int


def _device() -> str:
    """Where to pass through a network: on "meta" nothing is computed and nothing allocated.

    But for that torch loads its compiler, which takes longer than to compute a few networks.
    """
    return "meta" if "torch._dynamo" in sys.modules else "cpu"


def _look(cell: Cell, found: Registry, known: Facts) -> _Network:
    from bench.run.train import build

    plain = Profile(device="cpu", dtype="float32", channels_last=False)
    like = cell.model_copy(update={"profile": plain, "timesteps": STEPS})
    counts = {"currents": 0, "macs": 0}
    with torch.device(_device()), torch.no_grad():
        network = build(like, found, known, RELU).eval()
        for neuron in network.neurons:
            neuron.register_forward_pre_hook(partial(_count_currents, counts))
        for module in network.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
                module.register_forward_hook(partial(_count_macs, counts))
        network(torch.zeros(1, STEPS, *known.shape))
    return _Network(**counts, weights=sum(p.numel() for p in network.parameters()), layers=len(network.sites))


def compile_mode(cell: Cell, load: Workload | None, method: Method) -> CompileMode:
    """What `compile = "auto"` means for this cell on this machine.

    What makes one training shortest, compiling counted in: other seeds are not counted, so that more of
    them change nothing.
    """
    if method.surrogate.activation is not None or "compile" in method.breaks:
        # Of the network without spikes eager steps are the faster ones.
        return "off"
    if load is None or compiler_missing(cell.profile.device):
        return "off"
    if cell.profile.device == "cuda":
        offered = [suited(mode, method.surrogate) for mode in MODES]
        return min(offered, key=lambda mode: _on_gpu(mode, cell, load))
    best = min(MODES, key=lambda mode: _lost(mode, cell, load))
    return suited(best, method.surrogate)


def _on_gpu(mode: CompileMode, cell: Cell, load: Workload) -> float:
    """Seconds of a training under this mode on a GPU that it has to itself, evaluation left out."""
    each = gpu_steps.step(load, cell.profile, cell.timesteps, mode).beside(0)
    return gpu_steps.compile_seconds(load, mode) + load.steps * each


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
