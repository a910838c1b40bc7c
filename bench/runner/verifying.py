"""Rerun finished training and check whether the recorded numbers reproduce on this machine with this code.

On the same processor with the same versions, a run reproduces bit for bit. Elsewhere the last bits differ,
and training amplifies them: the question is then whether the accuracies agree as closely as those of two runs
of one method.

A rerun is what finds a record that was edited consistently: its numbers, its files and its hash. The records
to rerun are drawn at random, so that nobody knows in advance which they will be.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from bench.errors import BenchError, listed
from bench.records import evidence
from bench.records.predictions import FILE, Predictions, of_bytes
from bench.records.record_files import Record
from bench.records.runs import Found, read
from bench.records.store import OK, Store
from bench.registry import Registry
from bench.suite import Cell, DatasetSpec, Suite

if TYPE_CHECKING:
    from bench.data.loading import Facts
    from bench.runner.engines.local import Listener
    from bench.runner.plan import Planned

Verdict = Literal["bit for bit", "within tolerance", "not reproduced", "not verified"]
NAMED = 4
"""The most names that a sentence lists."""
STANDARD_ERRORS = 3.0
"""The most standard errors of their difference by which two accuracies can differ; see `tolerance`."""
CHECKED = {name: samples for name, samples in evidence.SAMPLES.items() if name != "test_accuracy_best_epoch"}
"""Accuracies that must agree even if bits need not, and the metric with their number of samples.

