"""Chooses among variants of one method by validation accuracy; nothing here reads a test accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.records.store import FAILED, OK

Record = Mapping[str, Any]


def validation(records: Sequence[Record], seeds: set[int] | None = None) -> float:
    """Mean validation accuracy in percent, over these seeds or all, with failed runs at chance.

    NaN if none of the runs is final.
    """
    scores = {}
    for record in sorted(records, key=lambda record: record["cell"]["seed"]):
        known = record["metrics"].get("val_accuracy")
        if record["status"] == OK and known is not None:
            scores[record["cell"]["seed"]] = float(known)
        elif record["status"] in FAILED:
            scores[record["cell"]["seed"]] = chance(records)
    found = [score for seed, score in scores.items() if seeds is None or seed in seeds]
    # Rounded: the last bits depend on the order of summation, and would break ties.
    return round(math.fsum(found) / len(found), 9) if found else math.nan


def best(variants: Sequence[Sequence[Record]]) -> int | None:
    """Which of the variants, each given by its records, has the best validation accuracy.

    Over the seeds that all have; of equals, the one with the smallest values. Variants with a run that
    circumstances stopped are left out; None if no variant is left.
    """
    whole = [i for i, records in enumerate(variants) if all(r["status"] in (OK, *FAILED) for r in records)]
    if not whole:
        return None
    shared = set.intersection(*({r["cell"]["seed"] for r in variants[i]} for i in whole)) or None
    return min(whole, key=lambda i: (-validation(variants[i], shared), _values(variants[i][0])))


def chance(records: Iterable[Record]) -> float:
    """Accuracy of guessing, in percent; 0 if no record knows its number of classes."""
    classes = max(((record.get("data") or {}).get("classes") or 0 for record in records), default=0)
    return 100 / classes if classes else 0.0


def _values(record: Record) -> list[float]:
    """The numbers that variants of one method can differ in, learning rate first."""
    cell = record["cell"]
    said: dict[str, Any] = {**cell["recipe"], **cell["method"]["params"]}
    numbers = [value for _, value in sorted(said.items()) if not isinstance(value, str)]
    return [float(-math.inf if value is None else value) for value in (said["learning_rate"], *numbers)]
