"""The latency table: a row per configuration and class of hardware, never averaged over several classes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.records.layer_times import PARTS
from bench.records.store import OK
from bench.records.timings import Forward, Kind, Timing, forward_kind, hardware, timed, timed_code
from bench.tables import statistics
from bench.tables.columns import DECLARED, KEY, Line, frame, named
from bench.tables.rows import Record, Row, data

INFERENCE = (
    "inference_ms_p50_batch1",
    "inference_ms_p95_batch1",
    "inference_ms_p50_batch100",
    "inference_ms_p95_batch100",
    "throughput",
)
TRAINING = ("train_step_ms_p50", "compile_s", "peak_memory_mb")
OF_RUNS = ("train_seconds", "search_seconds", "probe_seconds")
LAYER_TASK = {"dataset": "none", "backbone": "neuron"}
"""Placeholders for dataset and backbone in the row of a neuron layer that was timed alone."""
LATENCY_COLUMNS = (
    *(*KEY, *DECLARED, "hardware", "n_seeds", *INFERENCE, *TRAINING),
    *(f"layer_{part}_ms_p50" for part in PARTS),
    *(f"{metric}_{what}" for metric in OF_RUNS for what in ("mean", "sd")),
    "workers",
    "error",
)


def latency_of(
    of: Sequence[Row], timings: Sequence[Timing] = (), layer_times: Iterable[Mapping[str, Any]] = ()
) -> pd.DataFrame:
    """A row per configuration and class of hardware: timings, and how long its runs took.

    If methods share an inference timing, the row of each of them has it. layer_times: rows of
    `bench.records.layer_times.read`; those of methods without a record are left out.
    """
    found = {(_key(t, t["digests"]), t["hardware"]): t for t in timings}
    machines = sorted({t["hardware"] for t in timings})
    declared = {row.method: row.identity() for row in of}
    lines = [line for row in of for line in _lines(row, found, machines)]
    lines += [_layer(declared[time["method"]], time) for time in layer_times if time["method"] in declared]
    return frame(sorted(lines, key=_place), LATENCY_COLUMNS)


def training_steps(table: pd.DataFrame) -> dict[tuple[Any, ...], float]:
    """Milliseconds of a training step by row key; empty if they are from several classes of hardware."""
    timed = table[table["train_step_ms_p50"].notna()]
    if timed["hardware"].nunique() != 1:
        return {}
    keys = timed[[*KEY]].itertuples(index=False, name=None)
    return dict(zip(keys, timed["train_step_ms_p50"].tolist(), strict=True))


def _lines(row: Row, found: Mapping[tuple[str, str], Timing], machines: Sequence[str]) -> Iterable[Line]:
    first = row.records[0]
    forward = forward_kind(first["method"])
    wanted = [_wanted(kind, first, forward) for kind in ("inference", "training")]
    for machine in sorted({*machines, *(hardware(record["environment"]) for record in row.records)}):
        parts = [found.get((what, machine)) for what in wanted]
        ran = [r for r in row.records if r["status"] == OK and hardware(r["environment"]) == machine]
        there = [part for part in parts if part is not None]
        if there or ran:
            yield row.identity() | {"hardware": machine, "n_seeds": len(ran)} | _timed(there) | _took(ran)


def _layer(identity: Line, time: Mapping[str, Any]) -> Line:
    there = {name: time[name] for name in ("variant", "timesteps", "hardware", "compile_s")}
    return identity | LAYER_TASK | there | {f"layer_{part}_ms_p50": time[f"{part}_ms_p50"] for part in PARTS}


def _timed(parts: Sequence[Timing]) -> Line:
    line: Line = {name: value for part in parts for name, value in part["metrics"].items()}
    errors = [f"{part['kind']}: {part['error']}" for part in parts if part["status"] != OK]
    return line | {"error": "; ".join(errors)}


def _took(ran: Sequence[Record]) -> Line:
    line: Line = {}
    for metric in OF_RUNS:
        values = [r["metrics"][metric] for r in ran if r["metrics"].get(metric) is not None]
        seconds = np.array(values, float)
        columns = (f"{metric}_mean", f"{metric}_sd")
        line |= named(columns, (statistics.mean(seconds), statistics.sd(seconds)))
    workers = sorted({r["workers"] for r in ran if r.get("workers")})
    return line | {"workers": "/".join(str(n) for n in workers)}


def _place(line: Line) -> tuple[object, ...]:
    return tuple(line[name] for name in (*KEY, "hardware"))


def _wanted(kind: Kind, record: Record, forward: Forward) -> str:
    what = timed(kind, record["cell"], forward, data(record, "checksum"))
    return _key(what, timed_code(kind, record.get("digests", {}), forward))


def _key(what: Mapping[str, Any], code: Mapping[str, str]) -> str:
    # Times of other code, such as an earlier version, do not belong to this row.
    content = [what[name] for name in ("kind", "forward", "data", "cell")]
    return json.dumps([content, code], sort_keys=True)
