"""The tables `accuracy` and `pairs`: the rows of each task, compared with each other.

A *task* is (dataset, backbone, timesteps); a row is one configuration in one task, over its seeds.
docs/tables.md explains columns and statistics: accuracies are in percent, differences in percentage points.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from bench.errors import counted
from bench.records.store import FAILED, OK, Store
from bench.tables import statistics
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
    frame,
    named,
)
from bench.tables.rows import OTHERS, Row, base, chance, judged, settings
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
YES_OR_NO = {True: "yes", False: "no"}
AT_CHANCE = 0.05
"""The share of the way from guessing to 100 % within which nothing is taken to have been learned."""


def tasks(
    of: Sequence[Row], baseline: str, seeds: Iterable[int] | None = None, store: Store | None = None
) -> list[Task]:
    """The tasks of these rows, one for each setting in which rows are comparable.

    baseline: the row that the others are compared with. seeds: those that the suite asks for; others do not
    enter comparisons. store: holds the predictions of the records, for intervals over images, which are
    unknown without it.
    """
    seeds = None if seeds is None else [*seeds]
    return [Task(comparable, baseline, seeds, store) for comparable in settings(of)]


def accuracy_of(tasks: Iterable[Task]) -> pd.DataFrame:
    """A row per configuration, best first in each task, compared with the baseline and with the best.

    Failed runs count as chance in everything but the means of the last epoch. All pairs of rows that have
    every seed and the same data are compared, except references: see `bench.tables.all_pairs`.
    p_permutation is Holm-adjusted over the comparisons with the baseline.
    """
    return frame([line for task in tasks for line in task.lines()], ACCURACY_COLUMNS)


def pairs_of(tasks: Iterable[Task]) -> pd.DataFrame:
    """A row for each pair of compared rows of one task, the better one first."""
    return frame([line for task in tasks for line in task.pair_lines()], PAIRS_COLUMNS)


class Task:
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
                named((*KEY, *OTHER), (*row.key, other.method, other.variant))
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
        size = f"n = {counted(n, 'paired seed')}, {counted(k, 'method')}"
        lacking = "" if self.base else f" {self._lacking()}."
        if not self.pairs.judged:
            why = f"fewer than {FEWEST} seeds" if k > 1 else "two that have every seed are needed"
            return f"{size}: {why}, so nothing is tested.{lacking}"
        least = self.pairs.detectable()
        if math.isnan(least):
            return f"{size}; the differences do not vary, so what this design detects is unknown.{lacking}"
        if max(self.means) < self.chance + AT_CHANCE * (100 - self.chance):
            lacking += (
                f" No method gets far from guessing ({self.chance:.2f} %): train longer before you compare."
            )
        more = self.pairs.seeds_for(MARGIN)
        needed = f"{more} seeds" if more else f"more than {MOST_SEEDS} seeds"
        return (
            f"{size}, {counted(self.pairs.pairs, 'pair')}; with 80 % power this design detects a true "
            f"difference of {least:.2f} percentage points or more; one of {MARGIN:g} would take {needed}."
            f"{lacking}"
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
