"""Valid ranges for the numbers in a record: a record outside them is damaged and enters no table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PERCENT = ("test_accuracy", "test_accuracy_last", "test_accuracy_best_epoch", "val_accuracy")
SHARES = (
    *(f"available_fraction{which}" for which in ("", "_min", "_before")),
    *(f"participation{which}" for which in ("", "_min", "_before")),
    *("silent_fraction", "gradient_zero_fraction"),
)
NOT_NEGATIVE = (
    *("spikes_per_sample", "sops_per_sample", "macs_per_sample", "energy_uj", "dead_layers"),
    *("train_seconds", "search_seconds", "probe_seconds", "timesteps_to_99", "vanish_onset_epoch"),
    *("best_epoch", "parameters"),
)
SLACK = 1e-6
"""Tolerance for means of single-precision numbers."""


def out_of_range(metrics: Mapping[str, Any]) -> str:
    """Which number of a record is outside its valid range, and why; "" if all are valid."""
    for names, high, words in ((PERCENT, 100.0, "an accuracy in percent"), (SHARES, 1.0, "a share")):
        for name in names:
            value = metrics.get(name)
            if isinstance(value, list) or (value is not None and not -SLACK <= value <= high + SLACK):
                return f"{name} is {value}, which is not {words}"
    for name in NOT_NEGATIVE:
        value = metrics.get(name)
        if isinstance(value, list) or (value is not None and value < 0):
            return f"{name} is {value}, which cannot be"
    return ""
