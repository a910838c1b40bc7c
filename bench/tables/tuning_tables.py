"""Tables of tuning: every trial, and what tuning did for each method.

Everything about trials is validation accuracy in percent; see docs/fairness.md.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bench.records.store import FAILED, OK
from bench.tables import statistics
from bench.tables.columns import (
    BEST_OF,
    CHOICE,
    GAIN,
    KEY,
    TASK,
    TRIALS_SPREAD,
    TUNED_ACCURACIES,
    Line,
    frame,
    named,
)
from bench.tables.rows import BEST, Record, Row, chance, rows
from bench.variants import DEFAULT, RECIPE, TUNED

RATE = f"{RECIPE}learning_rate"
TUNING_COLUMNS = (*KEY, *CHOICE, "n_seeds", "n_failed", "val_accuracy_mean", "chosen", "seconds")
TUNED_COLUMNS = (
    *(*KEY, "n_trials", "n_cells", "n_failed", *CHOICE, *TRIALS_SPREAD, *BEST_OF, "seconds"),
    *(*TUNED_ACCURACIES, "n_seeds", *GAIN),
)

Key = tuple[Any, ...]


def tuning_of(trials: Sequence[Row]) -> pd.DataFrame:
    """A row per trial, by method in each task; best validation accuracy first."""
    found = sorted(trials, key=lambda row: (*_key(row), -_known(row.validation), _choice(row)))
    return frame([_trial(row) for row in found], TUNING_COLUMNS)


def tuned_of(trials: Sequence[Row], of: Sequence[Row]) -> pd.DataFrame:
    """A row per method in each task: its grid, the choice, and the gain on the test data.

    of: the rows of the suite's own runs. The gain is that of the tuned row over the one at the defaults,
    paired by seed, with a t-interval for this method alone; empty until both have run.
    """
    by_method: dict[Key, list[Row]] = defaultdict(list)
    for row in trials:
        by_method[_key(row)].append(row)
    runs = {(*_key(row), row.tuned): row for row in of if not row.sweep}
    lines = [
        named(KEY, key) | _grid(grid) | _gain(runs.get((*key, False)), runs.get((*key, True)))
        for key, grid in sorted(by_method.items())
    ]
    return frame(lines, TUNED_COLUMNS)


def best_of(scores: Iterable[float], k: int) -> float:
    """The best of k trials drawn without replacement, in the mean over all draws; NaN if there are fewer.

    The finite form of the curve of Dodge et al. (2019), "Show Your Work", EMNLP, section 3.1, which draws
    with replacement.
    """
    ordered = sorted(scores)
    n = len(ordered)
    if k > n:
        return math.nan
    # The i-th smallest is the best of k if the others are among the i - 1 below it.
    ways = [math.comb(i, k - 1) for i in range(n)]
    return math.fsum(way * score for way, score in zip(ways, ordered, strict=True)) / math.comb(n, k)


def at_the_edge(tuning: pd.DataFrame) -> list[str]:
    """A sentence per task whose methods chose the lowest or the highest learning rate that they tried."""
    found = []
    for task, of_task in tuning.groupby([*TASK], sort=False):
        at: dict[str, list[str]] = {"lowest": [], "highest": []}
        for _, trials in of_task.groupby(["method", "variant"]):
            for line in trials[trials["chosen"] == "yes"].to_dict("records"):
                for word, end in (
                    ("lowest", trials["learning_rate"].min()),
                    ("highest", trials["learning_rate"].max()),
                ):
                    if line["learning_rate"] == end:
                        at[word].append(line["method"])
        found += [
            f"{'{} on {}, T = {}'.format(*task)}: {', '.join(names)} chose the {word} learning rate that was "
            "tried; a wider range might be better"
            for word, names in at.items()
            if names
        ]
    return found


def trial_rows(records: Iterable[Record]) -> list[Row]:
    """The trials among the records of a suite's tuning; the chosen ones are marked as those of sweeps are."""
    return [row for row in rows(records) if row.over]


def _trial(row: Row) -> Line:
    counts = (row.count(OK), row.count(*FAILED))
    return (
        named(KEY, _key(row))
        | named(CHOICE, _choice(row))
        | named(("n_seeds", "n_failed", "val_accuracy_mean"), (*counts, row.validation))
        | {"chosen": "yes" if row.sweep == BEST else "no", "seconds": _seconds([row])}
    )


def _grid(grid: Sequence[Row]) -> Line:
    known = [row.validation for row in grid if not math.isnan(row.validation)]
    scores = np.array(known, float)
    records = [record for row in grid for record in row.records]
    chosen = next((row for row in grid if row.sweep == BEST), None)
    failed = sum(record["status"] in FAILED for record in records)
    spread = (
        (max(known), float(np.median(scores)), statistics.sd(scores), min(known)) if known else [math.nan] * 4
    )
    return (
        named(("n_trials", "n_cells", "n_failed"), (len(grid), len(records), failed))
        | (named(CHOICE, _choice(chosen)) if chosen else {"parameter": ""})
        | named(TRIALS_SPREAD, spread)
        | {name: best_of(known, int(name.removeprefix("best_of_"))) for name in BEST_OF}
        | {"seconds": _seconds(grid)}
    )


def _gain(default: Row | None, tuned: Row | None) -> Line:
    line: Line = {}
    for name, row in (("default", default), ("tuned", tuned)):
        if row is not None:
            line[f"{name}_accuracy_mean"] = row.score(chance(row.records))
    if default is None or tuned is None:
        return line
    guess = chance([*default.records, *tuned.records])
    mine, theirs = tuned.by_seed(guess), default.by_seed(guess)
    seeds = sorted(mine.keys() & theirs.keys())
    found = statistics.paired(
        np.array([mine[seed] for seed in seeds], float), np.array([theirs[seed] for seed in seeds], float)
    )
    return line | {"n_seeds": found.n} | named(GAIN, (found.mean, found.low, found.high))


def _key(row: Row) -> Key:
    """The key of the method's row at its defaults: without what tuning varies."""
    varied = {*row.over, TUNED}
    kept = [word for word in row.words if word.partition("=")[0] not in varied]
    return (*row.task, row.method, " ".join(kept) or DEFAULT)


def _choice(row: Row) -> tuple[float, str, float]:
    """Learning rate; name and value of the method's own parameter, "" and NaN if it has none."""
    cell: Mapping[str, Any] = row.records[0]["cell"]
    own = next((name for name in row.over if name != RATE), "")
    value = cell["method"]["params"].get(own)
    return float(cell["recipe"]["learning_rate"]), own, math.nan if value is None else float(value)


def _seconds(of: Iterable[Row]) -> float:
    return math.fsum(float(record["seconds"]) for row in of for record in row.records)


def _known(value: float) -> float:
    return -math.inf if math.isnan(value) else value
