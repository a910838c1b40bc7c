"""The measured tables for people: a few columns with units, a block a task; the files have all of them."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from rich.console import Console

from bench.columns import text
from bench.readable import pipe_table, tasks
from bench.terminal import say
from bench.terminal_table import print_table

SHOWN: Mapping[str, Mapping[str, str]] = {
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
        "anytime_accuracy_sd": "sd",
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
}
WORDS = ("method", "kind", "status", "id", "error")
WHY_NOT = {
    "gradients": '[measure] of the suite says probe = "off" and descent = false, or no run has worked',
    "latency": "no run has worked",
    "cost": "no run has worked",
    "anytime": "no run has worked",
}


def show(which: str, table: pd.DataFrame, console: Console) -> None:
    """One of the tables of SHOWN on the terminal."""
    for title, heads, lines in _blocks(which, table):
        if not heads.keys() - {"method", "kind"}:
            say(console, f"{title}: nothing was measured; {WHY_NOT[which]}\n")
            continue
        print_table(console, [*heads.values()], lines, words=WORDS, title=title)


def markdown(which: str, table: pd.DataFrame) -> str:
    """One of the tables of SHOWN as GitHub Markdown: one pipe table a task."""
    return "\n".join(
        pipe_table(title, [*heads.values()], lines) for title, heads, lines in _blocks(which, table)
    )


def _blocks(which: str, table: pd.DataFrame) -> list[tuple[str, dict[str, str], list[list[str]]]]:
    """Title, headings by column, and lines of each task; without columns that are empty everywhere."""
    found = []
    for title, rows in tasks(table, *(["hardware"] if which == "latency" else [])):
        there = {name: head for name, head in SHOWN[which].items() if any(text(name, v) for v in rows[name])}
        lines = [[_short(name, line[name]) for name in there] for line in rows.to_dict("records")]
        found.append((title, there, lines))
    return found


def _short(column: str, value: object) -> str:
    """For people: four digits that count."""
    if isinstance(value, float) and not pd.isna(value):
        return f"{value + 0:,.0f}" if abs(value) >= 1e4 else f"{value + 0:.4g}"
    return text(column, value) or "–"
