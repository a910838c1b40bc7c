"""Accuracies that papers report, from results/published/accuracy.csv, with their sources and protocols."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bench.errors import BenchError
from bench.paths import published_accuracies
from bench.records.record_files import reason

ChosenBy = Literal["best test epoch", "last epoch", "validation"]
THRESHOLD = 0.5
"""The threshold at which `params` are given: that of a network if its suite names no other."""
UNKNOWN = "unknown"
"""The value of a parameter that the source does not give."""
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


class Published(BaseModel):
    """One published test accuracy, in percent, and its protocol; None for what is unknown.

    method, dataset, backbone: by their names here, if they exist here. params: parameters of the method in
    the paper, as in a variant (`width=2.5`), in the units used here at THRESHOLD, or `width=unknown`. All of
    them scale with the threshold. runs: the number of runs behind the accuracy. source_kind: "primary" if its
    authors report it, "secondary" if it was read elsewhere, as in the table of another paper. From epochs to
    decay: the recipe and the neuron, named as in a suite. validation: whether part of the training data was
    held out for validation. chosen_by: how the epoch was chosen. differs: known differences from this
    benchmark, in any suite. note: further remarks.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    method: str = Field(min_length=1)
    year: int = Field(ge=1990, le=2100)
    dataset: str = Field(min_length=1)
    backbone: str = Field(min_length=1)
    timesteps: int = Field(ge=1)
    params: str | None
    accuracy: float = Field(gt=0, le=100)
    accuracy_sd: float | None = Field(ge=0)
    runs: int | None = Field(ge=1)
    source: str = Field(min_length=1)
    source_kind: Literal["primary", "secondary"]
    epochs: int | None = Field(ge=1)
    batch_size: int | None = Field(ge=1)
    optimizer: str | None
    learning_rate: float | None = Field(gt=0)
    momentum: float | None = Field(ge=0)
    weight_decay: float | None = Field(ge=0)
    schedule: str | None
    augment: str | None
    loss: str | None
    label_smoothing: float | None = Field(ge=0)
    mixup: float | None = Field(ge=0)
    cutmix: float | None = Field(ge=0)
    erasing: float | None = Field(ge=0)
    neuron: str | None
    reset: str | None
    threshold: float | None = Field(gt=0)
    decay: float | None = Field(gt=0)
    validation: Literal["none", "held out"] | None
    chosen_by: ChosenBy | None
    differs: str | None
    note: str | None

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_unknown(cls, value: Any) -> Any:
        return value.strip() or None if isinstance(value, str) else value

    @field_validator("params")
    @classmethod
    def _are_words(cls, value: str | None) -> str | None:
        settings(value)
        return value

    @property
    def task(self) -> tuple[str, str, int]:
        """Dataset, backbone and time steps, as in `bench.tables.rows.Row`."""
        return self.dataset, self.backbone, self.timesteps


def settings(params: str | None) -> dict[str, float | None]:
    """The value of each parameter in `params`; None for a value that is unknown.

    Raises ValueError if they are not words NAME=NUMBER or NAME=unknown, each name once.
    """
    found: dict[str, float | None] = {}
    for word in (params or "").split():
        name, _, value = word.partition("=")
        if not name or name in found or not (value == UNKNOWN or NUMBER.fullmatch(value)):
            raise ValueError(f"{word} is not NAME=NUMBER or NAME={UNKNOWN}, each name once")
        found[name] = None if value == UNKNOWN else float(value)
    return found


def read(file: Path | None = None) -> list[Published]:
    """Every published number of a file, in its order; the default is the shipped file.

    Raises BenchError if the file cannot be read or a line is not valid.
    """
    file = file or published_accuracies()
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        why = getattr(problem, "strerror", None) or problem
        raise BenchError(f"the published numbers in {file} cannot be read: {why}; {_REMEDY}") from None
    return _parsed(text, file)


_REMEDY = "put the shipped file back, as by installing again"


def _parsed(text: str, file: Path) -> list[Published]:
    lines = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    found = dict[tuple[Any, ...], Published]()
    try:
        if (heads := [*(lines.fieldnames or ())]) != [*Published.model_fields]:
            raise ValueError(f"its columns are {', '.join(heads) or 'missing'}")
        for line in lines:
            one = Published.model_validate(line)
            key = (one.method, *one.task, *settings(one.params).items(), one.source)
            if key in found:
                raise ValueError(f"{one.method} on {one.dataset} stands there twice from {one.source}")
            found[key] = one
    except (csv.Error, ValidationError, ValueError, TypeError) as problem:
        where = f"{file}, line {lines.line_num}" if lines.line_num else str(file)
        raise BenchError(f"{where} is no published number ({reason(problem)}): {_REMEDY}") from None
    return [*found.values()]
