"""A figure of all surrogate derivatives: small multiples on one scale."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import torch

from bench.measures.single_layer import Properties, curve, properties
from bench.registry import Registry, missing_packages
from bench.runner import vetting
from bench.runner.engines.process import NoAnswer
from bench.show import figure_files
from bench.surrogate import REFERENCE_THRESHOLD, Method

COLOURS = {"adaptive": "#d1495b", "control": "#edae49", "fixed": "#30638e", "library": "#7a9e7e"}
COLUMNS = 7
REACH = 4 * REFERENCE_THRESHOLD
BOTTOM, TOP = -1.1, 2.2
"""Limits of the common scale; curves are cut off there, and the printed h(0) says how high they are."""


def picture(registry: Registry, plugins: tuple[Path, ...] = ()) -> alt.VConcatChart:
    """The derivatives of all installed methods at their defaults, grouped by kind."""
    entries = [
        entry
        for kind in COLOURS
        for entry in registry.methods.values()
        if entry.item.kind == kind and not missing_packages(entry.item)
    ]
    answers = vetting.of_each(drawn, entries, plugins)
    curves = [_curve(entry.item, answers[entry.item.name]) for entry in entries]
    rows = [
        alt.hconcat(
            *(_panel(drawn, first=i == 0) for i, drawn in enumerate(curves[at : at + COLUMNS])), spacing=14
        )
        for at in range(0, len(curves), COLUMNS)
    ]
    whole: alt.VConcatChart = (
        alt.vconcat(*rows, spacing=10)
        .properties(
            title=alt.Title(
                "Surrogate derivatives h(x), x = u - v_th, at v_th = 0.5",
                subtitle=[
                    "In one scale, as autograd delivers them in the first step of a training. "
                    "What is higher than the panel is cut off; h(0) says how high it is.",
                    "Red: adaptive. Orange: control. Blue: fixed. Green: a library's function.",
                ],
                anchor="start",
            )
        )
        .configure(font="sans-serif", background="white")
        .configure_view(stroke="#dddddd")
    )
    return whole


def save(registry: Registry, file: Path, plugins: tuple[Path, ...] = ()) -> None:
    """Write the figure; the file's extension sets the format.

    Raises BenchError for an unknown extension, or if the file cannot be written.
    """
    figure_files.save(lambda: picture(registry, plugins), file)


def drawn(method: Method) -> tuple[list[float], list[float | None], str, Properties]:
    """x, h(x), the curve's problem, and the derivative's properties."""
    x = torch.linspace(-REACH, REACH, 301, dtype=torch.float64)
    h, problem = curve(method, x)
    return x.tolist(), h, problem, properties(method) if h else Properties()


def _curve(method: Method, answer: Any) -> dict[str, Any]:
    if isinstance(answer, NoAnswer) or not answer[1]:
        # The panel says that it cannot be called.
        return {"method": method, "points": pd.DataFrame({"x": [], "h": []}), "facts": "cannot be called"}
    x, h, problem, found = answer
    height, area = ("–" if number is None else f"{number:.3g}" for number in (found.height, found.area))
    points = pd.DataFrame({"x": x, "h": h}, dtype=float).dropna()
    return {
        "method": method,
        "points": points,
        "facts": "random" if problem else f"h(0) {height} · area {area}",
    }


def _panel(drawn: dict[str, Any], *, first: bool) -> alt.Chart:
    method = drawn["method"]
    x = alt.X(
        "x:Q",
        scale=alt.Scale(domain=[-REACH, REACH], nice=False),
        axis=alt.Axis(title=None, values=[-2, -1, 0, 1, 2], labelFontSize=8, grid=False, ticks=False),
    )
    y = alt.Y(
        "h:Q",
        scale=alt.Scale(domain=[BOTTOM, TOP], nice=False),
        axis=alt.Axis(
            title=None, values=[-1, 0, 1, 2], labels=first, labelFontSize=8, gridColor="#eeeeee", ticks=False
        ),
    )
    line = alt.Chart(drawn["points"]).mark_line(strokeWidth=1.8, color=COLOURS[method.kind], clip=True)
    library, _, name = method.name.rpartition("/")
    title = alt.Title(
        name,
        subtitle=f"{library}: {drawn['facts']}" if library else drawn["facts"],
        anchor="start",
        fontSize=10,
        subtitleFontSize=9,
        subtitleColor="#666666",
        offset=3,
    )
    panel: alt.Chart = line.encode(x=x, y=y).properties(width=126, height=72, title=title)
    return panel
