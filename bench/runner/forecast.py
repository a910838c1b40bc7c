"""Estimate the remaining time of a plan: from sizes alone at first, later from the finished runs.

The estimate of a run covers training steps, compilation, evaluation and probes, roughly. It leaves out data
loading, augmentation, a method's own search, and 16-bit arithmetic on a CPU, which can be faster or slower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.errors import BenchError
from bench.measures.descent import DIRECTIONS
from bench.measures.probing import BATCHES as PROBED
from bench.measures.probing import SAMPLES
from bench.model.compiling import CompileMode
from bench.runner import gpu_steps
from bench.runner.engines.slots import Need, of_machine
from bench.runner.gpus import Gpu
from bench.runner.timing.network import BATCHES, USUAL, Rounds
from bench.runner.workload import COMPILING, SAVED, Workload
from bench.suite import Cell

if TYPE_CHECKING:
    from bench.runner.plan import Plan
    from bench.runner.timing.times import Measurement

FINISHED = "the mean of the cells that have finished"
SIZES = {
    "cpu": "sizes, and figures of one thread of an AMD EPYC; yours may differ by a factor of 2 or more",
    "cuda": "sizes, and figures of an NVIDIA H200; another GPU may differ by a factor of 2 or more",
}
"""The basis of an estimate, by device."""
VALIDATED, TESTED = 0.11, 0.2
"""Samples evaluated after an epoch, per training sample; the test samples only if a recipe asks for them."""
AT_THE_END = 2.5
"""Forward passes that the test data takes after training: one, in which counting operations takes as long
again, and often another one for the weights of the last epoch."""
FORWARD = 1 / 3
"""The share of a training step that is its forward pass."""
LOOK = 1.5
"""A probe of the gradients takes as long as eager training on this many times its samples."""
STARTING = 5.0
"""Seconds before the first worker trains and after the last one has: imports, planning, tables."""
SETTING_UP = 0.7
"""Seconds of a timing beside its calls: its networks are built, and their first calls are slow."""
DESCENT = 8
"""Forward passes of a descent measurement; they are in float64, which takes twice as long."""


@dataclass(frozen=True)
class Forecast:
    """The remaining work of a plan.

    seconds: of all its runs, one after another. at_once: the most concurrent runs here. elapsed: seconds
    until all are done with this concurrency, start included. basis: what the estimate is based on.
    """

    seconds: float
    at_once: int
    elapsed: float
    basis: str


def forecast(plan: Plan) -> Forecast | None:
    """The remaining work of a plan; None if it is unknown because a network cannot be built.

    Assumes one run at a time for a GPU that is not on this machine, since its capacity is unknown.
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
            tested = planned.known.test_samples
            seconds = training_seconds(cell, load, math.ceil(at_once / max(gpus, 1)) - 1, tested)
        else:
            return None
        total += seconds
        elapsed += seconds / at_once
        most = max(most, at_once)
    elapsed += STARTING * bool(pending)
    return Forecast(total, most, elapsed, FINISHED if each is not None else SIZES[device])


def timing_seconds(plan: Plan, measurements: Sequence[Measurement]) -> float | None:
    """Seconds of these timings, one after another, compilation included; None if a network cannot be built.

    They are long for small networks, which are timed for a second or two however quick they are.
    """
    total = 0.0
    for each in measurements:
        load = plan.workloads.of(each.cell, each.known)
        if load is None:
            return None
        mode = each.cell.profile.compile
        # Inference is never compiled.
        mode = "off" if mode == "auto" or each.kind == "inference" else mode
        step = _step(each.cell, load, mode, 0)
        calls = [step]
        if each.kind == "inference":
            calls = [step * FORWARD * batch / each.cell.recipe.batch_size for batch in BATCHES]
        else:
            # Another network is trained first, for two steps or a slow one.
            total += _compiling(each.cell, load, mode) + step * (1 + (step < USUAL.patience))
        total += SETTING_UP + sum(_timed(call, USUAL) for call in calls)
    return total


def _timed(call: float, rounds: Rounds) -> float:
    """Seconds that a call of so many seconds is timed for, warm-up included."""
    if call >= rounds.slow:
        return call + max(call, min(rounds.patience, rounds.least * call))
    enough = min(max(rounds.seconds, rounds.usual * call), rounds.limit)
    return rounds.warm * call + max(enough, rounds.least * call)


def _gpus() -> list[Gpu]:
    """The GPUs that a run could use now; empty if there are none."""
    import torch

    from bench.runner.engines.gpu_query import usable_gpus

    if not torch.cuda.is_available():
        return []
    try:
        return usable_gpus()
    except BenchError:
        return []


def training_seconds(cell: Cell, load: Workload, beside: int = 0, tested: int = 0) -> float:
    """Seconds of one cell from start to end.

    beside: the number of other runs on the same GPU. tested: the number of test samples.
    """
    measure, recipe, mode = cell.measure, cell.recipe, cell.profile.compile
    if mode == "auto":
        raise ValueError('compile = "auto" stands for another mode, which a plan chooses')
    eager = _step(cell, load, "off", beside)
    evaluated = VALIDATED + TESTED * recipe.best_test_epoch
    looks = {"all": recipe.epochs + 1, "ends": 2, "off": 0}[measure.probe]
    steps = load.steps * (_step(cell, load, mode, beside) + evaluated * FORWARD * eager)
    looked = looks * LOOK * eager * SAMPLES / recipe.batch_size
    at_the_end = AT_THE_END * tested * FORWARD * eager / recipe.batch_size
    return _compiling(cell, load, mode) + steps + looked + at_the_end + _on_cpu(cell, load)


def _step(cell: Cell, load: Workload, mode: CompileMode, beside: int) -> float:
    if cell.profile.device == "cuda":
        return gpu_steps.step(load, cell.profile, cell.timesteps, mode).beside(beside)
    eager = load.seconds / load.steps
    saved = load.currents * SAVED.get(mode, 0.0)
    # The saving was measured with neurons taking most of the time, so a step keeps at least a third.
    return max(eager - saved, eager / 3) / cell.profile.threads


def _compiling(cell: Cell, load: Workload, mode: CompileMode) -> float:
    if cell.profile.device == "cuda":
        return gpu_steps.compile_seconds(load, mode)
    once, per_layer = COMPILING.get(mode, (0.0, 0.0))
    return once + per_layer * load.layers


def _on_cpu(cell: Cell, load: Workload) -> float:
    """Seconds of the measurements before and after training, in float64 on the CPU on any device."""
    measure, recipe = cell.measure, cell.recipe
    validated = VALIDATED * load.steps / recipe.epochs * recipe.batch_size
    samples = DESCENT * min(validated, PROBED * SAMPLES) * measure.descent
    samples += 2 * DIRECTIONS * min(validated, SAMPLES) * measure.finite_differences
    a_sample = load.seconds / load.steps / recipe.batch_size
    return 2 * samples * 2 * FORWARD * a_sample / cell.profile.threads
