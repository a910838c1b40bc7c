"""Turn a suite into cells, and find which of them still have to run. Needs torch, starts nothing."""

from __future__ import annotations

import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bench.data import loading
from bench.data.holdings import holding
from bench.errors import BenchError
from bench.model.compiling import suited
from bench.records import protocol
from bench.records.record_files import Record
from bench.records.store import FAILED, OK, Store
from bench.registry import Registry, load, missing_packages
from bench.runner.engines.process import NoAnswer, ask
from bench.runner.workload import Workloads, compile_mode
from bench.suite import (
    BackboneSpec,
    Cell,
    DatasetSpec,
    Matrix,
    Measure,
    MethodEntry,
    MethodSpec,
    Profile,
    Recipe,
    Selection,
    Suite,
)
from bench.variants import variant

State = Literal["done", "failed", "missing", "stale"]


@dataclass(frozen=True)
class Planned:
    """A cell of the plan and its state.

    known: the facts of its data. digests: see `digests`. state: done (the record says ok), failed (the record
    says failed or diverged, which is final), missing (no record, or one that circumstances stopped), stale
    (made with another version of the protocol, or with other code of its method, dataset or backbone). A
    record made with another minor version of torch is kept, and its cell is done or failed; see `kept_apart`.
    """

    cell: Cell
    id: str
    configuration: str
    known: loading.Facts
    state: State
    record: Record | None
    variant: str
    digests: Mapping[str, str]

    @property
    def changed(self) -> list[str]:
        """The parts that have changed since the record was made: method, dataset, backbone or harness."""
        return [] if self.record is None else changes(self.record["digests"], self.digests)

    @property
    def kept_apart(self) -> str:
        """The libraries of a kept record if they differ from those installed here, otherwise ""."""
        if self.record is None or self.pending:
            return ""
        there = str(self.record["digests"].get(LIBRARIES, ""))
        return there if there != protocol.libraries() else ""

    @property
    def pending(self) -> bool:
        """Whether a run would start it."""
        return self.state in ("missing", "stale")


class Place(NamedTuple):
    """A task: what the methods of a suite are compared on."""

    dataset: DatasetSpec
    backbone: BackboneSpec
    timesteps: int


class Variation(NamedTuple):
    """A method with parameters, how it is trained, and why there are others of it."""

    method: MethodSpec
    recipe: Recipe
    selection: Selection | None = None


Variations = Callable[[Place, MethodEntry, Matrix, Registry], Sequence[Variation]]
"""The variations of a listed method in one task."""
KnownData = dict[tuple[DatasetSpec, int], loading.Facts]


@dataclass(frozen=True)
class Plan:
    """All cells of a suite; cells of one configuration are adjacent.

    whole: the suite before `suite` was restricted or extended; None if unknown. untuned: the number of
    cells of the tuning that are not finished, for which tuned cells wait.
    """

    suite: Suite
    store: Store
    cells: tuple[Planned, ...]
    registry: Registry
    plugins: tuple[Path, ...]
    data_root: Path
    workloads: Workloads
    whole: Suite | None = None
    untuned: int = 0

    @property
    def pending(self) -> list[Planned]:
        """The cells that a run would start."""
        return [planned for planned in self.cells if planned.pending]

    def only(self, ids: Container[str]) -> Plan:
        """The same plan, with these cells alone."""
        return replace(self, cells=tuple(planned for planned in self.cells if planned.id in ids))

    def without_ended_since(self, time: datetime) -> Plan:
        """The same plan, in which nothing is pending that has ended since, unless it was interrupted."""

        def settled(planned: Planned) -> Planned:
            record = planned.record if planned.pending and not planned.changed else None
            if record is None or record["status"] == "interrupted":
                return planned
            ended = datetime.fromisoformat(record["ended"])
            return planned if ended < time else replace(planned, state="failed")

        return replace(self, cells=tuple(map(settled, self.cells)))

    def reread(self) -> Plan:
        """The same plan, without the work that another run has finished since it was made."""
        return replace(self, cells=tuple(map(self._now, self.cells)))

    def _now(self, planned: Planned) -> Planned:
        record = self.news(planned) if planned.pending else None
        if record is None or record["status"] not in (OK, *FAILED):
            return planned
        return replace(planned, record=record, state="done" if record["status"] == OK else "failed")

    def news(self, planned: Planned) -> Record | None:
        """The record that another run has written of a cell since the plan was made; None if none has."""
        record = self.store.read(planned.id)
        if record is None or record == planned.record or changes(record["digests"], planned.digests):
            return None
        return record

    def why_stale(self) -> list[str]:
        """A sentence for each reason why cells are trained again."""
        found: set[str] = set()
        for planned in self.cells:
            if planned.state != "stale" or planned.record is None:
                continue
            cell, then, now = planned.cell, planned.record["digests"], planned.digests
            names = {"method": cell.method.name, "dataset": cell.dataset.name, "backbone": cell.backbone.name}
            found |= {reason(w, names.get(w, ""), then.get(w, ""), now[w]) for w in planned.changed}
            if not planned.changed:
                before = then.get(LIBRARIES) or "unknown libraries"
                found.add(f"made with {before}, and here is {now[LIBRARIES]}")
        return sorted(found)

    def why_apart(self) -> list[str]:
        """A sentence for each other version of torch whose results are kept."""
        made = Counter(apart for planned in self.cells if (apart := planned.kept_apart))
        here = protocol.libraries()
        return [
            f"{number} training{'s' * (number > 1)} made with {there} {'are' if number > 1 else 'is'} kept, "
            f"in rows apart from those made with {here}; --again repeats what was made with another version"
            for there, number in sorted(made.items())
        ]

    def seconds_each(self) -> float | None:
        """Mean duration of the finished cells; None before the first."""
        known = [p.record["seconds"] for p in self.cells if p.record and p.record["status"] == OK]
        return sum(known) / len(known) if known else None


