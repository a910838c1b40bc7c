"""Neuron-layer timings, as saved by pytest-benchmark: reading, merging and comparing them.

A file is pytest-benchmark's own JSON. `extra_info` of each benchmark describes the case; cases with an error
are in `failed`. Does not import torch.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.errors import BenchError, warn
from bench.paths import LAYERS

MILLI = 1e3
PARTS = ("forward", "backward", "step")
Mode = Literal["eager", "compiled"]
Content = Mapping[str, Any]


class Case(NamedTuple):
    """One layer: method (or neuron of another library), sizes, and whether it is compiled."""

    method: str
    kind: str
    timesteps: int
    batch: int
    units: int
    mode: Mode

    def __str__(self) -> str:
        return f"{self.method}, T = {self.timesteps}, batch {self.batch}, {self.units} units, {self.mode}"


class Info(BaseModel):
    """`extra_info`. kind: the method's, or "peer". neuron: lif, plif, or what replaces it."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    method: str
    kind: str
    params: dict[str, float | None]
    timesteps: int
    batch: int
    units: int
    mode: Mode
    neuron: str | None
    part: Literal["forward", "backward", "step"]
    threads: int
    device: str
    hardware: str
    versions: dict[str, str | None]
    measured: str
    compile_s: float | None
    error: str | None

    @property
    def case(self) -> Case:
        """The case that was timed."""
        return Case(self.method, self.kind, self.timesteps, self.batch, self.units, self.mode)


class _Stats(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    median: float = Field(gt=0)


class _Benchmark(BaseModel):
    stats: _Stats
    extra_info: Info


class _File(BaseModel):
    benchmarks: list[_Benchmark]
    failed: list[Info] = []


class LayerTime(NamedTuple):
    """A case with its times: medians in ms by part. info: that of its last part."""

    case: Case
    ms: Mapping[str, float]
    info: Info
    error: str | None


def read(results: Path, tell: Callable[[str], None] | None = None) -> list[dict[str, Any]]:
    """Rows for the latency table: all methods, from every machine, sorted; without peers.

    If several files contain a case, the newest is used. Unreadable files are left out.
    tell: receives one sentence about each of them; None prints it to stderr.
    """
    found: dict[tuple[Case, str], LayerTime] = {}
    for file in sorted(folder(results).glob("*.json")):
        try:
            times = load(file)
        except BenchError as error:
            (tell or warn)(str(error))
            continue
        for time in times:
            key = (time.case, time.info.hardware)
            if key not in found or found[key].info.measured <= time.info.measured:
                found[key] = time
    timed = [time for _, time in sorted(found.items()) if time.ms and time.case.kind != "peer"]
    return [_row(time) for time in timed]


def folder(results: Path) -> Path:
    """The folder of layer timings under a results folder."""
    return results / "latency" / LAYERS


def default_file(results: Path, hardware: str) -> Path:
    """The file for one class of hardware."""
    slug = re.sub(r"[^a-z0-9]+", "-", hardware.lower()).strip("-")
    return folder(results) / f"{slug}.json"


def load(file: Path) -> list[LayerTime]:
    """The timings in a file, sorted by case.

    Raises BenchError if the file is missing, damaged or of another kind.
    """
    return times(content(file), file)


def content(file: Path) -> dict[str, Any]:
    """The parsed file. Raises BenchError if it is missing, or is not JSON from pytest-benchmark."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchError(f"cannot read layer times from {file}: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise BenchError(
            f"{file} is damaged, or no JSON: only files that `spikegrad latency` has saved can be read"
        ) from None
    if not isinstance(found, dict) or not isinstance(found.get("benchmarks"), list):
        raise BenchError(
            f"{file} holds no benchmarks: only files that `spikegrad latency` has saved can be read"
        )
    return found


def times(content: Content, file: Path | str = "what was timed") -> list[LayerTime]:
    """One row per case, sorted. Raises BenchError if the content does not have the form of layer timings."""
    try:
        known = _File.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BenchError(
            f"{file} is not what `spikegrad latency` saves: {where}: {first['msg'].lower()}; "
            "only its files can be read"
        ) from None
    ms: dict[Case, dict[str, float]] = {}
    infos: dict[Case, Info] = {}
    errors: dict[Case, str | None] = {}
    for benchmark in known.benchmarks:
        info = benchmark.extra_info
        ms.setdefault(info.case, {})[info.part] = benchmark.stats.median * MILLI
        infos[info.case] = info
    for info in known.failed:
        infos.setdefault(info.case, info)
        errors[info.case] = info.error
    return [LayerTime(c, ms.get(c, {}), infos[c], errors.get(c)) for c in sorted(infos)]


def merged(old: Content, new: Content) -> dict[str, Any]:
    """The new content, plus those cases of the old one that were not timed again."""
    again = {_case(part["extra_info"]) for part in new["benchmarks"]} | {_case(i) for i in new["failed"]}
    kept = [part for part in old["benchmarks"] if _case(part["extra_info"]) not in again]
    failed = [info for info in old.get("failed", []) if _case(info) not in again]
    return {**new, "benchmarks": [*kept, *new["benchmarks"]], "failed": [*failed, *new["failed"]]}


class Comparison(NamedTuple):
    """New timings against old.

    ratios: new / old by part, for cases with times in both.
    notes: what else differs.
    """

    ratios: dict[Case, dict[str, float]]
    only_new: list[Case]
    only_old: list[Case]
    notes: list[str]


def compare(new: Sequence[LayerTime], old: Sequence[LayerTime]) -> Comparison:
    """The ratio of each time to the earlier one, and anything that makes them incomparable."""
    ours, theirs = ({time.case: time for time in some if time.ms} for some in (new, old))
    both = [case for case in ours if case in theirs]
    ratios = {
        case: {
            part: ours[case].ms[part] / theirs[case].ms[part]
            for part in PARTS
            if part in ours[case].ms and part in theirs[case].ms
        }
        for case in both
    }
    notes = dict.fromkeys(note for case in both for note in _differences(theirs[case].info, ours[case].info))
    only_new, only_old = ([c for c in a if c not in b] for a, b in ((ours, theirs), (theirs, ours)))
    return Comparison(ratios, only_new, only_old, list(notes))


def _differences(old: Info, new: Info) -> Iterable[str]:
    for name in ("hardware", "device", "threads", "neuron"):
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            yield f"{name} was {before}, is {after}"
    for package in sorted(old.versions.keys() | new.versions.keys()):
        was, now = old.versions.get(package), new.versions.get(package)
        if was != now:
            yield f"{package} was {was or 'not installed'}, is {now or 'not installed'}"
    for name in sorted(old.params.keys() | new.params.keys()):
        if old.params.get(name) != new.params.get(name):
            yield f"{name} of {new.method} was {old.params.get(name)}, is {new.params.get(name)}"


def _case(info: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(info.get(name) for name in Case._fields)


def _row(time: LayerTime) -> dict[str, Any]:
    case, info = time.case, time.info
    neuron = " plif" if info.neuron == "plif" else ""
    return {
        "method": case.method,
        "variant": f"batch={case.batch} units={case.units} {case.mode}{neuron}",
        "timesteps": case.timesteps,
        "hardware": info.hardware,
        **{f"{part}_ms_p50": time.ms.get(part) for part in PARTS},
        "compile_s": info.compile_s,
    }
