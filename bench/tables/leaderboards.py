"""Records in, accuracy tables out.

A *task* is (dataset, backbone, timesteps); a row is one configuration in one task, over its seeds.
docs/tables.md explains columns and statistics: accuracies are in percent, differences in percentage points.
The same records, in any order, give the same tables, and the same bytes on disk.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.files import write_atomic
from bench.records.store import FAILED, OK, Store
from bench.records.timings import Timing
from bench.tables import measured_tables, statistics, table_schemas, tuning_tables
from bench.tables.all_pairs import FEWEST, MARGIN, MOST_SEEDS, AllPairs
from bench.tables.columns import (
    ACCURACIES,
    COUNTS,
    DECLARED,
    DELTAS,
    EXTRA,
    KEY,
    OF_IMAGES,
    OTHER,
    P_VALUES,
    PAIRS,
    RANKS,
    RUN_ACCURACIES,
    SWEEP,
    TO_BEST,
    Line,
    csv,
    frame,
    named,
)
from bench.tables.latency_table import LATENCY_COLUMNS, latency_of
from bench.tables.overall_table import OVERALL_COLUMNS, overall_of
from bench.tables.published_table import PUBLISHED_COLUMNS, published_of
from bench.tables.rows import OTHERS, Record, Row, base, chance, judged, rows, settings
from bench.tables.statistics_of_images import (
    Answers,
    accuracy_interval,
    agreement,
    answers,
    difference_interval,
)
from bench.variants import own_words

VERDICTS = ("indistinguishable_from_best", "equivalent_to_best", *RANKS, "detectable")
ACCURACY_COLUMNS = (
    *(*KEY, *DECLARED, *COUNTS, EXTRA, *ACCURACIES, *OF_IMAGES, *DELTAS, *P_VALUES),
    *(*TO_BEST, *VERDICTS, *SWEEP),
)
PAIRS_COLUMNS = (*KEY, *OTHER, *PAIRS, "p_adjusted", "equivalent", "agreement")
RUN_EPOCHS = ("best_epoch", "epochs_to_target")
RUNS_COLUMNS = (*KEY, *DECLARED, "seed", "status", *RUN_ACCURACIES, *RUN_EPOCHS, "error", "id")

COLUMNS = {
    "runs": RUNS_COLUMNS,
    "accuracy": ACCURACY_COLUMNS,
    "pairs": PAIRS_COLUMNS,
    "overall": OVERALL_COLUMNS,
    "gradients": measured_tables.GRADIENTS_COLUMNS,
    "cost": measured_tables.COST_COLUMNS,
    "anytime": measured_tables.ANYTIME_COLUMNS,
    "latency": LATENCY_COLUMNS,
    "published": PUBLISHED_COLUMNS,
    "tuning": tuning_tables.TUNING_COLUMNS,
    "tuned": tuning_tables.TUNED_COLUMNS,
}
"""The columns of every table."""
OF_TUNING = ("tuning", "tuned")
"""The tables that only suites with tuning trials have."""

YES_OR_NO = {True: "yes", False: "no"}


def runs_table(records: Iterable[Record]) -> pd.DataFrame:
    """A row per cell, whatever its status; without times and machines, which differ between equal runs."""
    return _runs(rows(records))


def accuracy_table(
    records: Iterable[Record],
    baseline: str = "rectangle",
    seeds: Iterable[int] | None = None,
    store: Store | None = None,
) -> pd.DataFrame:
    """A row per configuration, best first in each task, compared with the row `baseline` and with the best.

    store: holds the predictions of the records, for intervals over images, which are unknown without it.
    seeds: the seeds that the suite asks for; others do not enter comparisons and are counted in n_extra.
    Failed runs count as chance in everything but the means of the last epoch. All pairs of rows that have
    every seed and the same data are compared, except references: see `bench.tables.all_pairs`.
    p_permutation is Holm-adjusted over the comparisons with the baseline.
    """
    return _accuracy(_tasks(rows(records), baseline, seeds, store))


def design_note(
    records: Iterable[Record], baseline: str = "rectangle", seeds: Iterable[int] | None = None
) -> list[str]:
    """A sentence per task: seeds, comparisons, and the smallest difference that they can detect."""
    return [f"{task.name}: {task.design()}" for task in _tasks(rows(records), baseline, seeds)]


def designs(
    of: Sequence[Row], baseline: str = "rectangle", seeds: Iterable[int] | None = None
) -> dict[tuple[Any, ...], str]:
    """For each row, by key, the sentence of `design_note` about its task, without the task's name."""
    return {
        (*row.task, row.method, row.variant): said
        for task in _tasks(of, baseline, seeds)
        for said in [task.design()]
        for row in task.rows
    }


