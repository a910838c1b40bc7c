"""Records in, accuracy tables out.

A *task* is (dataset, backbone, timesteps); a row is one configuration in one task, over its seeds.
Columns and statistics are explained in docs/tables.md: accuracies in percent, differences in
percentage points.
The same records, in any order, give the same tables, and the same bytes on disk.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench import statistics
from bench.errors import BenchError
from bench.files import write_atomic
from bench.statistics import Values
from bench.store import FAILED, OK

Record = Mapping[str, Any]
Line = dict[str, Any]

TASK = ("dataset", "backbone", "timesteps")
KEY = (*TASK, "method", "variant")
DECLARED = ("kind", "changes", "fidelity")
COUNTS = ("n_seeds", "n_failed", "n_incomplete")
ACCURACIES = tuple(
    f"test_accuracy_{what}" for what in ("mean", "sd", "ci_low", "ci_high", "last_mean", "best_epoch_mean")
)
DELTAS = ("delta_vs_baseline", "delta_ci_low", "delta_ci_high")
P_VALUES = ("p_adjusted", "p_permutation")
VERDICTS = ("indistinguishable_from_best", "rank")
RUN_ACCURACIES = ("test_accuracy", "test_accuracy_last", "test_accuracy_best_epoch", "val_accuracy")

ACCURACY_COLUMNS = (*KEY, *DECLARED, *COUNTS, *ACCURACIES, *DELTAS, *P_VALUES, *VERDICTS)
RUNS_COLUMNS = (*KEY, *DECLARED, "seed", "status", *RUN_ACCURACIES, "best_epoch", "error", "id")

DECIMALS = dict.fromkeys((*ACCURACIES, *DELTAS, *RUN_ACCURACIES), 4) | dict.fromkeys(P_VALUES, 6)
"""Digits after the point on disk. A column that is not here holds text or whole numbers."""
WHOLE = ("timesteps", "seed", "best_epoch", "rank", *COUNTS)

FEWEST_PAIRS_WITH_BEST = 3


def runs_table(records: Iterable[Record]) -> pd.DataFrame:
    """A row per cell, whatever its status; no times and no machines, which differ between equal runs."""
    return _frame([_run(row, record) for row in _rows(records) for record in row.records], RUNS_COLUMNS)


def accuracy_table(records: Iterable[Record], baseline: str = "rectangle") -> pd.DataFrame:
    """A row per configuration, best first in each task, compared with the method named `baseline`.

    p_adjusted and p_permutation are both Holm-adjusted over the m rows of the task that share at least
    two seeds with the baseline; reference rows are not among them. Against the best, the intervals
    are Bonferroni-adjusted over the rows that share at least three seeds with it. The baseline's own
    comparison is empty, and so is one between rows whose data differ.
    """
    return _frame([line for task in _tasks(records, baseline) for line in task.lines()], ACCURACY_COLUMNS)


def design_note(records: Iterable[Record], baseline: str = "rectangle") -> list[str]:
    """A sentence per task: seeds, comparisons, and the smallest difference they would show."""
    return [task.design() for task in _tasks(records, baseline)]


def write(records: Iterable[Record], folder: Path, baseline: str = "rectangle") -> list[Path]:
    """Write runs.csv and accuracy.csv, each whole or not at all. Raises OSError, as on a full disk."""
    records = list(records)
    tables = {"runs.csv": runs_table(records), "accuracy.csv": accuracy_table(records, baseline)}
    for name, table in tables.items():
        write_atomic(folder / name, csv(table).encode("utf-8", "backslashreplace"))
    return [folder / name for name in tables]


def csv(table: pd.DataFrame) -> str:
    """The text of a table's file."""
    return printed(table).to_csv(index=False, lineterminator="\n")


def printed(table: pd.DataFrame) -> pd.DataFrame:
    """The table as it stands on disk: every value as one line of text, what is unknown as ""."""
    texts = {str(name): [text(str(name), value) for value in table[name]] for name in table.columns}
    return pd.DataFrame(texts, dtype=object)