def as_listed(place: Place, entry: MethodEntry, matrix: Matrix, registry: Registry) -> Sequence[Variation]:
    """The variations of a suite that is run: as it lists them."""
    over = (*entry.swept, *matrix.swept)
    selection = Selection(by="sweep", over=over) if over else None
    return [Variation(entry, recipe, selection) for recipe in matrix.recipes]


def make_plan(
    suite: Suite,
    store: Store,
    *,
    plugins: Sequence[Path] = (),
    data_root: Path,
    device: str | None = None,
    retry: bool = False,
    again: bool = False,
    elsewhere: bool = False,
    variations: Variations = as_listed,
    trials: bool = False,
    known: KnownData | None = None,
) -> Plan:
    """The plan of a suite for a results folder.

    Methods from plugin files are added to the suite's. device: overrides the suite's. retry: failed cells
    count as missing. again: cells of another minor version of torch are stale. elsewhere: the plan is only
    for display, so a GPU that it asks for need not be on this machine. trials: on the tuning seeds, without
    test data, probes and measures. known: the facts of data that an earlier plan of this kind has read;
    completed here. Checks every name, parameter, dataset and network. Raises BenchError at the first that is
    wrong.
    """
    registry = load(tuple(plugins))
    # --methods can leave the baseline out; only an unknown name is an error.
    registry.method(suite.baseline)
    profile = _resolve(suite.profile, device, elsewhere)
    _check_there(suite, registry, data_root)
    planner = _Planner(
        suite,
        store,
        registry,
        tuple(plugins),
        data_root,
        profile,
        variations,
        retry=retry,
        again=again,
        trials=trials,
        known={} if known is None else known,
    )
    planned = [
        each
        for matrix in suite.matrices
        for place in itertools.starmap(Place, product(matrix.datasets, matrix.backbones, matrix.timesteps))
        for each in planner.cells(matrix, place)
    ]
    _check_fits(planner.unbuilt, registry, planner.plugins)
    # A method can be listed twice: by "all" and by name, or with a default written out.
    unique = {each.id: each for each in planned}
    return Plan(suite, store, tuple(unique.values()), registry, planner.plugins, data_root, planner.workloads)


