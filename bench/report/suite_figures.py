"""Figures of a suite for a paper: those of the report and three more, as wide as a column or a page.

A figure has a panel per task, in the order and with the letters of the table `bench.tables.text.by_task`.
Panels share the titles of their axes, and those with a row per method also share its name. Lengths are CSS
pixels, of which 96 are an inch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Any

import altair as alt

from bench.errors import BenchError, warn
from bench.records.store import Store
from bench.report import figure_rows, figures
from bench.report.tasks import REFERENCE, Line, Task, page_tasks
from bench.show import figure_files
from bench.tables.latency_table import training_steps
from bench.tables.results import Results
from bench.tables.text import by_task
from bench.tables.text.captions import grouped
from bench.tables.text.choice import Choice
from bench.tables.text.latex_layout import lines_of

INCH, POINT = 96, 96 / 72
WIDTHS = {"single": 3.17, "double": 6.48}
"""Inches: a column and both of LaTeX's article, 229.5 and 469 points; those of most venues are wider."""
NARROWEST, WIDEST = 1.5, 20.0
"""Inches that can be asked for."""
COSTS = dict(zip(("energy", "operations", "step"), figure_rows.COSTS.values(), strict=True))
CAPTIONS = {
    "accuracy": "Test accuracy, mean and 95 % interval over seeds and test images.",
    "differences": "Difference to {baseline} in test accuracy, paired by seed, with the simultaneous 95 % "
    "interval for all pairs of methods of a task that decides the verdicts.",
    "curves": "Validation accuracy, mean over seeds; the band extends from the lowest seed to the highest.",
    "gradients": "Available fraction, and size of the gradient, log10 of its norm relative to the last "
    "spiking layer, after the last epoch, mean over seeds.",
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
ROW, HEIGHT = 14.0, 100.0
"""Height of a method, and of a panel with a vertical axis of numbers, where they fit a page."""
LEAST = 0.75, 0.4
"""The least share of these heights that is legible."""
PAGE, LINE, SKIP = 550, 12, 10
"""Points: of text of a page of LaTeX's article, of a line of a caption, and of the gap above it."""
GROWN = 1.006
"""A column of article is a little wider than the figure, and LaTeX has smaller points than a PDF."""
PANEL, PLOT = 150, 72
"""The least width of a panel with a vertical axis of numbers, and of the plot in any panel."""
MOST_ACROSS = 4
LETTER, SMALL_LETTER, FONT = 5.3, 4.8, 10
"""Width of a letter, also of a smaller one, and its size."""
GAP = 10
TRIES = 8


@dataclass(frozen=True)
class Panel:
    """One chart and its rows.

    heads: the lines of its title. draw: makes the chart, given the kinds or methods in the legend. layers: of
    the network, if it is drawn over them.
    """

    heads: Sequence[str]
    rows: Sequence[Line]
    draw: Callable[[Sequence[str]], figures.Layered]
    layers: int = 0


@dataclass(frozen=True)
class Page:
    """Panels and how they are laid out.

    width: of the figure; across: panels side by side; methods: those of the suite, in the order of the table;
    named: whether a panel has a row for each method; inner: width of a plot; share: of the usual height.
    """

    panels: Sequence[Panel]
    legend: Sequence[str]
    methods: Sequence[str]
    width: float
    named: bool
    across: int
    inner: float
    share: float = 1.0

    def rows(self) -> list[Sequence[Panel]]:
        """The panels side by side."""
        return [self.panels[i : i + self.across] for i in range(0, len(self.panels), self.across)]

    def methods_of(self, panels: Sequence[Panel]) -> list[str]:
        """Those in any of the panels."""
        there = {row["method"] for panel in panels for row in panel.rows}
        return [name for name in self.methods if name in there]

    @property
    def least(self) -> float:
        """The least width of a plot: below it, ticks or the longest word of a title have no room."""
        words = [len(word) for panel in self.panels for head in panel.heads for word in head.split(" = ")]
        return max(PLOT, max(words) * SMALL_LETTER)

    def height_of(self, panels: Sequence[Panel]) -> float:
        """The height of these panels, which are side by side."""
        return self.share * (ROW * len(self.methods_of(panels)) if self.named else HEIGHT)


def inches(width: str) -> float:
    """The width that `single`, `double` or a number of inches means. Raises BenchError for anything else."""
    try:
        asked = WIDTHS[width] if width in WIDTHS else float(width)
    except ValueError:
        asked = 0.0
    if not NARROWEST <= asked <= WIDEST:
        raise BenchError(
            f"--width {width}: give single, double, or inches from {NARROWEST:g} to {WIDEST:g}, as in 3.25"
        )
    return asked


def save(
    which: str,
    store: Store,
    results: Results,
    file: Path,
    choice: Choice,
    width: float = WIDTHS["single"],
    against: str = "energy",
) -> str:
    """Write the figure `which` of FIGURES, and return a caption. The file's extension sets the format.

    choice: the methods and data sets that are drawn. width: inches, which the figure is never wider than; a
    warning tells of a figure higher than a page. against: the cost of the figure pareto, of COSTS.

    Raises BenchError if the choice names what there is not, if there is nothing to draw, or if the file
    cannot be written.
    """
    choice.check(which, results.table("accuracy"))
    words = {"baseline": results.baseline, "cost": COSTS[against]}
    made = by_task.table(results, choice)
    panels = _panels(which, store, results, made, against)
    if not panels:
        raise BenchError(
            f"figure {which}: there is nothing to draw of the suite {store.suite} in {store.results}: "
            f"{WHY_NOT[which].format(**words)}"
        )
    options = grouped({column.name: f"{', '.join(column.words)}." for column in made.columns if column.words})
    caption = " ".join(filter(None, [CAPTIONS[which].format(**words), options, f"Suite {store.suite}."]))
    page = _page(which, panels, made.methods, width * INCH)
    tall = _tall(caption, page.width)
    figure_files.save(lambda: _fitted(page, file, tall), file, paper=True)
    return caption


def _tall(caption: str, width: float) -> float:
    """The height of a figure of this width that leaves room for the caption on its page."""
    lines = lines_of(f"Figure 00: {caption}", 10, width / POINT)
    return (PAGE - SKIP - LINE * lines) / GROWN * POINT


def _panels(which: str, store: Store, results: Results, made: by_task.ByTask, against: str) -> list[Panel]:
    found = list[Panel]()
    of = {row.key: row for row in results.rows}
    tasks = page_tasks(results.table("accuracy"))
    for place, column in enumerate(made.columns):
        names = {cell.row.key: name for (name, at), cell in made.cells.items() if at == place}
        for task in tasks:
            here = {entry.name: names[entry.key] for entry in task.compared if entry.key in names}
            # All methods are compared before some are left out: this moves none onto the front.
            rows = _rows(which, task, store, results, of, against) if here else []
            rows = [row | {"method": here[row["method"]]} for row in rows if row["method"] in here]
            if rows:
                found += _drawn(which, column.heads, rows, results.baseline, against)
    return found


def _page(which: str, panels: Sequence[Panel], methods: Sequence[str], width: float) -> Page:
    """The panels with as many side by side as leave a plot in each, and rows as full as possible."""
    named = which in OF_KINDS
    page = Page(panels, [], methods, width, named, len(panels), PLOT)
    names = page.methods_of(panels)
    there = {row["kind"] for panel in panels for row in panel.rows} if named else set()
    beside = max(map(len, names)) * LETTER if named else 0
    most = int((width - beside) / (page.least + GAP if named else max(PANEL, page.least + 4 * GAP)))
    rows = -(-len(panels) // min(max(most, 1), MOST_ACROSS))
    across = -(-len(panels) // rows)
    if which == "gradients" and across > 1:
        across += across % 2 if across < most else -(across % 2)
    legend = [kind for kind in figures.KINDS if kind in there] if named else _lines(panels, names)
    return replace(page, legend=legend, across=across, inner=width / across * 0.6)


def _lines(panels: Sequence[Panel], names: Sequence[str]) -> list[str]:
    """The methods in a legend, in one order for all figures of a suite, so that each keeps its colour."""
    there = {r["method"] for panel in panels for r in panel.rows if r.get("kind") != REFERENCE}
    return [name for name in names if name in there]


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


def _drawn(
    which: str, heads: Sequence[str], rows: Sequence[Line], baseline: str, against: str
) -> list[Panel]:
    """The panels of one task."""
    if which == "accuracy":
        return [Panel(heads, rows, figures.accuracy)]
    if which == "differences":
        return [Panel(heads, rows, partial(figures.differences, baseline))]
    if which == "curves":
        return [Panel(heads, rows, partial(figures.curves, last=max(row["epoch"] for row in rows)))]
    if which == "gradients":
        last = max(row["layer"] for row in rows)
        shown = {"available": "available", "size": "size, log10"}
        return [
            Panel(
                heads if column == "available" else [],
                rows,
                partial(figures.layers, column, title, last=last),
                last,
            )
            for column, title in shown.items()
        ]
    reference = any(row["kind"] == REFERENCE for row in rows)
    return [Panel(heads, rows, partial(figures.costs, COSTS[against], reference=reference))]


def _fitted(page: Page, file: Path, tall: float) -> alt.ConcatChart:
    """The figure, no wider than asked and if possible no higher than `tall`; a warning if it is higher."""
    least = LEAST[0] if page.named else LEAST[1]
    for attempt in range(TRIES):
        made = _figure(page)
        width, height = figure_files.size(figure_files.svg(made))
        missing = page.width - width
        # What is narrower than the line grows with it.
        height *= page.width / width
        # Ticks come and go with the width, so that it can jump: each attempt aims a little lower.
        if 0 <= missing < 3 + 2 * attempt and (height <= tall or page.share <= least):
            break
        inner = page.inner + (missing - 1 - attempt) / page.across
        # The two panels of a task stay side by side.
        fewer = page.across - (1 if all(panel.heads for panel in page.panels) else 2)
        if inner < page.least and fewer > 0:
            page = replace(page, across=fewer, inner=page.width / fewer * 0.6)
            continue
        plots = sum(page.height_of(row) for row in page.rows())
        share = page.share * min(1.0, 1 - (height - tall + 1) / plots)
        page = replace(page, inner=max(inner, 20.0), share=max(share, least))
    if height > tall:
        wider = "--width double, " if page.width < WIDTHS["double"] * INCH else ""
        warn(
            f"{file} is {height / POINT:.0f} pt high, more than most pages hold with its caption "
            f"({tall / POINT:.0f} pt): "
            f"use {wider}--datasets or --methods to draw less in one figure"
        )
    return made


def _figure(page: Page) -> alt.ConcatChart:
    charts = list[figures.Layered]()
    for panels in page.rows():
        for place, (panel, title) in enumerate(zip(panels, _titles(panels, page), strict=True)):
            below = page.panels[len(charts) + page.across :][:1]
            chart = panel.draw(page.legend)
            _share_axes(chart, page, panels, first=place == 0, last=not below)
            if below and 0 < panel.layers == below[0].layers:
                # The panel below numbers the same layers.
                for layer in chart.layer:
                    layer.encoding.x["axis"]["labels"] = False
            chart = chart.properties(width=page.inner, height=page.height_of(panels), title=title)
            chart.data = alt.InlineData(values=[*panel.rows])
            charts.append(chart)
    longest = max(map(len, page.legend), default=1)
    entries = max(1, int(page.width / (longest * LETTER + 34)))
    whole: alt.ConcatChart = (
        # Not "all", which would give every panel the room of the names of the first.
        alt.concat(*charts, columns=page.across, spacing=GAP, align="each")
        .configure(font="sans-serif", background="white", padding=1)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor="#e4e4e4",
            domainColor="#8d8d8d",
            labelFontSize=FONT - 1,
            titleFontSize=FONT,
            titleFontWeight="normal",
            titlePadding=3,
            labelPadding=2,
            tickSize=3,
        )
        .configure_axisX(tickCount=max(2, int(page.inner / 30)), labelSeparation=4)
        .configure_axisY(tickCount=max(2, int(HEIGHT * page.share / 25)))
        .configure_title(
            fontSize=FONT, subtitleFontSize=FONT - 1, subtitleColor="#555555", offset=3, subtitlePadding=1
        )
        .configure_legend(
            labelFontSize=FONT,
            columns=entries,
            symbolOpacity=1,
            symbolSize=50,
            labelLimit=0,
            offset=6,
            rowPadding=1,
        )
    )
    return whole


def _titles(panels: Sequence[Panel], page: Page) -> list[alt.Title]:
    """The titles of panels side by side, of one height."""
    # "T = 2" is not broken: a blank that textwrap does not know stands in it.
    rest = [_broken(", ".join(p.heads[1:]).replace(" = ", "\u00a0=\u00a0"), page) for p in panels]
    most = max(map(len, rest))
    return [
        alt.Title(
            panel.heads[0] if panel.heads else " ",
            subtitle=lines + [" "] * (most - len(lines)),
            anchor="start",
            frame="group",
        )
        for panel, lines in zip(panels, rest, strict=True)
    ]


def _broken(text: str, page: Page) -> list[str]:
    return wrap(text, max(10, int(page.inner / LETTER) + 2), break_long_words=False, break_on_hyphens=False)


def _share_axes(
    chart: figures.Layered, page: Page, panels: Sequence[Panel], *, first: bool, last: bool
) -> None:
    """Names of methods and titles of axes only where no panel to the left, or below, has the same."""
    methods = page.methods_of(panels)
    # The panels of a task with two have different vertical axes.
    first = first or not all(panel.heads for panel in panels)
    for layer in chart.layer:
        for channel, shown in (("x", last), ("y", first)):
            axis = layer.encoding[channel]
            if axis is alt.Undefined:
                continue
            if page.named and channel == "y":
                axis["scale"] = alt.Scale(domain=methods)
                axis["axis"] = alt.Axis(labels=first, labelLimit=page.width - PLOT, ticks=False, grid=True)
            elif not shown:
                axis["title"] = None
            elif channel == "x" and isinstance(axis["title"], str):
                axis["title"] = _broken(axis["title"], page)
