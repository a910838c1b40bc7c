"""`spikegrad advise`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import BenchError, counted
from bench.show.terminal import Json, console, print_json, say

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

Layers = Annotated[
    int | None, typer.Option("--layers", min=1, help="The number of spiking layers of your network.")
]
Steps = Annotated[int | None, typer.Option("--timesteps", min=1, help="The number of time steps.")]
Recurrent = Annotated[bool, typer.Option("--recurrent", help="The network is recurrent.")]
Threshold = Annotated[
    float, typer.Option("--threshold", min=1e-6, max=1e6, help="The firing threshold of your neurons.")
]
Results = Annotated[
    Path | None,
    typer.Option("--results", help="Use the results in this folder, not the shipped measurements."),
]
Suites = Annotated[
    list[str] | None,
    typer.Option("--suite", help="With --results: suites that sweep widths; repeatable. [default: all]"),
]


LAYERS, STEPS = 8, 4
"""Of a network of which nothing is said."""


def advise(
    layers: Layers = None,
    timesteps: Steps = None,
    recurrent: Recurrent = False,
    threshold: Threshold = 1.0,
    results: Results = None,
    suite: Suites = None,
    as_json: Json = False,
) -> None:
    """Say which surrogate to take, at which width, and what others would cost, from measured results.

    The shipped measurements are used, or those of --results. docs/choosing.md explains them.
    """
    from bench.tables import widths

    if suite and results is None:
        raise BenchError("--suite names suites of --results: give both")
    found = _shipped() if results is None else _own(results, suite)
    ranked = widths.by_loss(found)
    if ranked.empty:
        raise BenchError(
            f"the settings in {results} have no shape and width in common: name some suites with --suite"
        )
    asked = (layers or LAYERS, timesteps or STEPS)
    like = widths.nearest(found, *asked, recurrent=recurrent)
    if as_json:
        print_json(_as_json(ranked, like, found, threshold))
        return
    yours = ", ".join(
        words + ", as you gave none" * (given is None)
        for words, given in (
            (counted(asked[0], "spiking layer"), layers),
            (f"T = {asked[1]}", timesteps),
        )
    )
    _show(console(), ranked, like, found, threshold, yours)


def _shipped() -> pd.DataFrame:
    import pandas as pd

    from bench.paths import shipped_widths

    return pd.read_csv(shipped_widths())


def _own(results: Path, suites: list[str] | None) -> pd.DataFrame:
    from bench.paths import TRIALS
    from bench.records.store import Store, trial_store
    from bench.tables import widths

    if not (results / "runs").is_dir():
        raise BenchError(f"{results} is no results folder: it has no folder runs")
    names = suites or sorted(
        folder.name for folder in (results / "runs").glob("*") if not folder.name.endswith(TRIALS)
    )
    if unknown := [name for name in names if not (results / "runs" / name).is_dir()]:
        raise BenchError(f"--suite {unknown[0]}: there is no such suite in {results / 'runs'}")
    stores = [Store(results, name) for name in names]
    found = widths.widths(
        [record for store in stores for record in store.records()],
        [record for store in stores for record in trial_store(store).records()],
    )
    if found.empty:
        asked = f"none of the suites {', '.join(suites)}" if suites else f"no suite in {results}"
        raise BenchError(
            f"{asked} has a fixed shape at {widths.FEWEST} widths or more: run one such as "
            "scale-and-depth, or leave --results out to use the shipped measurements"
        )
    return found


def _as_json(ranked: pd.DataFrame, like: pd.DataFrame, found: pd.DataFrame, threshold: float) -> Any:
    from bench.tables import advice
    from bench.tables.library_arguments import ARGUMENTS

    first = ranked.iloc[0]
    width = float(first["width"])
    return {
        "take": {
            "method": first["method"],
            "width_in_thresholds": width,
            "width": width * threshold,
            "mean_loss": float(first["mean"]),
            "worst_loss": float(first["worst"]),
            "settings": int(found["setting"].nunique()),
            "arguments": {library: advice.argument(library, ranked, threshold) for library in ARGUMENTS},
        },
        "ranked": _lines(ranked),
        "most_like_yours": _lines(like),
    }


def _lines(table: pd.DataFrame) -> list[dict[str, Any]]:
    table = table.round(4)
    lines: list[dict[str, Any]] = table.astype(object).where(table.notna(), None).to_dict("records")  # type: ignore[assignment]
    return lines


def _show(
    out: Console, ranked: pd.DataFrame, like: pd.DataFrame, found: pd.DataFrame, threshold: float, yours: str
) -> None:
    from bench.show.terminal_table import print_table
    from bench.tables import advice, widths
    from bench.tables.library_arguments import ARGUMENTS

    first, best = ranked.iloc[0], like.sort_values("val_accuracy").iloc[-1]
    method, width = str(first["method"]), float(first["width"])
    lines = [
        advice.take(ranked, threshold),
        advice.behind(ranked, found),
        "",
        f"  spikegrad-bench  {method}, width = {width * threshold:.4g}",
        *(f"  {library:15}  {advice.argument(library, ranked, threshold)}" for library in ARGUMENTS),
        "  in any network   docs/your-own-loop.md",
        "",
        f"Most like yours ({yours}) is {best['setting']}, "
        f"of {counted(int(best['layers']), 'spiking layer')}: {best['train_samples']:,} samples, "
        f"{counted(int(best['epochs']), 'epoch')}, {counted(int(like['n'].max()), 'seed')}, "
        f"at best {best['accuracy']:.1f} %. Points behind that, by width in thresholds ({best['measure']}):",
        "",
    ]
    say(out, "\n".join(lines))
    columns = sorted(like["width"].unique())
    rows = []
    for shape in like.sort_values("loss")["method"].unique():
        own = {row["width"]: f"{row['loss'] + 0.0:.1f}" for row in _lines(like) if row["method"] == shape}
        rows.append([shape, *(own.get(each, "") for each in columns)])
    print_table(out, ["method", *(f"{each:.3g}" for each in columns)], rows, words=["method"])
    taken = widths.at(like, method, width)
    if taken is not None and not math.isnan(taken["loss_ci_high"] or math.nan):
        say(
            out,
            f"There, {method} at {taken['width']:.3g} is {taken['loss']:.1f} points behind, with an interval "
            f"from {taken['loss_ci_low']:.1f} to {taken['loss_ci_high']:.1f} (95 %, paired by seed).",
        )
    say(
        out,
        "The trainings were short and the networks small: docs/choosing.md. If yours does not learn, look at "
        "its gradient first, with bench.probe: docs/your-own-loop.md.",
    )