@dataclass
class _Planner:
    """Plans the cells of one task at a time; the fields are the arguments of `make_plan`.

    unbuilt: a cell, with the facts of its data, for each network that may not have been built before.
    """

    suite: Suite
    store: Store
    registry: Registry
    plugins: tuple[Path, ...]
    data_root: Path
    profile: Profile
    variations: Variations
    retry: bool
    again: bool
    trials: bool
    known: KnownData
    unbuilt: list[tuple[Cell, loading.Facts]] = field(default_factory=list)

    @cached_property
    def workloads(self) -> Workloads:
        """The sizes of the networks, which decide whether they are compiled."""
        return Workloads(self.registry, self.plugins)

    @cached_property
    def built(self) -> set[str]:
        """The networks, with their data, that a finished training has built; see `_fit`."""
        return {_fit(record["cell"]) for record in self.store.records() if record["status"] == OK}

    def cells(self, matrix: Matrix, place: Place) -> list[Planned]:
        """The cells of one task: those of one configuration one after the other."""
        suite, registry = self.suite, self.registry
        dataset = registry.dataset(place.dataset.name).item
        for recipe in matrix.recipes:
            _check_augment(dataset, recipe)
        spec = place.dataset.model_copy(update={"params": dataset.settle(place.dataset.params)})
        place = place._replace(dataset=spec)
        tuning = suite.tune if self.trials else None
        seeds = tuning.seeds if tuning else suite.seeds
        firsts = [
            Cell(
                dataset=spec,
                backbone=place.backbone,
                timesteps=place.timesteps,
                method=complete(registry, each.method, place.backbone),
                recipe=each.recipe,
                selection=each.selection,
                profile=self.profile,
                measure=UNMEASURED if tuning else suite.measure,
                seed=seeds[0],
            )
            for entry in _methods(suite, registry)
            for each in self.variations(place, entry, matrix, registry)
        ]
        if not firsts:
            return []
        known = self._facts(dataset, place, firsts[0])
        for recipe in matrix.recipes:
            _check_images(place, recipe, known)
        return [each for first in firsts for each in self._over_seeds(first, known, seeds)]

    def _facts(self, dataset: loading.Dataset, place: Place, first: Cell) -> loading.Facts:
        # Static data do not depend on T.
        key = (place.dataset, place.timesteps if dataset.events else 0)
        if key in self.known:
            return self.known[key]
        shape, classes = dataset.shape, dataset.classes
        declared = shape and classes and loading.Facts("", shape, classes, "")
        if declared and _fit(first.model_dump(mode="json")) not in self.built:
            # Check before reading: data that cannot fit the network need not be loaded.
            _check_fits([(first, declared)], self.registry, self.plugins)
        self.known[key] = facts(
            self.registry,
            place.dataset,
            place.timesteps,
            self.data_root,
            plugins=self.plugins,
            limit=self.suite.timeout,
            test=not self.trials,
        )
        return self.known[key]

    def _over_seeds(self, first: Cell, known: loading.Facts, seeds: Sequence[int]) -> list[Planned]:
        first = _settled(first, known, self.registry, self.workloads)
        # All of these are the same for every seed.
        alike = {
            "known": known,
            "configuration": first.configuration(known.checksum),
            "variant": label(first, self.registry),
            "digests": digests(first, self.registry),
        }
        cells = [
            _planned(first.model_copy(update={"seed": seed}), self.store, self.retry, self.again, **alike)
            for seed in seeds
        ]
        if any(each.pending for each in cells):
            # If all cells are final, this code has built the network before.
            self.unbuilt.append((first, known))
        return cells


def label(cell: Cell, registry: Registry) -> str:
    """What of a cell differs from the defaults; see `bench.variants.variant`."""
    method = registry.method(cell.method.name).item
    dataset = registry.dataset(cell.dataset.name).item
    return variant(cell, method.defaults(cell.backbone.threshold), dataset.settle({}))


BUILDING = 60.0
"""Seconds in which a network with third-party code must be built."""
UNMEASURED = Measure(probe="off", descent=False)
"""What is measured in a tuning trial."""
LIBRARIES = "libraries"
"""A key of digests; results with different values are kept apart, but do not become stale."""


def digests(cell: Cell, registry: Registry) -> dict[str, str]:
    """What a cell's numbers depend on in addition to its configuration and data, one text per part.

    harness: the protocol's version. method, dataset, backbone: the digest of their code, and the versions of
    the libraries that a method calls. libraries: torch's minor version.
    """
    return {
        "harness": protocol.harness(),
        "method": registry.method(cell.method.name).digest,
        "dataset": registry.dataset(cell.dataset.name).digest,
        "backbone": registry.backbone(cell.backbone.name).digest,
        LIBRARIES: protocol.libraries(),
    }


def changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """The parts that make a result with the digests `then` stale now."""
    return [what for what, digest in now.items() if what != LIBRARIES and then.get(what) != digest]


def reason(what: str, name: str, then: str, now: str) -> str:
    """How a part of this name has changed, in words; then, now: its digests."""
    if what == "harness":
        version = then if then.startswith("protocol ") else "no version of the protocol"
        return f"made under {version}, and this is {now}"
    (code, _, libraries), (code_now, _, libraries_now) = then.partition(" "), now.partition(" ")
    if code == code_now and libraries and libraries_now:
        return f"the {what} {name} was made with {libraries}, and here is {libraries_now}"
    return f"the code of the {what} {name} has changed"


def _methods(suite: Suite, registry: Registry) -> list[MethodEntry]:
    chosen: list[MethodEntry] = []
    for spec in suite.methods:
        if spec.name == "all":
            installed = (n for n, entry in registry.methods.items() if not missing_packages(entry.item))
            chosen += [MethodEntry(name=name) for name in installed]
        else:
            chosen.append(spec)
    return chosen


def complete(registry: Registry, spec: MethodSpec, backbone: BackboneSpec) -> MethodSpec:
    """The spec with every parameter of the method filled in."""
    settled = registry.method(spec.name).item.settle(spec.params, backbone.threshold)
    return MethodSpec(name=spec.name, params=settled)


def facts(
    registry: Registry,
    spec: DatasetSpec,
    timesteps: int,
    root: Path,
    *,
    plugins: Sequence[Path],
    limit: float,
    test: bool = True,
) -> loading.Facts:
    """The facts of a dataset as a cell asks for it. test: whether its test data is loaded too.

    A third-party loader is called in a process of its own, for `limit` seconds at most. Raises BenchError if
    the data is missing or damaged, or the loader fails.
    """
    question = (spec, timesteps, root, test, tuple(plugins))
    if registry.dataset(spec.name).shipped:
        return _facts(question)
    (said,) = ask(facts_or_why, [question], limit=limit)
    if isinstance(said, NoAnswer):
        longer = "; let `timeout` in the suite, or --timeout, allow more" if said.status == "timeout" else ""
        raise BenchError(f"dataset {spec.name}: its loader failed: {said.why}{longer}")
    if isinstance(said, str):
        raise BenchError(said)
    known: loading.Facts = said
    return known


Loading = tuple[DatasetSpec, int, Path, bool, tuple[Path, ...]]
"""The arguments of `facts`, without the registry."""


def facts_or_why(question: Loading) -> loading.Facts | str:
    """The facts of a dataset, or why it cannot be loaded."""
    try:
        return _facts(question)
    except BenchError as problem:
        return str(problem)
    except Exception as problem:
        return f"dataset {question[0].name}: its loader failed: {type(problem).__name__}: {problem}"


def _facts(question: Loading) -> loading.Facts:
    spec, timesteps, root, test, plugins = question
    with redirect_stdout(sys.stderr):
        request = loading.Request(root, timesteps, spec.params)
        dataset = load(plugins).dataset(spec.name).item
        return loading.prepare(dataset, request, spec.subset, test=test).facts


def _check_there(suite: Suite, registry: Registry, root: Path) -> None:
    """Name all missing datasets together, and those that are there; the error of each names only itself."""
    specs = dict.fromkeys(spec for matrix in suite.matrices for spec in matrix.datasets)
    held = {spec.name: holding(registry.dataset(spec.name).item, root, spec.params) for spec in specs}
    missing = [name for name, each in held.items() if each.absent]
    there = ",".join(name for name in held if name not in missing)
    if len(missing) > 1 or (missing and there):
        many = len(missing) > 1
        what = f"{len(missing)} datasets, {', '.join(missing)}" if many else f"the dataset {missing[0]}"
        name, fetched, left = ("NAME", "one", "them") if many else (missing[0], "it", "it")
        rest = f", or leave {left} out: --datasets {there}" if there else ""
        raise BenchError(
            f"the data root {root} lacks all or part of {what}: `spikegrad data prepare {name}` fetches "
            f"{fetched} or says which files to put where{rest}"
        )


