"""The numbers of one run, with labels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from bench.errors import counted
from bench.show.layer_grids import buckets

NONE = "–"
"""Placeholder for a missing value."""
MOST_STEPS = 6

Metrics = Mapping[str, Any]


def gradient_lines(metrics: Metrics) -> list[tuple[str, str, str]]:
    """(what, after training, before it); empty if none of it was measured."""

    def pair(what: str, name: str, form: str) -> tuple[str, str, str]:
        return what, text(metrics.get(name), form), text(metrics.get(f"{name}_before"), form)

    ann = metrics.get("vanishing_slope_ann")

    def beyond(name: str) -> str:
        slope = metrics.get(name)
        return text(None if ann is None or slope is None else slope - ann, "+.2f")

    lines = [
        pair("size, decades with each layer away from the loss", "vanishing_slope", "+.2f"),
        ("  with ReLU in place of spikes", NONE, text(ann, "+.2f")),
        ("  difference to ReLU", beyond("vanishing_slope"), beyond("vanishing_slope_before")),
        pair("size at the first layer against the last, decades", "first_to_last", "+.2f"),
        ("  first below 1/1000 of the last layer's", onset(metrics), NONE),
        pair("available fraction, mean of layers", "available_fraction", ".3f"),
        pair("  in the lowest layer", "available_fraction_min", ".3f"),
        pair("participation, mean of layers", "participation", ".3f"),
        pair("  in the lowest layer", "participation_min", ".3f"),
        pair("gain, mean of the derivative", "gain", ".3g"),
        pair("zeros in the gradient", "gradient_zero_fraction", ".1%"),
        pair("neurons that never fire", "silent_fraction", ".1%"),
        ("layers without any gradient", _dead(metrics), NONE),
        pair("loss falls by, along the gradient, step 1e-3", "descent_gain_1e-3", "+.2%"),
        pair("  in a random direction", "descent_gain_random_1e-3", "+.2%"),
        pair("loss falls by, along the gradient, step 1e-2", "descent_gain_1e-2", "+.2%"),
        pair("  in a random direction", "descent_gain_random_1e-2", "+.2%"),
    ]
    if any(name.startswith("finite_difference_agreement") for name in metrics):
        lines.append(pair("agreement with finite differences", "finite_difference_agreement", "+.2f"))
    known = any((after, before) != (NONE, NONE) for _, after, before in lines)
    return lines if known else []


def other_lines(metrics: Metrics, timesteps: int) -> list[tuple[str, str]]:
    """(what, how much): accuracy over time steps, cost, times."""
    to_99 = metrics.get("timesteps_to_99")
    return [
        ("accuracy by time step, %", anytime(metrics.get("anytime_accuracy"))),
        (
            "  99 % of it reached",
            NONE if to_99 is None else f"after {counted(round(to_99), 'step')} of {timesteps}",
        ),
        ("spikes per sample", text(metrics.get("spikes_per_sample"), ",.5g")),
        ("synaptic operations per sample", text(metrics.get("sops_per_sample"), ",.0f")),
        ("multiplications per sample (MACs)", text(metrics.get("macs_per_sample"), ",.0f")),
        ("energy per sample, estimated", text(metrics.get("energy_uj"), ".3g", " µJ")),
        ("parameters", text(metrics.get("parameters"), ",.0f")),
        (
            "seconds",
            f"{text(metrics.get('train_seconds'), '.1f')} training, "
            f"{text(metrics.get('search_seconds'), '.1f')} the method's search, "
            f"{text(metrics.get('probe_seconds'), '.1f')} looks",
        ),
    ]


def anytime(accuracies: list[float | None] | None) -> str:
    """`1: 95.83, 2: 97.22`, in percent; for many steps, the first, the last and some between."""
    if not accuracies:
        return NONE
    shown = [of[-1] for of in buckets(len(accuracies), MOST_STEPS)]
    return ", ".join(f"{t + 1}: {text(accuracies[t], '.2f')}" for t in shown)


def onset(metrics: Metrics) -> str:
    """When the gradient of a layer first fell below 1/1000 of the last layer's."""
    if "vanish_onset_epoch" not in metrics or metrics.get("dead_layers") is None:
        # There was no probe; with a probe, None means never.
        return NONE
    epoch = metrics["vanish_onset_epoch"]
    if epoch is None:
        return "never"
    return f"epoch {epoch:.0f}" if epoch else "at once"


def text(value: Any, form: str, unit: str = "") -> str:
    """A formatted number."""
    if value is None or not math.isfinite(value):
        return NONE
    shown = format(value, form)
    if not any(digit in shown for digit in "123456789"):
        # A number that rounds to 0 has no minus sign.
        shown = shown.replace("-", "+" if "+" in form else "")
    return f"{shown.removesuffix('%')} %" if form.endswith("%") else f"{shown}{unit}"


def plain(anything: object) -> str:
    """Text on one line, without characters that would move the cursor."""
    return "".join(c if c.isprintable() else " " for c in str(anything))


def _dead(metrics: Metrics) -> str:
    dead, layers = metrics.get("dead_layers"), metrics.get("spiking_layers")
    return NONE if dead is None else f"{dead:.0f} of {text(layers, '.0f')}"
