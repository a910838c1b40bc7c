"""Group records into the rows of a table: one row per configuration, over its seeds."""

from __future__ import annotations

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np

from bench.errors import BenchError
from bench.records import choosing
from bench.records.store import FAILED, OK
from bench.tables.columns import DECLARED, KEY, Line, named
from bench.tables.statistics import Values
from bench.variants import RECIPE, TUNED, names, own_words, training_words, words

Record = Mapping[str, Any]
BEST, OTHERS = "best", "other"
"""Places of a row in its sweep."""
SWEPT = "swept"
"""Names the rows of sweeps in tables over several tasks, each with the values that are best in its task."""


@dataclass(frozen=True, eq=False)
class Row:
    """One configuration: its records, sorted by seed, one per seed.

    sweep: best if it is compared on behalf of its method's sweep, other for the rest of the sweep, "" if it
        is in none.
    """

    task: tuple[str, str, int]
    method: str
    variant: str
    configuration: str
    records: Sequence[Record]
    checksum: str | None
    sweep: str = ""

    @cached_property
    def setting(self) -> str:
        """Everything that a fair comparison of methods holds fixed: recipe, network, profile, and their code.

        Compilation is not part of it: it changes only the last bits, and some methods cannot be compiled.
        Nor is what a sweep varies. Tuned rows are a setting of their own.
        """
        cell, digests = self.records[0]["cell"], self.records[0].get("digests", {})
        fixed = {name: value for name, value in cell.items() if name not in ("method", "seed", "selection")}
        if "profile" in fixed:
            fixed["profile"] = {k: v for k, v in fixed["profile"].items() if k != "compile"}
        if self.over:
            fixed["recipe"] = {k: v for k, v in fixed["recipe"].items() if f"{RECIPE}{k}" not in self.over}
        if self.tuned:
            fixed["variant"] = TUNED
        code = {name: value for name, value in digests.items() if name != "method"}
        return json.dumps([fixed, code], sort_keys=True)

    @property
    def over(self) -> Sequence[str]:
        """What the variants differ in of which this is one; see `bench.suite.Selection`."""
        found: Sequence[str] = (self.records[0]["cell"].get("selection") or {}).get("over", ())
        return found

    @property
    def tuned(self) -> bool:
        """Whether it has the values that tuning chose."""
        return bool(self.over) and self.records[0]["cell"]["selection"]["by"] == TUNED

    @property
    def siblings(self) -> tuple[str, ...]:
        """What the rows of one sweep share: the method, its code, and the parameters that are not varied."""
        record = self.records[0]
        params = record["cell"]["method"]["params"]
        fixed = json.dumps({k: v for k, v in params.items() if k not in self.over}, sort_keys=True)
        return self.method, fixed, record.get("digests", {}).get("method", "")

    @property
    def words(self) -> list[str]:
        """The parts of the variant; none for the default."""
        return words(self.variant)

    @property
    def names(self) -> set[str]:
        """What a baseline may be called that is this row: METHOD:VARIANT, and METHOD if it stands for it."""
        found = names(self.method, self.variant)
        return found | {self.method} if self.sweep == BEST or self.tuned else found

    @property
    def own_words(self) -> str:
        """The words of its variant on the method, which name it in tables over several tasks."""
        own = own_words(self.variant)
        if self.sweep != BEST:
            return own
        return " ".join([SWEPT, *(word for word in words(own) if word.partition("=")[0] not in self.over)])

    @property
    def seeds(self) -> set[int]:
        """The seeds of all records, whatever their status."""
        return {record["cell"]["seed"] for record in self.records}

    def count(self, *statuses: str) -> int:
        return sum(record["status"] in statuses for record in self.records)

    @property
    def incomplete(self) -> int:
        return len(self.records) - self.count(OK, *FAILED)

    @property
    def reference(self) -> bool:
        return bool(self.records[0]["method"]["kind"] == "reference")

    @cached_property
    def worked(self) -> dict[int, Mapping[str, Any]]:
        """Seed to metrics, over the runs that are ok."""
        return {r["cell"]["seed"]: r["metrics"] for r in self.records if r["status"] == OK}

    def measured(self, metric: str) -> dict[int, float]:
        """Seed to value, over the runs that are ok and measured the metric."""
        found = {seed: metrics.get(metric) for seed, metrics in self.worked.items()}
        return {seed: float(value) for seed, value in found.items() if value is not None}

    def values(self, metric: str) -> Values:
        """The values of `measured`, in the order of seeds."""
        return np.array([*self.measured(metric).values()], float)

    def pairs(self, other: Row, metric: str = "test_accuracy") -> tuple[Values, Values]:
        """A metric of both rows on the seeds where both measured it; empty if their data differ."""
        mine, theirs = self.measured(metric), other.measured(metric)
        seeds = sorted(mine.keys() & theirs.keys()) if self.checksum == other.checksum else []
        return np.array([mine[s] for s in seeds], float), np.array([theirs[s] for s in seeds], float)

    def by_seed(self, chance: float) -> dict[int, float]:
        """Seed to test accuracy, failed runs at chance; without runs that circumstances stopped."""
        of = {record["cell"]["seed"]: chance for record in self.records if record["status"] in FAILED}
        return of | self.measured("test_accuracy")

    def scores(self, chance: float) -> Values:
        """The values of `by_seed`, in the order of seeds."""
        return np.array([value for _, value in sorted(self.by_seed(chance).items())], float)

    def score(self, chance: float) -> float:
        """Mean test accuracy with failed runs at chance."""
        # Rounded: the last bits depend on the order of summation, and would break ties.
        return round(float(np.mean(self.scores(chance))), 9)

    @cached_property
    def validation(self) -> float:
        """Mean validation accuracy with failed runs at chance."""
        return choosing.validation(self.records)

    def within(self, seeds: set[int]) -> Row:
        """The row restricted to these seeds; unchanged if it has none of them."""
        if self.seeds <= seeds or not self.seeds & seeds:
            return self
        return replace(self, records=[r for r in self.records if r["cell"]["seed"] in seeds])

    @property
    def key(self) -> tuple[Any, ...]:
        """The values of KEY, which identify it in every table."""
        return (*self.task, self.method, self.variant)

    def identity(self) -> Line:
        """The row's key, and what its method declares."""
        declared = {name: self.records[0]["method"][name] for name in DECLARED}
        return named(KEY, self.key) | declared


