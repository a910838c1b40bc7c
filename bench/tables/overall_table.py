"""All tasks together: a row per method, over the tasks of a suite.

Here a task means a task in one setting: only the rows of one setting are comparable. Rows of this table
differ in the method and its parameters; the variant's words on network and data do not make a new row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.records.store import OK
from bench.tables import statistics
from bench.tables.across_tasks import (
    Critical,
    average_ranks,
    critical_difference,
    interquartile_mean,
    probability_of_improvement,
)
from bench.tables.all_pairs import AllPairs
from bench.tables.columns import DECLARED, Line, frame, named
from bench.tables.fronts import faster, front, lower
from bench.tables.latency_table import training_steps
from bench.tables.rows import OTHERS, Row, base, chance, judged, settings
from bench.tables.statistics import Values
from bench.variants import full_name

IQM = ("iqm", "iqm_ci_low", "iqm_ci_high")
IMPROVEMENT = (
    "probability_of_improvement",
    "probability_of_improvement_ci_low",
    "probability_of_improvement_ci_high",
)
OVERALL_COLUMNS = (
    *("method", "variant", *DECLARED),
    *("n_tasks", "n_tasks_missing", "n_runs", "share_ok"),
    *IQM,
    "average_rank",
    *IMPROVEMENT,
    "pareto_optimal",
)
NOTHING = np.array([], float)


@dataclass
class _Method:
    """One row: a method. rows: by number, the settings that it has complete; every: also incomplete ones."""

    identity: Line
    reference: bool
    rows: dict[int, Row] = field(default_factory=dict)
    every: list[Row] = field(default_factory=list)

    def complete(self, settings: int) -> bool:
        """Whether the method can be ranked: it has every seed of the baseline in every setting."""
        return len(self.rows) == settings


def overall_of(
    of: Sequence[Row], baseline: str, latency: pd.DataFrame, seeds: Iterable[int] | None = None
) -> pd.DataFrame:
    """The table over all tasks.

    latency: the table of `bench.tables.latency_table`, for the time of a training step. seeds: the seeds
    that the suite asks for; others do not enter comparisons.
    """
    lines = list[Line]()
    for tuned in (False, True):
        lines += sorted(_overall(_compared(of, baseline, seeds, tuned=tuned), baseline, latency), key=_place)
    return frame(lines, OVERALL_COLUMNS)


def _overall(compared: Sequence[Sequence[Row]], baseline: str, latency: pd.DataFrame) -> list[Line]:
    methods = _methods(compared, baseline)
    scores = [_run_scores(rows_) for rows_ in compared]
    ranked = [m for m in methods if m.complete(len(compared)) and not m.reference]
    means = average_ranks(_means(ranked, scores)) if ranked else []
    ranks = dict(zip(map(id, ranked), means, strict=True))
    optimal = _pareto(ranked, scores, training_steps(latency))
    lines = list[Line]()
    for method in methods:
        against = [base(rows_, baseline) for rows_ in compared]
        lines.append(
            method.identity
            | _counts(method, len(compared))
            | named(IQM, _iqm(method, scores))
            | {"average_rank": ranks.get(id(method), math.nan)}
            | named(IMPROVEMENT, _improvement(method, against, scores))
            | {"pareto_optimal": optimal.get(id(method), "")}
        )
    return lines


def runs_by_method(
    of: Sequence[Row], baseline: str, seeds: Iterable[int] | None = None
) -> dict[str, list[Values]]:
    """Accuracies of all runs by method, a list of tasks each; failed runs count as chance.

    Only methods that have every task, including references.
    """
    compared = _compared(of, baseline, seeds)
    scores = [_run_scores(rows_) for rows_ in compared]
    return {
        _name(m): [scores[i][row] for i, row in sorted(m.rows.items())]
        for m in _methods(compared, baseline)
        if m.complete(len(compared))
    }


def critical_of(
    of: Sequence[Row], baseline: str, seeds: Iterable[int] | None = None
) -> tuple[list[str], Critical | None]:
    """The ranked methods, and their critical difference if there are enough tasks for one."""
    compared = _compared(of, baseline, seeds)
    scores = [_run_scores(rows_) for rows_ in compared]
    ranked = [m for m in _methods(compared, baseline) if m.complete(len(compared)) and not m.reference]
    return [_name(m) for m in ranked], critical_difference(_means(ranked, scores)) if ranked else None


def _compared(
    of: Sequence[Row], baseline: str, seeds: Iterable[int] | None, *, tuned: bool = False
) -> list[list[Row]]:
    """The settings that have rows to rank, not only references, over the seeds that count.

    Of a sweep, only the best row. tuned: the settings of tuned rows, instead of the others.
    """
    asked = None if seeds is None else [*seeds]
    shown = settings(row for row in of if row.sweep != OTHERS and row.tuned == tuned)
    found = [each for each in shown if not all(row.reference for row in each)]
    return [judged(each, baseline, asked)[0] for each in found]


def _methods(compared: Sequence[Sequence[Row]], baseline: str) -> list[_Method]:
    """The methods, with their rows that can be ranked; a setting can have several rows of one name."""
    found: dict[tuple[str, str, str], _Method] = {}
    for number, rows_ in enumerate(compared):
        against = base(rows_, baseline)
        wanted = against.seeds if against else set[int]().union(*(row.seeds for row in rows_))
        names = [(row.method, row.own_words, _code(row)) for row in rows_]
        for row, name in zip(rows_, names, strict=True):
            identity = named(("method", "variant"), name[:2])
            declared = {column: row.records[0]["method"][column] for column in DECLARED}
            method = found.setdefault(name, _Method(identity | declared, row.reference))
            method.every.append(row)
            same_data = against is None or row.checksum == against.checksum
            if row.seeds >= wanted and same_data and not row.incomplete and names.count(name) == 1:
                method.rows[number] = row
    versions = Counter(name[:2] for name in found)
    for (method_name, own, code), method in found.items():
        if versions[method_name, own] > 1:
            # Versions of one method's file are not averaged.
            method.identity["variant"] = f"{own} #{code[:4]}"
    return [*found.values()]


def _code(row: Row) -> str:
    """The digest of the file that defines its method."""
    return str(row.records[0].get("digests", {}).get("method", ""))


def _run_scores(rows_: Sequence[Row]) -> dict[Row, Values]:
    """Accuracies of each row's runs; failed runs count as chance."""
    guess = chance(record for row in rows_ for record in row.records)
    return {row: row.scores(guess) for row in rows_}


