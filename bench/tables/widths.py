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
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.errors import BenchError
from bench.records import protocol
from bench.records.record_files import Record
from bench.records.store import FAILED, OK
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
NUMBERS: Mapping[str, type] = {
    **dict.fromkeys(("layers", "timesteps", "train_samples", "epochs", "n"), int),
    **dict.fromkeys(("width", "accuracy", "val_accuracy", "loss", "val_loss"), float),
    **dict.fromkeys(("loss_ci_low", "loss_ci_high", "available_fraction"), float),
}
"""Columns of numbers. Those of whole numbers are never empty."""
RECURRENT = ("rsnn",)
FEWEST = 3
"""The fewest widths of a shape in a setting that says something about widths."""
ONE_RATE, BEST_RATE = "test accuracy", "validation accuracy at the best learning rate"
"""Values of `measure`."""


def widths(runs: Iterable[Record], trials: Iterable[Record] = ()) -> pd.DataFrame:
    """A row per setting, shape and width, with COLUMNS.

    runs: `accuracy` is that of the test set. trials: of tuning, which have no test accuracy; `accuracy` is
    that of the validation set, at the learning rate that is best for this width. Failed and diverged runs
    count as chance, records of another version of the protocol not at all. Accuracies, losses and their 95 %
    t-intervals, paired by seed, are in percentage points; intervals need 3 seeds. width: in thresholds.
    """
    names = Counter[str]()
    made = [
        line
        for measure, records in ((ONE_RATE, runs), (BEST_RATE, trials))
        for setting, of in _settings(records, names).items()
        for line in _lines(setting, measure, of)
    ]
    return pd.DataFrame(made, columns=[*COLUMNS]).round(4)


def read(file: Path) -> pd.DataFrame:
    """The rows that are kept in a file. Raises BenchError if it is no such table."""
    try:
        found = pd.read_csv(file, dtype=NUMBERS)
    except (OSError, ValueError) as problem:
        raise BenchError(f"{file} cannot be read ({problem}): put a table of widths there, or none") from None
    if missing := [name for name in COLUMNS if name not in found.columns]:
        raise BenchError(f"{file} lacks the column {missing[0]}: put a table of widths there, or none")
    return found


def by_loss(found: pd.DataFrame) -> pd.DataFrame:
    """The shapes and widths that every setting has, by their mean loss of validation accuracy.

    Columns: method, width, mean, worst (the largest loss in a setting). The best comes first. Settings need
    not have the same widths: those nearest to one power of two count as one, which is then the width.
    """
    near = found.assign(power=2.0 ** np.log2(found["width"]).round())
    least = near.loc[near.groupby(["setting", "method", "power"])["val_loss"].idxmin()]
    losses = least.groupby(["method", "power"]).agg(
        mean=("val_loss", "mean"),
        worst=("val_loss", "max"),
        count=("val_loss", "count"),
        lowest=("width", "min"),
        highest=("width", "max"),
    )
    ranked = losses[losses["count"] == found["setting"].nunique()].sort_values("mean").reset_index()
    one = ranked["lowest"] == ranked["highest"]
    ranked["width"] = ranked["lowest"].where(one, ranked["power"])
    return ranked[["method", "width", "mean", "worst"]]


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


def _settings(
    records: Iterable[Record], names: Counter[str]
) -> dict[tuple[Any, ...], dict[Key, list[Record]]]:
    """By setting, and in it by shape and width, the records of runs that have ended.

    A setting is (name, layers, timesteps, recurrent, train_samples, epochs). names: how often each name was
    used; no two settings get the same.
    """
    found: dict[str, dict[Key, list[Record]]] = defaultdict(lambda: defaultdict(list))
    # Two suites can share cells.
    for record in {record["id"]: record for record in records}.values():
        cell, params = record["cell"], record["cell"]["method"]["params"]
        plain = params.get("width") and params.get("height") is None
        if not plain or cell["method"]["name"] not in SHAPES:
            continue
        if record["status"] in (OK, *FAILED) and record["digests"]["harness"] == protocol.harness():
            # The learning rate is left out: trials of one setting vary it.
            recipe = {key: value for key, value in cell["recipe"].items() if key != "learning_rate"}
            precision = [cell["profile"][key] for key in ("dtype", "autocast")]
            parts = [cell["dataset"], cell["backbone"], cell["timesteps"], recipe, precision]
            key = (cell["method"]["name"], params["width"] / cell["backbone"]["threshold"])
            found[json.dumps(parts, sort_keys=True)][key].append(record)
    made: dict[tuple[Any, ...], dict[Key, list[Record]]] = {}
    for rows in found.values():
        good = [record for of in rows.values() for record in of if record["status"] == OK]
        if not good or max(sum(name == shape for name, _ in rows) for shape in SHAPES) < FEWEST:
            continue
        first = good[0]
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
        seeds = [{r["cell"]["seed"]: _value(r, metric) for r in chosen[each]} for each in (top, key)]
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
    return float(np.mean([_value(record, metric) for record in records]))


def _value(record: Record, metric: str) -> float:
    """NaN for what is unknown."""
    if record["status"] != OK and metric in ("test_accuracy", "val_accuracy"):
        return 100 / float(record["data"]["classes"])
    value = record["metrics"].get(metric)
    return math.nan if value is None else float(value)