def settings(of: Iterable[Row]) -> Iterator[list[Row]]:
    """The rows of each task and setting; only rows of the same setting are comparable."""

    def where(row: Row) -> tuple[Any, ...]:
        return (*row.task, row.setting)

    for _, comparable in groupby(sorted(of, key=where), key=where):
        yield list(comparable)


def base(of: Sequence[Row], baseline: str) -> Row | None:
    """The row that the others of one setting are compared with; None if the setting lacks it.

    baseline: METHOD, with its default parameters or the best of its sweep, or METHOD:VARIANT, as in
        rectangle:width=0.5.
    """
    plain = next((row for row in of if baseline in names(row.method, row.variant)), None)
    return plain or next((row for row in of if baseline in row.names), None)


def judged(
    of: Sequence[Row], baseline: str, asked: Iterable[int] | None = None
) -> tuple[list[Row], set[int]]:
    """The rows of one setting over the seeds that count, and these seeds.

    These are the seeds of the baseline, or of all rows if the setting has no baseline, restricted to those
    that the suite asks for (asked): a seed that was added to some rows does not enter comparisons.
    """
    against = base(of, baseline)
    seeds = against.seeds if against else set[int]().union(*(row.seeds for row in of))
    if asked is not None:
        seeds = seeds & {*asked} or seeds
    return [row.within(seeds) for row in of], seeds


def rows(records: Iterable[Record]) -> list[Row]:
    """A row per configuration, sorted by key.

    If rows of one task were trained differently, or with two versions of the protocol or of torch, the
    variants of all rows of the task say how, as in learning_rate=0.03 or torch=2.14. Rows that still have the
    same name get the beginning of a hash. Records made before and after a change of the code that they depend
    on are two configurations.
    """
    by_code: dict[tuple[Any, ...], list[Record]] = defaultdict(list)
    for record in records:
        by_code[record["configuration"], *sorted(record.get("digests", {}).items())].append(record)
    by_key: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in _in_words([_row(_configuration(found[0]), found) for found in by_code.values()]):
        by_key[row.key].append(row)
    apart = [row for same in by_key.values() for row in (_told_apart(same) if len(same) > 1 else same)]
    return _judged_sweeps(sorted(apart, key=lambda row: row.key))


