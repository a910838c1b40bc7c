"""How long things take: a row per configuration and class of hardware, never averaged over two of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench import statistics
from bench.columns import DECLARED, KEY, Line, frame, named
from bench.rows import Record, Row, rows
from bench.store import OK
from bench.timings import Timing, forward_kind, hardware, timed

INFERENCE = (
    "inference_ms_p50_batch1",
    "inference_ms_p95_batch1",
    "inference_ms_p50_batch100",
    "inference_ms_p95_batch100",
    "throughput",
)
TRAINING = ("train_step_ms_p50", "compile_s", "peak_memory_mb")
OF_RUNS = ("train_seconds", "search_seconds", "probe_seconds")
LATENCY_COLUMNS = (
    *(*KEY, *DECLARED, "hardware", "n_seeds", *INFERENCE, *TRAINING),
    *(f"{metric}_{what}" for metric in OF_RUNS for what in ("mean", "sd")),
    "workers",
    "error",
)


def latency_table(records: Iterable[Record], timings: Sequence[Timing] = ()) -> pd.DataFrame:
    """A row per configuration and class of hardware: timings, and what its runs took.

    Inference that methods share stands in the row of each of them.
    """
    found = {(_key(t), t["hardware"]): t for t in timings}
    machines = sorted({t["hardware"] for t in timings})
    return frame([line for row in rows(records) for line in _lines(row, found, machines)], LATENCY_COLUMNS)


def _lines(row: Row, found: Mapping[tuple[str, str], Timing], machines: Sequence[str]) -> Iterable[Line]:
    first = row.records[0]
    forward = forward_kind(first["method"])
    for machine in sorted({*machines, *(hardware(record["environment"]) for record in row.records)}):
        parts = [
            found.get((_key(timed(kind, first["cell"], forward)), machine))
            for kind in ("inference", "training")
        ]
        ran = [r for r in row.records if r["status"] == OK and hardware(r["environment"]) == machine]
        there = [part for part in parts if part is not None]
        if there or ran:
            yield row.identity() | {"hardware": machine, "n_seeds": len(ran)} | _timed(there) | _took(ran)


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


def _key(what: Mapping[str, Any]) -> str:
    return json.dumps({name: what[name] for name in ("kind", "forward", "cell")}, sort_keys=True)
