"""Writes README's leaderboard and picture anew from results/: `tox run -e readme`.

Everything between the two markers in README.md is replaced; nothing there is typed by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

import altair as alt
import pandas as pd

from bench import diff, leaderboards, readable
from bench.store import Record, Store
from bench.suite import load_suite

ROOT = Path(__file__).resolve().parents[1]
SUITE = "quick"
BEGIN, END = "<!-- leaderboard: begin -->", "<!-- leaderboard: end -->"
KIND_COLOURS = {"adaptive": "#d1495b", "fixed": "#30638e", "library": "#7a9e7e", "reference": "#8d8d8d"}


def section(records: list[Record], table: pd.DataFrame) -> str:
    """The Markdown between the markers."""
    notes = "\n".join(f"- {note}" for note in leaderboards.design_note(records, load_suite(SUITE).baseline))
    return f"{BEGIN}\n\n{readable.markdown(table)}\n{notes}\n- {measured_on(records)}\n\n{END}"


def measured_on(records: list[Record]) -> str:
    """One sentence: machine and versions, as the records name them; several if they differ."""

    def one(facts: Record) -> str:
        packages = facts["packages"]
        versions = ", ".join(f"{name} {packages[name]}" for name in ("torch", "norse", "snntorch"))
        return f"{facts['cpu']}, {facts['threads']} thread a training, Python {facts['python']}, {versions}"

    places = sorted({one(record["environment"]) for record in records})
    total = sum(record["seconds"] for record in records)
    return f"Measured on {'; '.join(places)}. {len(records)} trainings, {total / 60:.0f} core-minutes in all."


def picture(table: pd.DataFrame) -> alt.Chart | alt.FacetChart:
    """Mean test accuracy with its interval, a dot a method, a panel a dataset; best at the top."""
    shown = table.assign(
        low=table["test_accuracy_ci_low"].fillna(table["test_accuracy_mean"]),
        high=table["test_accuracy_ci_high"].fillna(table["test_accuracy_mean"]).clip(upper=100),
    )
    order = list(shown.groupby("method")["test_accuracy_mean"].mean().sort_values(ascending=False).index)
    method = alt.Y("method:N", sort=order, title=None)
    colour = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=list(KIND_COLOURS), range=list(KIND_COLOURS.values())),
        legend=alt.Legend(title=None, orient="bottom"),
    )
    accuracy = alt.Scale(zero=False, nice=True)
    title = "test accuracy, %: mean and 95 % interval over seeds"
    bars = alt.Chart().mark_rule(strokeWidth=2, opacity=0.55)
    axis = alt.X("low:Q", scale=accuracy, title=title, axis=alt.Axis(tickMinStep=1, format="d"))
    bars = bars.encode(x=axis, x2="high:Q", y=method, color=colour)
    dots = alt.Chart().mark_point(filled=True, size=90, opacity=1)
    dots = dots.encode(x="test_accuracy_mean:Q", y=method, color=colour)
    panels = alt.layer(bars, dots, data=shown).properties(width=330, height=230)
    header = alt.Header(title=None, labelFontSize=14, labelFontWeight="bold")
    return panels.facet(column=alt.Column("dataset:N", header=header)).configure(
        font="sans-serif", background="white"
    )


def main() -> None:
    """Write docs/quick.svg and the section of README.md."""
    store = Store(ROOT / "results", SUITE)
    records = store.records()
    if not records:
        sys.exit(f"no records in {store.runs}: `spikegrad run {SUITE} --results results` makes them")
    table = diff.read(store.leaderboards / "accuracy.csv")
    picture(table).save(ROOT / "docs" / f"{SUITE}.svg")
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN)], text[text.index(END) + len(END) :]
    readme.write_text(before + section(records, table) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
