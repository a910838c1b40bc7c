"""The figures of a report, as Vega-Lite specifications; the page supplies the rows to draw.

Each figure reads its rows by the name ROWS, so that it serves all tasks and methods;
`bench.report.suite_figures` draws the same figures for a paper, with legends of what they show. Colours are
distinguishable on white and on black, and for colour-blind readers; the two compared methods also differ in
dash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from bench.report.tasks import REFERENCE

Layered = alt.LayerChart | alt.FacetChart
ROWS = "rows"
KIND_COLOURS = {
    "adaptive": "#d1495b",
    "control": "#c98a1b",
    "fixed": "#3f7fb5",
    "library": "#5a9367",
    "reference": "#8d8d8d",
}
KINDS = tuple(KIND_COLOURS)
METHOD_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#56b4e9", "#e69f00")
"""Of Okabe and Ito (2008), "Color universal design", without yellow, which is pale on paper."""
METHOD_DASHES = ([1, 0], [6, 2], [2, 2], [8, 2, 2, 2])
SHAPES = ("circle", "square", "triangle-up", "cross")
"""Dashes and shapes tell methods of one colour apart."""
ROLES = ("A", "B", "others")
"""The two compared methods, and the rest."""
ROLE_COLOURS, ROLE_DASHES = ("#d1495b", "#3f7fb5", "#9a9a9a"), ([1, 0], [6, 3], [1, 0])
STEP = 20
MOST_TICKS = 10
ROW_OF = {
    "accuracy": "method",
    "differences": "method",
    "slope": "method",
    "critical": "method",
    "available": "layer",
    "sizes": "layer",
    "trials": "value",
}
"""The column whose values the page counts, to give each value STEP pixels of height."""
DOTS = alt.OverlayMarkDef(size=30, filled=True)
DASHED: dict[str, Any] = {"color": "#8d8d8d", "strokeDash": [4, 3]}


def all_figures(baseline: str) -> dict[str, dict[str, Any]]:
    """Vega-Lite of each figure, by name. baseline: the method that the figure of differences names."""
    drawn: dict[str, Any] = {
        "accuracy": accuracy(),
        "differences": differences(baseline),
        "curves": learning(),
        "course": course(),
        "anytime": anytime(),
        "cost": cost(),
        "available": heat_map("available", [0, 1], ".2f"),
        "sizes": heat_map("size", None, "+.1f"),
        "slope": slope(),
        "shape": shape(),
        "swept": swept(),
        "trials": trials(),
        "best-of": best_of(),
        "profile": profile(),
        "critical": critical(),
    }
    specs = {name: _configured(chart) for name, chart in drawn.items()}
    for name, column in ROW_OF.items():
        specs[name]["usermeta"] = {"step": STEP, "column": column}
    return specs


def accuracy(kinds: Sequence[str] = KINDS) -> Layered:
    """A dot per method with its interval, best at the top.

    Rows: method, kind, mean, low, high, seeds, failed, and end, the smaller of high and 100: an interval can
    extend beyond 100, the axis does not. kinds: those in the legend.
    """
    base = _chart().encode(y=_method(), color=_kind(kinds))
    title = "test accuracy, %"
    across = base.mark_rule(strokeWidth=2.5, opacity=0.6).encode(x=_number("low", title), x2="end:Q")
    tips = _tips("method", "kind", mean=".2f", low=".2f", high=".2f", seeds="d", failed="d")
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(x=_number("mean", title), tooltip=tips)
    return alt.layer(across, dots)


def differences(baseline: str, kinds: Sequence[str] = KINDS) -> Layered:
    """A dot per method with the interval of its difference to the baseline, and a line at no difference.

    Rows: method, kind, delta, low, high. kinds: those in the legend.
    """
    title = f"difference to {baseline}, points"
    whole = _chart()
    base = whole.encode(y=_method(), color=_kind(kinds))
    zero = whole.mark_rule(**DASHED).encode(x=alt.datum(0))
    across = base.mark_rule(strokeWidth=2.5, opacity=0.6).encode(x=_number("low", title), x2="high:Q")
    tips = _tips("method", "kind", delta="+.2f", low="+.2f", high="+.2f")
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(x=_number("delta", title), tooltip=tips)
    return alt.layer(zero, across, dots)


def curves(methods: Sequence[str], last: int) -> Layered:
    """Validation accuracy over epochs, a line per method, and a band from the worst seed to the best.

    Rows: method, epoch, mean, low, high. methods: those in the legend, in its order. last: the last epoch.
    """
    title, base = "validation accuracy, %", _chart().encode(x=_whole("epoch", "epoch", last))
    band = base.mark_area(opacity=0.15).encode(y=_number_y("low", title), y2="high:Q")
    band = band.encode(color=_by_method(methods)["color"])
    tips = _tips("method", "epoch", mean=".2f", low=".2f", high=".2f")
    lines = base.mark_line(strokeWidth=1.8, point=DOTS)
    return alt.layer(band, lines.encode(y=_number_y("mean", title), tooltip=tips, **_by_method(methods)))


def learning() -> Layered:
    """As `curves`, for the page: the compared methods with their bands, the others in grey.

    Rows: method, role, epoch, mean, low, high.
    """
    return _compared("epoch", "validation accuracy, %", ".2f")


def course() -> Layered:
    """A quantity at each probe of a training, as `learning`; the page puts its name on the axis.

    Rows: method, role, epoch, mean, low, high.
    """
    return _compared("epochs trained, 0 = before training", None, ".4~g", point=DOTS)


def _compared(epochs: str, title: str | None, form: str, **mark: Any) -> Layered:
    x = alt.X("epoch:Q", title=epochs, scale=alt.Scale(zero=False, nice=False, padding=6), axis=_whole_axis())
    base = _chart().transform_filter("datum.role !== 'others'")
    band = base.mark_area(opacity=0.15).encode(
        x=x, y=_number_y("low", title), y2="high:Q", detail="method:N", color=_roles()["color"]
    )
    lines = _chart().mark_line(strokeWidth=2, **mark)
    lines = lines.encode(
        x=x,
        y=_number_y("mean", title),
        detail="method:N",
        **_roles(),
        tooltip=_tips("method", "epoch", mean=form, low=form, high=form),
    )
    return alt.layer(band, lines).properties(height=260)


def layers(column: str, title: str, methods: Sequence[str], last: int) -> Layered:
    """A quantity over the layers, a line per method. Rows: method, layer, the column.

    methods: those in the legend, in its order. last: the number of layers.
    """
    lines = _chart().mark_line(strokeWidth=1.8, point=DOTS)
    lines = lines.encode(
        x=_whole("layer", "spiking layer, from the input", last),
        y=_number_y(column, title),
        tooltip=_tips("method", "layer", **{column: ".3f"}),
        **_by_method(methods),
    )
    return alt.layer(lines)


def costs(title: str, methods: Sequence[str], *, reference: bool) -> Layered:
    """As `cost`, for a figure without tooltips: methods in the legend, and those on the front filled."""
    base = _chart()
    x = alt.X("x:Q", title=title, scale=alt.Scale(zero=False, nice=True, padding=10))
    y = _number_y("accuracy", "test accuracy, %")
    ceiling = base.transform_filter(f"datum.kind === '{REFERENCE}'")
    limit = ceiling.mark_rule(**DASHED).encode(y=y)
    name = ceiling.mark_text(align="right", dy=-7, fontSize=10, x="width").encode(y=y, text="method:N")
    edge = base.transform_filter("datum.edge === 'yes'")
    line = edge.mark_line(interpolate="step-after", color="#8d8d8d").encode(x=x, y=y)
    colours = _method_colours(methods)
    shapes = [SHAPES[i // len(METHOD_COLOURS) % len(SHAPES)] for i in range(len(methods))]
    legend = alt.Legend(title=None, orient="bottom")
    dots = base.transform_filter(f"datum.kind !== '{REFERENCE}'").mark_point(
        size=60, strokeWidth=1.8, opacity=1
    )
    dots = dots.encode(
        x=x,
        y=y,
        stroke=alt.Stroke("method:N", scale=colours, legend=legend),
        shape=alt.Shape("method:N", scale=alt.Scale(domain=[*methods], range=shapes), legend=legend),
        fill=alt.Fill("method:N", scale=colours, legend=None),
        fillOpacity=alt.condition("datum.front === 'yes'", alt.value(1), alt.value(0)),
    )
    return alt.layer(*([limit, name] if reference else []), line, dots)


def anytime() -> Layered:
    """A line per method. Rows: method, role, t, accuracy, sd."""
    x = alt.X("t:O", title="time steps that the output is averaged over", axis=alt.Axis(labelAngle=0))
    y = _number_y("accuracy", "test accuracy, %")
    return _line_per_method(x, y, _tips("method", "t", accuracy=".2f", sd=".2f"), point=DOTS)


def cost() -> Layered:
    """A dot per method, the Pareto front, and a line at the reference's accuracy.

    Rows: method, kind, x, accuracy, front (yes, no), and edge (yes for those that the line joins). The cost
    of the reference can be many times that of the others; it appears only in the numbers.
    """
    base = _chart()
    spiking = base.transform_filter(f"datum.kind !== '{REFERENCE}'")
    ceiling = base.transform_filter(f"datum.kind === '{REFERENCE}'")
    front = base.transform_filter("datum.front === 'yes'")
    x = alt.X("x:Q", title=None, scale=alt.Scale(zero=False, nice=True, padding=16))
    y = _number_y("accuracy", "test accuracy, %")
    limit = ceiling.mark_rule(**DASHED).encode(y=y, tooltip=_tips("method", x=",.4~g", accuracy=".2f"))
    name = ceiling.mark_text(align="right", dy=-7, fontSize=11, x="width").encode(y=y, text="method:N")
    # The page removes the layers with these names if there is no reference.
    limit, name = limit.properties(name="reference-line"), name.properties(name="reference-name")
    edge = base.transform_filter("datum.edge === 'yes'")
    line = edge.mark_line(interpolate="step-after", color="#8d8d8d").encode(x=x, y=y)
    dots = spiking.mark_point(filled=True, size=80, opacity=0.95).encode(
        x=x,
        y=y,
        color=_kind(),
        shape=alt.Shape(
            "front:N",
            scale=alt.Scale(domain=["yes", "no"], range=["diamond", "circle"]),
            legend=alt.Legend(title="on the front", orient="bottom"),
        ),
        tooltip=_tips("method", "kind", "front", x=",.4~g", accuracy=".2f"),
    )
    names = front.mark_text(align="left", dx=7, dy=-7, fontSize=11).encode(x=x, y=y, text="method:N")
    # The page moves names that would cover others.
    line, dots, names = (
        layer.properties(name=called) for layer, called in ((line, "edge"), (dots, "dots"), (names, "beside"))
    )
    return alt.layer(limit, name, line, dots, names).properties(height=320)


def heat_map(column: str, domain: list[float] | None, form: str) -> Layered:
    """Layers against epochs. Rows: layer, epoch, the column, mark, sign."""
    base = _chart().encode(
        x=alt.X(
            "epoch:O",
            sort=None,
            title="epochs trained, 0 = before training",
            scale=alt.Scale(paddingInner=0, paddingOuter=0),
            axis=alt.Axis(labelAngle=0, labelOverlap="greedy", labelSeparation=6, grid=False, ticks=False),
        ),
        y=alt.Y(
            "layer:N",
            sort=None,
            title=None,
            axis=alt.Axis(grid=False, ticks=False, labelLimit=120),
        ),
    )
    fixed: dict[str, Any] = {"domain": domain} if domain else {}
    scale = alt.Scale(scheme="viridis", clamp=True, **fixed)
    tips = _tips("layer", "epoch", "mark", **{column: form})
    known = base.transform_filter(f"datum.{column} !== null").mark_rect()
    legend = alt.Legend(title=None, orient="bottom", gradientLength=220, gradientThickness=8)
    cells = known.encode(color=alt.Color(f"{column}:Q", scale=scale, legend=legend), tooltip=tips)
    signed = base.transform_filter("datum.sign !== ''")
    under = signed.mark_rect(color="#d00000", opacity=0.85).encode(tooltip=tips)
    signs = signed.mark_text(color="white", fontWeight="bold").encode(text="sign:N")
    # An invisible layer with all cells keeps layers and epochs in order.
    return alt.layer(base.mark_rect(opacity=0), cells, under, signs)


def slope() -> Layered:
    """A dot per method with its sd, a tick at its value before training, a line for the network with ReLU.

    Rows: method, kind, mean, sd, low, high, before, ann.
    """
    base = _chart().encode(y=_method(), color=_kind())
    title = "decades a layer"
    spread = base.mark_rule(strokeWidth=2, opacity=0.6).encode(x=_number("low", title), x2="high:Q")
    before = base.mark_tick(thickness=2, size=13).encode(x=_number("before", title))
    tips = _tips("method", "kind", mean=".3f", sd=".3f", before=".3f", ann=".3f")
    dots = base.mark_point(filled=True, size=60, opacity=1).encode(x=_number("mean", title), tooltip=tips)
    all_rows = _chart().transform_aggregate(ann="mean(ann)")
    healthy = all_rows.mark_rule(**DASHED).encode(x=_number("ann", title))
    return alt.layer(healthy, spread, before, dots)


def shape() -> alt.Chart:
    """One derivative, on the scale shared by all. Rows: x, h."""
    y = alt.Y(
        "h:Q",
        scale=alt.Scale(domain=[-1.1, 2.2], nice=False),
        axis=alt.Axis(title=None, values=[-1, 0, 1, 2], ticks=False),
    )
    x = alt.X(
        "x:Q", scale=alt.Scale(nice=False), axis=alt.Axis(title=None, values=[-2, -1, 0, 1, 2], ticks=False)
    )
    line: alt.Chart = _chart().mark_line(strokeWidth=2, clip=True, color=KIND_COLOURS["fixed"])
    return line.encode(x=x, y=y).properties(height=80)


def swept() -> Layered:
    """Accuracy over a parameter, a line per method; the page puts the parameter's name on the axis.

    Rows: method, role, parameter, value, accuracy, low, high, entry.
    """
    base = _chart()
    x = alt.X("value:Q", title="value of the parameter", scale=alt.Scale(type="log", nice=False, padding=12))
    solid = {name: channel for name, channel in _roles().items() if name != "strokeDash"}
    bars = base.mark_rule(opacity=0.5).encode(
        x=x, y=_number_y("low", "test accuracy, %"), y2="high:Q", **solid
    )
    lines = base.mark_line(point=alt.OverlayMarkDef(size=40, filled=True)).encode(
        x=x,
        y=_number_y("accuracy", "test accuracy, %"),
        detail="method:N",
        **_roles(),
        tooltip=_tips("method", "parameter", value=".4~g", accuracy=".2f"),
    )
    return alt.layer(bars, lines).properties(height=260)


def trials() -> Layered:
    """The trials of one method; the page puts the parameter's name on the axis, and the scale of the task.

    Rows: method, learning_rate, parameter, value, accuracy, failed, chosen.
    """
    axis = alt.Axis(grid=False, ticks=False, labelAngle=0, labelOverlap="greedy")
    scale = alt.Scale(paddingInner=0, paddingOuter=0)
    base = _chart().encode(
        x=alt.X("learning_rate:O", title="learning rate", scale=scale, axis=axis),
        y=alt.Y("value:O", sort="descending", title=None, scale=scale, axis=axis),
    )
    tips = _tips("method", "learning_rate", "value", accuracy=".2f", failed="d")
    known = base.transform_filter("datum.accuracy !== null").mark_rect()
    color = alt.Color("accuracy:Q", scale=alt.Scale(scheme="viridis"), legend=None)
    cells = known.encode(color=color, tooltip=tips)
    chosen = base.transform_filter("datum.chosen === 'yes'").mark_point(
        filled=True, size=60, opacity=1, color="black", stroke="white", strokeWidth=1.5
    )
    # An invisible layer with all cells keeps a place for those without an accuracy.
    return alt.layer(base.mark_rect(opacity=0), cells, chosen.encode(tooltip=tips))


def best_of() -> Layered:
    """The best accuracy to expect of k trials, a line per method. Rows: method, role, k, best."""
    x = alt.X("k:O", title="k, number of trials", axis=alt.Axis(labelAngle=0))
    y = _number_y("best", "best validation accuracy, %")
    return _line_per_method(x, y, _tips("method", "k", best=".2f"), point=DOTS)


def profile() -> Layered:
    """Share of the runs that reach an accuracy. Rows: method, role, accuracy, share."""
    scale = alt.Scale(zero=False, nice=False)
    x = alt.X("accuracy:Q", title="test accuracy of at least, %", scale=scale)
    y = alt.Y("share:Q", title="share of the runs", scale=alt.Scale(domain=[0, 1]))
    return _line_per_method(x, y, _tips("method", accuracy=".2f", share=".2f"), interpolate="step-before")


def critical() -> Layered:
    """Average rank of each method, and lines that join methods that cannot be told apart.

    Rows: method, rank, and for a line low, high, group.
    """
    base = _chart()
    x = alt.X("rank:Q", title="average rank over tasks (1 is best)", scale=alt.Scale(zero=False, padding=12))
    dots = (
        base.transform_filter("datum.group === null")
        .mark_point(filled=True, size=60)
        .encode(x=x, y=_method(), tooltip=_tips("method", rank=".2f"))
    )
    joined = base.transform_filter("datum.group !== null").mark_rule(strokeWidth=4, opacity=0.35)
    lines = joined.encode(x=alt.X("low:Q"), x2="high:Q", y=_method())
    return alt.layer(lines, dots)


def _chart() -> alt.Chart:
    return alt.Chart(alt.NamedData(name=ROWS), width="container")


def _line_per_method(x: alt.X, y: alt.Y, tips: list[alt.Tooltip], **mark: Any) -> Layered:
    """Lines in the colours of the methods' roles."""
    lines = _chart().mark_line(strokeWidth=2, **mark)
    lines = lines.encode(x=x, y=y, detail="method:N", **_roles(), tooltip=tips)
    return alt.layer(lines).properties(height=260)


