"""Loads a dataset for inspection: reports its content and checks that it is valid."""

from __future__ import annotations

import hashlib
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from bench.data import loading
from bench.data.frames import Stored
from bench.data.holdings import Holding, needs_package
from bench.data.loading import Prepared, Split
from bench.errors import BenchError, counted

BATCH = 1024
"""Samples that are checked together: frames on disk may not fit in memory."""

Outcome = Literal["ok", "problem", "nothing to check"]


@dataclass(frozen=True)
class Check:
    """The result of one check, in a sentence or a few facts."""

    name: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True)
class Report:
    """A summary of a loaded dataset. frames: the files that its samples are read from, with their bytes."""

    name: str
    samples: dict[str, int]
    shape: list[int]
    classes: int
    dtype: str
    checksum: str
    note: str
    frames: dict[str, int]
    seconds: float


@dataclass
class Content:
    """What was found by reading all samples of a split. hashes: one per sample."""

    low: float = float("inf")
    high: float = float("-inf")
    empty: int = 0
    not_finite: int | None = None
    hashes: list[bytes] = field(default_factory=list)


def load(found: Holding, timesteps: int) -> Prepared:
    """Load the dataset, with all checks that a run makes.

    Raises BenchError if it cannot be loaded, also for errors in the dataset's own code.
    """
    found.require()
    try:
        return loading.prepare(found.dataset, found.request(timesteps))
    except BenchError:
        raise
    except Exception as error:
        raise _sentence(found, error) from error


def prepare(found: Holding, timesteps: int) -> Report:
    """Load the dataset, which creates its frames if it has any, and summarise it."""
    began = time.perf_counter()
    loaded = load(found, timesteps)
    seconds = time.perf_counter() - began
    return Report(
        name=found.dataset.name,
        samples={name: len(split) for name, split in _splits(loaded).items()},
        shape=list(loaded.train.x.shape[1:]),
        classes=loaded.classes,
        dtype=_dtype(loaded.train),
        checksum=loaded.checksum,
        note=loaded.note,
        frames={str(file): file.stat().st_size for file in _stored(loaded)},
        seconds=round(seconds, 2),
    )


def check(found: Holding, timesteps: int) -> Iterator[Check]:
    """Run all checks in order; those that need samples are skipped if loading fails.

    Raises BenchError if no check can start because files or a package are missing.
    """
    found.require()
    yield _files(found)
    sources = _sources(found, timesteps)
    yield sources
    try:
        loaded = load(found, timesteps)
    except BenchError as error:
        if needs_package(error.__cause__):
            raise
        if str(error) == sources.detail:
            yield Check("samples", "nothing to check", "see sources")
        else:
            yield Check("samples", "problem", str(error))
        return
    yield _samples(loaded)
    yield _labels(loaded)
    # Check frames before reading samples: samples from a damaged file say nothing about the dataset.
    intact = _frames(loaded)
    yield intact
    if intact.outcome == "problem":
        return
    contents = {name: _content(split) for name, split in _splits(loaded).items()}
    yield _values(loaded, contents)
    yield _overlap(contents)
    yield _again(found, timesteps, loaded.checksum)


def _files(found: Holding) -> Check:
    if not found.files:
        return Check("files", "nothing to check", "it reads no files")
    number = len(found.files)
    detail = f"{found.bytes / 1e6:,.1f} MB in {found.root}"
    return Check("files", "ok", f"{'all ' * (number > 1)}{number} there, {detail}")


def _sources(found: Holding, timesteps: int) -> Check:
    if found.dataset.verify is None:
        why = "it declares no verify" if found.files else "it reads no files"
        return Check("sources", "nothing to check", why)
    try:
        facts = found.dataset.verify(found.request(timesteps))
    except Exception as error:
        told = _sentence(found, error)
        if needs_package(error) or needs_package(error.__cause__):
            raise told from error
        return Check("sources", "problem", str(told))
    return Check("sources", "ok", "; ".join(facts) or "every file was read")


def _samples(loaded: Prepared) -> Check:
    counts = ", ".join(f"{len(split):,} {name}" for name, split in _splits(loaded).items())
    shape = " x ".join(map(str, loaded.train.x.shape[1:]))
    said = f"; {loaded.note}" if loaded.note else ""
    return Check(
        "samples", "ok", f"{counts}; {_dtype(loaded.train)} {shape}; checksum {loaded.checksum}{said}"
    )


def _labels(loaded: Prepared) -> Check:
    balance, absent = [], {}
    for name, split in _splits(loaded).items():
        counts = torch.bincount(split.y, minlength=loaded.classes)
        balance.append(f"{name} {int(counts.min()):,} to {int(counts.max()):,}")
        absent[name] = (counts == 0).nonzero().flatten().tolist()
    detail = f"{loaded.classes} classes; samples a class: {', '.join(balance)}"
    if absent["train"]:
        return Check(
            "labels",
            "problem",
            f"no training sample has the label {absent['train'][0]}, "
            f"which is one of the {loaded.classes} classes; {detail}",
        )
    return Check("labels", "ok", detail)


