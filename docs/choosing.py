"""Writes results/leaderboards/widths.csv, and the tables of docs/choosing.md: `python docs/choosing.py`.

Every number in those tables comes from the records in results/; nothing is typed by hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bench.records.store import Store, trial_store
from bench.tables.library_arguments import ARGUMENTS
from bench.tables.widths import at, by_loss, widths, within_noise

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "choosing.md"
FILE = ROOT / "results" / "leaderboards" / "widths.csv"
RUNS, TRIALS = "scale-and-depth", "fair-small"
THRESHOLDS = (1.0, 0.5)
USUAL = 2.0
"""The width of the usual rectangle, in thresholds."""


def measured(results: Path) -> pd.DataFrame:
    """The measurements of widths in a results folder."""
    trials = trial_store(Store(results, TRIALS)).records()
    return widths(Store(results, RUNS).records(), trials)


def parts(found: pd.DataFrame, pairs: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """The name and the text of each generated part of the page."""
    ranked = by_loss(found)
    yield "answer", answer(ranked, found)
    yield "arguments", arguments(ranked)
    yield "losses", losses(ranked)
    yield "settings", settings(ranked, found)
    yield "adaptive", adaptive(pairs)


def answer(ranked: pd.DataFrame, found: pd.DataFrame) -> str:
    """The first sentence."""
    first = ranked.iloc[0]
    usual = ranked[(ranked["method"] == "rectangle") & (ranked["width"] == USUAL)].iloc[0]
    narrow, wide = (
        ranked[(ranked["method"] == "rectangle") & (ranked["width"] == width)].iloc[0] for width in (0.5, 8.0)
    )
    alike, known = within_noise(found)
    return (
        f"**Take {first['method']} with a full width at half maximum of {first['width']:g} times the "
        f"threshold.** In {found['setting'].nunique()} settings it is {first['mean']:.1f} points of "
        f"validation accuracy behind the best shape and width on average, and {first['worst']:.1f} at most. "
        f"The usual rectangle, as wide as {USUAL:g} thresholds, is {usual['mean']:.1f} behind on average and "
        f"{usual['worst']:.1f} at most; a rectangle of half a threshold is up to {narrow['worst']:.0f} "
        f"points behind, and one of eight thresholds up to {wide['worst']:.0f}. The width matters more than "
        f"the shape: in {alike} of the {known} settings with three seeds, no shape at its best width can be "
        f"told from the best one."
    )


def arguments(ranked: pd.DataFrame) -> str:
    """Of each shape, at its best width, how the libraries make it."""
    lines = []
    for _, best in ranked.groupby("method", sort=False).head(1).iterrows():
        for library, of in ARGUMENTS.items():
            if best["method"] not in of:
                continue
            argument = of[best["method"]]
            calls = [f"`{argument.text(best['width'] * threshold)}`" for threshold in THRESHOLDS]
            high = [f"{argument.height(best['width'] * threshold):.2g}" for threshold in THRESHOLDS]
            lines.append(
                [best["method"], f"{best['width']:g}", library, *calls, " and ".join(dict.fromkeys(high))]
            )
    heads = ["shape", "width / threshold", "library", *(f"threshold {t:g}" for t in THRESHOLDS), "height"]
    return table(heads, lines)


def losses(ranked: pd.DataFrame) -> str:
    """Every shape and width, by mean loss."""
    return table(
        ["shape", "width / threshold", "behind the best, mean", "at most"],
        [
            [row["method"], f"{row['width']:g}", f"{row['mean']:.1f}", f"{row['worst']:.1f}"]
            for _, row in ranked.iterrows()
        ],
    )


def settings(ranked: pd.DataFrame, found: pd.DataFrame) -> str:
    """Each setting: its best shape and width, and what the recommended one loses there."""
    first = ranked.iloc[0]
    lines = []
    for setting, rows in found.groupby("setting", sort=False):
        best = rows.loc[rows["val_accuracy"].idxmax()]
        own = at(rows, first["method"], first["width"])
        interval = "best" if own is None or own.name == best.name else f"{own['loss']:.1f}"
        if own is not None and pd.notna(own["loss_ci_low"]):
            interval += f" [{own['loss_ci_low']:.1f}, {own['loss_ci_high']:.1f}]"
        shapes = rows.loc[rows.groupby("method")["val_accuracy"].idxmax()]
        wide = f"{shapes['width'].min():.3g} to {shapes['width'].max():.3g}"
        size = f"{best['train_samples']:,} × {best['epochs']}"
        names = [setting, str(best["layers"]), size, f"{best['method']}, {best['width']:.3g}", wide, interval]
        lines.append([*map(str, names), f"{best['measure']}, {best['n']} seeds"])
    heads = [
        "setting",
        "spiking layers",
        "samples × epochs",
        "best: shape, width",
        "best width of each shape",
    ]
    return table([*heads, f"{first['method']} at {first['width']:g} is behind by", "measured by"], lines)


def adaptive(pairs: pd.DataFrame) -> str:
    """MPD-AGL against the best width of each fixed shape, with the interval that decides."""
    lines = []
    for row in pairs.to_dict("records"):
        names, sign = [row["method"], row["other_method"]], 1
        if "mpd-agl" not in names:
            continue
        if names[0] != "mpd-agl":
            names, sign = names[::-1], -1
        ends = sorted((sign * row["ci_low"], sign * row["ci_high"]))
        detached = ", reset detached" * ("detach_reset=true" in str(row["variant"]))
        setting = f"{row['dataset']} on {row['backbone']}, T = {row['timesteps']}{detached}"
        difference = f"{sign * row['difference']:+.1f} [{ends[0]:+.1f}, {ends[1]:+.1f}]"
        lines.append([setting, names[1], difference])
    shapes = list(dict.fromkeys(line[1] for line in lines))
    by_setting: dict[str, dict[str, str]] = {}
    for setting, shape, difference in lines:
        by_setting.setdefault(setting, {})[shape] = difference
    return table(
        ["mpd-agl minus …", *shapes],
        [[setting, *(of.get(shape, "") for shape in shapes)] for setting, of in by_setting.items()],
    )


def table(heads: Sequence[str], lines: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def written(page: str, made: Iterator[tuple[str, str]]) -> str:
    """The page with its generated parts."""
    for name, text in made:
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}"
    return page


def main() -> None:
    """Write both files."""
    results = ROOT / "results"
    found = measured(results)
    FILE.write_text(found.to_csv(index=False), encoding="utf-8")
    pairs = pd.read_csv(Store(results, RUNS).leaderboards / "pairs.csv")
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), parts(found, pairs)), encoding="utf-8")


if __name__ == "__main__":
    main()
