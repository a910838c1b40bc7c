"""Writes docs/methods.md and the picture of all shapes from what the methods declare: `tox run -e readme`.

Every number is computed from the code of the methods, as `spikegrad list methods` does.
"""

from __future__ import annotations

import csv
import importlib.metadata
import re
from pathlib import Path
from typing import Any

from bench.cli import gallery, render
from bench.measures import conversions
from bench.registry import Registry, load

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
    return "\n".join([*parts, CONVERSIONS, _table(compared)])


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
