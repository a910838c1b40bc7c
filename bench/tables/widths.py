"""How much the width of a surrogate costs, by network: what `spikegrad advise` and docs/choosing.md say.

A *setting* is a task in which fixed shapes were trained at several widths. Widths are in units of the
threshold, so that they can be carried to other networks. The best row of a setting has the highest mean
validation accuracy; test data chooses nothing. The loss of a row is the accuracy of the best minus its own.
"""

from __future__ import annotations

import math
from collections import defaultdict
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
    return pd.DataFrame(made, columns=[*COLUMNS])


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


Key = tuple[str, float]


def _settings(records: Iterable[Record]) -> dict[tuple[Any, ...], dict[Key, list[Record]]]:
    """By setting, and in it by shape and width, the records of runs that went well."""
    found: dict[tuple[Any, ...], dict[Key, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        cell = record["cell"]
        width = cell["method"]["params"].get("width")
        if record["status"] != OK or cell["method"]["name"] not in SHAPES or not width:
            continue
        if cell["method"]["params"].get("height") is not None:
            continue
        backbone = cell["backbone"]
        detached = ", reset detached" if backbone["detach_reset"] else ""
        name = f"{cell['dataset']['name']} on {backbone['name']}, T = {cell['timesteps']}{detached}"
        setting = (name, record["metrics"]["spiking_layers"], cell["timesteps"], backbone["name"] == "rsnn")
        found[setting][(cell["method"]["name"], width / backbone["threshold"])].append(record)
    return {
        setting: rows
        for setting, rows in found.items()
        if max(sum(name == shape for name, _ in rows) for shape in SHAPES) >= FEWEST
    }


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
