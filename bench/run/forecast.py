"""How long the rest of a plan will take: before anything has run from sizes alone, later from what has run.

Of a training are counted its steps, compiling, evaluation and looks, roughly. Loading of data, augmentation
and a method's own search are not, nor is 16-bit arithmetic on a CPU, which may be faster or slower there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.measures.descent import DIRECTIONS
from bench.measures.looks import BATCHES, SAMPLES
from bench.model.compiling import CompileMode
from bench.run import gpu_steps
from bench.run.engines.slots import Need, of_machine
from bench.run.gpus import Gpu
from bench.run.workload import COMPILING, SAVED, Workload
from bench.suite import Cell

if TYPE_CHECKING:
    from bench.run.plan import Plan

FINISHED = "the mean of the cells that have finished"
SIZES = {
    "cpu": "sizes, and figures of one thread of an AMD EPYC; yours may differ by a factor of 2 or more",
    "cuda": "sizes, and figures of an NVIDIA H200; another GPU may differ by a factor of 2 or more",
}
"""What an estimate rests on, by the device that it is for."""
VALIDATED, TESTED = 0.11, 0.2
"""Samples evaluated after an epoch, for each that is trained on; those for testing where a recipe asks."""
FORWARD = 1 / 3
"""Of a training step is its forward pass."""
LOOK = 1.5
"""A look at the gradients takes as long as training on so many times its samples, eager."""
DESCENT = 8
"""Forward passes of an attempt to step downhill; they are in float64, which takes twice as long."""


@dataclass(frozen=True)
class Forecast:
    """What is left to do of a plan.

    seconds: of all its trainings, one after another. at_once: how many run side by side here at most.
    elapsed: seconds until all are done that way. basis: what this was reckoned from.
    """

    seconds: float
    at_once: int
    elapsed: float
    basis: str


def forecast(plan: Plan) -> Forecast | None:
    """What is left of a plan; None where that is not known: a network of it cannot be built.

    Of a GPU that is not here it is not known how many trainings it holds: one at a time.
    """
    pending, each = plan.pending, plan.seconds_each()
    device = plan.cells[0].cell.profile.device
    here = of_machine(None, _gpus() if device == "cuda" else ())
    gpus = len(here.gpus)
    total, elapsed, most = 0.0, 0.0, 1
    for planned in pending:
        cell, load = planned.cell, plan.workloads.of(planned.cell, planned.known)
        need = Need(cell.profile.threads, load.memory if load else 0.0, device == "cuda")
        at_once = 1 if device == "cuda" and not gpus else min(here.most(need), len(pending))
        if each is not None:
            seconds = each
        elif load is not None:
            seconds = training_seconds(cell, load, beside=math.ceil(at_once / max(gpus, 1)) - 1)
        else:
            return None
        total += seconds
        elapsed += seconds / at_once
        most = max(most, at_once)
    return Forecast(total, most, elapsed, FINISHED if each is not None else SIZES[device])


def _gpus() -> list[Gpu]:
    """Those that a run could use now; none where it would find none."""
    import torch

    from bench.run.engines.asking import usable_gpus

    if not torch.cuda.is_available():
        return []
    try:
        return usable_gpus()
    except BenchError:
        return []


def training_seconds(cell: Cell, load: Workload, beside: int = 0) -> float:
    """Of one cell, from start to end. beside: so many others train on the same GPU."""
    measure, recipe, mode = cell.measure, cell.recipe, cell.profile.compile
    if mode == "auto":
        raise ValueError('compile = "auto" stands for another mode, which a plan chooses')
    eager = _step(cell, load, "off", beside)
    evaluated = VALIDATED + TESTED * recipe.best_test_epoch
    looks = {"all": recipe.epochs + 1, "ends": 2, "off": 0}[measure.probe]
    steps = load.steps * (_step(cell, load, mode, beside) + evaluated * FORWARD * eager)
    looked = looks * LOOK * eager * SAMPLES / recipe.batch_size
    return _compiling(cell, load, mode) + steps + looked + _on_cpu(cell, load)


def _step(cell: Cell, load: Workload, mode: CompileMode, beside: int) -> float:
    if cell.profile.device == "cuda":
        return gpu_steps.step(load, cell.profile, cell.timesteps, mode).beside(beside)
    eager = load.seconds / load.steps
    saved = load.currents * SAVED.get(mode, 0.0)
    # What is saved was measured where neurons took most of the time: no step falls to nothing.
    return max(eager - saved, eager / 3) / cell.profile.threads


def _compiling(cell: Cell, load: Workload, mode: CompileMode) -> float:
    if cell.profile.device == "cuda":
        return gpu_steps.compile_seconds(load, mode)
    once, per_layer = COMPILING.get(mode, (0.0, 0.0))
    return once + per_layer * load.layers


def _on_cpu(cell: Cell, load: Workload) -> float:
    """Looks that are taken in float64 on the CPU wherever the training runs, before it and after it."""
    measure, recipe = cell.measure, cell.recipe
    validated = VALIDATED * load.steps / recipe.epochs * recipe.batch_size
    samples = DESCENT * min(validated, BATCHES * SAMPLES) * measure.descent
    samples += 2 * DIRECTIONS * min(validated, SAMPLES) * measure.finite_differences
    a_sample = load.seconds / load.steps / recipe.batch_size
    return 2 * samples * 2 * FORWARD * a_sample / cell.profile.threads