@dataclass(frozen=True, eq=False)
class _Row:
    """One configuration: its records, sorted by seed."""

    task: tuple[str, str, int]
    method: str
    variant: str
    configuration: str
    records: Sequence[Record]
    checksum: str | None

    @property
    def setting(self) -> str:
        """All that a fair comparison of methods holds fixed: recipe, network, profile, their code."""
        cell, digests = self.records[0]["cell"], self.records[0].get("digests", {})
        fixed = {name: value for name, value in cell.items() if name not in ("method", "seed")}
        code = {name: value for name, value in digests.items() if name != "method"}
        return json.dumps([fixed, code], sort_keys=True)

    @property
    def words(self) -> list[str]:
        """The parts of the variant; none for the default."""
        return [word for word in self.variant.split() if word != "default"]

    @property
    def seeds(self) -> set[int]:
        """Of all records, whatever became of them."""
        return {record["cell"]["seed"] for record in self.records}

    def count(self, *statuses: str) -> int:
        return sum(record["status"] in statuses for record in self.records)

    @property
    def incomplete(self) -> int:
        return len(self.records) - self.count(OK, *FAILED)

    @property
    def reference(self) -> bool:
        return bool(self.records[0]["method"]["kind"] == "reference")

    def measured(self, metric: str) -> dict[int, float]:
        """Seed to value, over the runs that are ok and measured it."""
        ok = (record for record in self.records if record["status"] == OK)
        values = {record["cell"]["seed"]: record["metrics"].get(metric) for record in ok}
        return {seed: float(value) for seed, value in values.items() if value is not None}

    def pairs(self, other: _Row) -> tuple[Values, Values]:
        """Test accuracies of both rows on the seeds where both are ok; none if their data differ."""
        mine, theirs = self.measured("test_accuracy"), other.measured("test_accuracy")
        seeds = sorted(mine.keys() & theirs.keys()) if self.checksum == other.checksum else []
        return np.array([mine[s] for s in seeds], float), np.array([theirs[s] for s in seeds], float)

    def score(self, chance: float) -> float:
        """Mean test accuracy with failed runs at chance; NaN for a row that is not ranked."""
        if self.reference or self.incomplete:
            return math.nan
        values = [*self.measured("test_accuracy").values(), *[chance] * self.count(*FAILED)]
        # The last bits depend on the order of summation, and would break ties.
        return round(float(np.mean(values)), 9)

    def identity(self) -> Line:
        declared = {name: self.records[0]["method"][name] for name in DECLARED}
        return _named(KEY, (*self.task, self.method, self.variant)) | declared

    def accuracies(self) -> Line:
        test, last, best = (np.array([*self.measured(m).values()]) for m in RUN_ACCURACIES[:3])
        spread = (statistics.sd(test), *statistics.t_interval(test))
        counts = (self.count(OK), self.count(*FAILED), self.incomplete)
        means = (statistics.mean(last), statistics.mean(best))
        return _named((*COUNTS, *ACCURACIES), (*counts, statistics.mean(test), *spread, *means))


class _Task:
    """The rows of one task and one setting, compared with its baseline and with its best."""

    def __init__(self, rows: Sequence[_Row], baseline: str) -> None:
        candidates = [row for row in rows if row.method == baseline]
        # In one setting the fewest words are those of the default parameters.
        base = min(candidates, key=lambda row: (len(row.words), row.variant), default=None)
        self.wanted = base.seeds if base else set[int]().union(*(row.seeds for row in rows))
        self.rows, self.baseline, self.base = rows, baseline, base
        self.pairs = {row: row.pairs(base) for row in rows if base and row is not base}
        self.found = {row: statistics.paired(*pair) for row, pair in self.pairs.items()}
        self.family = [row for row, found in self.found.items() if found.n >= 2 and not row.reference]

    def lines(self) -> list[Line]:
        """The rows of the table, in its order."""
        ranks, p_values = self._ranks(), self._p_values()
        verdicts = self._verdicts(ranks)
        order = sorted(self.rows, key=lambda row: (ranks[row] or math.inf, row.method, row.variant))
        return [
            row.identity()
            | row.accuracies()
            | self._delta(row)
            | p_values.get(row, {})
            | _named(VERDICTS, (verdicts.get(row, ""), ranks[row]))
            for row in order
        ]

    def design(self) -> str:
        """What this many seeds and comparisons can show."""
        shared = [word for word in self.rows[0].words if all(word in row.words for row in self.rows)]
        name = ", ".join(["{}, {}, T = {}".format(*self.rows[0].task), *shared])
        if self.base is None:
            return f"{name}: no run of {self.baseline}, so nothing is compared with it."
        if not self.family:
            return f"{name}: no method has two finished seeds beside {self.baseline}'s, so nothing is tested."
        m, pairs = len(self.family), sorted(self.found[row].n for row in self.family)
        fewest, most = pairs[0], pairs[-1]
        seeds = f"{fewest}" if fewest == most else f"{fewest} to {most}"
        size = f"{name}: n = {seeds} paired seeds, m = {m} comparison{'s' * (m > 1)} with {self.baseline}"
        spread = float(np.median([self.found[row].sd for row in self.family]))
        if spread == 0:
            return f"{size}; the differences do not vary, so what this design would detect is unknown."
        least = statistics.detectable(spread, fewest, (1 - statistics.LEVEL) / m)
        return (
            f"{size}; with 80 % power this design would detect a true difference of {least:.2f} percentage "
            f"points or more (paired t-test with n = {fewest} at Holm's strictest level, 0.05/{m}; the "
            f"median sd of the differences is {spread:.2f})."
        )

    def _ranks(self) -> dict[_Row, int | None]:
        chance = _chance(record for row in self.rows for record in row.records)
        # Fewer seeds than the baseline's would make a mean over other runs than the others' means.
        scores = [row.score(chance) if row.seeds >= self.wanted else math.nan for row in self.rows]
        return dict(zip(self.rows, statistics.ranks(scores), strict=True))

    def _delta(self, row: _Row) -> Line:
        found = self.found.get(row)
        return _named(DELTAS, (found.mean, found.low, found.high)) if found else {}

    def _p_values(self) -> dict[_Row, Line]:
        t_tests = statistics.holm([self.found[row].p for row in self.family])
        flips = statistics.sign_flips([statistics.differences(*self.pairs[row]) for row in self.family])
        return {row: _named(P_VALUES, p) for row, *p in zip(self.family, t_tests, flips, strict=True)}

    def _verdicts(self, ranks: Mapping[_Row, int | None]) -> dict[_Row, str]:
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


