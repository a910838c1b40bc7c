"""Writes what README and docs/gradients.md say of results/ anew: `tox run -e readme`.

Everything between the two markers in a file is replaced; nothing there is typed by hand.
"""

from __future__ import annotations

import sys
from pathlib import Path

import altair as alt
import pandas as pd

from bench.records.record_files import Record
from bench.records.store import Store
from bench.suite import load_suite
from bench.tables import diff
from bench.tables.results import Results
from bench.tables.text import readable

ROOT = Path(__file__).resolve().parents[1]
SUITE = "quick"
BEGIN, END = "<!-- leaderboard: begin -->", "<!-- leaderboard: end -->"
QUICK_BEGIN, QUICK_END = "<!-- quick: begin -->", "<!-- quick: end -->"
COMPARED = {
    "available_fraction": "available fraction",
    "participation": "participation",
    "vanishing_slope": "vanishing slope, decades a layer",
}
KIND_COLOURS = {"adaptive": "#d1495b", "fixed": "#30638e", "control": "#c98a1b", "reference": "#8d8d8d"}


def section(records: list[Record], table: pd.DataFrame) -> str:
    """The Markdown between the markers."""
    suite = load_suite(SUITE)
    of = Results(records, suite.baseline, suite.seeds)
    notes = "\n".join(f"- {note}" for note in of.notes)
    lines = [f"- {readable.bold_note(table)}", notes, f"- {measured_on(records)}"]
    return "\n".join([f"{BEGIN}\n\n{readable.markdown(table)}", *lines, f"\n{END}"])


def gradients_section(table: pd.DataFrame, method: str = "mpd-agl", baseline: str = "rectangle") -> str:
    """The Markdown between the markers of docs/gradients.md: a method against the baseline."""
    lines = [
        f"| data | after training | {method} | {baseline} | difference | 95 % interval |",
        "|---|---|---|---|---|---|",
    ]
    verdicts = []
    for dataset, rows in table.groupby("dataset"):
        mine, base = (rows[rows["method"] == name].iloc[0] for name in (method, baseline))
        told: dict[str, list[str]] = {"above": [], "below": [], "indistinguishable": []}
        for column, words in COMPARED.items():
            low, high = mine[f"{column}_delta_ci_low"], mine[f"{column}_delta_ci_high"]
            cells = (mine[f"{column}_mean"], base[f"{column}_mean"], mine[f"{column}_delta"])
            numbers = " | ".join(f"{cell:+.4f}" if i == 2 else f"{cell:.4f}" for i, cell in enumerate(cells))
            interval = "–" if pd.isna(low) else f"{low:+.4f} to {high:+.4f}"
            lines.append(f"| {dataset} | {words} | {numbers} | {interval} |")
            side = "above" if low > 0 else "below" if high < 0 else "indistinguishable"
            told[side].append(words.partition(",")[0])
        found = [f"{' and '.join(names)} {side}" for side, names in told.items() if names]
        verdicts.append(f"On {dataset}, {method} compared with {baseline}: {'; '.join(found)}.")
    seeds = " or ".join(str(n) for n in sorted(set(table["n_seeds"].astype(int))))
    intro = (
        f"## {method} and {baseline} in the suite {SUITE}\n\n{seeds} seeds, paired; t-intervals, "
        "not adjusted for multiple comparisons. Above and below mean that the interval excludes 0."
    )
    return "\n".join([QUICK_BEGIN, "", intro, "", *lines, "", *(f"- {v}" for v in verdicts), "", QUICK_END])


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
    panels = alt.layer(bars, dots, data=shown).properties(width=330, height=210)
    header = alt.Header(title=None, labelFontSize=14, labelFontWeight="bold")
    return panels.facet(facet=alt.Facet("dataset:N", header=header), columns=2).configure(
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
    replace(ROOT / "README.md", section(records, table), BEGIN, END)
    gradients = pd.read_csv(store.leaderboards / "gradients.csv")
    replace(ROOT / "docs" / "gradients.md", gradients_section(gradients), QUICK_BEGIN, QUICK_END)


def replace(file: Path, section: str, begin: str, end: str) -> None:
    """Put the section in the place of what is between two markers, these included."""
    text = file.read_text(encoding="utf-8")
    before, after = text[: text.index(begin)], text[text.index(end) + len(end) :]
    file.write_text(before + section + after, encoding="utf-8")


if __name__ == "__main__":
    main()
