"""How much the width of a surrogate costs, by network: what `spikegrad advise` and docs/choosing.md say.

A *setting* is a task, with its data, network and recipe, in which fixed shapes were trained at several
widths. Widths are in units of the threshold, so that they can be carried to other networks. The best row of a
setting has the highest mean validation accuracy; test data chooses nothing. The loss of a row is the accuracy
of the best minus its own.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.records.record_files import Record
from bench.records.store import OK
from bench.tables.statistics import paired

SHAPES = ("rectangle", "triangle", "arctan", "fast-sigmoid", "sigmoid", "gaussian")
COLUMNS = (
    "setting",
    "layers",
    "timesteps",
    "recurrent",
    "train_samples",
    "epochs",
    "measure",
    "method",
    "width",
    "n",
    "accuracy",
    "val_accuracy",
    "loss",
    "loss_ci_low",
    "loss_ci_high",
    "val_loss",
    "available_fraction",
)
RECURRENT = ("rsnn",)
FEWEST = 3
"""The fewest widths of a shape in a setting that says something about widths."""
ONE_RATE, BEST_RATE = "test accuracy", "validation accuracy at the best learning rate"
"""Values of `measure`."""


def widths(runs: Iterable[Record], trials: Iterable[Record] = ()) -> pd.DataFrame:
    """A row per setting, shape and width, with COLUMNS.

    runs: `accuracy` is that of the test set. trials: of tuning, which have no test accuracy; `accuracy` is
    that of the validation set, at the learning rate that is best for this width. Accuracies, losses and their
    95 % t-intervals, paired by seed, are in percentage points; intervals need 3 seeds. width: in thresholds.
    """
    made = [
        line
        for measure, records in ((ONE_RATE, runs), (BEST_RATE, trials))
        for setting, of in _settings(records).items()
        for line in _lines(setting, measure, of)
    ]
    return pd.DataFrame(made, columns=[*COLUMNS]).round(4)


def by_loss(found: pd.DataFrame) -> pd.DataFrame:
    """The shapes and widths that every setting has, by their mean loss of validation accuracy.

    Columns: method, width (a power of two: settings need not have the same ones), mean, worst (the largest
    loss in a setting). The best comes first.
    """
    near = found.assign(width=2.0 ** np.log2(found["width"]).round())
    least = near.groupby(["setting", "method", "width"])["val_loss"].min().reset_index()
    losses = least.groupby(["method", "width"])["val_loss"].agg(mean="mean", worst="max", count="count")
    everywhere = losses[losses["count"] == found["setting"].nunique()].drop(columns="count")
    ranked: pd.DataFrame = everywhere.sort_values("mean").reset_index()
    return ranked


def nearest(found: pd.DataFrame, layers: int, timesteps: int, *, recurrent: bool = False) -> pd.DataFrame:
    """The rows of the setting that is most like a network.

    The number of spiking layers counts most: a factor of two there is as far as a factor of eight in time
    steps, as width depends on depth more than on time. A recurrent setting stands for recurrent networks
    alone.
    """
    alike = found[found["recurrent"] == recurrent]
    if alike.empty:
        alike = found
    away = np.log2(alike["layers"] / layers).abs() + np.log2(alike["timesteps"] / timesteps).abs() / 3
    rows: pd.DataFrame = found[found["setting"] == alike.loc[away.idxmin(), "setting"]]
    return rows


def at(rows: pd.DataFrame, method: str, width: float) -> pd.Series | None:
    """The row of a setting with this shape and the nearest width, if that is within a factor of 1.5."""
    own = rows[rows["method"] == method]
    if own.empty:
        return None
    away = np.log2(own["width"] / width).abs()
    return own.loc[away.idxmin()] if away.min() <= math.log2(1.5) else None


def within_noise(found: pd.DataFrame) -> tuple[int, int]:
    """In how many settings no shape, at its best width, can be told from the best one; and in how many.

    By unadjusted intervals: adjusted ones tell fewer apart. Settings without intervals do not count.
    """
    chosen = found.loc[found.groupby(["setting", "method"])["val_accuracy"].idxmax()]
    behind = chosen[chosen["val_loss"] > 0]
    known = behind[behind["loss_ci_low"].notna()]
    told = known[known["loss_ci_low"] > 0]
    return known["setting"].nunique() - told["setting"].nunique(), known["setting"].nunique()


Key = tuple[str, float]


def _settings(records: Iterable[Record]) -> dict[tuple[Any, ...], dict[Key, list[Record]]]:
    """By setting, and in it by shape and width, the records of runs that went well.

    A setting is (name, layers, timesteps, recurrent, train_samples, epochs); no two have one name.
    """
    found: dict[str, dict[Key, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        cell, params = record["cell"], record["cell"]["method"]["params"]
        plain = params.get("width") and params.get("height") is None
        if record["status"] == OK and cell["method"]["name"] in SHAPES and plain:
            # The learning rate is left out: trials of one setting vary it.
            recipe = {key: value for key, value in cell["recipe"].items() if key != "learning_rate"}
            parts = [cell["dataset"], cell["backbone"], cell["timesteps"], recipe]
            key = (cell["method"]["name"], params["width"] / cell["backbone"]["threshold"])
            found[json.dumps(parts, sort_keys=True)][key].append(record)
    made: dict[tuple[Any, ...], dict[Key, list[Record]]] = {}
    names = Counter[str]()
    for rows in found.values():
        if max(sum(name == shape for name, _ in rows) for shape in SHAPES) < FEWEST:
            continue
        first = next(iter(rows.values()))[0]
        name = _name(first["cell"])
        names[name] += 1
        number = f" ({names[name]})" * (names[name] > 1)
        metrics, cell = first["metrics"], first["cell"]
        size = (metrics["train_samples"], cell["recipe"]["epochs"])
        recurrent = cell["backbone"]["name"] in RECURRENT
        made[name + number, metrics["spiking_layers"], cell["timesteps"], recurrent, *size] = rows
    return made


def _name(cell: Mapping[str, Any]) -> str:
    backbone = cell["backbone"]
    width = f" (width {backbone['width']:g})" * (backbone["width"] != 1)
    detached = ", reset detached" * backbone["detach_reset"]
    return f"{cell['dataset']['name']} on {backbone['name']}{width}, T = {cell['timesteps']}{detached}"


def _lines(
    setting: tuple[Any, ...], measure: str, rows: Mapping[Key, list[Record]]
) -> Iterable[dict[str, Any]]:
    chosen = {key: _best_rate(records) for key, records in rows.items()}
    means = {key: _mean(records, "val_accuracy") for key, records in chosen.items()}
    top = max(means, key=lambda key: means[key])
    metric = "test_accuracy" if measure == ONE_RATE else "val_accuracy"
    for key in sorted(chosen):
        line = dict(zip(COLUMNS, (*setting, measure, *key, len(chosen[key])), strict=False))
        seeds = [{r["cell"]["seed"]: r["metrics"][metric] for r in chosen[each]} for each in (top, key)]
        common = sorted(seeds[0].keys() & seeds[1].keys())
        loss = paired(*(np.array([of[seed] for seed in common], dtype=float) for of in seeds))
        ends = (loss.low, loss.high) if len(common) >= FEWEST and key != top else (None, None)
        line |= {"accuracy": _mean(chosen[key], metric), "val_accuracy": means[key], "loss": loss.mean}
        line |= {"loss_ci_low": ends[0], "loss_ci_high": ends[1], "val_loss": means[top] - means[key]}
        yield line | {"available_fraction": _mean(chosen[key], "available_fraction")}


def _best_rate(records: list[Record]) -> list[Record]:
    """Those of the learning rate with the highest mean validation accuracy."""
    by_rate: dict[float, list[Record]] = defaultdict(list)
    for record in records:
        by_rate[record["cell"]["recipe"]["learning_rate"]].append(record)
    return max(by_rate.values(), key=lambda of: _mean(of, "val_accuracy"))


def _mean(records: list[Record], metric: str) -> float:
    values = [record["metrics"].get(metric) for record in records]
    return float(np.mean(values)) if None not in values else math.nan
