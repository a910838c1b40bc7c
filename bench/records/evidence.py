"""Whether the numbers of a record agree with each other and with the files beside it.

A training run writes every number more than once: an accuracy is a number of samples, the last value of a
curve, and a count of the predictions; a mean is that of a table. In original records they all agree. Anyone
who edits one number must edit all of them, and the hash; only training again reveals that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.records import predictions
from bench.records.anytime import timesteps_to_99
from bench.records.run_columns import run_columns

Record = dict[str, Any]
SAMPLES = {
    "test_accuracy": "test_samples",
    "test_accuracy_last": "test_samples",
    "test_accuracy_best_epoch": "test_samples",
    "anytime_accuracy": "test_samples",
    "val_accuracy": "val_samples",
}
"""Accuracies, and the metric with the number of samples that each refers to."""
EPOCH_COLUMNS = ("epoch", "train_loss", "val_accuracy")
LAYER_COLUMNS = (
    *("epoch", "layer", "depth", "gradient_norm", "available_fraction", "participation", "gain"),
    *("silent_fraction", "gradient_zero_fraction"),
)
"""The columns that `run_columns` reads; reading a column takes longer than comparing it."""
OF_OTHER_ROWS = "vanishing_slope_ann"
"""Computed from a network whose rows are not kept."""
FRACTION = 1e-6
"""Rounding tolerance of a number of samples."""
ROUNDING = 1e-9
"""Allowed difference, relative or absolute: sums can run in another order."""


def contradiction(record: Record) -> str:
    """Where a record contradicts itself, with both values; otherwise ""."""
    metrics = record["metrics"]
    for name, of in SAMPLES.items():
        samples, found = metrics.get(of), metrics.get(name)
        for accuracy in found if isinstance(found, list) else [found]:
            right = accuracy * samples / 100 if samples and accuracy is not None else 0
            if abs(right - round(right)) > FRACTION:
                return f"{name} is {accuracy} %, which is {right:.3f} of {samples} samples"
    curve = metrics.get("anytime_accuracy")
    if not isinstance(curve, list) or not curve or None in curve:
        return ""
    return _apart(
        metrics,
        {"test_accuracy": curve[-1], "timesteps_to_99": timesteps_to_99(curve)},
        "anytime_accuracy",
    )


def contradiction_beside(record: Record, contents: Mapping[str, bytes]) -> str:
    """Where a record contradicts the files beside it, given by name; otherwise "".

    Raises an error of the file reader if one of them is damaged.
    """
    for name, of in _NUMBERS.items():
        if name in contents and record["metrics"] and (found := _apart(*of(record, contents[name]), name)):
            return found
    return ""


def _of_epochs(record: Record, content: bytes) -> tuple[Record, Record]:
    rows = _rows(content, EPOCH_COLUMNS)
    accuracies = [row["val_accuracy"] for row in rows]
    best = max((accuracy for accuracy in accuracies if accuracy is not None), default=None)
    numbers = {"val_accuracy": best, "best_epoch": None if best is None else accuracies.index(best)}
    return record["metrics"], numbers | {"train_loss": rows[-1]["train_loss"] if rows else None}


def _of_layers(record: Record, content: bytes) -> tuple[Record, Record]:
    rows = _rows(content, LAYER_COLUMNS)
    numbers: Record = dict(run_columns(rows, [])) if rows else {}
    numbers.pop(OF_OTHER_ROWS, None)
    return record["metrics"], numbers


def _of_predictions(record: Record, content: bytes) -> tuple[Record, Record]:
    found = predictions.of_bytes(content)
    return record["metrics"], {"test_samples": len(found.label), "test_accuracy": found.accuracy}


_NUMBERS: Mapping[str, Callable[[Record, bytes], tuple[Record, Record]]] = {
    "epochs.parquet": _of_epochs,
    "layers.parquet": _of_layers,
    predictions.FILE: _of_predictions,
}
"""For each file, a function that returns a record's metrics and the values derived from the file."""
BESIDE = tuple(_NUMBERS)
"""The files that can accompany a record."""


def _rows(content: bytes, columns: Sequence[str]) -> list[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(content)) as file:
        table = file.read(columns=list(columns), use_threads=False)
    # Unknown values are NaN in a column with other values, and null in a column without any.
    values = [[None if _is_nan(v) else v for v in table[name].to_pylist()] for name in columns]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _apart(metrics: Record, numbers: Mapping[str, Any], where: str) -> str:
    """The first metric that is present and differs from its expected value."""
    for name, expected in numbers.items():
        given = metrics.get(name)
        if name in metrics and not _same(given, expected):
            return f"{name} is {given}, and {where} gives {expected}"
    return ""


def _same(given: Any, expected: Any) -> bool:
    if given is None or expected is None:
        return given is expected
    return math.isclose(given, expected, rel_tol=ROUNDING, abs_tol=ROUNDING)
