"""What of a plan is to be timed, after all of its trainings: each thing once, one at a time.

Inference is the same computation for all methods that change the gradient alone, so it is timed once for
each network under a plain rectangle; methods that change it have their own. A training step is timed for
each configuration with a run that worked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import data, registry
from bench.environment import describe
from bench.metrics.latency import BATCHES, USUAL, Rounds
from bench.plan import Plan, digests
from bench.shapes import rectangle
from bench.store import OK
from bench.suite import Cell, Profile
from bench.surrogate import Method, Param
from bench.timings import (
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
from bench.worker import encodable, is_memory, listen, send_output_to

if TYPE_CHECKING:
    from torch import Tensor

    from bench.backbone import Network

SPIKING = Method("spiking", rectangle, "control", "gradient", "paper", "", "", "", (), {"width": Param(1.0)})
"""Stands for every method whose forward pass is that of plain spikes."""
FINAL = (OK, "failed")


@dataclass(frozen=True)
class Measurement:
    """One thing to be timed. cell: one of those that it is for; id: that of its file."""

    suite: str
    kind: Kind
    forward: Forward
    cell: Cell
    known: data.Facts
    id: str
    hardware: str
    digests: dict[str, str]
    environment: dict[str, Any]

    @property
    def title(self) -> str:
        """For people."""
        cell = self.cell
        who = {"spiking": "spiking", "reference": "without spikes"}.get(self.forward, cell.method.name)
        what = f"inference, {who}" if self.kind == "inference" else cell.method.name
        return f"{cell.dataset.name} {cell.backbone.name} T={cell.timesteps} {what}"

    def what(self) -> dict[str, Any]:
        """The parts of the cell that decide what is timed."""
        return timed(self.kind, self.cell.model_dump(mode="json"), self.forward, self.known.checksum)

    def timing(self, outcome: dict[str, Any]) -> Timing:
        """Its file's content."""
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
    """What a process is given."""

    measurement: Measurement
    plugins: tuple[Path, ...]
    data_root: Path
    rounds: Rounds = USUAL


def pending(plan: Plan, *, worked: Sequence[str], retry: bool = False) -> list[Measurement]:
    """What has no final timing of this code yet, inference first. worked: ids of cells with an ok record.

    retry: what failed counts as not there.
    """
    kept = Timings(plan.store.results, plan.suite.name)
    found: dict[str, Measurement] = {}
    there = set(worked)
    # Describing it asks for the versions of all packages: once is enough.
    environments: dict[tuple[Profile, tuple[str, ...]], dict[str, Any]] = {}
    seen = set[tuple[Kind, str]]()
    kinds: tuple[Kind, ...] = ("inference", "training")
    for kind in kinds:
        for planned in plan.cells if plan.suite.times else ():
            # The cells of one configuration differ in nothing that is timed.
            if planned.id not in there or (kind, planned.configuration) in seen:
                continue
            seen.add((kind, planned.configuration))
            place = (planned.cell.profile, plan.found.method(planned.cell.method.name).item.requires)
            if place not in environments:
                environments[place] = describe(*place)
            each = _measurement(kind, plan, planned.cell, planned.known, environments[place])
            timing = kept.read(each.id)
            final = (OK,) if retry else FINAL
            if timing and timing["status"] in final and timing["digests"] == each.digests:
                continue
            found.setdefault(each.id, each)
    return list(found.values())


def expected(plan: Plan, *, retry: bool = False) -> int:
    """How many things a run would time, if all of its trainings work."""
    there = [planned.id for planned in plan.cells if planned.pending or planned.state == "done"]
    return len(pending(plan, worked=there, retry=retry))


def _measurement(
    kind: Kind, plan: Plan, cell: Cell, known: data.Facts, environment: dict[str, Any]
) -> Measurement:
    method = plan.found.method(cell.method.name).item
    forward = forward_kind({"kind": method.kind, "changes": method.changes})
    code = timed_code(kind, digests(cell, plan.found), forward)
    on = hardware(environment)
    what = timed(kind, cell.model_dump(mode="json"), forward, known.checksum)
    return Measurement(
        plan.suite.name, kind, forward, cell, known, timing_id(what, on), on, code, environment
    )


def measure_in_process(job: TimingJob, pipe: Connection, log: Path) -> None:
    """Entry point of the process; sends what the outcome decides of a timing."""
    os.setsid()
    send_output_to(log)
    listen(pipe)
    pipe.send(attempt(job))


def attempt(job: TimingJob) -> dict[str, Any]:
    """Time it, whatever happens."""
    outcome: dict[str, Any] = {"status": OK, "error": None, "metrics": {}}
    try:
        outcome["metrics"] = measure(job)
    except Exception as problem:
        outcome["status"] = "oom" if is_memory(problem) else "failed"
        outcome["error"] = encodable(f"{type(problem).__name__}: {problem}")
    return outcome


def measure(job: TimingJob) -> dict[str, float]:
    """The times, in this process, of a network with its initial weights, on training samples."""
    import torch

    from bench.metrics import latency
    from bench.precision import Precision
    from bench.train import build, set_profile

    m, found = job.measurement, registry.load(job.plugins)
    set_profile(m.cell.profile)
    instead = SPIKING if m.kind == "inference" and m.forward == "spiking" else None

    def make(progress: float) -> Network:
        network = build(m.cell, found, m.known, instead).to(torch.device(m.cell.profile.device))
        for surrogate in network.surrogates:
            # Training calls it before the first batch: a method may rely on it.
            surrogate.on_epoch(progress)
        return network

    samples = _samples(job, found)
    if m.kind == "inference":
        with Precision(m.cell.profile).forward():
            return latency.inference(make(1.0), lambda count: samples(count)[0], job.rounds)
    x, y = samples(m.cell.recipe.batch_size)
    return latency.training(lambda: make(0.0), x, y, m.cell.recipe, job.rounds, m.cell.profile)


def _samples(job: TimingJob, found: registry.Registry) -> Callable[[int], tuple[Tensor, Tensor]]:
    """samples(count) -> (x [count, ...] as the network takes it, labels [count]), on the device.

    They come again where the training set has fewer.
    """
    import torch

    from bench.batches import as_input

    cell = job.measurement.cell
    dataset = found.dataset(cell.dataset.name).item
    request = data.Request(job.data_root, cell.timesteps, cell.dataset.params)
    train = data.prepare(dataset, request, cell.dataset.subset).train
    most = torch.arange(min(len(train), max(*BATCHES, cell.recipe.batch_size)))
    # The rest of the data need not be held while memory is measured.
    few = train.take(most)
    x, y = few.x[torch.arange(len(few))], few.y
    device = torch.device(cell.profile.device)

    def samples(count: int) -> tuple[Tensor, Tensor]:
        rows = torch.arange(count) % len(y)
        return as_input(x[rows].to(device), dataset, cell.profile), y[rows].to(device)

    return samples
