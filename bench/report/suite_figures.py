"""Figures of a suite for a paper: those of the report and three more, as wide as a column or a page.

A figure has a panel per task, named by its title. Lengths are CSS pixels, of which 96 are an inch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Any, Literal

import altair as alt

from bench.errors import BenchError, warn
from bench.records.store import Store
from bench.report import figure_rows, figures
from bench.report.tasks import REFERENCE, Line, Task, page_tasks
from bench.show import figure_files
from bench.tables.latency_table import training_steps
from bench.tables.results import Results
from bench.tables.text.choice import Choice

Width = Literal["single", "double"]
WIDTHS: dict[Width, int] = {"single": 320, "double": 667}
"""3.33 and 6.95 inches: a column of most two-column papers, and both columns."""
PANELS: dict[Width, int] = {"single": 1, "double": 2}
"""Panels side by side."""
COSTS = dict(zip(("energy", "operations", "step"), figure_rows.COSTS.values(), strict=True))
CAPTIONS = {
    "accuracy": "Test accuracy, mean and 95 % interval over seeds and test images.",
    "differences": "Difference to {baseline} in test accuracy, paired by seed, with the simultaneous 95 % "
    "interval for all pairs of methods of a task that decides the verdicts.",
    "curves": "Validation accuracy, mean over seeds; the band extends from the lowest seed to the highest.",
    "gradients": "Available fraction, and log10 of the gradient's norm relative to the last spiking layer, "
    "after the last epoch, mean over seeds.",
    "pareto": "Test accuracy against {cost}; filled: on the Pareto front, unless another method is better by "
    "more than noise; line: the front of the means.",
}
WHY_NOT = {
    "accuracy": "no run has an accuracy",
    "differences": "no two methods are compared there with {baseline}",
    "curves": "no run has worked and left its epochs",
    "gradients": 'its runs were not probed; [measure] of the suite must not say probe = "off"',
    "pareto": "no run has measured {cost}",
}
FIGURES = tuple(CAPTIONS)
OF_KINDS = ("accuracy", "differences")
"""Those that name the methods beside their rows, so that colours tell their kinds."""
ROW, HEIGHT = 17, 170
"""Height of a method, and of a panel with a vertical axis of numbers."""
LETTER, FONT = 6.2, 11
"""Width of a letter, and its size."""
TRIES = 5


@dataclass(frozen=True)
class Panel:
    """One chart and its rows. draw: makes the chart, given the kinds or methods in the legend."""

    title: str
    rows: Sequence[Line]
    draw: Callable[[Sequence[str]], figures.Layered]
    height: int


def save(
    which: str,
    store: Store,
    results: Results,
    file: Path,
    choice: Choice,
    width: Width = "single",
    against: str = "energy",
) -> str:
    """Write the figure `which` of FIGURES, and return a caption. The file's extension sets the format.

    choice: the methods and data sets that are drawn. against: the cost of the figure pareto, of COSTS.

    Raises BenchError if the choice names what there is not, if there is nothing to draw, or if the file
    cannot be written.
    """
    choice.check(which, results.table("accuracy"))
    words = {"baseline": results.baseline, "cost": COSTS[against]}
    panels = _panels(which, store, results, choice, against)
    if not panels:
        raise BenchError(
            f"figure {which}: there is nothing to draw of the suite {store.suite} in {store.results}: "
            f"{WHY_NOT[which].format(**words)}"
        )
    legend = _legend(which, panels, results)
    figure_files.save(lambda: _fitted(panels, width, legend), file, paper=True)
    return f"{CAPTIONS[which].format(**words)} Suite {store.suite}."


def _panels(which: str, store: Store, results: Results, choice: Choice, against: str) -> list[Panel]:
    found = list[Panel]()
    of = {row.key: row for row in results.rows}
    for task in page_tasks(results.table("accuracy")):
        if choice.datasets and task.dataset not in choice.datasets:
            continue
        rows = _rows(which, task, store, results, of, against)
        names = {e.name for e in task.compared if not choice.methods or _called(e) & {*choice.methods}}
        # All methods are compared before some are left out: this moves none onto the front.
        if rows := [row for row in rows if row["method"] in names]:
            found += _drawn(which, task, rows, results.baseline, against)
    return found


def _legend(which: str, panels: Sequence[Panel], results: Results) -> list[str]:
    """What the figure shows, in one order for all figures of a suite, so that a method keeps its colour."""
    rows = [row for panel in panels for row in panel.rows]
    if which in OF_KINDS:
        return [kind for kind in figures.KINDS if any(row["kind"] == kind for row in rows)]
    there = {row["method"] for row in rows if row.get("kind") != REFERENCE}
    tasks = page_tasks(results.table("accuracy"))
    return [n for n in dict.fromkeys(e.name for task in tasks for e in task.compared) if n in there]


def _called(entry: Any) -> set[str]:
    return {str(entry.line["method"]), *entry.names}


def _rows(which: str, task: Task, store: Store, results: Results, of: Any, against: str) -> Sequence[Line]:
    if which == "accuracy":
        return figure_rows.accuracy(task)
    if which == "differences":
        return figure_rows.differences(task)
    if which == "curves":
        return figure_rows.curves(task, of, store)
    if which == "gradients":
        return figure_rows.layers(task, of, store, warn)
    steps, told = training_steps(results.table("latency")), figure_rows.better(results.table("pairs"))
    return figure_rows.costs(task, of, steps, told).get(COSTS[against], [])


def _drawn(which: str, task: Task, rows: Sequence[Line], baseline: str, against: str) -> list[Panel]:
    """The panels of one task."""
    tall = ROW * len({row["method"] for row in rows})
    if which == "accuracy":
        return [Panel(task.title, rows, figures.accuracy, tall)]
    if which == "differences":
        return [Panel(task.title, rows, partial(figures.differences, baseline), tall)]
    if which == "curves":
        last = max(row["epoch"] for row in rows)
        return [Panel(task.title, rows, partial(figures.curves, last=last), HEIGHT)]
    if which == "gradients":
        last = max(row["layer"] for row in rows)
        shown = {"available": "available fraction", "size": "gradient size, log10"}
        return [
            Panel(task.title, rows, partial(figures.layers, column, title, last=last), HEIGHT)
            for column, title in shown.items()
        ]
    reference = any(row["kind"] == REFERENCE for row in rows)
    return [Panel(task.title, rows, partial(figures.costs, COSTS[against], reference=reference), HEIGHT)]


def _fitted(panels: Sequence[Panel], width: Width, legend: Sequence[str]) -> alt.ConcatChart:
    """The figure, as wide as asked: labels take what they need, and the panels the rest."""
    across = min(PANELS[width], len(panels))
    inner = WIDTHS[width] / across * 0.6
    for _ in range(TRIES):
        made = _figure(panels, width, across, inner, legend)
        missing = WIDTHS[width] - figure_files.size(figure_files.svg(made))[0]
        if abs(missing) < 1:
            break
        inner = max(60.0, inner + missing / across)
    return made


def _figure(
    panels: Sequence[Panel], width: Width, across: int, inner: float, legend: Sequence[str]
) -> alt.ConcatChart:
    room = WIDTHS[width] / across / LETTER
    charts = []
    for panel in panels:
        first, *rest = panel.title.split(" · ")
        title = alt.Title(first, subtitle=wrap(", ".join(rest), int(room)), anchor="start", frame="group")
        chart = panel.draw(legend).properties(width=inner, height=panel.height, title=title)
        chart.data = alt.InlineData(values=[*panel.rows])
        charts.append(chart)
    longest = max(map(len, legend), default=1)
    entries = max(1, int(WIDTHS[width] / (longest * LETTER + 36)))
    whole: alt.ConcatChart = (
        alt.concat(*charts, columns=across, spacing=14)
        .configure(font="sans-serif", background="white", padding=5)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor="#e4e4e4",
            domainColor="#8d8d8d",
            labelFontSize=FONT - 1,
            titleFontSize=FONT,
            titleFontWeight="normal",
            tickCount=5,
        )
        .configure_title(fontSize=FONT + 1, subtitleFontSize=FONT - 1, subtitleColor="#555555")
        .configure_legend(labelFontSize=FONT, columns=entries, symbolOpacity=1, labelLimit=0)
    )
    return whole