def _frames(loaded: Prepared) -> Check:
    stored = _stored(loaded)
    if not stored:
        return Check("frames", "nothing to check", "its samples are not kept on disk")
    for file, x in stored.items():
        if not x.intact():
            return Check(
                "frames",
                "problem",
                f"{file} has changed since it was written; delete the folder {file.parent}, "
                "and its frames are regenerated",
            )
    size = sum(file.stat().st_size for file in stored)
    return Check("frames", "ok", f"{size / 1e6:,.1f} MB, intact, in {next(iter(stored)).parent}")


def _values(loaded: Prepared, contents: dict[str, Content]) -> Check:
    for name, content in contents.items():
        if content.not_finite is not None:
            sample = int(_splits(loaded)[name].ids[content.not_finite])
            return Check(
                "values",
                "problem",
                f"{name} split: the sample with id {sample} has values that are not finite",
            )
    low = min(content.low for content in contents.values())
    high = max(content.high for content in contents.values())
    empty = sum(content.empty for content in contents.values())
    return Check("values", "ok", f"{low:g} to {high:g}; {counted(empty, 'sample')} all zero")


def _overlap(contents: dict[str, Content]) -> Check:
    """Ids were compared on loading; this compares the samples themselves."""
    names = list(contents)
    unique = {name: set(content.hashes) for name, content in contents.items()}
    twins = [
        f"{sum(h in unique[first] for h in contents[second].hashes):,} of {second} also in {first}"
        for i, first in enumerate(names)
        for second in names[i + 1 :]
        if unique[first] & unique[second]
    ]
    same = "exact duplicates: " + ", ".join(twins) if twins else "no exact duplicates between them"
    return Check("splits", "ok", f"no id is in two; {same}")


def _again(found: Holding, timesteps: int, checksum: str) -> Check:
    second = load(found, timesteps).checksum
    if second == checksum:
        return Check("again", "ok", "a second load gives the same checksum")
    return Check("again", "problem", f"a second load gives other data: checksum {second}, before {checksum}")


def _content(split: Split) -> Content:
    content = Content()
    for begin in range(0, len(split), BATCH):
        rows = torch.arange(begin, min(begin + BATCH, len(split)))
        x = split.x[rows].flatten(1)
        content.low = min(content.low, float(x.min()))
        content.high = max(content.high, float(x.max()))
        content.empty += int((x == 0).all(1).sum())
        if content.not_finite is None and not bool(x.isfinite().all()):
            content.not_finite = begin + int((~x.isfinite().all(1)).nonzero()[0])
        content.hashes += [_hash(row) for row in x]
    return content


def _hash(row: Tensor) -> bytes:
    return hashlib.sha256(row.contiguous().numpy().data).digest()[:16]


def _splits(loaded: Prepared) -> dict[str, Split]:
    return {"train": loaded.train, "val": loaded.val, "test": loaded.test}


def _stored(loaded: Prepared) -> dict[Path, Stored]:
    """The files that hold samples, without repeats."""
    return {split.x.file: split.x for split in _splits(loaded).values() if isinstance(split.x, Stored)}


def _dtype(split: Split) -> str:
    return str(split.x.dtype).removeprefix("torch.")


def _sentence(found: Holding, error: Exception) -> BenchError:
    """The user-facing error for an exception in the dataset's code."""
    if isinstance(error, BenchError):
        return error
    name = f"dataset {found.dataset.name}"
    if package := needs_package(error):
        return BenchError(f"{name}: {package}")
    frames = traceback.extract_tb(error.__traceback__)
    where = f" (line {frames[-1].lineno} of {frames[-1].filename})" if frames else ""
    return BenchError(f"{name}: {type(error).__name__}: {' '.join(str(error).split())}{where}")


def report_lines(report: Report) -> list[tuple[str, str]]:
    """A report as pairs of strings."""
    lines: list[tuple[str, Any]] = [
        ("samples", ", ".join(f"{count:,} {name}" for name, count in report.samples.items())),
        ("shape", f"{' x '.join(map(str, report.shape))}, {report.dtype}"),
        ("classes", str(report.classes)),
        ("checksum", report.checksum),
    ]
    if report.note:
        lines.append(("note", report.note))
    if report.frames:
        size = sum(report.frames.values())
        lines.append(("frames", f"{size / 1e6:,.1f} MB in {Path(next(iter(report.frames))).parent}"))
    return [*lines, ("seconds", f"{report.seconds:g}")]