def _judged_sweeps(rows: Sequence[Row]) -> list[Row]:
    """The same rows, with the best of each sweep marked, and the others."""
    sweeps: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if row.over and not row.tuned:
            sweeps[(*row.task, row.setting, *row.siblings)].append(row)
    marks = dict.fromkeys(rows, "")
    for sweep in sweeps.values():
        marks |= dict.fromkeys(sweep, OTHERS)
        chosen = choosing.best([row.records for row in sweep])
        if chosen is not None:
            marks[sweep[chosen]] = BEST
    return [replace(row, sweep=mark) if mark else row for row, mark in marks.items()]


def _configuration(record: Record) -> str:
    if "digests" not in record:
        return str(record["configuration"])
    code = json.dumps([record["configuration"], record["digests"]], sort_keys=True)
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def _row(configuration: str, records: list[Record]) -> Row:
    records = sorted(records, key=lambda record: record["cell"]["seed"])
    cell = records[0]["cell"]
    task = (cell["dataset"]["name"], cell["backbone"]["name"], cell["timesteps"])
    name = f"configuration {configuration} ({cell['method']['name']} on {cell['dataset']['name']})"
    seeds = [record["cell"]["seed"] for record in records]
    if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise BenchError(f"{name} has two records of seed {twice[0]}: keep one of them")
    checksums = sorted({found for record in records if (found := data(record, "checksum"))})
    if len(checksums) > 1:
        raise BenchError(f"{name} has records of different data ({', '.join(checksums)}): keep those of one")
    checksum = checksums[0] if checksums else None
    return Row(task, cell["method"]["name"], records[0]["variant"], configuration, records, checksum)


def _in_words(rows: Sequence[Row]) -> Iterator[Row]:
    """The same rows; if the rows of a task were not all trained alike, each variant says how its row was.

    Otherwise a table would present rows as rivals that are not compared with each other.
    """
    by_task: dict[tuple[str, str, int], list[Row]] = defaultdict(list)
    for row in rows:
        by_task[row.task].append(row)
    for same in by_task.values():
        trained = {row: _trained(row.records[0]) for row in same}
        keys = dict.fromkeys(key for words in trained.values() for key in words)
        # A sweep says what it varies, and what tuning chose is in its own table.
        free = {row: {key.removeprefix(RECIPE) for key in row.over} for row in same}
        differ = [
            key
            for key in keys
            if len({words.get(key) for row, words in trained.items() if key not in free[row]}) > 1
        ]
        for row in same:
            said = [trained[row][key] for key in differ if key in trained[row] and key not in free[row]]
            yield replace(row, variant=" ".join([*row.words, *said])) if said else row


def _trained(record: Record) -> dict[str, str]:
    """The words that say how a record was trained, by key; protocol and torch version come last."""
    digests = record.get("digests", {})
    versions = {key: digests[key].replace(" ", "=") for key in ("harness", "libraries") if key in digests}
    return training_words(record["cell"]) | versions


def _told_apart(rows: list[Row]) -> list[Row]:
    """Rows that share a name, each with enough digits of its configuration to differ, at least four."""
    lengths = range(4, max(len(row.configuration) for row in rows) + 1)
    digits = next(n for n in lengths if len({row.configuration[:n] for row in rows}) == len(rows))
    return [replace(row, variant=f"{row.variant} #{row.configuration[:digits]}") for row in rows]


def chance(records: Iterable[Record]) -> float:
    """Accuracy of guessing, in percent; NaN if no record knows its number of classes."""
    return choosing.chance(records) or math.nan


def data(record: Record, fact: str) -> Any:
    """A fact about the data; None if the run failed before it loaded any."""
    return (record.get("data") or {}).get(fact)
