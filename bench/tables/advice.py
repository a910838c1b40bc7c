"""The words of an advice on the surrogate to take, for `spikegrad advise` and the page of all reports."""

from __future__ import annotations

import pandas as pd

from bench.errors import counted
from bench.tables import widths
from bench.tables.library_arguments import ARGUMENTS


def take(ranked: pd.DataFrame, threshold: float) -> str:
    """Which shape and width to take. ranked: as of `widths.by_loss`. threshold: of the neurons."""
    width = float(ranked.iloc[0]["width"])
    times = "equal to the threshold" if width == 1 else f"of {width:g} times the threshold"
    return (
        f"Take {ranked.iloc[0]['method']}, with a full width at half maximum {times}: "
        f"{width * threshold:g} at a threshold of {threshold:g}."
    )


def behind(ranked: pd.DataFrame, found: pd.DataFrame) -> str:
    """How far it was behind the best, and whether the shape matters. found: as of `widths.widths`."""
    first = ranked.iloc[0]
    alike, known = widths.within_noise(found)
    matters = (
        f" The width matters more than the shape: in {alike} of the {counted(known, 'setting')} with three "
        "seeds or more, no shape at its best width can be told from the best one."
    )
    settings = counted(found["setting"].nunique(), "setting")
    return (
        f"In {settings} it was {first['mean']:.1f} points of validation accuracy behind the best shape and "
        f"width on average, and {first['worst']:.1f} at most.{matters * bool(known)}"
    )


def argument(library: str, ranked: pd.DataFrame, threshold: float) -> str:
    """How a library of `ARGUMENTS` makes the best shape that it has."""
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