def _chance(records: Iterable[Record]) -> float:
    """Percent right by guessing; NaN where no record got as far as knowing its classes."""
    classes = max((_data(record, "classes") or 0 for record in records), default=0)
    return 100 / classes if classes else math.nan


def _tasks(records: Iterable[Record], baseline: str) -> Iterator[_Task]:
    def where(row: _Row) -> tuple[Any, ...]:
        return (*row.task, row.setting)

    for _, rows in groupby(sorted(_rows(records), key=where), key=where):
        yield _Task(list(rows), baseline)


def _rows(records: Iterable[Record]) -> list[_Row]:
    """A row per configuration, sorted by key; those that share a whole key are told apart by a suffix.

    Records made before and after a change of the code that they depend on are two configurations.
    """
    by_configuration: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_configuration[_configuration(record)].append(record)
    by_key: dict[tuple[Any, ...], list[_Row]] = defaultdict(list)
    for configuration, found in by_configuration.items():
        row = _row(configuration, found)
        by_key[(*row.task, row.method, row.variant)].append(row)
    rows = [row for same in by_key.values() for row in (_told_apart(same) if len(same) > 1 else same)]
    return sorted(rows, key=lambda row: (*row.task, row.method, row.variant))


def _configuration(record: Record) -> str:
    if "digests" not in record:
        return str(record["configuration"])
    code = json.dumps([record["configuration"], record["digests"]], sort_keys=True)
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def _row(configuration: str, records: list[Record]) -> _Row:
    records = sorted(records, key=lambda record: record["cell"]["seed"])
    cell = records[0]["cell"]
    task = (cell["dataset"]["name"], cell["backbone"]["name"], cell["timesteps"])
    name = f"configuration {configuration} ({cell['method']['name']} on {cell['dataset']['name']})"
    seeds = [record["cell"]["seed"] for record in records]
    if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise BenchError(f"{name} has two records of seed {twice[0]}: keep one of them")
    checksums = sorted({found for record in records if (found := _data(record, "checksum"))})
    if len(checksums) > 1:
        raise BenchError(f"{name} has records of different data ({', '.join(checksums)}): keep those of one")
    checksum = checksums[0] if checksums else None
    return _Row(task, cell["method"]["name"], records[0]["variant"], configuration, records, checksum)


def _told_apart(rows: list[_Row]) -> list[_Row]:
    """The same rows, each variant with the first four digits of its configuration, or as many as it takes."""
    lengths = range(4, max(len(row.configuration) for row in rows) + 1)
    digits = next(n for n in lengths if len({row.configuration[:n] for row in rows}) == len(rows))
    return [replace(row, variant=f"{row.variant} #{row.configuration[:digits]}") for row in rows]


def _data(record: Record, fact: str) -> Any:
    """A fact about the data; None where the run failed before it had any."""
    return (record.get("data") or {}).get(fact)


def _run(row: _Row, record: Record) -> Line:
    measured = {name: record["metrics"].get(name) for name in (*RUN_ACCURACIES, "best_epoch")}
    stated = {name: record[name] for name in ("status", "error", "id")}
    return row.identity() | {"seed": record["cell"]["seed"]} | measured | stated


def _named(names: Sequence[str], values: Iterable[Any]) -> Line:
    return dict(zip(names, values, strict=True))


def _frame(lines: list[Line], columns: Sequence[str]) -> pd.DataFrame:
    types = {name: "Int64" if name in WHOLE else float for name in columns if name in (*WHOLE, *DECIMALS)}
    return pd.DataFrame(lines, columns=list(columns)).astype(types)


def text(column: str, value: Any) -> str:
    """A value of a column as it stands on disk; "" where it is unknown."""
    if pd.isna(value):
        return ""
    if column in DECIMALS:
        # Adding 0 turns -0.0 into 0.0.
        return f"{round(float(value), DECIMALS[column]) + 0:.{DECIMALS[column]}f}"
    return str(int(value)) if column in WHOLE else " ".join(str(value).split())
