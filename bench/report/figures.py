"""The figures of a report, as Vega-Lite specifications; the page supplies the rows to draw.

Each figure reads its rows by the name ROWS, so that it serves all tasks and methods. Colours are
distinguishable on white and on black, and for colour-blind readers; the two compared methods also differ in
dash.
"""

from __future__ import annotations

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
ROLES = ("A", "B", "others")
"""The two compared methods, and the rest."""
ROLE_COLOURS, ROLE_DASHES = ("#d1495b", "#3f7fb5", "#9a9a9a"), ([1, 0], [6, 3], [1, 0])
STEP = 20
ROW_OF = {
    "accuracy": "method",
    "slope": "method",
    "critical": "method",
    "available": "layer",
    "sizes": "layer",
    "trials": "value",
}
"""The column whose values the page counts, to give each value STEP pixels of height."""
DOTS = alt.OverlayMarkDef(size=30, filled=True)
DASHED: dict[str, Any] = {"color": "#8d8d8d", "strokeDash": [4, 3]}


def all_figures() -> dict[str, dict[str, Any]]:
    """Vega-Lite of each figure, by name."""
    drawn: dict[str, Any] = {
        "accuracy": accuracy(),
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


def accuracy() -> Layered:
    """A dot per method with its interval, best at the top.

    Rows: method, kind, mean, low, high, seeds, failed, and end, the smaller of high and 100: an interval can
    extend beyond 100, the axis does not.
    """
    base = _chart().encode(y=_method(), color=_kind())
    title = "test accuracy, %"
    across = base.mark_rule(strokeWidth=2.5, opacity=0.6).encode(x=_number("low", title), x2="end:Q")
    tips = _tips("method", "kind", mean=".2f", low=".2f", high=".2f", seeds="d", failed="d")
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(x=_number("mean", title), tooltip=tips)
    return alt.layer(across, dots)


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
    return alt.layer(limit, name, line, dots, names).properties(height=320)


def heat_map(column: str, domain: list[float] | None, form: str) -> Layered:
    """Layers against epochs. Rows: layer, epoch, the column, mark, sign."""
    base = _chart().encode(
        x=alt.X(
            "epoch:O",
            sort=None,
            title="epochs trained, 0 = before training",
            scale=alt.Scale(paddingInner=0, paddingOuter=0),
            axis=alt.Axis(labelAngle=0, labelOverlap="greedy", grid=False, ticks=False),
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
    bars = base.mark_rule(opacity=0.5).encode(
        x=x, y=_number_y("low", "test accuracy, %"), y2="high:Q", **_roles()
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


def _kind() -> alt.Color:
    scale = alt.Scale(domain=[*KIND_COLOURS], range=[*KIND_COLOURS.values()])
    return alt.Color("kind:N", scale=scale, legend=alt.Legend(title=None, orient="bottom", columns=3))


def _roles() -> dict[str, Any]:
    """Colour, dash and opacity by role; the role "others" stays in the background."""
    scale: dict[str, Any] = {"domain": [*ROLES]}
    legend = alt.Legend(title=None, orient="bottom")
    return {
        "color": alt.Color("role:N", scale=alt.Scale(range=[*ROLE_COLOURS], **scale), legend=legend),
        "strokeDash": alt.StrokeDash("role:N", scale=alt.Scale(range=[*ROLE_DASHES], **scale), legend=legend),
        "opacity": alt.condition("datum.role === 'others'", alt.value(0.35), alt.value(1)),
    }


def _number(column: str, title: str | None) -> alt.X:
    return alt.X(f"{column}:Q", title=title, scale=alt.Scale(zero=False, nice=False, padding=8))


def _number_y(column: str, title: str) -> alt.Y:
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
        .configure_legend(labelFontSize=12, symbolOpacity=1, symbolBaseFillColor="#8d8d8d")
    )
    spec: dict[str, Any] = drawn.to_dict()
    return spec