def tables(
    records: Iterable[Record],
    baseline: str = "rectangle",
    timings: Sequence[Timing] = (),
    layer_times: Iterable[Mapping[str, Any]] = (),
    seeds: Iterable[int] | None = None,
    store: Store | None = None,
    trials: Iterable[Record] = (),
) -> dict[str, pd.DataFrame]:
    """Every table by name.

    timings, layer_times: of networks and of layers, measured separately from training. seeds, store: see
    `accuracy_table`. trials: the records of the suite's tuning.
    """
    of = rows(records)
    tasks = [*_tasks(of, baseline, seeds, store)]
    latency = latency_of(of, timings, layer_times)
    return {
        "runs": _runs(of),
        "accuracy": _accuracy(tasks),
        "pairs": frame([line for task in tasks for line in task.pair_lines()], PAIRS_COLUMNS),
        "overall": overall_of(of, baseline, latency, seeds),
        "gradients": measured_tables.gradients_of(of, baseline),
        "cost": measured_tables.cost_of(of),
        "anytime": measured_tables.anytime_of(of),
        "latency": latency,
        "published": published_of(of),
        **_tuning(tuning_tables.trial_rows(trials), of),
    }


def _tuning(trials: Sequence[Row], of: Sequence[Row]) -> dict[str, pd.DataFrame]:
    if not trials:
        return {}
    return {"tuning": tuning_tables.tuning_of(trials), "tuned": tuning_tables.tuned_of(trials, of)}


def tuning(trials: Iterable[Record], records: Iterable[Record]) -> dict[str, pd.DataFrame]:
    """The tables of tuning by name; none without trials. records: those of the suite's own runs."""
    return _tuning(tuning_tables.trial_rows(trials), rows(records))


def write(
    records: Iterable[Record],
    folder: Path,
    baseline: str = "rectangle",
    timings: Sequence[Timing] = (),
    layer_times: Iterable[Mapping[str, Any]] = (),
    seeds: Iterable[int] | None = None,
) -> list[Path]:
    """Write each table to NAME.csv, atomically. Raises OSError, for example if the disk is full."""
    return save(tables(records, baseline, timings, layer_times, seeds), folder)


def save(made: Mapping[str, pd.DataFrame], folder: Path) -> list[Path]:
    """Write tables as `write` does, if all of them match their schema. Raises BenchError if one does not."""
    files = {name: folder / f"{name}.csv" for name in made}
    contents = {name: csv(table).encode("utf-8", "backslashreplace") for name, table in made.items()}
    # A file with exactly these bytes was checked when it was written.
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


def _accuracy(tasks: Iterable[_Task]) -> pd.DataFrame:
    return frame([line for task in tasks for line in task.lines()], ACCURACY_COLUMNS)