def _method() -> alt.Y:
    return alt.Y(
        "method:N",
        sort=None,
        title=None,
        axis=alt.Axis(
            labelLimit=alt.ExprRef("max(190, 0.3 * (containerSize()[0] || 0))"), ticks=False, grid=True
        ),
    )


def _by_method(methods: Sequence[str]) -> dict[str, Any]:
    """Colour and dash by method: after all colours, the same again with another dash."""
    number, colours = len(methods), len(METHOD_COLOURS)
    legend = alt.Legend(title=None, orient="bottom", symbolType="stroke", symbolSize=300)
    dashes = [METHOD_DASHES[i // colours % len(METHOD_DASHES)] for i in range(number)]
    scales = {
        "color": _method_colours(methods),
        "strokeDash": alt.Scale(domain=[*methods], range=dashes),
    }
    return {
        "color": alt.Color("method:N", scale=scales["color"], legend=legend),
        "strokeDash": alt.StrokeDash("method:N", scale=scales["strokeDash"], legend=legend),
    }


def _method_colours(methods: Sequence[str]) -> alt.Scale:
    colours = [METHOD_COLOURS[i % len(METHOD_COLOURS)] for i in range(len(methods))]
    return alt.Scale(domain=[*methods], range=colours)


def _kind(kinds: Sequence[str] = KINDS) -> alt.Color:
    scale = alt.Scale(domain=[*kinds], range=[KIND_COLOURS[kind] for kind in kinds])
    # On the page, a legend of three columns fits a phone.
    columns = alt.ExprRef("width < 340 ? 3 : 4") if kinds is KINDS else alt.Undefined
    return alt.Color("kind:N", scale=scale, legend=alt.Legend(title=None, orient="bottom", columns=columns))


def _whole(column: str, title: str, last: int) -> alt.X:
    """An axis from 1 to `last`, with ticks at some of its whole numbers."""
    ticks = [*range(1, last + 1, -(-last // MOST_TICKS))]
    scale = alt.Scale(domain=[1, max(last, 2)], nice=False, padding=6)
    # With a smaller count, Vega would leave out most of these values.
    axis = alt.Axis(values=ticks, format="d", tickCount=MOST_TICKS)
    return alt.X(f"{column}:Q", title=title, axis=axis, scale=scale)


def _whole_axis() -> alt.Axis:
    """Ticks at whole numbers, of which the page does not know how many there are."""
    # With a tickCount that is an expression, Vega does not heed tickMinStep.
    span = "floor(domain('x')[1] - domain('x')[0])"
    return alt.Axis(format="d", tickCount=alt.ExprRef(f"max(1, min(floor(width / 70), {span}))"))


def _roles() -> dict[str, Any]:
    """Colour, dash and opacity by role; the role "others" stays in the background."""
    scale: dict[str, Any] = {"domain": [*ROLES]}
    # As a line: a circle with a dashed edge looks damaged.
    legend = alt.Legend(title=None, orient="bottom", symbolType="stroke", symbolSize=300, symbolStrokeWidth=2)
    return {
        "color": alt.Color("role:N", scale=alt.Scale(range=[*ROLE_COLOURS], **scale), legend=legend),
        "strokeDash": alt.StrokeDash("role:N", scale=alt.Scale(range=[*ROLE_DASHES], **scale), legend=legend),
        "opacity": alt.condition("datum.role === 'others'", alt.value(0.35), alt.value(1)),
    }


def _number(column: str, title: str | None) -> alt.X:
    return alt.X(f"{column}:Q", title=title, scale=alt.Scale(zero=False, nice=False, padding=8))


def _number_y(column: str, title: str | None) -> alt.Y:
    return alt.Y(f"{column}:Q", title=title, scale=alt.Scale(zero=False, nice=True, padding=8))


def _tips(*names: str, **formats: str) -> list[alt.Tooltip]:
    plain = [alt.Tooltip(f"{name}:N", title=name) for name in names]
    return plain + [alt.Tooltip(f"{name}:Q", title=name, format=form) for name, form in formats.items()]


def _configured(chart: Any) -> dict[str, Any]:
    """The chart as Vega-Lite. The page sets text and line colours by its style; saved images keep these."""
    drawn = (
        # Screen readers get the numbers as a table; a label for every mark would be noise.
        chart.configure(font="system-ui, sans-serif", background="transparent", aria=False)
        .configure_view(stroke=None)
        .configure_axis(
            gridColor="#d8d8d8",
            domainColor="#8d8d8d",
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
        )
        .configure_axisQuantitative(labelOverlap=True, labelSeparation=8)
        .configure_axisXQuantitative(tickCount=alt.ExprRef("max(3, floor(width / 70))"))
        .configure_legend(labelFontSize=12, symbolOpacity=1, symbolBaseFillColor="#8d8d8d")
    )
    spec: dict[str, Any] = drawn.to_dict()
    return spec
