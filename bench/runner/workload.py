"""The amount of computation of a cell, from its shapes alone, and the choice of the compile mode.

One pass of the same network with ReLU over a single sample counts numbers and operations. The costs below
were measured, as by `tox run -e perf`, on one thread of an AMD EPYC (family 25, AVX2) with torch 2.14. They
only choose between ways to compute the same result, so an error of a factor of two costs seconds. Costs on
GPUs are in `bench.runner.gpu_steps`.
"""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from bench.data.loading import Facts
from bench.measures.gradients import RELU
from bench.measures.probing import SAMPLES
from bench.model.compiling import CompileMode, compiler_missing, suited
from bench.registry import Registry, load
from bench.runner import gpu_steps
from bench.runner.engines.process import NoAnswer, ask
from bench.suite import Cell, Profile
from bench.surrogate import Method

SAVED = {"neuron": 6e-9, "step": 1e-8}
"""Seconds that compilation saves in a training step per current of a neuron."""
COMPILING = {"neuron": (10.0, 0.0), "step": (8.0, 1.5)}
"""Seconds of compilation: in all, and per spiking layer."""
TRACED = 5e-9
"""Seconds of an eager step per current, for neurons alone."""
PER_MAC = 1.2e-10
"""Seconds of a training step per multiplication with a weight in the forward pass."""
BYTES = 48.0
"""Bytes that a run on a CPU keeps per current, a conservative value: a dozen numbers."""
LIMIT = 60.0
"""Seconds in which a network with third-party code must be built and run once."""
BYTES_PER_WEIGHT = 16
"""Four copies: the weights, their gradients and the optimizer's state."""
MODES: tuple[CompileMode, ...] = ("off", "neuron", "step")
STEPS = 2
"""Time steps of the counted pass: a recurrent layer has work to do from the second step on."""


@dataclass(frozen=True)
class Workload:
    """The amount of computation of one training step of a cell, and the number of steps.

    currents: numbers that enter neurons, T x B x neurons over all layers. macs: multiplications of the
    forward pass. weights: number of parameters. layers: number of spiking layers. steps: of the whole run.
    memory: peak bytes of a run on its device, a conservative value.
    """

    currents: int
    macs: int
    weights: int
    layers: int
    steps: int
    memory: float = 0.0

    @property
    def seconds(self) -> float:
        """Approximate time of the run on one thread, eager: good enough to order cells, not as a promise."""
        return self.steps * (self.currents * TRACED + self.macs * PER_MAC + 1e-3 * self.layers)


class Workloads:
    """The workload of each cell; every network is counted once for all methods, recipes and seeds."""

    def __init__(self, registry: Registry, plugins: tuple[Path, ...] = ()) -> None:
        self._registry, self._plugins = registry, plugins
        self._known: dict[str, _Network | None] = {}

    def of(self, cell: Cell, known: Facts) -> Workload | None:
        """The workload of a cell; None if its network cannot be built or run, which its run will report."""
        key = f"{cell.backbone.model_dump_json()} {known.shape} {known.classes}"
        if key not in self._known:
            self._known[key] = self._look(cell, known)
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

    def _look(self, cell: Cell, known: Facts) -> _Network | None:
        if self._registry.backbone(cell.backbone.name).shipped:
            return look((cell, known, self._registry))
        # Third-party code runs in a process of its own.
        (answer,) = ask(look, [(cell, known, self._plugins)], limit=LIMIT)
        return None if isinstance(answer, NoAnswer) else cast("_Network | None", answer)


def _bytes(cell: Cell, known: Facts) -> float:
    """Bytes that a run keeps per current of one sample: for a batch, or for a probe if that takes more.

    On a CPU, probes are not counted.
    """
    profile, batch = cell.profile, cell.recipe.batch_size
    if profile.device != "cuda":
        return BYTES * batch
    mode: CompileMode = "off" if profile.compile == "auto" else profile.compile
    trained = batch * gpu_steps.bytes_per_current(profile, mode)
    if cell.measure.probe == "off":
        return trained
    # Probes run eager.
    looked_at = min(SAMPLES, known.train_samples or SAMPLES)
    return max(trained, looked_at * gpu_steps.bytes_per_current(profile, "off"))


class _Network(NamedTuple):
    """As in `Workload`, for one sample of STEPS time steps."""

    currents: int
    macs: int
    weights: int
    layers: int


def _device() -> str:
    """The device for the counting pass: "meta" computes and allocates nothing.

    However, for "meta" torch loads its compiler, which takes longer than computing a few networks.
    """
    return "meta" if "torch._dynamo" in sys.modules else "cpu"


def look(question: tuple[Cell, Facts, Registry | tuple[Path, ...]]) -> _Network | None:
    """Count a cell's network; None if it cannot be built or run. Also: the registry, or the plugin files."""
    cell, known, where = question
    with suppress(Exception):
        return _counted(cell, where if isinstance(where, Registry) else load(where), known)
    return None


def _counted(cell: Cell, registry: Registry, known: Facts) -> _Network:
    from bench.runner.train import build

    plain = Profile(device="cpu", dtype="float32", channels_last=False)
    like = cell.model_copy(update={"profile": plain, "timesteps": STEPS})
    counts = {"currents": 0, "macs": 0}
    with torch.device(_device()), torch.no_grad():
        network = build(like, registry, known, RELU).eval()
        for neuron in network.neurons:
            neuron.register_forward_pre_hook(partial(_count_currents, counts))
        for module in network.modules():
            if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear):
                module.register_forward_hook(partial(_count_macs, counts))
        network(torch.zeros(1, STEPS, *known.shape))
    return _Network(**counts, weights=sum(p.numel() for p in network.parameters()), layers=len(network.sites))


def compile_mode(cell: Cell, load: Workload | None, method: Method) -> CompileMode:
    """The mode that `compile = "auto"` stands for, for this cell on this machine.

    It is the mode with the shortest run, including compilation. Other seeds do not count, so that more seeds
    do not change the mode.
    """
    if method.surrogate.activation is not None or "compile" in method.breaks:
        # For a network without spikes, eager steps are faster.
        return "off"
    if load is None or compiler_missing(cell.profile.device):
        return "off"
    if cell.profile.device == "cuda":
        offered = [suited(mode, method.surrogate) for mode in MODES]
        return min(offered, key=lambda mode: _on_gpu(mode, cell, load))
    best = min(MODES, key=lambda mode: _lost(mode, cell, load))
    return suited(best, method.surrogate)


def _on_gpu(mode: CompileMode, cell: Cell, load: Workload) -> float:
    """Seconds of a run in this mode on a GPU of its own, without evaluation."""
    each = gpu_steps.step(load, cell.profile, cell.timesteps, mode).beside(0)
    return gpu_steps.compile_seconds(load, mode) + load.steps * each


def _lost(mode: CompileMode, cell: Cell, load: Workload) -> float:
    """Seconds of a run in this mode minus those of an eager one."""
    if mode == "off":
        return 0.0
    once, per_layer = COMPILING[mode]
    saved = load.steps * load.currents * SAVED[mode] / cell.profile.threads
    return once + per_layer * load.layers - saved


def _count_currents(counts: dict[str, int], _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    counts["currents"] += inputs[0].numel()


def _count_macs(counts: dict[str, int], module: Any, _: object, out: Tensor) -> None:
    counts["macs"] += out.numel() * module.weight[0].numel()
