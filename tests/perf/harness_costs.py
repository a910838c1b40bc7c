"""Results folders as runs leave them, whole and valid but without any training: for what the harness costs.

The accuracies in them mean nothing; they differ from run to run, so that no table is trivial.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from itertools import islice, product
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
import shown_runs

from bench.records import kept_suites
from bench.records.predictions import FILE, to_bytes
from bench.records.record_files import sealed
from bench.records.run_columns import run_columns
from bench.records.store import Store
from bench.records.timings import Timings
from bench.runner import environment, plan, worker
from bench.runner.timing import times
from bench.suite import Profile, load_suite
from bench.tables.measured_tables import GRADIENTS

METHODS = ("rectangle", *(f"method-{number}" for number in range(1, 20)))
DATASETS = tuple(f"dataset-{number}" for number in range(1, 6))
BACKBONES = ("mlp", "convnet", "resnet18", "resnet19", "rsnn")
SAMPLES = 400
"""Of the test set."""
SEEDS = 10
"""Of a configuration among records without a plan."""
SUITE = """\
name = "finished"
methods = {methods}
datasets = ["digits", "digits-events"]
backbones = [{{ name = "mlp", width = {widths} }}]
timesteps = [2]
seeds = {seeds}
timeout = 60
{more}
[recipe]
epochs = 2
batch_size = 64
learning_rate = 0.01

[profile]
device = "cpu"
"""


METHODS = (
    *("mpd-agl", "rectangle", "triangle", "sigmoid", "arctan", "fast-sigmoid", "gaussian"),
    *("snntorch/atan", "norse/superspike", "ann-relu"),
)


def write_suite(cells: int, folder: Path, more: str = "") -> Path:
    """The file of a suite of `cells` cells: ten methods on two datasets, up to five seeds each.

    More cells are more widths, hence more configurations, as in the suites that people write. more: lines
    of TOML. ValueError unless the cells fill such a matrix: 20, 40, 60, 80, or a multiple of 100.
    """
    of_a_seed = 2 * len(METHODS)
    widths = max(1, cells // (of_a_seed * 5))
    seeds = cells // (of_a_seed * widths)
    if not seeds or cells != of_a_seed * widths * seeds:
        raise ValueError(
            f"{cells} cells are no matrix of {len(METHODS)} methods, 2 datasets and up to 5 seeds"
        )
    swept = [(8 + number) / 64 for number in range(widths)]
    file = folder / f"finished-{cells}.toml"
    file.write_text(SUITE.format(methods=json.dumps(METHODS), widths=swept, seeds=[*range(seeds)], more=more))
    return file


def finish(suite: Path, results: Path) -> int:
    """Leave in a results folder what a run of the suite leaves, records and timings; how many cells."""
    chosen = load_suite(str(suite))
    made = plan.make_plan(chosen, Store(results, chosen.name), data_root=results / "no-data")
    # To ask for the versions of all packages takes longer than to write a record.
    like: dict[tuple[str, str], dict[str, Any]] = {}
    for planned in made.cells:
        cell = planned.cell
        alike = (cell.method.name, cell.dataset.name)
        if alike not in like:
            like[alike] = worker.make_record(cell, planned.known, made.registry)
        named = {"id": planned.id, "configuration": planned.configuration, "variant": planned.variant}
        own = named | {"cell": cell.model_dump(mode="json")}
        _put(results, like[alike] | own | _outcome(chosen.name, planned.id, cell.timesteps))
    kept_suites.keep(Store(results, chosen.name), chosen)
    kept = Timings(results, chosen.name)
    for each in times.pending(made, worked=[planned.id for planned in made.cells]):
        kept.write(each.timing({"status": "ok", "error": None, "metrics": {"train_step_ms_p50": 1.0}}))
    return len(made.cells)


def write_records(count: int, suite: str, results: Path) -> int:
    """Leave `count` records of a suite, ten seeds to a configuration; how many configurations."""
    machine = environment.describe(Profile(device="cpu"))
    known = {"checksum": "c0ffee", "classes": 10}
    configurations = set[str]()
    for number, cell in enumerate(islice(_matrix(), count), 1):
        configuration = sha256(repr({**cell, "seed": None}).encode()).hexdigest()[:16]
        record = shown_runs.record(
            number, suite, cell=cell, configuration=configuration, data=known, environment=machine
        )
        _put(results, record | _outcome(suite, record["id"], cell["timesteps"]))
        configurations.add(configuration)
    return len(configurations)


def write_layers(suite: str, results: Path) -> None:
    """Put the same table beside every record, which then says the same: 8 layers, 21 looks, T = 4."""
    names = tuple(f"conv{number}" for number in range(1, 9))
    rows = shown_runs.layers(looks=range(21), names=names, timesteps=4)
    table, said = pd.DataFrame(rows).to_parquet(index=False), run_columns(rows, [])
    del said["vanishing_slope_ann"]
    for folder in Store(results, suite).runs.iterdir():
        (folder / "layers.parquet").write_bytes(table)
        record = json.loads((folder / "record.json").read_text())
        shown_runs.sealed(folder / "record.json", metrics=record["metrics"] | said)


def _matrix() -> Iterator[dict[str, Any]]:
    """What differs between cells, without end; all methods of a task before the next task."""
    for width, timesteps, backbone, dataset in product(range(1, 1000), (2, 4), BACKBONES, DATASETS):
        for method, seed in product(METHODS, range(SEEDS)):
            yield {
                "method": {"name": method, "params": {}},
                "dataset": {"name": dataset},
                "backbone": {"name": backbone, "width": float(width)},
                "timesteps": timesteps,
                "seed": seed,
            }


def _outcome(suite: str, run: str, timesteps: int) -> dict[str, Any]:
    """The part of a record that a training decides; everything that tables have a column for is in it."""
    draw = Random(run)
    accuracy = min(100.0, 100 * round(SAMPLES * draw.gauss(0.9, 0.02)) / SAMPLES)
    measured = {name: draw.random() for name in GRADIENTS if name != "vanish_onset_epoch"}
    return {
        "suite": suite,
        "workers": 1,
        "status": "ok",
        "error": None,
        "traceback": None,
        "unmeasured": {},
        "metrics": shown_runs.METRICS
        | measured
        | {
            "test_accuracy": accuracy,
            "test_accuracy_last": accuracy - 0.5,
            "anytime_accuracy": [accuracy] * timesteps,
            "timesteps_to_99": 1,
            "test_samples": SAMPLES,
            "train_seconds": 1 + draw.random(),
        },
        "started": "2025-03-04T05:06:00+00:00",
        "ended": "2025-03-04T05:06:07+00:00",
        "seconds": 7.0,
    }


def _put(results: Path, record: dict[str, Any]) -> None:
    # Not by the store, which waits for the disk at each of thousands of files.
    file = Store(results, record["suite"]).folder(record["id"]) / "record.json"
    file.parent.mkdir(parents=True)
    said = _predictions(record["metrics"]["test_accuracy"])
    (file.parent / FILE).write_bytes(said)
    file.write_text(json.dumps(sealed(record, {FILE: said}), indent=1, sort_keys=True) + "\n")


@cache
def _predictions(accuracy: float) -> bytes:
    return to_bytes(shown_runs.predictions(accuracy, SAMPLES))
