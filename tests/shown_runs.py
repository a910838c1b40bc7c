"""Runs written by hand into a results folder, for tests of what shows one run."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np

from bench.records import record_files
from bench.records.anytime import timesteps_to_99
from bench.records.predictions import of_numbers
from bench.records.run_columns import run_columns
from bench.records.store import Store
from bench.suite import RECORD_SCHEMA, Cell

CELL = {
    "method": {"name": "mpd-agl", "params": {}},
    "dataset": {"name": "digits"},
    "backbone": {"name": "convnet"},
    "timesteps": 2,
    "recipe": {"epochs": 3, "batch_size": 32, "learning_rate": 0.01},
    "profile": {"device": "cpu", "compile": "off"},
    "measure": {"probe": "all"},
    "seed": 0,
}
METRICS = {
    "test_accuracy": 97.5,
    "test_accuracy_last": 97.25,
    "val_accuracy": 98.0,
    "best_epoch": 1,
    "anytime_accuracy": [90.0, 97.5],
    "timesteps_to_99": 2,
    "vanishing_slope": -0.5,
    "vanishing_slope_before": -0.75,
    "vanishing_slope_ann": 0.25,
    "dead_layers": 0,
    "spiking_layers": 3,
    "first_to_last": -1.0,
    "available_fraction": 0.5,
    "vanish_onset_epoch": None,
    "descent_gain_1e-3": 0.0125,
    "descent_gain_random_1e-3": -0.001,
    "spikes_per_sample": 1234.5,
    "sops_per_sample": 98765.0,
    "macs_per_sample": 512.0,
    "energy_uj": 0.0912,
    "parameters": 4321,
    "train_seconds": 1.5,
    "search_seconds": 0.0,
    "probe_seconds": 0.25,
}
NAMES = ("conv1", "conv2", "conv3")


def epochs(number=3):
    return [
        {"epoch": e, "learning_rate": 0.01, "train_loss": 2.0 / (e + 1), "val_accuracy": 90.0 + e / number}
        for e in range(number)
    ]


def layers(looks=(0, 1, 2, 3), names=NAMES, timesteps=2, **columns):
    """A row per look, layer and step; a column may be a number, or a function of (epoch, layer, t)."""
    given = {
        "available_fraction": lambda e, i, t: min(1.0, 0.1 * (i + 1) + 0.2 * t),
        "gradient_norm": lambda e, i, t: 10.0 ** (i - len(names) + 1),
        "silent_fraction": 0.125,
        "participation": None,
        "gain": None,
        "gradient_zero_fraction": None,
    } | columns
    return [
        {"epoch": e, "layer": i, "name": name, "depth": len(names) - 1 - i, "t": t}
        | {column: value(e, i, t) if callable(value) else value for column, value in given.items()}
        for e in looks
        for i, name in enumerate(names)
        for t in range(timesteps)
    ]


def record(number=1, suite="hand", metrics=METRICS, variant="default", cell=(), **parts):
    """number: what its id ends in. cell, parts: what differs, of the cell and of the record."""
    if metrics is METRICS and dict(cell).get("timesteps", 2) != 2:
        metrics = metrics | {"anytime_accuracy": [97.5] * dict(cell)["timesteps"], "timesteps_to_99": 1}
    return {
        "schema": RECORD_SCHEMA,
        "id": f"{number:016x}"[::-1],
        "suite": suite,
        "configuration": "c0ffee",
        "variant": variant,
        "method": {"kind": "adaptive", "changes": "gradient", "fidelity": "official-code"},
        "digests": {"harness": "protocol 1"},
        "cell": Cell.model_validate(CELL | dict(cell)).model_dump(mode="json"),
        "status": "ok",
        "error": None,
        "traceback": None,
        "metrics": metrics,
        "unmeasured": {},
        "seconds": 12.25,
        "ended": "2025-03-04T05:06:07+00:00",
        "environment": {"cpu": "Some CPU", "gpu": None, "threads": 1},
        "files": {},
        "outcome_sha256": "of what is written",
    } | parts


def placed(number=1, samples=400, **parts):
    """A record with all its evidence, of an id and a configuration as its cell and data have them."""
    metrics = METRICS | {"test_samples": samples, "val_samples": 300}
    checksum = {"data": {"checksum": "c0ffee", "classes": 10}}
    found = record(number, **({"metrics": metrics} | checksum | parts))
    cell = Cell.model_validate(found["cell"])
    return found | {"id": cell.id("c0ffee"), "configuration": cell.configuration("c0ffee")}


def predictions(accuracy, samples=400, classes=10, seed=0):
    """Predictions of which so many percent are right, rounded to whole samples; wrong ones lie anywhere."""
    random = np.random.default_rng(seed)
    label = random.integers(0, classes, samples)
    wrong = random.permutation(samples)[: samples - round(accuracy * samples / 100)]
    predicted = label.copy()
    predicted[wrong] = (label[wrong] + random.integers(1, classes, len(wrong))) % classes
    return of_numbers(label, predicted, classes)


def fitted(metrics, epoch_rows, layer_rows):
    """The metrics, with those that a curve or a table says too as it has them."""
    said = {}
    if curve := metrics.get("anytime_accuracy"):
        curve = [*curve[:-1], metrics["test_accuracy"]]
        said |= {"anytime_accuracy": curve, "timesteps_to_99": timesteps_to_99(curve)}
    accuracies = [row["val_accuracy"] for row in epoch_rows]
    if epoch_rows and None not in accuracies:
        best = max(accuracies)
        said |= {"val_accuracy": best, "best_epoch": accuracies.index(best)}
        said |= {"train_loss": epoch_rows[-1]["train_loss"]}
    # What is damaged on purpose says nothing.
    with suppress(KeyError, TypeError):
        said |= run_columns(layer_rows, []) if layer_rows else {}
    said.pop("vanishing_slope_ann", None)
    return metrics | {name: value for name, value in said.items() if name in metrics}


def sealed(file, **changes):
    """Edit the record in a file as one does who can make a hash: what lies beside it is named as it is."""
    found = json.loads(file.read_text()) | changes
    beside = {path.name: path.read_bytes() for path in file.parent.glob("*.parquet")}
    file.write_text(json.dumps(record_files.sealed(found, beside), indent=1, sort_keys=True) + "\n")


def write(results, found, epoch_rows=None, layer_rows=None):
    """Put a record, made to fit its tables, and these under a results folder; the folder of the run."""
    epoch_rows = epochs() if epoch_rows is None else epoch_rows
    layer_rows = layers() if layer_rows is None else layer_rows
    store = Store(Path(results), found["suite"])
    metrics = fitted(found["metrics"], epoch_rows, layer_rows)
    said = predictions(metrics["test_accuracy"]) if "test_samples" in metrics else None
    store.write(found | {"metrics": metrics}, {"epochs": epoch_rows, "layers": layer_rows}, said)
    return store.folder(found["id"])
