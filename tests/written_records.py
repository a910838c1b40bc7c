"""Records written by hand, for tests of what is made from records."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from bench.records.record_files import sealed
from bench.suite import RECORD_SCHEMA

Record = dict[str, Any]
GOOD = (98.0, 98.6, 97.9, 98.3, 98.8)
FAIR = (97.1, 97.9, 97.3, 97.6, 97.4)
POOR = (91.0, 92.5, 90.1, 91.7, 93.0)


def runs(
    method: str,
    outcomes: Sequence[float | str],
    variant: str = "default",
    *,
    configuration: str | None = None,
    task: tuple[str, str, int] = ("digits", "convnet", 4),
    kind: str = "fixed",
    classes: int = 10,
    checksum: str = "c0ffee",
) -> list[Record]:
    """A record per seed: an outcome is a test accuracy, or the status of a run without one."""
    dataset, backbone, timesteps = task
    configuration = configuration or sha256(repr((method, variant, task, checksum)).encode()).hexdigest()[:16]
    found = [
        {
            "schema": RECORD_SCHEMA,
            "id": f"{configuration[:12]}{seed:04}",
            "configuration": configuration,
            "variant": variant,
            "cell": {
                "method": {"name": method, "params": {}},
                "dataset": {"name": dataset, "subset": None},
                "backbone": {"name": backbone},
                "timesteps": timesteps,
                "seed": seed,
            },
            "method": {"kind": kind, "changes": "gradient", "fidelity": "paper"},
            "data": {"checksum": checksum, "classes": classes},
            "status": outcome if isinstance(outcome, str) else "ok",
            "error": f"it was\n  {outcome}" if isinstance(outcome, str) else None,
            "metrics": {} if isinstance(outcome, str) else metrics(outcome),
            "seconds": 6.1 + seed,
            "ended": f"2025-01-0{1 + seed % 9}",
            "environment": {"cpu": "AMD EPYC", "threads": 1, "gpu": None},
            "unmeasured": {},
            "workers": 2,
        }
        for seed, outcome in enumerate(outcomes)
    ]
    return [sealed(record, {}) for record in found]


def variation(
    method: str,
    outcomes: Sequence[float | str],
    validations: Sequence[float] = (),
    *,
    by: str = "sweep",
    over: Sequence[str] = ("width",),
    rate: float = 0.01,
    first: int = 0,
    task: tuple[str, str, int] = ("digits", "convnet", 4),
    kind: str = "fixed",
    **params: float | None,
) -> list[Record]:
    """Runs of one of several variants of a method, as `bench.suite.Selection` says; by: "" for a plain run.

    validations: validation accuracies, by default the outcomes. A trial has those alone. first: the first
    seed. Parameters that are not varied are named in the variant.
    """
    words = ["tuned"] if by == "tuned" else []
    words += [f"{k}={v:g}" for k, v in params.items() if v is not None and (by != "tuned" or k not in over)]
    if by not in ("", "tuned") and "recipe.learning_rate" in over:
        words.append(f"recipe.learning_rate={rate:g}")
    configuration = sha256(repr((method, task, by, over, rate, params)).encode()).hexdigest()[:16]
    variant = " ".join(words) or "default"
    found = runs(method, outcomes, variant, configuration=configuration, task=task, kind=kind)
    for record, validation in zip(found, validations or outcomes, strict=True):
        cell = record["cell"]
        cell["seed"] += first
        cell["method"]["params"] = params
        cell["recipe"] = {"epochs": 2, "batch_size": 32, "learning_rate": rate}
        if by:
            cell["selection"] = {"by": by, "over": [*over]}
        if record["status"] == "ok":
            record["metrics"]["val_accuracy"] = validation
        if by == "tuning":
            record["metrics"] = {k: v for k, v in record["metrics"].items() if not k.startswith("test_")}
    return [sealed(record, {}) for record in found]


def metrics(accuracy: float) -> dict[str, Any]:
    return {
        "test_accuracy": accuracy,
        "test_accuracy_last": accuracy - 0.5,
        "val_accuracy": 99.0,
        "best_epoch": 7,
    }


def matrix() -> list[Record]:
    tasks = [("digits", "convnet", 4), ("digits", "convnet", 10), ("blobs", "mlp", 2)]
    outcomes: dict[str, Sequence[float | str]] = {
        "rectangle": GOOD,
        "arctan": FAIR,
        "mpd|agl, κ": (*POOR[:4], "oom"),
        "none": ("failed", *FAIR[1:]),
    }
    return [
        r for task in tasks for method, values in outcomes.items() for r in runs(method, values, task=task)
    ]