def _means(ranked: Sequence[_Method], scores: Sequence[Mapping[Row, Values]]) -> Values:
    """Mean scores, [tasks, methods]; rounded, since the order of summation would otherwise break ties."""
    found = [[round(float(scores[i][m.rows[i]].mean()), 9) for m in ranked] for i in range(len(scores))]
    return np.array(found, float)


def _counts(method: _Method, settings: int) -> Line:
    runs = [record for row in method.every for record in row.records]
    share = sum(record["status"] == OK for record in runs) / len(runs) if runs else math.nan
    there = len(method.rows)
    return named(
        ("n_tasks", "n_tasks_missing", "n_runs", "share_ok"), (there, settings - there, len(runs), share)
    )


def _iqm(method: _Method, scores: Sequence[Mapping[Row, Values]]) -> tuple[float, float, float]:
    """NaN unless the method has every task: means over different tasks are not comparable."""
    if not method.complete(len(scores)):
        return (math.nan,) * 3
    return interquartile_mean([scores[i][row] for i, row in sorted(method.rows.items())])


def _improvement(
    method: _Method, against: Sequence[Row | None], scores: Sequence[Mapping[Row, Values]]
) -> tuple[float, float, float]:
    if not method.complete(len(scores)) or any(
        row is None or row is method.rows.get(i) for i, row in enumerate(against)
    ):
        return (math.nan,) * 3
    theirs = [scores[i][row] for i, row in enumerate(against) if row is not None]
    return probability_of_improvement([scores[i][method.rows[i]] for i in range(len(scores))], theirs)


def _pareto(
    ranked: Sequence[_Method], scores: Sequence[Mapping[Row, Values]], steps: Mapping[tuple[Any, ...], float]
) -> dict[int, str]:
    """Which methods are on the front of accuracy, energy and training step: see `bench.tables.fronts`.

    Training steps are geometric means over tasks, so that the most expensive task does not decide alone.
    A method is left out if any of the three is unknown.
    """
    better_of = [_told([scores[i][m.rows[i]] for m in ranked]) for i in range(len(scores))]
    accuracies, step_of = dict[int, float](), dict[int, float]()
    for place, method in enumerate(ranked):
        energy = _geometric([statistics.mean(row.values("energy_uj")) for row in method.rows.values()])
        keys = [row.key for row in method.rows.values()]
        step = step_of[place] = _geometric([steps.get(key, math.nan) for key in keys])
        if not math.isnan(energy + step):
            accuracy = np.mean([scores[i][row].mean() for i, row in method.rows.items()])
            accuracies[place] = round(float(accuracy), 9)

    def more_accurate(a: int, b: int) -> bool:
        return _in_some_and_worse_in_none([(bool(told[a, b]), bool(told[b, a])) for told in better_of])

    def cheaper(a: int, b: int) -> bool:
        mine, theirs = ranked[a].rows, ranked[b].rows
        pairs = [(mine[i].values("energy_uj"), theirs[i].values("energy_uj")) for i in mine]
        return _in_some_and_worse_in_none([(lower(x, y), lower(y, x)) for x, y in pairs])

    best = front(accuracies, [more_accurate, lambda a, b: faster(step_of[a], step_of[b]), cheaper])
    return {id(ranked[place]): "yes" if place in best else "no" for place in accuracies}


def _told(scores: Sequence[Values]) -> NDArray[np.bool_]:
    """Whether row i is better than row j and their interval excludes zero, [k, k].

    All False if a row lacks a score.
    """
    if len({of.size for of in scores}) == 1:
        pairs = AllPairs(np.array(scores))
        if pairs.judged and np.isfinite(pairs.scores).all():
            return pairs.better
    return np.zeros((len(scores), len(scores)), bool)


def _in_some_and_worse_in_none(tasks: Sequence[tuple[bool, bool]]) -> bool:
    """tasks: for each, whether one is better than the other beyond noise, and whether it is worse."""
    return any(better for better, _ in tasks) and not any(worse for _, worse in tasks)


def _geometric(values: Sequence[float]) -> float:
    """Geometric mean; NaN if a value is unknown or not above 0."""
    known = all(value > 0 for value in values)
    return math.exp(math.fsum(map(math.log, values)) / len(values)) if values and known else math.nan


def _name(method: _Method) -> str:
    return full_name(str(method.identity["method"]), str(method.identity["variant"]))


def _place(line: Line) -> tuple[float, str, str]:
    rank = line["average_rank"]
    return (math.inf if math.isnan(rank) else rank, line["method"], line["variant"])
