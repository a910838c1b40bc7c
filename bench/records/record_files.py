"""The record of one run: sealed when written, and validated on every read.

A record names the files beside it by the hashes of their content, and carries a hash of its own content,
`outcome_sha256`. Reading checks that a record has the form that tables and displays rely on, matches its
hashes, and agrees with itself and with those files.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, ValidationError, model_validator
from pydantic_core import from_json

from bench.errors import BenchError
from bench.records import validation_cache
from bench.records.evidence import BESIDE, contradiction, contradiction_beside
from bench.records.ranges import out_of_range
from bench.suite import RECORD_SCHEMA, Cell

Record = dict[str, Any]
ALWAYS = ("val_accuracy", "test_accuracy", "test_accuracy_last")
"""Metrics of every training run that ended well; a tuning trial has the first alone."""
SEAL = "outcome_sha256"
"""The key of the record's own hash."""
REMEDY = "remove its folder and run the suite again"


class Damaged(BenchError):
    """A file that is no valid record, or belongs to another run: treated as missing."""


Number = StrictFloat | StrictInt | None


def read_record(file: Path) -> Record:
    """The record in a file, checked against the files beside it.

    Raises Damaged, naming the file, if it cannot be trusted, and BenchError if it cannot be read.
    """
    try:
        content = file.read_bytes()
        record = of_bytes(file, content)
        # Strings, because creating thousands of Paths takes longer than reading the files.
        folder = os.path.dirname(file)
        beside = {name: _content(f"{folder}/{name}") for name in record["files"]}
        more = [name for name in BESIDE if name not in beside and os.path.lexists(f"{folder}/{name}")]
    except OSError as problem:
        where = problem.filename or file
        raise BenchError(f"{where} cannot be read: {problem.strerror or problem}") from None
    if more:
        raise Damaged(f"{folder}/{more[0]} is none of the files that its record names: remove it")
    check(file, record, content, beside)
    return record


def _content(file: str) -> bytes:
    try:
        with open(file, "rb", buffering=0) as opened:
            return opened.read()
    except FileNotFoundError:
        raise Damaged(f"{file} is not there, and its record names it: {REMEDY}") from None


def of_bytes(file: Path, content: bytes) -> Record:
    """The record in a file's content, of valid form. Raises Damaged, naming the file, if it is not."""
    try:
        record = parsed(content)
        if isinstance(record, dict) and record.get("schema", RECORD_SCHEMA) != RECORD_SCHEMA:
            raise Damaged(_other_schema(file, record["schema"]))
        _Form.model_validate(record)
    except (ValueError, RecursionError) as problem:
        raise Damaged(f"{file} is damaged ({reason(problem)}): {REMEDY}") from None
    assert isinstance(record, dict)
    return record


def check(file: Path, record: Record, content: bytes, beside: Mapping[str, bytes]) -> None:
    """Check that a record agrees with itself, its hash, and the files beside it.

    content: of the record's file.
    beside: contents of the files that it names.

    Raises Damaged, naming the file, the two values that differ, and what to do.
    """
    for name, expected in record["files"].items():
        if (found := _sha256(beside[name])) != expected:
            raise Damaged(
                f"{file.with_name(name)} has the hash {found[:12]}… and its record says {expected[:12]}…: "
                f"it was edited or damaged; {REMEDY}"
            )
    # The record contains the hashes of its files, so this hash covers everything that is compared.
    text = _sha256(content)
    if validation_cache.known(text):
        return
    wrong = contradiction(record) or _broken_seal(record)
    try:
        wrong = wrong or contradiction_beside(record, beside)
    except Exception as problem:
        # Each layer of the file reader raises its own errors.
        wrong = f"a file beside it is damaged, {reason(problem)}"
    if wrong:
        raise Damaged(f"{file} contradicts itself ({wrong}): it was edited or damaged; {REMEDY}")
    validation_cache.remember(text)


def sealed(record: Mapping[str, Any], contents: Mapping[str, bytes]) -> Record:
    """The record as written: with the hashes of the files beside it, by name, and its own hash."""
    whole = {**record, "files": {name: _sha256(content) for name, content in contents.items()}}
    whole.pop(SEAL, None)
    return {**whole, SEAL: outcome_hash(whole)}


