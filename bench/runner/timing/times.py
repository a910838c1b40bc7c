"""The timings of a plan, measured after all of its runs: each once, one at a time.

Inference is the same computation for all methods that change only the gradient, so it is timed once per
network with a plain rectangle; methods that change inference are timed separately. A training step is timed
for each configuration with a successful run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import variants
from bench.data import loading
from bench.errors import BenchError, printable, warn
from bench.records.store import OK
from bench.records.timings import (
    TIMING_SCHEMA,
    Forward,
    Kind,
    Timing,
    Timings,
    forward_kind,
    hardware,
    timed,
    timed_code,
    timing_id,
)
from bench.registry import Registry, load
from bench.runner.engines.gpu_query import usable_gpus
from bench.runner.environment import describe
from bench.runner.faults import judge
from bench.runner.gpus import Gpu, see_only
from bench.runner.plan import LIBRARIES, Plan, Planned
from bench.runner.timing.network import BATCHES, USUAL, Rounds
from bench.shapes import rectangle
from bench.suite import Cell
from bench.surrogate import Method, Param

if TYPE_CHECKING:
    from torch import Tensor

    from bench.model.backbone import Network

SPIKING = Method("spiking", rectangle, "control", "gradient", "paper", "", "", "", (), {"width": Param(1.0)})
"""Stands for every method whose forward pass is that of plain spikes."""
FINAL = (OK, "failed")


@dataclass(frozen=True)
class Measurement:
    """One measurement. cell: one of the cells that it is for; id: of its file; gpu: where to measure."""

    suite: str
    kind: Kind
    forward: Forward
    cell: Cell
    known: loading.Facts
    id: str
    hardware: str
    digests: dict[str, str]
    environment: dict[str, Any]
    variant: str = ""
    gpu: Gpu | None = None

    @property
    def title(self) -> str:
        """A readable name."""
        cell = self.cell
        method = variants.full_name(cell.method.name, variants.own_words(self.variant))
        who = {"spiking": "spiking", "reference": "without spikes"}.get(self.forward, method)
        what = f"inference, {who}" if self.kind == "inference" else method
        return f"{variants.network(cell, self.variant)} {what}"

    def what(self) -> dict[str, Any]:
        """The parts of the cell that decide what is timed."""
        return timed(self.kind, self.cell.model_dump(mode="json"), self.forward, self.known.checksum)

    def timing(self, outcome: dict[str, Any]) -> Timing:
        """The content of the measurement's file."""
        return {
            "schema": TIMING_SCHEMA,
            "id": self.id,
            "suite": self.suite,
            "hardware": self.hardware,
            "digests": self.digests,
            "environment": self.environment,
            **self.what(),
            **outcome,
        }


@dataclass(frozen=True)
class TimingJob:
    """The input of the measuring process."""

    measurement: Measurement
    plugins: tuple[Path, ...]
    data_root: Path
    rounds: Rounds = USUAL


def pending(plan: Plan, *, worked: Sequence[str], retry: bool = False) -> list[Measurement]:
    """The measurements without a final timing of this code, inference first.

    worked: ids of cells with an ok record. retry: failed timings count as missing. On GPUs, each is timed on
    the model that its cell was trained on, on the one with the most free memory. If no GPU is usable, nothing
    is timed, with a warning.
    """
    kept = Timings(plan.store.results, plan.suite.name)
    found: dict[str, Measurement] = {}
    there = set(worked)
    # Describing an environment queries all package versions, so do it once per place.
    environments: dict[tuple[Any, ...], dict[str, Any]] = {}
    if not (plan.suite.times and there):
        return []
    gpus: list[Gpu] = []
    if any(planned.cell.profile.device == "cuda" for planned in plan.cells):
        try:
            gpus = usable_gpus()
        except BenchError as problem:
            warn(f"nothing is timed: {problem}")
            return []
    seen = set[tuple[Kind, str]]()
    kinds: tuple[Kind, ...] = ("inference", "training")
    for kind in kinds:
        for planned in plan.cells:
            # Cells of one configuration do not differ in timing. Times of this torch would not apply to runs
            # made with another one.
            if planned.id not in there or planned.kept_apart or (kind, planned.configuration) in seen:
                continue
            seen.add((kind, planned.configuration))
            gpu = _gpu(planned, plan, gpus)
            profile = planned.cell.profile
            requires = plan.registry.method(planned.cell.method.name).item.requires
            place = (profile, requires, gpu and gpu.visible)
            if place not in environments:
                environments[place] = describe(profile, requires, gpu)
            each = _measurement(kind, plan, planned, environments[place], gpu)
            timing = kept.read(each.id)
            final = (OK,) if retry else FINAL
            if timing and timing["status"] in final and timing["digests"] == each.digests:
                continue
            found.setdefault(each.id, each)
    return list(found.values())


