"""Definitions shared by all tables: the key, the column types, and how values are written to disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

Line = dict[str, Any]

TASK = ("dataset", "backbone", "timesteps")
KEY = (*TASK, "method", "variant")
DECLARED = ("kind", "changes", "fidelity")
COUNTS = ("n_seeds", "n_failed", "n_incomplete")
EXTRA = "n_extra"
SWEEP = ("sweep", "val_accuracy_mean")
CHOICE = ("learning_rate", "parameter", "value")
TRIALS_SPREAD = tuple(f"val_accuracy_{what}" for what in ("best", "median", "sd", "worst"))
BEST_OF = tuple(f"best_of_{k}" for k in (1, 2, 4, 8, 16))
TUNED_ACCURACIES = ("default_accuracy_mean", "tuned_accuracy_mean")
GAIN = ("gain", "gain_ci_low", "gain_ci_high")
ACCURACIES = tuple(
    f"test_accuracy_{what}" for what in ("mean", "sd", "ci_low", "ci_high", "last_mean", "best_epoch_mean")
)
HALF = "test_accuracy_half"
TASK_COUNTS = ("n_tasks", "n_tasks_missing", "n_runs")
OF_IMAGES = ("test_accuracy_images_ci_low", "test_accuracy_images_ci_high")
OTHER = ("other_method", "other_variant")
PAIRS = ("difference", "ci_low", "ci_high", "images_ci_low", "images_ci_high")
DELTAS = ("delta_vs_baseline", "delta_ci_low", "delta_ci_high")
TO_BEST = ("delta_to_best", "delta_to_best_ci_low", "delta_to_best_ci_high")
P_VALUES = ("p_adjusted", "p_permutation")
RANKS = ("rank", "rank_low", "rank_high")
RUN_ACCURACIES = ("test_accuracy", "test_accuracy_last", "test_accuracy_best_epoch", "val_accuracy")
ANYTIME = ("anytime_accuracy_mean", "anytime_accuracy_sd")
PUBLISHED = ("published", "published_sd", "measured_mean", "measured_sd", "gap")
SOURCE = ("params", "source", "source_kind", "measure", "same_protocol", "differs", "note")

VERDICT_TEXTS = ("indistinguishable_from_best", "equivalent_to_best", "equivalent", "pareto_optimal")
OVERALL = ("iqm", "iqm_ci_low", "iqm_ci_high", "average_rank")

_POINTS = (*ACCURACIES, *OF_IMAGES, *DELTAS, *TO_BEST, "detectable", *PAIRS, "val_accuracy_mean", HALF)
_TUNING = (*TRIALS_SPREAD, *BEST_OF, *TUNED_ACCURACIES, *GAIN)
_ACCURACIES = (*_POINTS, *_TUNING, *RUN_ACCURACIES, *ANYTIME, *OVERALL, *PUBLISHED)
DECIMALS = dict.fromkeys(_ACCURACIES, 4) | dict.fromkeys(P_VALUES, 6)
"""Digits after the point on disk. Other numbers have six significant digits, or one after the point."""
WHOLE = (
    "timesteps",
    "seed",
    "best_epoch",
    "epochs_to_target",
    "t",
    "n_vanished",
    "n_unmeasured",
    "year",
    "runs",
    *("n_trials", "n_cells", "parameters"),
    *TASK_COUNTS,
    *COUNTS,
    EXTRA,
    *RANKS,
)
TEXTS = (
    *(*KEY, *DECLARED, *OTHER, *SOURCE, *VERDICT_TEXTS),
    *("status", "error", "id", "hardware", "workers", "sweep", "parameter", "chosen"),
    *("suite", "baseline"),
)


def named(names: Sequence[str], values: Iterable[Any]) -> Line:
    """A line of a table, or part of a line."""
    return dict(zip(names, values, strict=True))


def frame(lines: list[Line], columns: Sequence[str]) -> pd.DataFrame:
    """The table of these lines; a value that a line lacks is unknown."""
    types = {
        name: "Int64" if name in WHOLE else float for name in columns if name in WHOLE or name not in TEXTS
    }
    return pd.DataFrame(lines, columns=list(columns)).astype(types)


def csv(table: pd.DataFrame) -> str:
    """The text of a table's file."""
    return printed(table).to_csv(index=False, lineterminator="\n")


def printed(table: pd.DataFrame) -> pd.DataFrame:
    """The table as written to disk: every value as one line of text, unknown values as ""."""
    texts = {str(name): _texts(str(name), table[name]) for name in table.columns}
    return pd.DataFrame(texts, dtype=object)


def _texts(column: str, values: pd.Series[Any]) -> list[str]:
    # Check a whole column for unknown values at once: one by one this is slow.
    write, known = _writer(column), values.notna().tolist()
    return [write(value) if there else "" for value, there in zip(values.tolist(), known, strict=True)]


def printed_cell(column: str, value: Any) -> str:
    """A value of a column as written to disk; "" if it is unknown."""
    return "" if pd.isna(value) else _writer(column)(value)


def _writer(column: str) -> Callable[[Any], str]:
    """The function that formats the known values of a column."""
    if column in WHOLE:
        return lambda value: str(int(value))
    if column in DECIMALS:
        digits = DECIMALS[column]
        # Adding 0 turns -0.0 into 0.0.
        return lambda value: f"{round(float(value), digits) + 0:.{digits}f}"
    if column in TEXTS:
        return lambda value: " ".join(str(value).split())
    return lambda value: f"{float(value) + 0:.6g}" if abs(value) < LARGE else f"{float(value):.1f}"


LARGE = 1e5
"""From this size on, a number is printed with all digits before the point."""
