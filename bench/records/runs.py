"""Finds one run among the records of a results folder, and reads its files."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench.errors import BenchError, listed
from bench.records.record_files import read_record, reason
from bench.records.store import ELSEWHERE, in_folder
from bench.suite import load_suite

Row = dict[str, Any]

EPOCH_COLUMNS = ("epoch", "learning_rate", "train_loss", "val_accuracy")
LAYER_COLUMNS = (
    "epoch",
    "layer",
    "name",
    "t",
    "available_fraction",
    "gradient_norm",
    "silent_fraction",
)
"""The columns that the display needs of the two tables; more are allowed."""
PLACES = ("epoch", "layer", "t")
"""The columns that identify a row: whole numbers."""
MOST_NAMED = 6
LONGEST = 255
"""The longest file name, in bytes, that file systems allow."""


class Found(NamedTuple):
    """A record and its folder."""

    folder: Path
    record: Row

    @property
    def cell(self) -> Row:
        """What was run."""
        cell: Row = self.record["cell"]
        return cell

    def summary(self) -> Row:
        """Its line in a list of runs."""
        record, cell = self.record, self.cell
        return {
            "id": record["id"],
            "dataset": cell["dataset"]["name"],
            "backbone": cell["backbone"]["name"],
            "timesteps": cell["timesteps"],
            "method": cell["method"]["name"],
            "variant": record["variant"],
            "seed": cell["seed"],
            "status": record["status"],
            "test_accuracy": record["metrics"].get("test_accuracy"),
        }

    def __str__(self) -> str:
        return f"{self.record['id']} ({self.name})"

    @property
    def name(self) -> str:
        """`mpd-agl on digits, seed 0`."""
        cell = self.cell
        return f"{cell['method']['name']} on {cell['dataset']['name']}, seed {cell['seed']}"


@dataclass(frozen=True)
class Run:
    """One training run: its record and two tables, with sorted rows and None for unknown values.

    epochs: one row per epoch, from 0.
    layers: one row per probe, layer and time step; "epoch" is the number of epochs trained before.

    Both can be empty.
    """

    folder: Path
    record: Row
    epochs: list[Row]
    layers: list[Row]


@dataclass(frozen=True)
class Listing:
    """The runs that match a request; damaged: one sentence for each unreadable record."""

    found: list[Found]
    damaged: list[str]
    whole: bool
    """Whether a whole suite was requested: then even a single run is listed."""

    @property
    def chosen(self) -> Found | None:
        """The run, if there is exactly one."""
        return self.found[0] if len(self.found) == 1 and not self.whole else None


def find(
    asked: str,
    results: Path,
    *,
    method: str | None = None,
    dataset: str | None = None,
    seed: int | None = None,
) -> Listing:
    """The runs for a cell id or its beginning, the path of a run, or the name of a suite.

    method, dataset, seed: select only runs with these.

    Raises BenchError if there is no such run, or several ids have this beginning.
    """
    place, folders, is_suite = _folders(asked, results)
    found, damaged = _read_all(folders)
    if not found:
        raise BenchError(damaged[0] if damaged else f"{place} holds no finished run")
    for what, value in (("method", method), ("dataset", dataset), ("seed", seed)):
        if value is not None:
            found = _only(found, what, value, place)
    if not is_suite and len(found) > 1:
        raise BenchError(_ambiguous(asked, found))
    return Listing(found, damaged, is_suite and method is None and dataset is None and seed is None)


def read(found: Found) -> Run:
    """The run with its tables. Raises BenchError, naming the file, if one of them is damaged."""
    epochs = _rows(found.folder / "epochs.parquet", EPOCH_COLUMNS)
    layers = _rows(found.folder / "layers.parquet", LAYER_COLUMNS)
    return Run(
        found.folder,
        found.record,
        sorted(epochs, key=lambda row: int(row["epoch"])),
        sorted(layers, key=lambda row: tuple(int(row[name]) for name in PLACES)),
    )


def why_no_layers(run: Run) -> str:
    """Why there are no layer rows, in a few words."""
    unmeasured = run.record.get("unmeasured", {})
    if run.record["status"] != "ok":
        return f"the run ended as {run.record['status']}"
    if "gradients" in unmeasured:
        return str(unmeasured["gradients"])
    if run.record["cell"]["measure"]["probe"] == "off":
        return 'the suite says probe = "off"'
    return f"{run.folder / 'layers.parquet'} is not there"


def _folders(asked: str, results: Path) -> tuple[str, list[Path], bool]:
    """A name for the place, the folders of the runs there, and whether it is a suite."""
    runs = results / "runs"
    if any(len(part.encode()) > LONGEST for part in Path(asked).parts):
        raise BenchError(f"{asked[:20]}… is too long for the name of a run, a suite or a folder")
    if asked.endswith(".toml"):
        asked = load_suite(asked).name
    if asked == Path(asked).name and asked not in ("", "..") and (runs / asked).is_dir():
        return f"the suite {asked} in {results}", _with_record(runs / asked), True
    path = Path(asked).parent if Path(asked).name == "record.json" else Path(asked)
    if (path / "record.json").is_file():
        return str(path), [path], False
    if path.is_dir() and (inside := _with_record(path)):
        return str(path), inside, True
    suites = sorted(each for each in runs.iterdir() if each.is_dir()) if runs.is_dir() else []
    everything = [folder for suite in suites for folder in _with_record(suite)]
    if not everything:
        raise BenchError(f"there are no runs in {results}: give --results, the folder that holds them")
    begun = [folder for folder in everything if asked and folder.name.startswith(asked.lower())]
    if not begun:
        raise BenchError(_unknown(asked, results, [suite.name for suite in suites], everything))
    return str(results), begun, False


def _with_record(suite: Path) -> list[Path]:
    return sorted(file.parent for file in suite.glob("*/record.json"))


def _unknown(asked: str, results: Path, suites: Sequence[str], everything: Sequence[Path]) -> str:
    close = difflib.get_close_matches(asked, [*suites, *(folder.name for folder in everything)], n=3)
    there = (
        f"did you mean {' or '.join(map(repr, close))}?"
        if close
        else f"there are the suites {listed(suites, MOST_NAMED)}"
    )
    return f"no run or suite {asked!r} in {results}: {there}{'' if close else '; or give another --results'}"


def _ambiguous(asked: str, found: Sequence[Found]) -> str:
    ids = {each.record["id"] for each in found}
    if len(ids) == 1:
        return f"{asked!r} is in several suites: give its path, {' or '.join(str(f.folder) for f in found)}"
    return f"{asked!r} begins {len(found)} runs, {listed(found, MOST_NAMED)}: give more of the id"


def _read_all(folders: Sequence[Path]) -> tuple[list[Found], list[str]]:
    found, damaged = [], []
    for folder in folders:
        try:
            file = folder / "record.json"
            record = read_record(file)
            if ELSEWHERE in folder.name:
                record = in_folder(record, folder.name, str(file))
            found.append(Found(folder, record))
        except BenchError as problem:
            damaged.append(str(problem))
    return sorted(found, key=_by_name), damaged


def _by_name(found: Found) -> tuple[Any, ...]:
    cell = found.cell
    names = (cell["dataset"]["name"], cell["backbone"]["name"], cell["timesteps"], cell["method"]["name"])
    return (*names, found.record["variant"], cell["seed"], found.record["id"], str(found.folder))


def _only(found: Sequence[Found], what: str, value: str | int, place: str) -> list[Found]:
    def of(each: Found) -> str | int:
        part = each.cell[what]
        name: str | int = part["name"] if isinstance(part, dict) else part
        return name

    left = [each for each in found if of(each) == value]
    if not left:
        there = list(dict.fromkeys(map(of, found)))
        close = difflib.get_close_matches(str(value), list(map(str, there)), n=1)
        hint = (
            f"did you mean {close[0]!r}?"
            if close and what != "seed"
            else f"{what}s there: {listed(there, MOST_NAMED)}"
        )
        raise BenchError(f"no run with the {what} {value!r} in {place}: {hint}")
    return left


def _rows(file: Path, needed: Sequence[str]) -> list[Row]:
    """The rows of a table; none if the file does not exist."""
    if not file.exists():
        return []
    import pandas as pd

    try:
        table = pd.read_parquet(file)
        if missing := [name for name in needed if name not in table.columns]:
            raise ValueError(f"it lacks the column {missing[0]}")
        for name in table.columns.difference(["name"]):
            table[name] = pd.to_numeric(table[name]).astype(float)
        places = table[[name for name in PLACES if name in table.columns]]
        if not places.map(lambda value: math.isfinite(value) and value == int(value)).all(axis=None):
            raise ValueError("an epoch, layer or time step is not a whole number")
        return [{str(k): _value(str(k), v) for k, v in row.items()} for row in table.to_dict("records")]
    except OSError as problem:
        if problem.errno is None:
            # The file reader's own error, for a file that is not a table.
            raise _damaged(file, problem) from None
        raise BenchError(f"{file} cannot be read: {problem.strerror or problem}") from None
    except Exception as problem:
        # Each layer of the file reader raises its own errors.
        raise _damaged(file, problem) from None


def _damaged(file: Path, problem: Exception) -> BenchError:
    return BenchError(f"{file} is damaged ({reason(problem)}): remove its folder and run the suite again")


def _value(column: str, value: Any) -> Any:
    if column == "name":
        return str(value)
    if column in PLACES:
        return int(value)
    return float(value) if math.isfinite(value) else None


def plugins(record: Mapping[str, Any]) -> list[str]:
    """The user's own code in a record's training, as in `method mine: mine.py, code 5a0b…, commit 31e4…`.

    Empty for records of earlier versions, which do not say.
    """
    found = []
    for what, origin in record.get("sources", {}).items():
        if origin["shipped"]:
            continue
        commit = f", commit {origin['commit'][:12]}" if origin["commit"] else ", not under version control"
        changes = " with uncommitted changes" if origin["dirty"] else ""
        name = record["cell"][what]["name"]
        found.append(f"{what} {name}: {origin['file']}, code {origin['identity']}{commit}{changes}")
    return found
