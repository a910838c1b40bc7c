"""`spikegrad advise`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import BenchError, counted
from bench.show.terminal import Json, ResultsFolder, console, print_json

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

Layers = Annotated[int, typer.Option("--layers", min=1, help="The number of spiking layers of your network.")]
Steps = Annotated[int, typer.Option("--timesteps", min=1, help="The number of time steps.")]
Recurrent = Annotated[bool, typer.Option("--recurrent", help="The network is recurrent.")]
Threshold = Annotated[
    float, typer.Option("--threshold", min=1e-6, help="The firing threshold of your neurons.")
]
Suites = Annotated[
    list[str] | None,
    typer.Option("--suite", help="With --results: suites that sweep widths; repeatable. [default: all]"),
]


def advise(
    layers: Layers = 8,
    timesteps: Steps = 4,
    recurrent: Recurrent = False,
    threshold: Threshold = 1.0,
    results: ResultsFolder = None,
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
    like = widths.nearest(found, layers, timesteps, recurrent=recurrent)
    if as_json:
        print_json(_as_json(ranked, like, found, threshold))
        return
    _show(console(), ranked, like, found, threshold, f"{counted(layers, 'spiking layer')}, T = {timesteps}")


def _shipped() -> pd.DataFrame:
    import pandas as pd

    from bench.paths import shipped_widths

    return pd.read_csv(shipped_widths())


def _own(results: Path, suites: list[str] | None) -> pd.DataFrame:
    from bench.paths import TRIALS
    from bench.records.store import Store, trial_store
    from bench.tables import widths

    names = suites or sorted(
        folder.name for folder in (results / "runs").glob("*") if not folder.name.endswith(TRIALS)
    )
    stores = [Store(results, name) for name in names]
    found = widths.widths(
        [record for store in stores for record in store.records()],
        [record for store in stores for record in trial_store(store).records()],
    )
    if found.empty:
        raise BenchError(
            f"no suite in {results} has a fixed shape at {widths.FEWEST} widths or more: run one such as "
            "scale-and-depth, or leave --results out to use the shipped measurements"
        )
    return found


def _argument(library: str, ranked: pd.DataFrame, threshold: float) -> str:
    """How a library makes the best shape that it has."""
    from bench.tables.library_arguments import ARGUMENTS

    of = ARGUMENTS[library]
    mine = ranked[ranked["method"].isin(of)]
    if mine.empty:
        return "has none of these shapes at a width of your choice: use bench.neuron"
    method, mean = str(mine.iloc[0]["method"]), float(mine.iloc[0]["mean"])
    width = float(mine.iloc[0]["width"])
    argument = of[method]
    higher = argument.height(width * threshold)
    notes = [f"it has no {ranked.iloc[0]['method']}; this is {method} at {width:g}, {mean:.1f} behind"] * (
        method != ranked.iloc[0]["method"]
    )
    notes += [f"its gradient is {higher:.2g} times as high"] * (higher != 1)
    return argument.text(width * threshold) + f"  ({'; '.join(notes)})" * bool(notes)


def _as_json(ranked: pd.DataFrame, like: pd.DataFrame, found: pd.DataFrame, threshold: float) -> Any:
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
            "arguments": {library: _argument(library, ranked, threshold) for library in ARGUMENTS},
        },
        "ranked": _lines(ranked),
        "most_like_yours": _lines(like),
    }


def _lines(table: pd.DataFrame) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = table.astype(object).where(table.notna(), None).to_dict("records")  # type: ignore[assignment]
    return lines


def _show(
    out: Console, ranked: pd.DataFrame, like: pd.DataFrame, found: pd.DataFrame, threshold: float, yours: str
) -> None:
    from bench.show.terminal_table import print_table
    from bench.tables import widths
    from bench.tables.library_arguments import ARGUMENTS

    def say(text: str) -> None:
        out.print(text, markup=False, highlight=False)

    first = ranked.iloc[0]
    method, width = str(first["method"]), float(first["width"])
    settings = counted(found["setting"].nunique(), "setting")
    say(
        f"Take {method}, with a full width at half maximum of {width:g} × the threshold: "
        f"{width * threshold:g} at a threshold of {threshold:g}."
    )
    say(
        f"In {settings} it was {first['mean']:.1f} points of validation accuracy behind the best shape and "
        f"width on average, and {first['worst']:.1f} at most.\n"
    )
    say(f"  spikegrad-bench  {method}, width = {width * threshold:.4g}")
    for library in ARGUMENTS:
        say(f"  {library:15}  {_argument(library, ranked, threshold)}")
    say("  in any network   docs/your-own-loop.md\n")
    most = like.iloc[0]
    say(
        f"Most like yours ({yours}) is {most['setting']}, "
        f"of {counted(int(most['layers']), 'spiking layer')}. "
        f"Points behind the best there, by width in thresholds ({most['measure']}, "
        f"{counted(int(like['n'].max()), 'seed')}):\n"
    )
    columns = sorted(like["width"].unique())
    lines = []
    for shape in like.sort_values("loss")["method"].unique():
        own = {row["width"]: row for row in _lines(like) if row["method"] == shape}
        lines.append([shape, *(_loss(own.get(each)) for each in columns)])
    print_table(out, ["method", *(f"{each:.3g}" for each in columns)], lines, words=["method"])
    taken = widths.at(like, method, width)
    if taken is not None and taken["loss_ci_high"] == taken["loss_ci_high"]:
        ends = f"[{taken['loss_ci_low']:+.1f}, {taken['loss_ci_high']:+.1f}]"
        say(
            f"There, {method} at {width:g} is {taken['loss']:.1f} {ends} points behind "
            "(95 %, paired by seed)."
        )
    say(
        "The trainings were short and the networks small. If yours does not learn, look at its gradient "
        "first: bench.probe, in docs/your-own-loop.md."
    )


def _loss(row: dict[str, Any] | None) -> str:
    return "" if row is None else f"{row['loss']:.1f}"
