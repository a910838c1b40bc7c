"""Records in, accuracy tables out.

A *task* is (dataset, backbone, timesteps); a row is one configuration in one task, over its seeds.
Columns and statistics are explained in docs/tables.md: accuracies in percent, differences in
percentage points.
The same records, in any order, give the same tables, and the same bytes on disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import measured_tables, statistics, table_schemas
from bench.columns import (
    ACCURACIES,
    COUNTS,
    DECLARED,
    DELTAS,
    KEY,
    P_VALUES,
    RUN_ACCURACIES,
    Line,
    csv,
    frame,
    named,
)
from bench.files import write_atomic
from bench.latency_table import LATENCY_COLUMNS, latency_of
from bench.overall_table import OVERALL_COLUMNS, overall_of
from bench.published_table import PUBLISHED_COLUMNS, published_of
from bench.rows import Record, Row, base, chance, rows, settings
from bench.store import FAILED, OK
from bench.timings import Timing

VERDICTS = ("indistinguishable_from_best", "rank")
ACCURACY_COLUMNS = (*KEY, *DECLARED, *COUNTS, *ACCURACIES, *DELTAS, *P_VALUES, *VERDICTS)
RUN_EPOCHS = ("best_epoch", "epochs_to_target")
RUNS_COLUMNS = (*KEY, *DECLARED, "seed", "status", *RUN_ACCURACIES, *RUN_EPOCHS, "error", "id")

COLUMNS = {
    "runs": RUNS_COLUMNS,
    "accuracy": ACCURACY_COLUMNS,
    "overall": OVERALL_COLUMNS,
    "gradients": measured_tables.GRADIENTS_COLUMNS,
    "cost": measured_tables.COST_COLUMNS,
    "anytime": measured_tables.ANYTIME_COLUMNS,
    "latency": LATENCY_COLUMNS,
    "published": PUBLISHED_COLUMNS,
}
"""Of every table."""

FEWEST_PAIRS_WITH_BEST = 3


def runs_table(records: Iterable[Record]) -> pd.DataFrame:
    """A row per cell, whatever its status; no times and no machines, which differ between equal runs."""
    return _runs(rows(records))


def accuracy_table(records: Iterable[Record], baseline: str = "rectangle") -> pd.DataFrame:
    """A row per configuration, best first in each task, compared with the method named `baseline`.

    p_adjusted and p_permutation are both Holm-adjusted over the m rows of the task that share at least
    two seeds with the baseline; reference rows are not among them. Against the best, the intervals
    are Bonferroni-adjusted over the rows that share at least three seeds with it. The baseline's own
    comparison is empty, and so is one between rows whose data differ.
    """
    return _accuracy(rows(records), baseline)


def design_note(records: Iterable[Record], baseline: str = "rectangle") -> list[str]:
    """A sentence per task: seeds, comparisons, and the smallest difference they would show."""
    return [f"{task.name}: {task.design()}" for task in _tasks(rows(records), baseline)]


def designs(of: Sequence[Row], baseline: str = "rectangle") -> dict[Row, str]:
    """What `design_note` says of the rows that each row is compared with, without the task's name."""
    return {row: said for task in _tasks(of, baseline) for said in [task.design()] for row in task.rows}


def tables(
    records: Iterable[Record],
    baseline: str = "rectangle",
    timings: Sequence[Timing] = (),
    layer_times: Iterable[Mapping[str, Any]] = (),
) -> dict[str, pd.DataFrame]:
    """Every table by name; timings, layer_times: of networks and of layers, apart from the trainings."""
    of = rows(records)
    latency = latency_of(of, timings, layer_times)
    return {
        "runs": _runs(of),
        "accuracy": _accuracy(of, baseline),
        "overall": overall_of(of, baseline, latency),
        "gradients": measured_tables.gradients_of(of, baseline),
        "cost": measured_tables.cost_of(of),
        "anytime": measured_tables.anytime_of(of),
        "latency": latency,
        "published": published_of(of),
    }


def write(
    records: Iterable[Record],
    folder: Path,
    baseline: str = "rectangle",
    timings: Sequence[Timing] = (),
    layer_times: Iterable[Mapping[str, Any]] = (),
) -> list[Path]:
    """Write the tables, NAME.csv, each whole or not at all. Raises OSError, as on a full disk."""
    return save(tables(records, baseline, timings, layer_times), folder)


def save(made: Mapping[str, pd.DataFrame], folder: Path) -> list[Path]:
    """Write tables as `write` does, if all of them are what tables must be.

    Raises BenchError if one is not.
    """
    files = {name: folder / f"{name}.csv" for name in made}
    contents = {name: csv(table).encode("utf-8", "backslashreplace") for name, table in made.items()}
    # What stands there to the byte was checked when it was written.
    new = [name for name, file in files.items() if not _holds(file, contents[name])]
    for name in new:
        table_schemas.check(name, made[name], COLUMNS[name])
    for name in new:
        write_atomic(files[name], contents[name])
    return [*files.values()]


def _holds(file: Path, content: bytes) -> bool:
    try:
        return file.read_bytes() == content
    except OSError:
        return False


def _runs(of: Sequence[Row]) -> pd.DataFrame:
    return frame([_run(row, record) for row in of for record in row.records], RUNS_COLUMNS)


