"""Schemas that every table is checked against before it is written: columns, types, and valid ranges.

A table that breaks its schema is not written: the cause is a bug in this code, or an invalid record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from bench.errors import BenchError
from bench.records import ranges
from bench.tables.columns import (
    ACCURACIES,
    ANYTIME,
    BEST_OF,
    KEY,
    OTHER,
    P_VALUES,
    RANKS,
    RUN_ACCURACIES,
    TEXTS,
    TRIALS_SPREAD,
    TUNED_ACCURACIES,
    WHOLE,
)

if TYPE_CHECKING:
    from pandera.errors import SchemaError
    from pandera.pandas import Column, DataFrameSchema

KEYS: Mapping[str, Sequence[str]] = {
    "runs": (*KEY, "seed"),
    "accuracy": KEY,
    "pairs": (*KEY, *OTHER),
    "overall": ("method", "variant"),
    "gradients": KEY,
    "cost": KEY,
    "anytime": (*KEY, "t"),
    "latency": (*KEY, "hardware"),
    "published": (*KEY, "params", "source", "published"),
    "tuning": (*KEY, "learning_rate", "value"),
    "tuned": KEY,
}
"""The columns that identify a row of each table; no two rows share their values."""
PERCENT = {
    *(
        name
        for name in (*ACCURACIES, *RUN_ACCURACIES, *ANYTIME)
        if not name.endswith(("_low", "_high", "_sd"))
    ),
    *(name for name in (*TRIALS_SPREAD, *BEST_OF, *TUNED_ACCURACIES) if not name.endswith("_sd")),
    *("val_accuracy_mean", "iqm", "iqm_ci_low", "iqm_ci_high", "published", "measured_mean"),
}
"""Columns between 0 and 100. The end of a t-interval can lie outside."""
SHARES = {
    *(*P_VALUES, "share_ok", "agreement"),
    *(f"{name}_mean" for name in ranges.SHARES),
    *(f"probability_of_improvement{end}" for end in ("", "_ci_low", "_ci_high")),
}
"""Columns between 0 and 1."""
FROM_ONE = {"timesteps", *RANKS, "average_rank", "t", "epochs_to_target", "runs", "year"}
AT_LEAST_NOTHING = (
    *("n_", "inference_ms", "throughput", "train_step_ms", "compile_s", "peak_memory", "layer_", "seed"),
    *ranges.NOT_NEGATIVE,
)
"""Prefixes of the names of columns that are never below 0."""
SETS: Mapping[str, Sequence[str]] = {
    "status": ("ok", "failed", "diverged", "oom", "timeout", "interrupted", "skipped"),
    "kind": ("adaptive", "control", "fixed", "library", "reference"),
    "changes": ("gradient", "forward", "loss", "network"),
    "fidelity": ("official-code", "library", "paper", "reconstructed", "own"),
    "indistinguishable_from_best": ("yes", "no", ""),
    "equivalent_to_best": ("yes", "no", ""),
    "equivalent": ("yes", "no", ""),
    "sweep": ("best", "other", ""),
    "chosen": ("yes", "no"),
    "pareto_optimal": ("yes", "no", ""),
    "same_protocol": ("yes", "no", "unknown", ""),
    "source_kind": ("primary", "secondary"),
}
MAY_LACK = ("kind", "changes", "fidelity")
"""Columns that are empty in published.csv if a published method was not run here."""
NULLABLE = {("tuning", "value")}
"""Columns of a key that can be unknown: a method without a parameter of its own has no value."""
INTERVALS = (
    ("test_accuracy_ci_low", "test_accuracy_mean", "test_accuracy_ci_high"),
    ("test_accuracy_images_ci_low", "test_accuracy_mean", "test_accuracy_images_ci_high"),
    ("delta_ci_low", "delta_vs_baseline", "delta_ci_high"),
    ("ci_low", "difference", "ci_high"),
    ("delta_to_best_ci_low", "delta_to_best", "delta_to_best_ci_high"),
    ("rank_low", "rank", "rank_high"),
    ("gain_ci_low", "gain", "gain_ci_high"),
)


def check(name: str, table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Check a table against its schema.

    columns: those that it must have, in their order. Raises BenchError, with table, column, row and value,
    if the table does not match.
    """
    from pandera.errors import SchemaError

    if [*table.columns] != [*columns]:
        others = sorted({*table.columns} ^ {*columns}) or ["the order of its columns"]
        raise BenchError(f"the table {name} was not written: {others[0]} is not as it must be")
    try:
        _schema(name, columns).validate(table)
    except SchemaError as problem:
        raise BenchError(f"the table {name} was not written: {_said(problem, table)}") from None
    for low, middle, high in INTERVALS:
        if low in table:
            wrong = table[
                (table[low] > table[middle] + ranges.SLACK) | (table[high] < table[middle] - ranges.SLACK)
            ]
            if len(wrong):
                raise BenchError(
                    f"the table {name} was not written: {middle} of {_row(wrong.iloc[0])} "
                    "lies outside its interval"
                )


def _schema(name: str, columns: Sequence[str]) -> DataFrameSchema:
    from pandera.pandas import DataFrameSchema

    checked = {column: _column(column, name) for column in columns}
    return DataFrameSchema(checked, strict=True, ordered=True, unique=[*KEYS[name]], name=name)


def _column(name: str, table: str) -> Column:
    from pandera.pandas import Check, Column

    allowed = (*SETS.get(name, ()), *([""] if name in MAY_LACK and table == "published" else []))
    checks: list[Any] = []
    words = name in TEXTS and name not in WHOLE
    if allowed:
        checks.append(Check.isin(allowed, error=f"be one of {', '.join(filter(None, allowed))}"))
    elif words:
        checks.append(Check(_are_texts, error="be text"))
    elif name in PERCENT:
        checks.append(Check.in_range(-ranges.SLACK, 100 + ranges.SLACK, error="lie between 0 and 100"))
    elif name in SHARES:
        checks.append(Check.in_range(-ranges.SLACK, 1 + ranges.SLACK, error="lie between 0 and 1"))
    elif name in FROM_ONE:
        checks.append(Check.ge(1, error="be 1 or more"))
    elif name.endswith("_sd") or name.startswith(AT_LEAST_NOTHING):
        checks.append(Check.ge(0, error="be 0 or more"))
    kind = None if words else "Int64" if name in WHOLE else "float64"
    # With unknown values in the key, two rows could coincide.
    return Column(kind, checks, nullable=name not in KEYS[table] or (table, name) in NULLABLE)


def _are_texts(values: pd.Series[Any]) -> bool:
    return all(isinstance(value, str) for value in values.dropna().unique())


def _said(problem: SchemaError, table: pd.DataFrame) -> str:
    failed = problem.failure_cases
    if not isinstance(failed, pd.DataFrame) or failed.empty:
        return " ".join(str(problem).split())
    case = failed.iloc[0]
    where = f" in the row {_row(table.loc[case['index']])}" if case["index"] in table.index else ""
    if str(problem.check) == "multiple_fields_uniqueness":
        return f"it has two of the rows {where.removeprefix(' in the row ')}"
    must = getattr(problem.check, "error", None) or str(problem.check)
    return f"{getattr(problem.schema, 'name', '')} is {case['failure_case']}{where}, and must {must}"


def _row(line: pd.Series[Any]) -> str:
    return " ".join(str(line[name]) for name in KEY if name in line)
