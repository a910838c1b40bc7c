"""Writes docs/methods.md and the picture of all shapes from what the methods declare: `tox run -e readme`.

The numbers of a shape are computed from the code of the methods, as `spikegrad list methods` does. What they
reach and cost comes from the tables of the suite `every-method` in results/.
"""

from __future__ import annotations

import csv
import importlib.metadata
import math
import re
from pathlib import Path
from typing import Any

import pandas as pd

from bench.cli import gallery, render
from bench.measures import conversions
from bench.records import layer_times
from bench.registry import Registry, load
from bench.suite import load_suite

DOCS = Path(__file__).resolve().parent
HEADINGS = {
    "adaptive": (
        "Adaptive methods",
        "The surrogate, the threshold or the loss follows the network. "
        "Numbers are those of the first step of a training.",
    ),
    "control": (
        "Controls",
        "Variants that change one thing, to tell what an effect comes from.",
    ),
    "fixed": (
        "Fixed shapes",
        "Area 1 and a full width at half maximum of 2 v_th, so that the table compares shape at one scale; "
        "`NAME:paper` has the values of its paper. `width` and `height` set the scale by hand; `height`, "
        "where a row sets it, takes the place of h(0) in the rule.",
    ),
    "library": (
        "What the libraries ship",
        "Their own functions, called at their defaults, not mended. A row that cannot work ends as "
        "`failed` or `diverged` in the tables, with the reason.",
    ),
    "reference": ("Reference", "The same network without spikes, for comparison."),
}
INTRODUCTION = """# Methods

Made by `tox run -e readme` from the methods' own files. `spikegrad list methods` shows the same, your own
plugins included.

![The derivative of every method](shapes.svg)

The numbers are computed at v_th = 0.5 from the gradient that autograd delivers; – stands where there is none.

- **height**: h(0).
- **fwhm**: full width at half maximum.
- **area**: the integral of h.
- **tail**: the share of the area of |h| beyond two thresholds.
- **changes**: what differs from plain training.
- **fidelity**: how sure it is that the row is the published method. `official-code`: checked against the
  authors' code. `paper`: made from the published formula. `reconstructed`: part of the rule had to be
  inferred, or, for a control, nobody published it as a method. `library`: a library's own function.
"""
EVERY = "every-method"
COSTS = ["train_step_ms_p50", "train_seconds_mean", "search_seconds_mean"]
REACHED = """## What each reaches, and costs

The suite `{suite}`: {setting}. It shows that a method trains, and what a training with it costs. A network so
small, trained so briefly and without tuning, does not show which method is best.

- **accuracy**: mean test accuracy in %, ± half its 95 % interval, which counts seeds and test images. Failed
  seeds count as chance.
- **to rectangle**: the difference in points, paired by seed, with the interval that decides: adjusted for
  all {pairs:,} pairs of the table.
- **step**: the time of a training step divided by that of `rectangle`, eager, on
  {hardware}; the time of a search is spread over the steps. Each network is timed alone, and the
  median of its calls counts.

"""
LAYERS = "performance/layers.json"
COMPILED = """
### A layer alone, eager and compiled

The rest of a network hides what a method costs. Here a layer of {units} neurons is timed by itself, with
T = {timesteps} and batches of {batch}, on {hardware}: forward and backward pass,
divided by those of `rectangle` in the same mode; the last column divides a method's two times. A search is
not counted. Measured by
`spikegrad latency --compiled --no-peers --seconds 0.5 --methods NAMES --save results/{file}`.

"""
CONVERSIONS = """## Conversions

Which of our methods has the same derivative as a library's function at its defaults, and with which
parameters. The difference is measured, as `spikegrad list methods --conversions` does: the largest one
over |x| <= 5, relative to the largest value. [Libraries as shipped](libraries.md) says which functions of the
libraries mislead.
"""


def text(registry: Registry) -> str:
    """The page."""
    rows = render.rows(registry, "methods")
    parts = [INTRODUCTION]
    for kind, (heading, explanation) in HEADINGS.items():
        parts += [
            f"## {heading}\n",
            f"{explanation}\n",
            _methods([r for r in rows if r["kind"] == kind], registry),
        ]
    with (DOCS / "libraries.csv").open(encoding="utf-8", newline="") as file:
        kept = {row["function"]: row["difference"] for row in csv.DictReader(file)}
    compared = [
        ("library", "here", "with", "largest difference"),
        *(_conversion(row, kept) for row in conversions.conversions(registry)),
    ]
    return "\n".join([*parts, reached(), alone(), CONVERSIONS, _table(compared)])


