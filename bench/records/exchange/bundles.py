"""Bundles: a suite's results as one file to send; format, export and safe unpacking.

    bundle.json                  a summary, and the machines that made the results
    runs/SUITE/suite.json        the suite
    runs/SUITE/ID/               record.json and the files that it names
    runs/SUITE/plugins/          the code of the user's own methods and datasets, as it ran
    runs/SUITE.tune/             the same of its tuning trials, if there are any
    latency/SUITE/ID.json        times

`spikegrad import` imports it and validates each record and timing; it runs no code.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.files import write_atomic
from bench.paths import PLUGINS
from bench.records.evidence import BESIDE
from bench.records.exchange.importing import LARGEST, RECORD
from bench.records.kept_suites import FILE as SUITE
from bench.records.store import Store, trial_store
from bench.records.timings import Timings

BUNDLE_SCHEMA = 1
ENDINGS = (".tar.gz", ".tgz")
_NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]*"
_FILES = "|".join(map(re.escape, (RECORD, *BESIDE)))
_SOURCE = rf"{PLUGINS}/{_NAME}(?:/[A-Za-z0-9_][A-Za-z0-9._@-]*)*\.py"
TAKEN = re.compile(
    rf"runs/{_NAME}/(?:{_NAME}/(?P<run>{_FILES})|(?P<suite>{SUITE})|(?P<source>{_SOURCE}))"
    rf"|latency/{_NAME}/{_NAME}\.json"
)
"""The members that are unpacked; their names cannot lead anywhere else."""
MOST_FILES = 200_000
MOST_BYTES = 16 * 2**30
"""Maximum declared size of all members together; larger bundles are refused."""


@dataclass(frozen=True)
class Bundle:
    """The content of a bundle; left_out: one sentence for each file that cannot be trusted."""

    place: Path
    records: int
    timings: int
    left_out: Sequence[str]


def export(store: Store, to: Path) -> Bundle:
    """Write the results of a suite, tuning trials too, into one file or a folder that does not exist yet.

    to: a name that ends in .tar.gz or .tgz is a file, any other a folder.

    The same results give the same bytes. Raises BenchError if there is nothing to export, or writing fails.
    """
    parts = {part: part.survey() for part in (store, trial_store(store))}
    records = [record for found, _ in parts.values() for record in found]
    left_out = [sentence for _, sentences in parts.values() for sentence in sentences]
    if not records:
        raise BenchError(
            f"no records of the suite {store.suite} in {store.results}: there is nothing to export"
        )
    timings, damaged = Timings(store.results, store.suite).survey()
    contents = {
        "bundle.json": _json(
            {
                "schema": BUNDLE_SCHEMA,
                "suite": store.suite,
                "records": len(records),
                "timings": len(timings),
                "environments": _distinct(record["environment"] for record in records),
            }
        )
    }
    try:
        for part, (found, _) in parts.items():
            files = [part.runs / SUITE, *sorted((part.runs / PLUGINS).rglob("*.py"))]
            for record in found:
                files += [part.folder(record["id"]) / name for name in (RECORD, *record["files"])]
            for file in files:
                if file.exists():
                    contents[file.relative_to(store.results).as_posix()] = file.read_bytes()
        for timing in timings:
            name = f"latency/{store.suite}/{timing['id']}.json"
            contents[name] = (store.results / name).read_bytes()
        _put(contents, to)
    except OSError as problem:
        raise BenchError(
            f"{problem.filename or to} cannot be read or written: {problem.strerror or problem}"
        ) from None
    return Bundle(to, len(records), len(timings), [*left_out, *damaged])


def _distinct(environments: Iterator[Any] | Any) -> list[Any]:
    return list({json.dumps(each, sort_keys=True): each for each in environments}.values())


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()


def _put(contents: Mapping[str, bytes], to: Path) -> None:
    if not to.name.endswith(ENDINGS):
        if to.exists():
            raise BenchError(
                f"{to} is there already: name a folder that is not, or a file that ends in .tar.gz"
            )
        for name, content in contents.items():
            write_atomic(to / name, content)
        return
    packed = io.BytesIO()
    # Without names and times, the same results give the same bytes.
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in sorted(contents, key=lambda name: ("/" in name, name)):
            about = tarfile.TarInfo(name)
            about.size, about.mode = len(contents[name]), 0o644
            tar.addfile(about, io.BytesIO(contents[name]))
    write_atomic(to, packed.getvalue())


def unpack(bundle: Path, into: Path) -> None:
    """Unpack a bundle into an empty folder.

    Bundles are treated as hostile: only regular files with known names are unpacked, and none larger than a
    run produces. Raises BenchError, naming the bundle and the member, if it is not a valid bundle.
    """
    files, total = 0, 0
    try:
        with tarfile.open(bundle, "r|gz") as tar:
            for member in tar:
                files, total = files + 1, total + member.size
                if files > MOST_FILES or total > MOST_BYTES:
                    raise BenchError(
                        f"{bundle} holds more than {MOST_FILES:,} files or {MOST_BYTES:,} bytes: "
                        "nothing of it was taken in"
                    )
                if member.isdir():
                    continue
                _check_member(bundle, member)
                if found := TAKEN.fullmatch(member.name):
                    kind = found["run"] or found["suite"] or (PLUGINS if found["source"] else "timing")
                    largest = LARGEST[kind]
                    if member.size > largest:
                        raise _refused(bundle, member, f"has {member.size:,} bytes, and at most {largest:,}")
                    content = tar.extractfile(member)
                    assert content is not None
                    write_atomic(into / member.name, content.read(member.size))
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise BenchError(f"{bundle} is no whole .tar.gz ({problem}): nothing of it was taken in") from None
    except OSError as problem:
        raise BenchError(
            f"{problem.filename or bundle} cannot be read or written: {problem.strerror or problem}"
        ) from None


def _check_member(bundle: Path, member: tarfile.TarInfo) -> None:
    if not member.isreg():
        raise _refused(bundle, member, "is no plain file, and links are not followed")
    if not member.name.isprintable():
        raise _refused(bundle, member, "is no name of a file")
    if member.name.startswith("/") or ".." in member.name.split("/") or "\\" in member.name:
        raise _refused(bundle, member, "leads out of the bundle")


def _refused(bundle: Path, member: tarfile.TarInfo, why: str) -> BenchError:
    return BenchError(f"{bundle}: {member.name[:200]!r} {why}: nothing of it was taken in")
