"""Human-readable versions of the other tables: a few columns with units, one block per task."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from statistics import median
from typing import Any

import pandas as pd
from rich.console import Console

from bench.show.terminal import say
from bench.show.terminal_table import print_table
from bench.tables.columns import DECIMALS, GAIN, P_VALUES, printed_cell
from bench.tables.statistics import half_interval
from bench.tables.text.choice import EVERYTHING, Choice
from bench.tables.text.readable import WORDS, Block, p_text, tasks
from bench.variants import full_name

SHOWN: Mapping[str, Mapping[str, str]] = {
    "pairs": {
        "method": "method",
        "other_method": "less",
        "difference": "difference",
        "ci_low": "from",
        "ci_high": "to",
        "p_adjusted": "p, adjusted",
        "equivalent": "within 1 point",
        "images_ci_low": "with images, from",
        "images_ci_high": "to",
        "agreement": "agreement",
    },
    "overall": {
        "method": "method",
        "kind": "kind",
        "n_tasks": "tasks",
        "n_tasks_missing": "tasks missing",
        "share_ok": "share of runs ok",
        "iqm": "interquartile mean %",
        "iqm_ci_low": "from",
        "iqm_ci_high": "to",
        "average_rank": "average rank",
        "probability_of_improvement": "better than baseline",
        "pareto_optimal": "Pareto-optimal",
    },
    "gradients": {
        "method": "method",
        "kind": "kind",
        "available_fraction_mean": "available fraction",
        "participation_mean": "participation",
        "gain_mean": "gain",
        "vanishing_slope_mean": "slope, decades a layer",
        "vanishing_slope_excess_before_mean": "before, over ReLU's",
        "dead_layers_mean": "dead layers",
        "silent_fraction_mean": "silent neurons",
        "descent_gain_1e-2_mean": "descent gain, step of 1 %",
    },
    "latency": {
        "method": "method",
        "kind": "kind",
        "inference_ms_p50_batch1": "inference of 1, ms",
        "inference_ms_p50_batch100": "of 100, ms",
        "throughput": "samples/s",
        "train_step_ms_p50": "training step, ms",
        "peak_memory_mb": "peak memory, MB",
        "layer_forward_ms_p50": "layer forward, ms",
        "layer_backward_ms_p50": "backward, ms",
        "layer_step_ms_p50": "both, ms",
        "train_seconds_mean": "training, s",
        "error": "error",
    },
    "cost": {
        "method": "method",
        "kind": "kind",
        "test_accuracy_mean": "test accuracy %",
        "spikes_per_sample_mean": "spikes",
        "sops_per_sample_mean": "synaptic operations",
        "macs_per_sample_mean": "MACs",
        "energy_uj_mean": "energy, µJ (estimate)",
    },
    "anytime": {
        "method": "method",
        "kind": "kind",
        "t": "after t steps",
        "anytime_accuracy_mean": "accuracy %",
        "timesteps_to_99_mean": "steps to 99 % of the last",
    },
    "runs": {
        "method": "method",
        "seed": "seed",
        "status": "status",
        "test_accuracy": "test accuracy %",
        "val_accuracy": "validation %",
        "id": "id",
        "error": "error",
    },
    "tuning": {
        "method": "method",
        "learning_rate": "learning rate",
        "parameter": "parameter",
        "value": "its value",
        "val_accuracy_mean": "validation %",
        "n_failed": "failed",
        "chosen": "chosen",
        "seconds": "seconds",
    },
    "tuned": {
        "method": "method",
        "learning_rate": "learning rate",
        "parameter": "parameter",
        "value": "its value",
        "val_accuracy_best": "best validation %",
        "val_accuracy_median": "median",
        "val_accuracy_worst": "worst",
        "n_failed": "failed",
        "seconds": "seconds",
        "default_accuracy_mean": "test %, default",
        "tuned_accuracy_mean": "tuned",
        "gain": "gain",
        "gain_ci_low": "from",
        "gain_ci_high": "to",
    },
    "published": {
        "method": "method",
        "params": "published at",
        "year": "year",
        "published": "published %",
        "published_sd": "its sd",
        "source_kind": "source",
        "measured_mean": "measured %",
        "n_seeds": "n",
        "gap": "gap, points",
        "same_protocol": "same protocol",
        "differs": "what differs",
    },
}
WHY_NOT = {
    "gradients": '[measure] of the suite says probe = "off" and descent = false, or no run has worked',
    "latency": "no run has worked",
    "cost": "no run has worked",
    "anytime": "no run has worked",
}
EMPTY = {"published": "No published number is known for a task of this suite."}
"""The message for a table without rows, where the lack is not obvious."""
MOST_DIGITS = 5
"""The most digits after the point; smaller numbers are written with a power of ten."""
SIGNED = ("gap", *GAIN)
"""Differences, which are shown with their sign."""
SPREADS = {
    f"{name}_mean": f"{name}_sd"
    for name in (
        *("spikes_per_sample", "sops_per_sample", "macs_per_sample", "energy_uj"),
        *("anytime_accuracy", "measured"),
    )
}
"""Means that are shown with half their interval, and the column with the sd over `n_seeds` runs."""


def show(which: str, table: pd.DataFrame, console: Console, choice: Choice = EVERYTHING) -> None:
    """Print one of the tables of SHOWN on the terminal."""
    if table.empty and which in EMPTY:
        say(console, EMPTY[which])
    for block in choice.of(blocks(which, table)):
        if not block.heads.keys() - {"method", "kind"}:
            say(console, f"{block.title}: nothing was measured; {WHY_NOT[which]}\n")
            continue
        lines = [[line[name] for name in block.heads] for line in block.lines]
        words = [head for name, head in block.heads.items() if name in WORDS]
        print_table(console, [*block.heads.values()], lines, words=words, title=block.title)


def blocks(which: str, table: pd.DataFrame) -> Iterator[Block]:
    """The tasks of one of the tables of SHOWN, without columns that are entirely empty."""
    for title, rows in _parts(which, table):
        there = {
            name: head
            for name, head in SHOWN[which].items()
            if any(printed_cell(name, v) for v in rows[name])
        }
        texts = [_column(name, rows) for name in there]
        lines = [dict(zip(there, cells, strict=True)) for cells in zip(*texts, strict=True)]
        yield Block(title, there, lines, rows)


def _parts(which: str, table: pd.DataFrame) -> Iterable[tuple[str, pd.DataFrame]]:
    if which != "overall":
        return tasks(table, *(["hardware"] if which == "latency" else []))
    names = [full_name(*of) for of in zip(table["method"], table["variant"], strict=True)]
    return [("all tasks", table.assign(method=names, alone=table["method"]))] if len(table) else []


def _column(name: str, rows: pd.DataFrame) -> list[str]:
    """A readable column; a mean that has a spread shows half its 95 % t-interval over `n_seeds` runs."""
    values = rows[name].tolist()
    if name in P_VALUES:
        return [p_text(value) for value in values]
    if SPREADS.get(name) not in rows:
        digits = 2 if name in DECIMALS else _digits(values)
        return [_short(name, value, digits) for value in values]
    counts, spreads = rows["n_seeds"].fillna(0), rows[SPREADS[name]]
    halves = [half_interval(n, sd) for n, sd in zip(counts, spreads, strict=True)]
    digits = 2 if name in DECIMALS else _digits_of_halves([half for half in halves if half > 0])
    texts = [_short(name, value, digits) for value in values]
    return [
        text if math.isnan(half) else f"{text} ± {half:,.{digits or 0}f}"
        for text, half in zip(texts, halves, strict=True)
    ]


def _digits_of_halves(halves: list[float]) -> int | None:
    """Digits after the point that give at least half of the intervals two significant digits."""
    return max(0, 1 - math.floor(math.log10(median(halves)))) if halves else None


def _digits(values: list[Any]) -> int | None:
    """Digits after the point that suit a whole column; None if each number needs its own.

    The largest number gets four significant digits, if that leaves at least two for the smallest.
    """
    sizes = [abs(v) for v in values if isinstance(v, float) and not math.isnan(v) and v]
    if not sizes or all(size == round(size) for size in sizes) or max(sizes) >= 1e4:
        return None
    digits = max(0, 3 - math.floor(math.log10(max(sizes))))
    return digits if digits <= MOST_DIGITS and min(sizes) >= 10 ** (1 - digits) else None


def _short(column: str, value: object, digits: int | None = None) -> str:
    """A readable number: with `digits` digits after the point, or with four significant digits."""
    if isinstance(value, float) and not pd.isna(value):
        if digits is not None:
            return f"{round(value, digits) + 0:{'+' * (column in SIGNED)},.{digits}f}"
        return f"{value + 0:,.0f}" if abs(value) >= 1e4 else f"{value + 0:.4g}"
    return printed_cell(column, value) or "–"
