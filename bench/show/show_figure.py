"""A figure of one run: curves above, layers against epochs below."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any

import altair as alt

from bench.errors import BenchError
from bench.records.runs import Run, why_no_layers
from bench.show import figure_files
from bench.show.layer_grids import BOTH, DEAD, MEANING, SILENT, Grids, Values, grids, size_scale
from bench.show.show_numbers import text
from bench.show.show_terminal import accuracy, title

Panel = alt.LayerChart | alt.FacetChart

WIDTH, CURVE_HEIGHT = 300, 130
"""Size of a panel, in pixels; two side by side take about 800 with their axes."""
MOST_COLUMNS = 60
FEW_COLUMNS = 7
"""The most columns whose cells have room for numbers."""
INK, PALE, RED = "#222222", "#dddddd", "#d00000"
MOST_TICKS = 12
ROOM_FOR_SIGNS = 20
"""The most columns with which every marked cell has room for its sign."""
SIGNS = {SILENT: "o", DEAD: "×", BOTH: "o×", "": ""}
"""Signs in a figure: characters that every font has."""
LONGEST_TITLE, LONGEST_NOTE = 95, 125
"""The most characters of a line above the panels."""


def save(run: Run, file: Path) -> None:
    """Write the figure of a run; the file's extension sets the format.

    Raises BenchError for an unknown extension, if the file cannot be written, or if the run left
    nothing to draw.
    """
    if not run.epochs and not run.layers:
        raise BenchError(
            f"--figure {file}: there is nothing to draw of run {run.record['id']}, "
            f"which ended as {run.record['status']}"
        )
    figure_files.save(lambda: picture(run), file)


def picture(run: Run) -> alt.ConcatChart:
    """The chart, about 800 pixels wide."""
    panels: list[Panel] = []
    # Vega does not wrap titles.
    notes = wrap(accuracy(run.record), LONGEST_NOTE)
    if run.epochs:
        best = run.record["metrics"].get("best_epoch")
        panels.append(_curve(run.epochs, "train_loss", "training loss"))
        panels.append(_curve(run.epochs, "val_accuracy", "validation accuracy, %", best))
    if run.layers:
        found = grids(run.layers).fitted(MOST_COLUMNS)
        low, high = size_scale(found.sizes)
        panels.append(_map("available fraction, mean over time steps", found, found.available, 0, 1, ".2f"))
        panels.append(
            _map("gradient size: log10, relative to the last layer", found, found.sizes, low, high, "+.1f")
        )
        notes += [f"Red, {SIGNS[sign]}: {MEANING[sign]}." for sign in found.signs]
        if not found.signs:
            notes.append("No layer was silent or without gradient.")
        if found.per_column > 1:
            notes.append(f"A column of the maps is the mean of up to {found.per_column} epochs.")
    else:
        notes += wrap(f"The layers were not probed: {why_no_layers(run)}.", LONGEST_NOTE)
    heading = alt.Title(
        wrap(title(run.record), LONGEST_TITLE), subtitle=notes, anchor="start", subtitleColor="#555555"
    )
    whole: alt.ConcatChart = (
        alt.concat(*panels, columns=2, spacing=22, title=heading)
        .resolve_scale(color="independent")
        .configure(font="sans-serif", background="white")
        .configure_view(stroke=PALE)
        .configure_axis(labelColor=INK, titleColor=INK, gridColor="#eeeeee", labelFontSize=11)
    )
    return whole


def _curve(epochs: Sequence[dict[str, Any]], column: str, name: str, marked: float | None = None) -> Panel:
    """A curve. marked: the epoch, from 0, whose weights give the test accuracy."""
    values = [{"epoch": row["epoch"] + 1, "value": row[column]} for row in epochs]
    last = values[-1]["value"]
    x = alt.X(
        "epoch:Q",
        title="epoch",
        scale=alt.Scale(nice=False),
        axis=_epoch_axis([each["epoch"] for each in values]),
    )
    y = alt.Y(
        "value:Q", title=None, scale=alt.Scale(zero=False, nice=False, padding=6), axis=_value_axis(values)
    )
    base = alt.Chart({"values": values}).encode(x=x, y=y)
    layers = [base.mark_line(color="#30638e", strokeWidth=1.8)]
    if len(values) == 1:
        layers = [base.mark_point(color="#30638e", filled=True, size=40)]
    if marked is not None:
        chosen = base.transform_filter(f"datum.epoch == {int(marked) + 1}")
        layers.append(chosen.mark_point(color=INK, size=70, strokeWidth=1.6))
    shown = f"{name}: last {text(last, '.4g')}" + (", circle: best" if marked is not None else "")
    return alt.layer(*layers, width=WIDTH, height=CURVE_HEIGHT, title=_heading(shown))


def _map(name: str, found: Grids, values: Values, low: float, high: float, form: str) -> Panel:
    names = _distinct(found.layers)
    # A column is labelled by its last epoch; the first column always holds a single epoch.
    ticks = [last for _, last in found.columns]
    cells = [
        {
            "layer": layer,
            "epoch": epoch,
            "value": value,
            "mark": mark,
            "sign": sign,
            "shown": text(value, form),
        }
        for layer, line, marks in zip(names, values, found.marks, strict=True)
        for epoch, value, mark, sign in zip(ticks, line, marks, _signs(marks), strict=True)
    ]
    row = 26 if len(names) <= 8 else 18
    base = alt.Chart({"values": cells}).encode(
        x=alt.X(
            "epoch:O",
            sort=ticks,
            title="epochs trained, 0 = before training",
            scale=alt.Scale(paddingInner=0, paddingOuter=0),
            axis=alt.Axis(labelAngle=0, values=_some(ticks), grid=False, ticks=False),
        ),
        y=alt.Y(
            "layer:N", sort=list(names), title=None, axis=alt.Axis(grid=False, ticks=False, labelLimit=130)
        ),
    )
    scale = alt.Scale(scheme="viridis", domain=[low, high], clamp=True)
    legend = alt.Legend(
        title=None, orient="bottom", direction="horizontal", gradientLength=WIDTH, gradientThickness=8
    )
    plain = base.transform_filter("datum.mark == '' && datum.value !== null")
    layers = [
        base.mark_rect(color="#f3f3f3"),
        plain.mark_rect().encode(color=alt.Color("value:Q", scale=scale, legend=legend)),
    ]
    if len(ticks) <= FEW_COLUMNS:
        bright = f"datum.value > {low + 0.55 * (high - low)} ? '#000000' : '#ffffff'"
        layers.append(plain.mark_text(fontSize=11, color=alt.expr(bright)).encode(text=alt.Text("shown:N")))
    marked, signed = (base.transform_filter(f"datum.{name} !== ''") for name in ("mark", "sign"))
    line = 1 if len(ticks) <= ROOM_FOR_SIGNS else 0
    layers.append(marked.mark_rect(color=RED, stroke="white", strokeWidth=line))
    layers.append(signed.mark_text(color="white", fontWeight="bold").encode(text=alt.Text("sign:N")))
    return alt.layer(*layers, width=WIDTH, height=row * len(names), title=_heading(name))


def _heading(name: str) -> alt.Title:
    return alt.Title(name, anchor="start", frame="group", fontSize=12, color=INK)


def _epoch_axis(epochs: Sequence[int]) -> alt.Axis:
    few = {"values": list(epochs)} if len(epochs) <= MOST_TICKS else {"tickCount": 8, "tickMinStep": 1}
    return alt.Axis(format="d", grid=False, **few)


def _value_axis(values: Sequence[dict[str, Any]]) -> alt.Axis:
    """A flat curve gets one tick with the digits of its value: Vega would use the digits of the tick step."""
    known = {each["value"] for each in values if each["value"] is not None}
    flat = {"values": list(known), "format": ".4g"} if len(known) == 1 else {"tickCount": 5}
    return alt.Axis(**flat)


def _some(ticks: Sequence[int]) -> list[int]:
    """Ticks that have room for their labels, including the first and the last."""
    if len(ticks) <= MOST_TICKS:
        return list(ticks)
    step = -(-(len(ticks) - 1) // (MOST_TICKS - 1))
    inner = [tick for tick in ticks[::step] if ticks.index(tick) < len(ticks) - step // 2 - 1]
    return [*inner, ticks[-1]]


def _signs(marks: Sequence[str]) -> list[str]:
    """The sign in each cell of a layer; with many columns, one in the middle of each run of equal marks."""
    if len(marks) <= ROOM_FOR_SIGNS:
        return [SIGNS[mark] for mark in marks]
    signs: list[str] = []
    for mark, of in groupby(marks):
        number = len(list(of))
        signs += [""] * (number // 2) + [SIGNS[mark]] + [""] * (number - number // 2 - 1)
    return signs


def _distinct(names: Sequence[str]) -> list[str]:
    """Layer names; a repeated name gets its position."""
    return [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names)]