def _check_augment(dataset: loading.Dataset, recipe: Recipe) -> None:
    if recipe.augment not in ("none", "standard") and "auto" not in dataset.augment:
        raise BenchError(
            f'dataset {dataset.name} has no augmentation "{recipe.augment}": set recipe.augment to '
            '"standard" or "none"'
        )


def _check_images(place: Place, recipe: Recipe, known: loading.Facts) -> None:
    asked = [key for key in ("cutmix", "erasing") if getattr(recipe, key)]
    if asked and len(known.shape) != 3:
        raise BenchError(
            f"recipe.{asked[0]} needs images, and samples of {place.dataset.name} have the shape "
            f"{known.shape}: leave it out for this dataset"
        )


def _resolve(profile: Profile, device: str | None, elsewhere: bool) -> Profile:
    import torch

    wanted = device or profile.device
    available = torch.cuda.is_available()
    if wanted == "cuda" and not available and not elsewhere:
        raise BenchError("device cuda asked for, but torch finds none here: use --device cpu")
    if wanted == "auto":
        wanted = "cuda" if available else "cpu"
    return profile.model_copy(update={"device": wanted})


def _settled(cell: Cell, known: loading.Facts, registry: Registry, workloads: Workloads) -> Cell:
    """The cell with the "auto" settings of its profile, layout and compilation, set by size and device."""
    if cell.profile.channels_last == "auto":
        cell = _with_profile(cell, channels_last=cell.profile.device == "cuda" and len(known.shape) == 3)
    method, mode = registry.method(cell.method.name).item, cell.profile.compile
    if mode == "auto":
        mode = compile_mode(cell, workloads.of(cell, known), method)
    return _with_profile(cell, compile=suited(mode, method.surrogate))


def _with_profile(cell: Cell, **changes: object) -> Cell:
    return cell.model_copy(update={"profile": cell.profile.model_copy(update=changes)})


def _fit(cell: Mapping[str, Any]) -> str:
    """What decides whether data and network fit, whatever the method, in one text."""
    return json.dumps([cell["dataset"], cell["backbone"], cell["timesteps"]], sort_keys=True)


def _check_fits(
    pairs: Sequence[tuple[Cell, loading.Facts]], registry: Registry, plugins: tuple[Path, ...]
) -> None:
    """Raise BenchError if the network of one of these cells does not fit its data.

    Third-party code is called in a process of its own. If it ends that, its runs will say so.
    """
    own = [(*pair, plugins) for pair in pairs if _all_shipped(pair[0], registry)]
    others = [(*pair, plugins) for pair in pairs if not _all_shipped(pair[0], registry)]
    for said in (*map(misfit, own), *(ask(misfit, others, limit=BUILDING))):
        if isinstance(said, str):
            raise BenchError(said)


def _all_shipped(cell: Cell, registry: Registry) -> bool:
    parts = (
        registry.method(cell.method.name),
        registry.dataset(cell.dataset.name),
        registry.backbone(cell.backbone.name),
    )
    return all(part.shipped for part in parts)


def misfit(question: tuple[Cell, loading.Facts, tuple[Path, ...]]) -> str | None:
    """Why the network of a cell does not fit these facts of its data; None if it does. Also: plugin files."""
    import torch

    from bench.runner.train import build

    cell, known, plugins = question
    try:
        # The meta device computes and allocates nothing.
        with torch.device("meta"), redirect_stdout(sys.stderr):
            build(cell, load(plugins), known)
    except BenchError as problem:
        return f"{cell.dataset.name} on {cell.backbone.name}: {problem}"
    except (Exception, SystemExit):
        # A method that cannot be built becomes a failed row of the table, with its reason, when it runs.
        pass
    return None


def _planned(cell: Cell, store: Store, retry: bool, again: bool, **alike: Any) -> Planned:
    """The cell with its record and state. alike: the other fields of Planned."""
    cell_id, digests = cell.id(alike["known"].checksum), alike["digests"]
    record = store.read(cell_id)
    then: dict[str, str] = record["digests"] if record else {}
    state: State
    if record is None:
        state = "missing"
    elif changes(then, digests) or (again and then.get(LIBRARIES) != digests[LIBRARIES]):
        state = "stale"
    elif record["status"] == OK:
        state = "done"
    elif record["status"] in FAILED and not retry:
        state = "failed"
    else:
        state = "missing"
    return Planned(cell, cell_id, state=state, record=record, **alike)
