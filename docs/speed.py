"""Draws docs/speed.svg and writes the tables of docs/speed.md: `python docs/speed.py`.

The figure is of the CPU that was measured last; tables are of every machine. Everything between the two
markers is replaced; nothing there is typed by hand. The figures are those in results/performance, or in a
folder that is named.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "results" / "performance"
PAGE, FIGURE = ROOT / "docs" / "speed.md", ROOT / "docs" / "speed.svg"
BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"
STEP = r"^training step, (?P<network>.+), T = (?P<T>\d+)$"
COLOURS = {
    "spikegrad, compile = off": "#f2a7a0",
    "spikegrad, compile = neuron": "#d1495b",
    "spikegrad, compile = step": "#8c1c2e",
    "snntorch": "#30638e",
    "norse": "#7a9e7e",
    "spikingjelly": "#c9a227",
    "spikingjelly, compiled": "#8a6d0b",
    "ReLU, compiled": "#8d8d8d",
}


def step_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Training steps relative to ReLU's, with the columns `network` and `T`."""
    found = table["what"].str.extract(STEP)
    rows = table.assign(**found)[found["T"].notna() & (table["against"] == "ReLU") & table["budget"].isna()]
    return rows.assign(T=rows["T"].astype(int))


def picture(rows: pd.DataFrame) -> alt.HConcatChart:
    """A panel a network: a group a number of time steps, a bar a subject, its quartiles across it."""
    known = [name for name in COLOURS if name in set(rows["subject"])]
    colour = alt.Color(
        "subject:N",
        scale=alt.Scale(domain=known, range=[COLOURS[name] for name in known]),
        legend=alt.Legend(title=None, orient="bottom", columns=4, labelLimit=300),
    )
    top = float(rows["high"].fillna(rows["value"]).max()) * 1.02
    y = alt.Y(
        "value:Q",
        title="training step, ReLU on T·B inputs = 1",
        scale=alt.Scale(domain=[0, top]),
    )
    panels = []
    for network, part in rows.groupby("network", sort=False):
        base = alt.Chart(part).encode(
            x=alt.X("T:O", title="time steps T", axis=alt.Axis(labelAngle=0)),
            xOffset=alt.XOffset("subject:N", sort=known, scale=alt.Scale(domain=known)),
        )
        bars = base.mark_bar().encode(y=y, color=colour)
        ticks = base.mark_rule(color="#222222").encode(y=alt.Y("low:Q"), y2="high:Q")
        one = alt.Chart(pd.DataFrame({"floor": [1.0]})).mark_rule(strokeDash=[4, 3]).encode(y="floor:Q")
        width = 40 + 95 * part["T"].nunique()
        panels.append(alt.layer(bars, ticks, one).properties(width=width, height=230, title=str(network)))
    return alt.hconcat(*panels).configure(font="sans-serif", background="white")


def section(table: pd.DataFrame, environments: dict[str, dict]) -> str:
    """The Markdown of one machine: its budgets, and what it is."""
    held = table[table["limit"].notna()]
    lines = []
    for budget, rows in held.groupby("budget", sort=False):
        lines += [f"### {budget}", ""]
        lines += [
            "| what | subject | against | measured | quartiles | limit | |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in rows.itertuples():
            unit = unit_of(row)
            quartiles = "–" if pd.isna(row.low) else f"{row.low:.2f} to {row.high:.2f}"
            against = "–" if pd.isna(row.against) else row.against
            lines.append(
                f"| {row.what} | {row.subject} | {against} | {row.value:.2f} {unit} | {quartiles} "
                f"| {limit_of(row)} | {'met' if row.met else 'missed'} |"
            )
        lines.append("")
    return "\n".join([*summary(held), "", *measured_on(environments), "", *lines]).rstrip()


def summary(held: pd.DataFrame) -> list[str]:
    """A line a budget: what it allows, and what was measured, over all that is held against it."""
    lines = ["| budget | limit | measured | kept |", "|---|---|---|---|"]
    for budget, rows in held.groupby("budget", sort=False):
        first, low, high = rows.iloc[0], rows["value"].min(), rows["value"].max()
        measured = f"{low:.2f}" if len(rows) == 1 else f"{low:.2f} to {high:.2f}"
        met = int(rows["met"].astype(bool).sum())
        kept = {0: "no", len(rows): "yes"}.get(met, f"in {met} of {len(rows)}")
        lines.append(f"| {budget} | {limit_of(first)} | {measured} {unit_of(first)} | {kept} |")
    return lines


def unit_of(row: Any) -> str:
    """As it is printed."""
    return {"x": "×"}.get(row.unit, row.unit)


def limit_of(row: Any) -> str:
    """What the budget of a figure allows."""
    return f"{'≤' if row.sense == 'at most' else '≥'} {row.limit:g} {unit_of(row)}"


def measured_on(environments: dict[str, dict]) -> list[str]:
    """Machine and versions, a line each run that the figures are from."""
    said = []
    for made, facts in environments.items():
        where = facts["gpu"]["name"] if facts["gpu"] else f"{facts['cpu']}, {facts['threads']} thread"
        names = ("torch", "snntorch", "norse", "spikingjelly")
        versions = ", ".join(f"{name} {facts['packages'].get(name) or 'not installed'}" for name in names)
        said.append(f"- {made[:10]}: {where}, {facts['system']}, Python {facts['python']}, {versions}.")
    return list(dict.fromkeys(said))


def machine(environments: dict[str, dict]) -> str:
    """What was measured: a GPU, or else a CPU."""
    facts = next(iter(environments.values()))
    return facts["gpu"]["name"] if facts["gpu"] else facts["cpu"]


def drawn(tables: list[pd.DataFrame]) -> pd.DataFrame | None:
    """Of tables, the last measured first, what the figure shows; a GPU's have no ratios to ReLU in them."""
    return next((rows for rows in map(step_ratios, tables) if not rows.empty), None)


def main(folder: Path) -> None:
    """Write the figure, and a section for every machine."""
    files = sorted(folder.glob("*.csv"), key=lambda file: pd.read_csv(file)["measured"].max(), reverse=True)
    if not files:
        sys.exit(f"no figures in {folder}: `tox run -e perf -- --performance {folder}` makes them")
    tables, parts = [pd.read_csv(file) for file in files], []
    for file, table in zip(files, tables, strict=True):
        environments = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        parts += [f"## {machine(environments)}", "", section(table, environments), ""]
    shown, rows = "", drawn(tables)
    if rows is not None:
        picture(rows).save(FIGURE)
        shown = f"![Training step of each neuron relative to the same network with ReLU]({FIGURE.name})\n\n"
    text = PAGE.read_text(encoding="utf-8")
    before = text[: text.index(BEGIN)].rstrip() + "\n"
    after = text[text.index(END) + len(END) :].strip("\n")
    body = f"{before}\n{BEGIN}\n\n{shown}" + "\n".join(parts).rstrip() + f"\n\n{END}\n"
    PAGE.write_text(body + (f"\n{after}\n" if after else ""), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