The accuracy of the best test epoch is excluded: a maximum of many values varies differently.
"""
REASON = (
    "last bits differ with hardware and versions and grow in training, so that two accuracies may differ by "
    f"{STANDARD_ERRORS:g} binomial standard errors of their difference; no other number is judged"
)
MACHINE = ("cpu", "python", "threads")


@dataclass(frozen=True)
class Verification:
    """One recorded run, and the result of its rerun; again: its new record, if there is one.

    tolerance: the most points by which its test accuracy can differ; 0 if bits must agree. agreement: the
    share of test samples with the same predicted class; None if one of them stored no predictions.
    """

    record: Record
    again: Record | None
    verdict: Verdict
    why: str
    tolerance: float | None = None
    agreement: float | None = None


class Sample(NamedTuple):
    """Which runs to rerun. number: how many, or None for all; seed: of the random draw."""

    number: int | None
    seed: int


def chosen(records: Sequence[Record], sample: Sample) -> list[Record]:
    """A draw of successful runs that takes one of each configuration before a second of any."""
    by_configuration: dict[str, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: str(record["id"])):
        if record["status"] == OK:
            by_configuration[record["configuration"]].append(record)
    if sample.number is None:
        return [record for of in by_configuration.values() for record in of]
    random = np.random.RandomState(sample.seed)
    piles = [[of[i] for i in random.permutation(len(of))] for of in by_configuration.values()]
    order = [piles[i] for i in random.permutation(len(piles))]
    rounds = max(map(len, piles), default=0)
    drawn = [pile[turn] for turn in range(rounds) for pile in order if turn < len(pile)]
    return drawn[: sample.number]


def chance_to_find(records: Sequence[Record], number: int) -> float:
    """The smallest probability, over the records, that a draw of `number` records takes a given one.

    It is the probability of a record in the largest configuration, whose records are taken last.
    """
    sizes = list(Counter(r["configuration"] for r in records if r["status"] == OK).values())
    most = max(sizes, default=0)
    left, turn = number, 0
    while turn < most:
        waiting = sum(size > turn for size in sizes)
        if left < waiting:
            return (turn + left / waiting) / most
        left, turn = left - waiting, turn + 1
    return 1.0


def verify(
    suite: Suite,
    store: Store,
    records: Sequence[Record],
    *,
    plugins: Sequence[Path] = (),
    data_root: Path,
    jobs: int | None = None,
    timeout: float | None = None,
    listener: Listener,
) -> list[Verification]:
    """Rerun these cells in a temporary folder; only reads the results folder. Keeps the order of records.

    Raises Stopped if results cannot be written, KeyboardInterrupt if the user stops it.
    """
    from bench.runner.engines import local
    from bench.runner.plan import Plan, facts
    from bench.runner.vetting import load
    from bench.runner.workload import Workloads

    registry = load(tuple(plugins))

    @cache
    def known(spec: DatasetSpec, timesteps: int, trial: bool) -> Facts:
        limit = timeout or suite.timeout
        return facts(registry, spec, timesteps, data_root, plugins=plugins, limit=limit, test=not trial)

    planned: dict[str, Planned] = {}
    refused: dict[str, str] = {}
    for record in records:
        try:
            planned[record["id"]] = _planned(record, registry, known)
        except BenchError as problem:
            refused[record["id"]] = str(problem)
    with tempfile.TemporaryDirectory(prefix="spikegrad-verify-") as folder:
        apart = Store(Path(folder), store.suite)
        # Records of one cell from two machines need only one run here.
        cells = tuple({each.id: each for each in sorted(planned.values(), key=_configuration)}.values())
        plan = Plan(
            suite, apart, cells, registry, tuple(plugins), data_root, Workloads(registry, tuple(plugins))
        )
        if cells:
            local.run(plan, jobs=jobs, timeout=timeout or suite.timeout, listener=listener)
        return [
            Verification(record, None, "not verified", refused[record["id"]])
            if record["id"] in refused
            else _compared(record, store, apart, planned[record["id"]].id)
            for record in records
        ]


def _configuration(planned: Planned) -> str:
    return planned.configuration


def _planned(
    record: Record, registry: Registry, facts_of: Callable[[DatasetSpec, int, bool], Facts]
) -> Planned:
    """The cell of a record, as in a plan; facts_of: gives those of its data.

    Raises BenchError, with the reason, if it cannot be rerun here.
    """
    import torch

    from bench.runner.plan import Planned, changes, digests, reason

    cell = Cell.model_validate(record["cell"])
    if cell.profile.device == "cuda" and not torch.cuda.is_available():
        raise BenchError("it was trained on a GPU, and there is none here")
    # If a name is unknown, this raises an error that lists the known ones.
    here = digests(cell, registry)
    then = record["digests"]
    # Another version of torch is allowed: its results are compared as those of another machine.
    if changed := changes(then, here):
        names = {"method": cell.method.name, "dataset": cell.dataset.name, "backbone": cell.backbone.name}
        why = [reason(what, names.get(what, ""), then.get(what, ""), here[what]) for what in changed]
        raise BenchError("; ".join(why))
    known = facts_of(cell.dataset, cell.timesteps, cell.trial)
    expected = (record.get("data") or {}).get("checksum")
    if known.checksum != expected:
        raise BenchError(
            f"its data has the checksum {expected}, and here {cell.dataset.name} has {known.checksum}"
        )
    return Planned(
        cell,
        cell.id(known.checksum),
        cell.configuration(known.checksum),
        known,
        "missing",
        None,
        record["variant"],
        here,
    )


def _compared(record: Record, store: Store, apart: Store, cell: str) -> Verification:
    again = apart.read(cell)
    if again is None or again["status"] != OK:
        why = f"it ended as {again['status']}: {again['error']}" if again else "it left no record"
        return Verification(record, again, "not reproduced", why)
    places = (store.folder(record["id"]), record), (apart.folder(cell), again)
    differ = _differences(record, again)
    curves = [_curves(Found(*place)) for place in places]
    if not differ and curves[0] != curves[1]:
        differ = ["its losses or validation accuracies epoch by epoch"]
    said = [_predictions(*place) for place in places]
    agreement = None
    if said[0] is not None and said[1] is not None:
        if not np.array_equal(said[0].label, said[1].label):
            why = "the labels in its predictions are not those of the test set"
            return Verification(record, again, "not reproduced", why, agreement=0.0)
        agreement = float(np.mean(said[0].predicted == said[1].predicted))
        if not differ and agreement < 1:
            differ = ["what it predicts"]
    if not differ:
        return Verification(record, again, "bit for bit", "", 0.0, agreement)
    other = _elsewhere(record["environment"], again["environment"])
    if not other:
        why = f"on the same machine and versions {listed(differ, NAMED)} differ"
        return Verification(record, again, "not reproduced", why, 0.0, agreement)
    within, why = _within(record["metrics"], again["metrics"])
    verdict: Verdict = "not reproduced" if why else "within tolerance"
    return Verification(record, again, verdict, f"{why}; {other}" if why else other, within, agreement)


def _within(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[float, str]:
    """The tolerance of the test accuracy, and a sentence on the first accuracy out of tolerance, or ""."""
    for name, samples in CHECKED.items():
        # The metric is a curve or a single number.
        one, other = (m[name] if isinstance(m.get(name), list) else [m.get(name)] for m in (before, after))
        pairs = zip(one, other, strict=True)
        for was, is_now in pairs:
            if was is None or is_now is None:
                if was is not is_now:
                    return 0.0, f"{name} was {was} and is {is_now}"
                continue
            limit = tolerance(was, is_now, before.get(samples))
            if not abs(was - is_now) <= limit:
                return limit, f"{name} was {was:.2f} and is {is_now:.2f}, more than {limit:.2f} apart"
    name = "test_accuracy" if "test_accuracy" in before else "val_accuracy"
    return tolerance(before[name], after[name], before.get(CHECKED[name])), ""


def _predictions(folder: Path, record: Record) -> Predictions | None:
    # The store has checked the file against the record.
    return of_bytes((folder / FILE).read_bytes()) if FILE in record["files"] else None


def tolerance(before: float, after: float, samples: float | None) -> float:
    """The most points by which two accuracies in percent can differ on this many samples.

    STANDARD_ERRORS binomial standard errors of the difference of two independent networks that share their
    pooled accuracy, with half a success and half a failure added so that it is never certain (Jeffreys).
    This is a yardstick, not a test: networks of one seed agree more, and networks that differ in the last
    bits can disagree more. 0 if the number of samples is unknown.
    """
    if not samples:
        return 0.0
    share = ((before + after) / 100 * samples + 0.5) / (2 * samples + 1)
    return STANDARD_ERRORS * 100 * math.sqrt(2 * share * (1 - share) / samples)


def _differences(record: Record, again: Record) -> list[str]:
    """The measured numbers that differ in any bit, except times."""
    names = sorted(record["metrics"].keys() | again["metrics"].keys())
    return [
        name
        for name in names
        if not name.endswith("_seconds") and record["metrics"].get(name) != again["metrics"].get(name)
    ]


def _curves(found: Found) -> list[tuple[Any, ...]]:
    return [(row["epoch"], row["train_loss"], row["val_accuracy"]) for row in read(found).epochs]


def _elsewhere(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Differences in machine and versions that bits depend on; "" if there are none."""
    was_there, is_there = (_what_bits_depend_on(place) for place in (before, after))
    names = dict.fromkeys([*was_there, *is_there])
    pairs = [(name, was_there.get(name), is_there.get(name)) for name in names]
    told = [
        f"{name} was {was or 'unknown'} and is {now or 'unknown'}" for name, was, now in pairs if was != now
    ]
    return listed(told, NAMED)


def _what_bits_depend_on(place: Mapping[str, Any]) -> dict[str, Any]:
    """Machine, build and versions; digests cover the benchmark's own code."""
    build, packages = place.get("torch_build") or {}, place.get("packages") or {}
    return {
        **{name: place.get(name) for name in MACHINE},
        "GPU": (place.get("gpu") or {}).get("name"),
        **{f"torch {name}": build.get(name) for name in ("version", "cpu_capability")},
        **{name: packages[name] for name in sorted(packages) if name != "spikegrad-bench"},
    }