def reached(results: Path = DOCS.parent / "results") -> str:
    """The section on the suite `every-method`, from its tables."""
    folder = results / "leaderboards" / EVERY
    accuracy, latency = (pd.read_csv(folder / f"{name}.csv") for name in ("accuracy", "latency"))
    rows = accuracy.merge(latency[["method", *COSTS]], on="method", how="left", validate="one_to_one")
    searched = rows["train_seconds_mean"] / (
        rows["train_seconds_mean"] - rows["search_seconds_mean"].fillna(0)
    )
    step = rows["train_step_ms_p50"] * searched
    rows["step"] = step / step[rows["method"] == "rectangle"].item()
    lines = [("method", "kind", "accuracy", "to rectangle", "step")]
    for row in rows.sort_values("test_accuracy_mean", ascending=False, kind="stable").to_dict("records"):
        half = (row["test_accuracy_ci_high"] - row["test_accuracy_ci_low"]) / 2
        mean = f"{row['test_accuracy_mean']:.1f}" + ("" if math.isnan(half) else f" ± {half:.1f}")
        if row["n_failed"]:
            mean += f", {row['n_failed']:.0f} of {row['n_failed'] + row['n_seeds']:.0f} failed"
        low, high = row["delta_ci_low"], row["delta_ci_high"]
        delta = "–" if math.isnan(low) else f"{row['delta_vs_baseline']:+.1f} [{low:+.1f}, {high:+.1f}]"
        cost = "–" if math.isnan(row["step"]) else f"{row['step']:.1f}"
        lines.append((f"`{row['method']}`", row["kind"], mean, delta, cost))
    compared = int((rows["kind"] != "reference").sum())
    pairs, (hardware,) = compared * (compared - 1) // 2, latency["hardware"].dropna().unique()
    words = REACHED.format(suite=EVERY, setting=_setting(), pairs=pairs, hardware=hardware)
    return words + _table(lines)


def alone(results: Path = DOCS.parent / "results") -> str:
    """The section on single layers, from what `spikegrad latency` saved."""
    times = layer_times.load(results / LAYERS)
    steps = {(time.case.method, time.case.mode): time.ms["step"] for time in times}
    first = times[0].info
    lines = [("method", "eager", "compiled", "compiled / eager")]
    for name in sorted({name for name, _ in steps}, key=lambda name: steps[name, "compiled"]):
        eager, compiled = (steps[name, mode] / steps["rectangle", mode] for mode in ("eager", "compiled"))
        whole = steps[name, "compiled"] / steps[name, "eager"]
        lines.append((f"`{name}`", f"{eager:.1f}", f"{compiled:.1f}", f"{whole:.2f}"))
    words = COMPILED.format(
        units=first.units,
        timesteps=first.timesteps,
        batch=first.batch,
        hardware=first.hardware,
        file=LAYERS,
    )
    return words + _table(lines)


def _setting() -> str:
    """The suite's network, data and recipe in words."""
    suite = load_suite(EVERY)
    (matrix,) = suite.matrices
    (dataset,), (backbone,), (timesteps,), (recipe,) = matrix[:4]
    return (
        f"{dataset.name}, {backbone.name} at {backbone.width:g} of its width, {backbone.neuron.upper()} "
        f"neurons, T = {timesteps}, {recipe.epochs} epochs, {len(suite.seeds)} seeds"
    )


def _methods(rows: list[dict[str, Any]], registry: Registry) -> str:
    head = ("method", "changes", "fidelity", *render.FACTS, "rule", "source")
    lines = [head]
    for row in rows:
        facts = (
            ("–",) * 4 if _optional(registry, row["name"]) else tuple(_number(row[f]) for f in render.FACTS)
        )
        rule = row["formula"] + (f"<br>{row['note']}" if row["note"] else "")
        source = f"[{row['paper']}]({row['link']})" if row["link"] else row["paper"]
        lines.append((f"`{row['name']}`", row["changes"], row["fidelity"], *facts, rule, source))
    return _table(lines)


def _conversion(row: dict[str, Any], kept: dict[str, str]) -> tuple[str, ...]:
    """A row of the table; kept: differences that docs/libraries.py measured where a library is installed."""
    *texts, difference = render.conversion_texts(row)
    return (*texts, difference if row["installed"] else kept.get(row["theirs"], difference))


def _optional(registry: Registry, name: str) -> bool:
    """Whether it needs a package that the project does not install by itself."""
    declared = importlib.metadata.requires("spikegrad-bench") or []
    installed = {re.split(r"[^\w-]", line)[0] for line in declared if "extra ==" not in line}
    return not set(registry.methods[name].item.requires) <= installed


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _table(lines: list[tuple[str, ...]]) -> str:
    cells = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    return "".join(
        f"| {' | '.join(line)} |\n" + f"|{' --- |' * len(line)}\n" * (i == 0) for i, line in enumerate(cells)
    )


def main() -> None:
    """Write docs/methods.md and docs/shapes.svg."""
    registry = load()
    (DOCS / "methods.md").write_text(text(registry), encoding="utf-8")
    gallery.save(registry, DOCS / "shapes.svg")


if __name__ == "__main__":
    main()
