"""Reading the record of one run from its file: whole, and of the form that tables and displays rely on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, ValidationError, model_validator
from pydantic_core import from_json

from bench.errors import BenchError
from bench.ranges import out_of_range
from bench.suite import RECORD_SCHEMA, Cell

Record = dict[str, Any]
ALWAYS = ("test_accuracy", "test_accuracy_last", "val_accuracy")
"""What every training that ended well has measured."""


class Damaged(BenchError):
    """A file that is no record, or another's: as if it were not there."""


Number = StrictFloat | StrictInt | None


def read_record(file: Path) -> Record:
    """The record in a file.

    Raises Damaged, naming the file, where it cannot be relied on, and BenchError where it may not be read.
    """
    try:
        record = parsed(file.read_bytes())
        if isinstance(record, dict) and record.get("schema", RECORD_SCHEMA) != RECORD_SCHEMA:
            raise Damaged(_other_schema(file, record["schema"]))
        _Form.model_validate(record)
    except OSError as problem:
        raise BenchError(f"{file} cannot be read: {problem.strerror or problem}") from None
    except (ValueError, RecursionError) as problem:
        raise Damaged(
            f"{file} is damaged ({reason(problem)}): remove its folder and run the suite again"
        ) from None
    assert isinstance(record, dict)
    return record


def _other_schema(file: Path, schema: Any) -> str:
    later = isinstance(schema, int) and schema > RECORD_SCHEMA
    way = "a later version of spikegrad-bench wrote it, install that one" if later else "run its suite again"
    return f"{file} has the record schema {schema!r} and this version reads {RECORD_SCHEMA}: {way}"


def parsed(content: bytes) -> Any:
    """What the text says, or ValueError or RecursionError; NaN and infinity are no JSON."""
    try:
        # It takes less than half the time of `json`; what it does not take, `json` has the last word on.
        return from_json(content, allow_inf_nan=False)
    except ValueError:
        return json.loads(content.decode("utf-8"), parse_constant=_refuse)


def reason(problem: Exception) -> str:
    """The first line of what was wrong."""
    if isinstance(problem, ValidationError):
        error = problem.errors()[0]
        where, what = ".".join(map(str, error["loc"])), error["msg"].removeprefix("Value error, ")
        return ": ".join(filter(None, (where, what)))
    lines = str(problem).splitlines()
    return lines[0] if lines else type(problem).__name__


class _Open(BaseModel):
    """A part of a record; it has more, which is not copied."""

    model_config = ConfigDict(extra="ignore")


class _Method(_Open):
    kind: str
    changes: str
    fidelity: str


class _Machine(_Open):
    cpu: str
    threads: StrictInt
    gpu: dict[str, Any] | None


class _Form(_Open):
    """What is relied on."""

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

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _check_cell(self.cell)
        curve = self.metrics.get("anytime_accuracy")
        if isinstance(curve, list) and len(curve) != self.cell["timesteps"]:
            raise ValueError(f"anytime_accuracy has {len(curve)} steps, not {self.cell['timesteps']}")
        if wrong := out_of_range(self.metrics):
            raise ValueError(wrong)
        if self.status == "ok" and (lacks := [name for name in ALWAYS if self.metrics.get(name) is None]):
            raise ValueError(f"{lacks[0]} is missing, though the run ended well")
        return self


_good_cells: set[str] = set()
"""Cells found good, without their seeds: to check one takes longer than the rest of a record."""


def _check_cell(cell: dict[str, Any]) -> None:
    """Raises ValueError where it is no cell."""
    seed = cell.get("seed")
    alike = repr({**cell, "seed": None})
    # A seed that is no whole number from 0, or is too large, is left to the whole check.
    if alike in _good_cells and type(seed) is int and 0 <= seed < 2**31:
        return
    try:
        Cell.model_validate(cell)
    except ValidationError as problem:
        raise ValueError(f"cell.{reason(problem)}") from None
    _good_cells.add(alike)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
