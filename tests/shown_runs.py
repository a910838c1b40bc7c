"""Runs written by hand into a results folder, for tests of what shows one run."""

from pathlib import Path

from bench.store import Store
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
        metrics = metrics | {"anytime_accuracy": [97.5] * dict(cell)["timesteps"]}
    return {
        "schema": RECORD_SCHEMA,
        "id": f"{number:016x}"[::-1],
        "suite": suite,
        "configuration": "c0ffee",
        "variant": variant,
        "method": {"kind": "adaptive", "changes": "gradient", "fidelity": "official-code"},
        "digests": {"harness": "1"},
        "cell": Cell.model_validate(CELL | dict(cell)).model_dump(mode="json"),
        "status": "ok",
        "error": None,
        "traceback": None,
        "metrics": metrics,
        "unmeasured": {},
        "seconds": 12.25,
        "ended": "2025-03-04T05:06:07+00:00",
        "environment": {"cpu": "Some CPU", "gpu": None, "threads": 1},
    } | parts


def write(results, found, epoch_rows=None, layer_rows=None):
    """Put a record and its tables under a results folder; the folder of the run."""
    tables = {
        "epochs": epochs() if epoch_rows is None else epoch_rows,
        "layers": layers() if layer_rows is None else layer_rows,
    }
    store = Store(Path(results), found["suite"])
    store.write(found, tables)
    return store.folder(found["id"])
