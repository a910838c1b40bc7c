"""Reads everything in a results folder that a suite's tables and report are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import BenchError, warn
from bench.records import layer_times
from bench.records.record_files import Record
from bench.records.store import OK, Store, trial_store
from bench.records.timings import Timing, Timings

MOST_TOLD = 20
"""The maximum number of left-out files to print; a report names all."""


@dataclass(frozen=True)
class Reading:
    """trials: of the suite's tuning.

    left_out: one sentence for each file that is not counted, with its name and the reason.
    """

    records: Sequence[Record]
    timings: Sequence[Timing]
    layer_times: Sequence[Mapping[str, Any]]
    trials: Sequence[Record]
    left_out: Sequence[str]


def tell(left_out: Sequence[str]) -> None:
    """Print what is left out to stderr; at most the first MOST_TOLD."""
    for sentence in left_out[:MOST_TOLD]:
        warn(sentence)
    if (rest := len(left_out) - MOST_TOLD) > 0:
        warn(f"and {rest} more are left out; `spikegrad report` names all of them")


def read(store: Store, targets: Mapping[str, float] | None = None) -> Reading:
    """Read a suite's results.

    targets: by dataset, the validation accuracy in percent for `epochs_to_target`.

    Raises BenchError if there are no records, or they cannot be read.
    """
    records, damaged = store.survey()
    timings, damaged_timings = Timings(store.results, store.suite).survey()
    left_out = [*damaged, *damaged_timings]
    times = layer_times.read(store.results, left_out.append)
    trials, damaged_trials = trial_store(store).survey()
    left_out += damaged_trials
    store.left_out += damaged_trials
    if not records:
        tell(left_out)
        raise BenchError(
            f"no records of the suite {store.suite} in {store.results}: `spikegrad run` makes them"
        )
    records = [_with_target(record, store, targets or {}) for record in records]
    return Reading(records, timings, times, trials, left_out)


def _with_target(record: Record, store: Store, targets: Mapping[str, float]) -> Record:
    """The record with the number of epochs until it reached its target, if it has one.

    Returns a copy: cached records must not change.
    """
    target = targets.get(record["cell"]["dataset"]["name"])
    file = store.folder(record["id"]) / "epochs.parquet"
    if target is None or record["status"] != OK or not file.exists():
        return record
    return {**record, "metrics": {**record["metrics"], "epochs_to_target": _reached(file, target)}}


def _reached(file: Path, target: float) -> int | None:
    import pyarrow.parquet as pq

    with pq.ParquetFile(file) as parquet:
        table = parquet.read(columns=["epoch", "val_accuracy"])
    rows = zip(table["epoch"].to_pylist(), table["val_accuracy"].to_pylist(), strict=True)
    return min(
        (int(epoch) + 1 for epoch, accuracy in rows if accuracy is not None and accuracy >= target),
        default=None,
    )
