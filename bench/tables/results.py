"""A suite's results, and every table that is made of them.

The same records, in any order, give the same tables, and the same bytes on disk.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import pandas as pd

from bench.errors import BenchError
from bench.files import write_atomic
from bench.records import reading
from bench.records.store import Store
from bench.records.timings import Timing
from bench.suite import Suite
from bench.tables import accuracy_table, measured_tables, table_schemas, tuning_tables
from bench.tables.columns import DECLARED, KEY, RUN_ACCURACIES, Line, csv, frame
from bench.tables.latency_table import LATENCY_COLUMNS, latency_of
from bench.tables.overall_table import OVERALL_COLUMNS, overall_of
from bench.tables.published_table import PUBLISHED_COLUMNS, published_of
from bench.tables.rows import Record, Row, rows

RUN_EPOCHS = ("best_epoch", "epochs_to_target")
RUNS_COLUMNS = (*KEY, *DECLARED, "seed", "status", *RUN_ACCURACIES, *RUN_EPOCHS, "error", "id")

COLUMNS = {
    "runs": RUNS_COLUMNS,
    "accuracy": accuracy_table.ACCURACY_COLUMNS,
    "pairs": accuracy_table.PAIRS_COLUMNS,
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


class Results:
    """A suite's records, and what is made of them: each part once, when it is first asked for.

    records, timings, layer_times, trials: of the suite's runs, of networks, of layers, and of its tuning.
    baseline: the row that the others are compared with.
    seeds: those that the suite asks for; others do not enter comparisons and are counted in n_extra.
    store: holds the predictions of the records, for intervals over images, which are unknown without it.
    left_out: one sentence for each file that is not counted, with its name and the reason.
    """

    def __init__(
        self,
        records: Iterable[Record],
        baseline: str = "rectangle",
        seeds: Iterable[int] | None = None,
        *,
        timings: Sequence[Timing] = (),
        layer_times: Iterable[Mapping[str, Any]] = (),
        trials: Iterable[Record] = (),
        store: Store | None = None,
        left_out: Sequence[str] = (),
    ) -> None:
        self.records, self.baseline = [*records], baseline
        self.seeds = None if seeds is None else [*seeds]
        self.timings, self.layer_times, self.trials = timings, [*layer_times], [*trials]
        self.store, self.left_out = store, left_out
        self._made: dict[str, pd.DataFrame] = {}

    @classmethod
    def read(cls, store: Store, suite: Suite) -> Self:
        """Those in a results folder. Raises BenchError if there are no records, or they cannot be read."""
        found = reading.read(store, suite.targets)
        return cls(
            found.records,
            suite.baseline,
            suite.seeds,
            timings=found.timings,
            layer_times=found.layer_times,
            trials=found.trials,
            store=store,
            left_out=found.left_out,
        )

    def against(self, baseline: str) -> Results:
        """The same results, with another row as the baseline: METHOD, or METHOD:VARIANT.

        Raises BenchError if no row has that name.
        """
        names = set[str]().union(*(row.names for row in self.rows))
        if baseline not in names:
            close = difflib.get_close_matches(baseline, sorted(names), n=4, cutoff=0.4) or sorted(names)
            raise BenchError(f"--baseline: no row {baseline} to compare with; there are {', '.join(close)}")
        return Results(
            self.records,
            baseline,
            self.seeds,
            timings=self.timings,
            layer_times=self.layer_times,
            trials=self.trials,
            store=self.store,
            left_out=self.left_out,
        )

    @cached_property
    def rows(self) -> list[Row]:
        """One for each configuration."""
        return rows(self.records)

    @cached_property
    def tasks(self) -> list[accuracy_table.Task]:
        """One for each setting in which rows are comparable."""
        return accuracy_table.tasks(self.rows, self.baseline, self.seeds, self.store)

    @cached_property
    def _trial_rows(self) -> list[Row]:
        return tuning_tables.trial_rows(self.trials)

    @property
    def notes(self) -> list[str]:
        """A sentence per task: seeds, comparisons, and the smallest difference that they can detect."""
        return [f"{task.name}: {task.design()}" for task in self.tasks]

    def table(self, name: str) -> pd.DataFrame:
        """The table `name`, one of COLUMNS."""
        if name not in self._made:
            makers: dict[str, Callable[[], pd.DataFrame]] = {
                "runs": lambda: _runs(self.rows),
                "accuracy": lambda: accuracy_table.accuracy_of(self.tasks),
                "pairs": lambda: accuracy_table.pairs_of(self.tasks),
                "overall": lambda: overall_of(self.rows, self.baseline, self.table("latency"), self.seeds),
                "gradients": lambda: measured_tables.gradients_of(self.rows, self.baseline),
                "cost": lambda: measured_tables.cost_of(self.rows),
                "anytime": lambda: measured_tables.anytime_of(self.rows),
                "latency": lambda: latency_of(self.rows, self.timings, self.layer_times),
                "published": lambda: published_of(self.rows),
                "tuning": lambda: tuning_tables.tuning_of(self._trial_rows),
                "tuned": lambda: tuning_tables.tuned_of(self._trial_rows, self.rows),
            }
            self._made[name] = makers[name]()
        return self._made[name]

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """Every table by name; those of tuning only if there are trials."""
        return {name: self.table(name) for name in COLUMNS if self.trials or name not in OF_TUNING}


def save(made: Mapping[str, pd.DataFrame], folder: Path) -> list[Path]:
    """Write each table to NAME.csv, atomically, if all of them match their schema.

    Raises BenchError if one does not, and OSError, for example if the disk is full.
    """
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
    """A row per cell, whatever its status; without times and machines, which differ between equal runs."""
    return frame([_run(row, record) for row in of for record in row.records], RUNS_COLUMNS)


def _run(row: Row, record: Record) -> Line:
    measured = {name: record["metrics"].get(name) for name in (*RUN_ACCURACIES, *RUN_EPOCHS)}
    stated = {name: record[name] for name in ("status", "error", "id")}
    return row.identity() | {"seed": record["cell"]["seed"]} | measured | stated