def expected(plan: Plan, *, retry: bool = False) -> list[Measurement]:
    """The timings that a run would make if all of its cells succeed."""
    there = [planned.id for planned in plan.cells if planned.pending or planned.state == "done"]
    return pending(plan, worked=there, retry=retry)


def _gpu(planned: Planned, plan: Plan, gpus: Sequence[Gpu]) -> Gpu | None:
    """The GPU to time a cell on; None for the CPU."""
    if planned.cell.profile.device != "cuda":
        return None
    record = plan.store.read(planned.id)
    trained_on = (record["environment"]["gpu"] or {}).get("name") if record else None
    return max(gpus, key=lambda gpu: (gpu.about["name"] == trained_on, gpu.free))


def _measurement(
    kind: Kind, plan: Plan, planned: Planned, environment: dict[str, Any], gpu: Gpu | None
) -> Measurement:
    cell, known = planned.cell, planned.known
    method = plan.registry.method(cell.method.name).item
    forward = forward_kind({"kind": method.kind, "changes": method.changes})
    code = timed_code(kind, planned.digests, forward)
    on = hardware(environment)
    what = timed(kind, cell.model_dump(mode="json"), forward, known.checksum)
    return Measurement(
        plan.suite.name,
        kind,
        forward,
        cell,
        known,
        timing_id(what, on, code[LIBRARIES]),
        on,
        code,
        environment,
        planned.variant,
        gpu,
    )


def attempt(job: TimingJob) -> dict[str, Any]:
    """Measure in this process, which does nothing else; every exception becomes a status with an error.

    Returns the part of a timing that the outcome decides.
    """
    if job.measurement.gpu is not None:
        see_only(job.measurement.gpu)
    outcome: dict[str, Any] = {"status": OK, "error": None, "metrics": {}}
    try:
        outcome["metrics"] = measure(job)
    except Exception as problem:
        outcome["status"], error = judge(problem)
        outcome["error"] = printable(error)
    return outcome


def measure(job: TimingJob) -> dict[str, float]:
    """Measure times in this process, of a network with its initial weights, on training samples."""
    import torch

    from bench.model.precision import Precision
    from bench.runner.timing import network
    from bench.runner.train import build, set_profile

    m, registry = job.measurement, load(job.plugins)
    set_profile(m.cell.profile)
    instead = SPIKING if m.kind == "inference" and m.forward == "spiking" else None

    def make(progress: float) -> Network:
        network = build(m.cell, registry, m.known, instead).to(torch.device(m.cell.profile.device))
        for surrogate in network.surrogates:
            # Training calls this before the first batch, and a method can rely on it.
            surrogate.on_epoch(progress)
        return network

    samples = _samples(job, registry)
    if m.kind == "inference":
        with Precision(m.cell.profile).forward():
            return network.inference(make(1.0), lambda count: samples(count)[0], job.rounds)
    x, y = samples(m.cell.recipe.batch_size)
    return network.training(lambda: make(0.0), x, y, m.cell.recipe, job.rounds, m.cell.profile)


def _samples(job: TimingJob, registry: Registry) -> Callable[[int], tuple[Tensor, Tensor]]:
    """samples(count) -> (x [count, ...] as input of the network, labels [count]), on the device.

    Samples repeat if the training set has fewer.
    """
    import torch

    from bench.data.batches import as_input

    cell = job.measurement.cell
    dataset = registry.dataset(cell.dataset.name).item
    request = loading.Request(job.data_root, cell.timesteps, cell.dataset.params)
    train = loading.prepare(dataset, request, cell.dataset.subset).train
    most = torch.arange(min(len(train), max(*BATCHES, cell.recipe.batch_size)))
    # Release the rest of the data while memory is measured.
    few = train.take(most)
    x, y = few.x[torch.arange(len(few))], few.y
    device = torch.device(cell.profile.device)

    def samples(count: int) -> tuple[Tensor, Tensor]:
        rows = torch.arange(count) % len(y)
        return as_input(x[rows].to(device), dataset, cell.profile), y[rows].to(device)

    return samples