def outcome_hash(record: Mapping[str, Any]) -> str:
    """SHA-256 of a record's content without this hash, as JSON with sorted keys and no spaces."""
    said = {name: value for name, value in record.items() if name != SEAL}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _broken_seal(record: Record) -> str:
    found = outcome_hash(record)
    return "" if found == record[SEAL] else f"its {SEAL} is {record[SEAL][:12]}… and it has {found[:12]}…"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _other_schema(file: Path, schema: Any) -> str:
    later = isinstance(schema, int) and schema > RECORD_SCHEMA
    way = "a later version of spikegrad-bench wrote it, install that one" if later else "run its suite again"
    return f"{file} has the record schema {schema!r} and this version reads {RECORD_SCHEMA}: {way}"


def parsed(content: bytes) -> Any:
    """The parsed JSON. NaN and infinity are not JSON.

    Raises ValueError or RecursionError if it is invalid.
    """
    try:
        # Takes less than half the time of `json`, which decides on anything that this rejects.
        return from_json(content, allow_inf_nan=False)
    except ValueError:
        return json.loads(content.decode("utf-8"), parse_constant=_refuse)


def reason(problem: Exception) -> str:
    """The first line of an error."""
    if isinstance(problem, ValidationError):
        error = problem.errors()[0]
        where, what = ".".join(map(str, error["loc"])), error["msg"].removeprefix("Value error, ")
        return ": ".join(filter(None, (where, what)))
    lines = str(problem).splitlines()
    return lines[0] if lines else type(problem).__name__


class _Open(BaseModel):
    """A part of a record; further fields are allowed and ignored."""

    model_config = ConfigDict(extra="ignore")


class _Method(_Open):
    kind: str
    changes: str
    fidelity: str


class _Gpu(_Open):
    name: str


class _Machine(_Open):
    cpu: str
    threads: StrictInt
    gpu: _Gpu | None


class _Form(_Open):
    """The fields that other code relies on."""

    of_schema: StrictInt = Field(alias="schema")
    id: str
    configuration: str
    cell: dict[str, Any]
    variant: str
    method: _Method
    status: Literal["ok", "failed", "diverged", "oom", "timeout", "interrupted", "skipped"]
    metrics: dict[str, Number | list[Number]]
    seconds: StrictFloat | StrictInt
    environment: _Machine
    digests: dict[str, str]
    data: dict[str, Any] | None = None
    error: str | None = None
    traceback: list[str] | None = None
    unmeasured: dict[str, str] = {}
    suite: str = ""
    ended: str = ""
    files: dict[Literal["epochs.parquet", "layers.parquet", "predictions.parquet"], str]
    outcome_sha256: str

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _check_cell(self.cell)
        curve = self.metrics.get("anytime_accuracy")
        if isinstance(curve, list) and len(curve) != self.cell["timesteps"]:
            raise ValueError(f"anytime_accuracy has {len(curve)} steps, not {self.cell['timesteps']}")
        if wrong := out_of_range(self.metrics):
            raise ValueError(wrong)
        trial = (self.cell.get("selection") or {}).get("by") == "tuning"
        if trial and (seen := [name for name in self.metrics if name.startswith(("test_", "anytime_"))]):
            raise ValueError(f"{seen[0]} is there, and a tuning trial has no test data")
        always = ALWAYS[:1] if trial else ALWAYS
        if self.status == "ok" and (lacks := [name for name in always if self.metrics.get(name) is None]):
            raise ValueError(f"{lacks[0]} is missing, though the run ended well")
        return self


_good_cells: set[str] = set()
"""Valid cells without their seeds: validating one takes longer than the rest of a record."""


def _check_cell(cell: dict[str, Any]) -> None:
    """Raises ValueError if it is not a valid cell."""
    seed = cell.get("seed")
    alike = repr({**cell, "seed": None})
    # An invalid seed, not a whole number or out of range, goes to the full validation.
    if alike in _good_cells and type(seed) is int and 0 <= seed < 2**31:
        return
    try:
        Cell.model_validate(cell)
    except ValidationError as problem:
        raise ValueError(f"cell.{reason(problem)}") from None
    _good_cells.add(alike)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