def _accuracy(of: Sequence[Row], baseline: str) -> pd.DataFrame:
    return frame([line for task in _tasks(of, baseline) for line in task.lines()], ACCURACY_COLUMNS)


class _Task:
    """The rows of one task and one setting, compared with its baseline and with its best."""

    def __init__(self, rows: Sequence[Row], baseline: str) -> None:
        self.rows, self.baseline, self.base = rows, baseline, base(rows, baseline)
        against = self.base
        self.wanted = against.seeds if against else set[int]().union(*(row.seeds for row in rows))
        self.pairs = {row: row.pairs(against) for row in rows if against and row is not against}
        self.found = {row: statistics.paired(*pair) for row, pair in self.pairs.items()}
        self.family = [row for row, found in self.found.items() if found.n >= 2 and not row.reference]

    def lines(self) -> list[Line]:
        """The rows of the table, in its order."""
        ranks, p_values = self._ranks(), self._p_values()
        verdicts = self._verdicts(ranks)
        order = sorted(self.rows, key=lambda row: (ranks[row] or math.inf, row.method, row.variant))
        return [
            row.identity()
            | _accuracies(row)
            | self._delta(row)
            | p_values.get(row, {})
            | named(VERDICTS, (verdicts.get(row, ""), ranks[row]))
            for row in order
        ]

    @property
    def name(self) -> str:
        """Data, network, time steps, and what the variants of all rows share."""
        shared = [word for word in self.rows[0].words if all(word in row.words for row in self.rows)]
        return ", ".join(["{}, {}, T = {}".format(*self.rows[0].task), *shared])

    def design(self) -> str:
        """What this many seeds and comparisons can show."""
        if self.base is None:
            return f"no run of {self.baseline}, so nothing is compared with it."
        if not self.family:
            return f"no method has two finished seeds beside {self.baseline}'s, so nothing is tested."
        m, pairs = len(self.family), sorted(self.found[row].n for row in self.family)
        fewest, most = pairs[0], pairs[-1]
        seeds = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        size = f"n = {seeds} paired seeds, m = {m} comparison{'s' * (m > 1)} with {self.baseline}"
        spread = float(np.median([self.found[row].sd for row in self.family]))
        if spread == 0:
            return f"{size}; the differences do not vary, so what this design would detect is unknown."
        least = statistics.detectable(spread, fewest, (1 - statistics.LEVEL) / m)
        return (
            f"{size}; with 80 % power this design would detect a true difference of {least:.2f} percentage "
            f"points or more (paired t-test with n = {fewest} at Holm's strictest level, 0.05/{m}; the "
            f"median sd of the differences is {spread:.2f})."
        )

    def _ranks(self) -> dict[Row, int | None]:
        guess = chance(record for row in self.rows for record in row.records)
        # Fewer seeds than the baseline's would make a mean over other runs than the others' means.
        scores = [row.score(guess) if row.seeds >= self.wanted else math.nan for row in self.rows]
        return dict(zip(self.rows, statistics.ranks(scores), strict=True))

    def _delta(self, row: Row) -> Line:
        found = self.found.get(row)
        return named(DELTAS, (found.mean, found.low, found.high)) if found else {}

    def _p_values(self) -> dict[Row, Line]:
        t_tests = statistics.holm([self.found[row].p for row in self.family])
        flips = statistics.sign_flips([statistics.differences(*self.pairs[row]) for row in self.family])
        return {row: named(P_VALUES, p) for row, *p in zip(self.family, t_tests, flips, strict=True)}

    def _verdicts(self, ranks: Mapping[Row, int | None]) -> dict[Row, str]:
        """Of the ranked rows that can be tested: is it indistinguishable from the best?"""
        best = [row for row in self.rows if ranks[row] == 1 and row.count(OK) >= FEWEST_PAIRS_WITH_BEST]
        if not best:
            return {}
        rivals = [row for row in self.rows if ranks[row] and row not in best]
        found = {row: statistics.differences(*row.pairs(best[0])) for row in rivals}
        tested = {row: d for row, d in found.items() if d.size >= FEWEST_PAIRS_WITH_BEST}
        words = {True: "yes", False: "no", None: ""}
        covered = zip(tested, statistics.covers_zero([*tested.values()]), strict=True)
        return dict.fromkeys(best, "yes") | {row: words[answer] for row, answer in covered}


def _tasks(of: Sequence[Row], baseline: str) -> Iterator[_Task]:
    for comparable in settings(of):
        yield _Task(comparable, baseline)


def _accuracies(row: Row) -> Line:
    test, last, best = (row.values(metric) for metric in RUN_ACCURACIES[:3])
    spread = (statistics.sd(test), *statistics.t_interval(test))
    counts = (row.count(OK), row.count(*FAILED), row.incomplete)
    means = (statistics.mean(last), statistics.mean(best))
    return named((*COUNTS, *ACCURACIES), (*counts, statistics.mean(test), *spread, *means))


def _run(row: Row, record: Record) -> Line:
    measured = {name: record["metrics"].get(name) for name in (*RUN_ACCURACIES, *RUN_EPOCHS)}
    stated = {name: record[name] for name in ("status", "error", "id")}
    return row.identity() | {"seed": record["cell"]["seed"]} | measured | stated