class _Task:
    """The rows of one task and one setting, compared with each other over the seeds that count."""

    def __init__(
        self, of: Sequence[Row], baseline: str, asked: Iterable[int] | None, store: Store | None
    ) -> None:
        self.baseline, self.store = baseline, store
        self._answers: dict[Row, Answers | None] = {}
        self.rows, self.seeds = judged(of, baseline, asked)
        self.extra = {
            new: len(row.records) - len(new.records) for new, row in zip(self.rows, of, strict=True)
        }
        self.base = base(self.rows, baseline)
        self.chance = chance(record for row in of for record in row.records)
        compared = [row for row in self.rows if self._compared(row)]
        self.data = self.base.checksum if self.base else next((row.checksum for row in compared), None)
        # In the order of the table: best first.
        self.compared = sorted((r for r in compared if _same(r.checksum, self.data)), key=self._place)
        self.means = [row.score(self.chance) for row in self.compared]
        self.of = {row: i for i, row in enumerate(self.compared)}
        scores = [row.scores(self.chance) for row in self.compared]
        self.pairs = AllPairs(np.array(scores, float).reshape(len(scores), len(self.seeds)))

    def _compared(self, row: Row) -> bool:
        """Whether the row has a score for every seed that counts, and stands for its method."""
        if row.reference or row.incomplete or row.sweep == OTHERS or row.seeds != self.seeds:
            return False
        scores = row.scores(self.chance)
        return scores.size == len(self.seeds) and bool(np.isfinite(scores).all())

    def _place(self, row: Row) -> tuple[float, str, str]:
        return (-row.score(self.chance), row.method, row.variant)

    def lines(self) -> list[Line]:
        """The rows of the table, in its order."""
        flips = self._sign_flips()
        return [
            row.identity()
            | _accuracies(row, self.chance)
            | {EXTRA: self.extra[row]}
            | self._of_images(row)
            | self._to(self.base, row, DELTAS)
            | {"p_adjusted": self._p(row), "p_permutation": flips.get(row, math.nan)}
            | (self._to(self.compared[0], row, TO_BEST) if row in self.of else {})
            | self._verdicts(row)
            | named(SWEEP, (row.sweep, row.validation))
            for row in self._in_order()
        ]

    def _in_order(self) -> list[Row]:
        """Compared rows, best first, each followed by the rest of its sweep; then those not compared."""
        others = sorted((row for row in self.rows if row not in self.of), key=lambda r: (r.method, r.variant))
        others.sort(key=lambda row: -row.validation if row.sweep and not math.isnan(row.validation) else 0.0)
        found = list[Row]()
        for row in self.compared:
            found.append(row)
            if row.sweep:
                found += [r for r in others if r.sweep and r.siblings == row.siblings]
        return [*found, *(row for row in others if row not in found)]

    def pair_lines(self) -> Iterator[Line]:
        """A line for each pair of compared rows, the better one first."""
        pairs, judged = self.pairs, self.pairs.judged
        for (i, row), (j, other) in combinations(enumerate(self.compared), 2):
            difference = float(pairs.differences[i, j])
            half = float(pairs.halves[i, j]) if judged else math.nan
            mine, theirs = self._said(row), self._said(other)
            images, same = (math.nan, math.nan), math.nan
            if mine is not None and theirs is not None:
                images, same = difference_interval(mine, theirs), agreement(mine, theirs)
            yield (
                named((*KEY, *OTHER), (*row.task, row.method, row.variant, other.method, other.variant))
                | named(PAIRS, (difference, difference - half, difference + half, *images))
                | {"p_adjusted": float(pairs.p[i, j]) if judged else math.nan, "agreement": same}
                | {"equivalent": "" if math.isnan(half) else YES_OR_NO[bool(pairs.equivalent[i, j])]}
            )

    def _said(self, row: Row) -> Answers | None:
        """The predictions of its networks on the test set, if they are stored for each seed."""
        if row not in self._answers:
            whole = row.count(OK) == len(row.records)
            self._answers[row] = answers(self.store, row.records) if self.store and whole else None
        return self._answers[row]

    def _of_images(self, row: Row) -> Line:
        said = self._said(row)
        return named(OF_IMAGES, accuracy_interval(said)) if said else {}

    @property
    def name(self) -> str:
        """Dataset, backbone, time steps, and the words that the variants of all rows share."""
        shared = [word for word in self.rows[0].words if all(word in row.words for row in self.rows)]
        return ", ".join(["{}, {}, T = {}".format(*self.rows[0].task), *shared])

    def design(self) -> str:
        """What this many seeds and comparisons can detect."""
        k, n = len(self.compared), len(self.seeds)
        size = f"n = {n} paired seed{'s' * (n > 1)}, {k} method{'s' * (k != 1)}"
        lacking = "" if self.base else f" {self._lacking()}."
        if not self.pairs.judged:
            why = f"fewer than {FEWEST} seeds" if k > 1 else "two that have every seed are needed"
            return f"{size}: {why}, so nothing is tested.{lacking}"
        least = self.pairs.detectable()
        if math.isnan(least):
            return f"{size}; the differences do not vary, so what this design detects is unknown.{lacking}"
        more = self.pairs.seeds_for(MARGIN)
        needed = f"{more} seeds" if more else f"more than {MOST_SEEDS} seeds"
        pairs = f"{self.pairs.pairs} pair{'s' * (self.pairs.pairs > 1)}"
        return (
            f"{size}, {pairs}; with 80 % power this design detects a true difference of "
            f"{least:.2f} percentage points or more; one of {MARGIN:g} would take {needed}.{lacking}"
        )

    def _lacking(self) -> str:
        """Why nothing is compared with the baseline: no other variant ever replaces it."""
        method = self.baseline if self.baseline in {row.method for row in self.rows} else ""
        method = method or self.baseline.rpartition(":")[0]
        there = sorted(f"{method}:{own_words(row.variant)}" for row in self.rows if row.method == method)
        others = f"; there are {', '.join(there)}, of which --baseline takes one" if there else ""
        return f"No run of {self.baseline}, so nothing is compared with it{others}"

    def _to(self, other: Row | None, row: Row, names: Sequence[str]) -> Line:
        """The difference to another row with its interval; empty for the same row, or if the data differ."""
        if other is None or row is other or not _same(row.checksum, other.checksum):
            return {}
        if row not in self.of or other not in self.of:
            # Not a comparison that counts: only the mean over the shared seeds, without an interval.
            found = statistics.differences(*row.pairs(other))
            return {names[0]: statistics.mean(found)}
        i, j = self.of[row], self.of[other]
        difference = float(self.pairs.differences[i, j])
        half = float(self.pairs.halves[i, j]) if self.pairs.judged else math.nan
        return named(names, (difference, difference - half, difference + half))

    def _p(self, row: Row) -> float:
        against = self.of.get(self.base) if self.base else None
        if not self.pairs.judged or against is None or row is self.base or row not in self.of:
            return math.nan
        return float(self.pairs.p[self.of[row], against])

    def _sign_flips(self) -> dict[Row, float]:
        against = self.of.get(self.base) if self.base else None
        if against is None:
            return {}
        family = [row for row in self.compared if row is not self.base]
        scores = self.pairs.scores
        found = [statistics.differences(scores[self.of[row]], scores[against]) for row in family]
        return dict(zip(family, statistics.sign_flips(found), strict=True))

    def _verdicts(self, row: Row) -> Line:
        if row not in self.of:
            return named(VERDICTS, ("", "", None, None, None, math.nan))
        i = self.of[row]
        rank = 1 + sum(mean > self.means[i] for mean in self.means)
        if not self.pairs.judged:
            return named(VERDICTS, ("", "", rank, None, None, math.nan))
        unknown = math.isnan(self.pairs.halves[0, i])
        words = [
            "" if unknown else YES_OR_NO[bool(answer)]
            for answer in (not self.pairs.better[0, i], self.pairs.equivalent[0, i])
        ]
        return named(VERDICTS, (*words, rank, *self.pairs.rank_ranges[i], self.pairs.detectable()))


def _tasks(
    of: Sequence[Row], baseline: str, seeds: Iterable[int] | None = None, store: Store | None = None
) -> Iterator[_Task]:
    seeds = None if seeds is None else [*seeds]
    for comparable in settings(of):
        yield _Task(comparable, baseline, seeds, store)


def _same(data: str | None, other: str | None) -> bool:
    """Whether two rows have the same data; runs that failed before they loaded data match any."""
    return data == other or data is None or other is None


def _accuracies(row: Row, chance: float) -> Line:
    last, best = (row.values(metric) for metric in RUN_ACCURACIES[1:3])
    test = row.scores(chance)
    spread = (statistics.sd(test), *statistics.t_interval(test))
    counts = (row.count(OK), row.count(*FAILED), row.incomplete)
    means = (statistics.mean(last), statistics.mean(best))
    return named((*COUNTS, *ACCURACIES), (*counts, statistics.mean(test), *spread, *means))


def _run(row: Row, record: Record) -> Line:
    measured = {name: record["metrics"].get(name) for name in (*RUN_ACCURACIES, *RUN_EPOCHS)}
    stated = {name: record[name] for name in ("status", "error", "id")}
    return row.identity() | {"seed": record["cell"]["seed"]} | measured | stated
