"""Latency measurements, taken separately from training, on disk: <results>/latency/<suite>/<id>.json.

Inference is timed once for all methods with the same forward pass, a training step once for each
configuration. The id is a hash of what was timed, the hardware and torch's minor version: times of two
machines or two versions are never mixed. docs/protocol.md says when they are measured again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from bench.errors import BenchError
from bench.files import remove_abandoned, write_atomic

TIMING_SCHEMA = 2
HISTORY = {1: "The first with a number."}
"""Changes in the timing method, and in the speed of what is timed, by version; newest last."""
TIMING_VERSION = max(HISTORY)
"""Raise it, by adding a line to HISTORY, if the timing method changes or the harness gets faster."""
Timing = dict[str, Any]
Kind = Literal["inference", "training"]
Forward = Literal["spiking", "reference", "own"]


class Needed(BaseModel):
    """The fields that every timing has; others are allowed."""

    model_config = ConfigDict(strict=True)

    of_schema: int = Field(alias="schema")
    id: str
    kind: Kind
    forward: Forward
    data: str
    cell: dict[str, Any]
    hardware: str
    digests: dict[str, str]
    status: str
    error: str | None
    metrics: dict[str, float]


def forward_kind(method: Mapping[str, Any]) -> Forward:
    """Which forward pass a method has, by its declared `kind` and `changes`.

    spiking: the one shared by all methods that change only the gradient or the loss.
    reference: that of the network without spikes.
    own: the method's own, as for library functions, which are called in evaluation too.
    """
    if method["kind"] == "reference":
        return "reference"
    plain = method["changes"] in ("gradient", "loss") and method["kind"] != "library"
    return "spiking" if plain else "own"


def timed(kind: Kind, cell: Mapping[str, Any], forward: Forward, data: str | None) -> dict[str, Any]:
    """The parts of a record's cell that determine what is timed; data: checksum of its data."""
    left_out = {"seed", "measure"} | ({"recipe"} if kind == "inference" else set())
    parts = {name: value for name, value in cell.items() if name not in left_out}
    if kind == "inference" and "profile" in parts:
        # Only training is compiled.
        parts["profile"] = parts["profile"] | {"compile": "off"}
    if kind == "inference" and forward == "spiking":
        parts["method"] = None
    return {"kind": kind, "forward": forward, "data": data, "cell": parts}


def timed_code(kind: Kind, digests: Mapping[str, str], forward: Forward) -> dict[str, str]:
    """The digests of a record that the timing depends on, and the version of the timing method."""
    shared = kind == "inference" and forward == "spiking"
    found = {part: digest for part, digest in digests.items() if not (shared and part == "method")}
    return found | {"timing": f"timing {TIMING_VERSION}"}


def hardware(environment: Mapping[str, Any]) -> str:
    """The hardware class, from a record's environment; times are comparable only within one class."""
    if environment.get("gpu"):
        return str(environment["gpu"]["name"])
    threads = environment["threads"]
    return f"{environment['cpu']}, {threads} thread{'s' * (threads > 1)}"


def timing_id(what: Mapping[str, Any], on: str, libraries: str) -> str:
    """A hash of what is timed, of the hardware, and of the libraries as in a record's digests."""
    content = {"schema": TIMING_SCHEMA, "hardware": on, "libraries": libraries, **what}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


class Timings:
    """The timings of one suite under one results folder."""

    def __init__(self, results: Path, suite: str) -> None:
        self.folder = results / "latency" / suite

    def read(self, timing: str) -> Timing | None:
        """One timing; None if it does not exist or cannot be read."""
        try:
            found = json.loads((self.folder / f"{timing}.json").read_text(encoding="utf-8"))
            Needed.model_validate(found)
        except (OSError, ValueError, RecursionError):
            return None
        return found if (found["schema"], found["id"]) == (TIMING_SCHEMA, timing) else None

    def survey(self) -> tuple[list[Timing], list[str]]:
        """The timings, by id, and one sentence for each file that is not a valid timing.

        Raises BenchError if the folder cannot be read.
        """
        read = {timing: self.read(timing) for timing in self._ids()}
        damaged = [
            f"{self.folder / timing}.json is damaged, or not of this version: "
            "it is left out, and what it held is timed again by the next run"
            for timing, found in read.items()
            if found is None
        ]
        return [found for found in read.values() if found is not None], damaged

    def _ids(self) -> list[str]:
        try:
            return sorted(file.stem for file in self.folder.iterdir() if file.suffix == ".json")
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise BenchError(f"{self.folder} cannot be read: {error.strerror or error}") from None

    def clear_halves(self) -> None:
        """Remove partial files of a killed run. The caller must hold the suite's lock."""
        remove_abandoned(self.folder.glob(".*.tmp"))

    def write(self, timing: Timing) -> None:
        """Write a timing. Raises OSError if that fails; then it counts as missing."""
        text = json.dumps(timing, indent=1, sort_keys=True, allow_nan=False) + "\n"
        write_atomic(self.folder / f"{timing['id']}.json", text.encode())
