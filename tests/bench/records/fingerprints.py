"""What the protocol gives: the numbers of small trainings, each with one choice of a suite made otherwise.

    python tests/bench/records/fingerprints.py

takes them anew and writes fingerprints.json. It refuses where a number has changed through the harness and
`bench.records.protocol.VERSION` has not.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch

from bench import registry
from bench.data import loading
from bench.data.augment import autoaugment, compose, crop, flip, roll
from bench.data.loading import Request, Splits, dataset, with_ids
from bench.data.pictures import normaliser
from bench.records import protocol
from bench.registry import Entry
from bench.runner import train
from bench.runner.plan import digests
from bench.suite import Cell

FILE = Path(__file__).with_suffix(".json")
DIGITS = 6
"""Significant ones that are kept."""
RELATIVE, ABSOLUTE = 1e-4, 1e-7
"""By how much numbers may differ: initial weights differ by 1e-7 between processors, and grow apart."""
PIECES = ("method", "dataset", "backbone")
"""What has an identity of its own, beside the protocol."""

Numbers = dict[str, Any]


@dataset(
    "pictures",
    shape=(3, 32, 32),
    classes=4,
    licence="none",
    source="random",
    augment={"standard": compose(crop(4), flip()), "auto": compose(crop(4), flip(), autoaugment())},
    normalise=normaliser((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)),
)
def pictures(request: Request) -> Splits:
    """Random pictures, uint8 [N, 3, 32, 32]."""
    return _random((3, 32, 32), high=256)


@dataset(
    "moving",
    shape=(2, 16, 16),
    classes=4,
    licence="none",
    source="random",
    events=True,
    augment={"standard": compose(flip(), roll(5))},
)
def moving(request: Request) -> Splits:
    """Random counts of events, uint8 [N, T, 2, 16, 16]."""
    return _random((request.timesteps, 2, 16, 16), high=3)


def _random(shape: tuple[int, ...], high: int) -> Splits:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(high, (44, *shape), dtype=torch.uint8, generator=generator)
    y = torch.arange(44) % 4
    return Splits(train=with_ids(x[:24], y[:24], 0), test=with_ids(x[24:], y[24:], 24))


SAMPLES = 80
"""Of larger sets, a fifth of them for validation."""
PLAIN: dict[str, Any] = {
    "method": {"name": "rectangle"},
    "dataset": {"name": "digits", "subset": SAMPLES},
    "backbone": {"name": "mlp", "width": 0.125},
    "timesteps": 2,
    # As many steps as it takes until neurons spike with the norms' running means.
    "recipe": {"epochs": 3, "batch_size": 6, "learning_rate": 0.01},
    # In float64 a processor's own order of summation is far below the digits that are kept.
    "profile": {"device": "cpu", "compile": "off", "dtype": "float64", "channels_last": False},
    "measure": {"probe": "off", "descent": False},
    "seed": 0,
}
SGD = {"optimizer": "sgd", "learning_rate": 0.1}
LOOKED_AT = {"probe": "all", "descent": True}
# Few steps: in large networks last bits grow fast.
PICTURES = {"dataset": {"name": "pictures"}, "recipe": {"epochs": 1, "batch_size": 16, "augment": "none"}}
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "another seed": {"seed": 3},
    "more time steps": {"timesteps": 4},
    "events": {"dataset": {"name": "digits-events"}},
    "points": {"dataset": {"name": "yin-yang"}},
    "spike times": {"dataset": {"name": "randman", "params": {"samples": 20, "units": 8}}, "timesteps": 5},
    # Recipes.
    "sgd": {"recipe": SGD},
    "sgd, another momentum": {"recipe": {**SGD, "momentum": 0.5}},
    "sgd, weight decay": {"recipe": {**SGD, "weight_decay": 0.1}},
    "adamw, weight decay": {"recipe": {"weight_decay": 0.5}},
    "weight decay of synapses": {"recipe": {"weight_decay": 0.5, "decayed": "synapses"}},
    "cosine": {"recipe": {"schedule": "cosine"}},
    "cosine by epochs": {"recipe": {"schedule": "cosine-epochs"}},
    "constant": {"recipe": {"schedule": "constant"}},
    "best test epoch": {"recipe": {"best_test_epoch": True}},
    "tet": {"recipe": {"loss": "tet", "label_smoothing": 0.1}, "timesteps": 3},
    "tet, another weight": {"recipe": {"loss": "tet", "tet_weight": 0.5}},
    "label smoothing": {"recipe": {"label_smoothing": 0.2}},
    "mixup": {"recipe": {"mixup": 0.5}},
    "cutmix and erasing": {
        **PICTURES,
        "backbone": {"name": "convnet"},
        "recipe": {"epochs": 1, "augment": "none", "cutmix": 1.0, "mixup": 0.4, "erasing": 0.5},
    },
    "augmentation of pictures": {**PICTURES, "backbone": {"name": "convnet"}, "recipe": {"epochs": 1}},
    "autoaugment": {
        **PICTURES,
        "backbone": {"name": "convnet"},
        "recipe": {"epochs": 1, "augment": "auto"},
    },
    "autoaugment of papers": {
        **PICTURES,
        "backbone": {"name": "convnet"},
        "recipe": {"epochs": 1, "augment": "auto-paper"},
    },
    "randaugment": {
        **PICTURES,
        "backbone": {"name": "convnet"},
        "recipe": {
            **{"epochs": 1, "augment": "rand"},
            **{"rand_operations": 3, "rand_magnitude": 20, "rand_probability": 0.8},
        },
    },
    "augmentation of events": {"dataset": {"name": "moving"}, "backbone": {"name": "convnet"}},
    # Neurons.
    "plif": {"backbone": {"neuron": "plif"}},
    "batch normalisation": {"backbone": {"norm": "bn"}},
    "no normalisation": {"backbone": {"norm": "none"}},
    "soft reset": {"backbone": {"reset": "subtract"}, "timesteps": 3},
    "detached reset": {"backbone": {"detach_reset": True}, "timesteps": 3},
    "soft and detached reset": {
        "backbone": {"reset": "subtract", "detach_reset": True},
        "timesteps": 3,
    },
    "another threshold": {"backbone": {"threshold": 0.8}},
    "another decay": {"backbone": {"decay": 0.7}},
    # Networks.
    "convnet": {"backbone": {"name": "convnet"}},
    "rsnn": {"backbone": {"name": "rsnn"}},
    **{
        name: {**PICTURES, "backbone": {"name": name, "width": 0.0625}}
        for name in ("cifarnet", "resnet18", "resnet19", "vggsnn")
    },
    # Methods, by what they change.
    **{
        f"method {name}": {"method": {"name": name}}
        for name in (
            *("gaussian", "mpd-agl", "learned-width", "asgl", "dspike", "esg+im", "msg", "trsg"),
            *("ds-atgo", "slope-steps", "ann-relu", "norse/superspike"),
        )
    },
    "method lsg": {"method": {"name": "lsg"}, "backbone": {"neuron": "plif"}},
    # What is looked at beside accuracy.
    "looks": {"measure": LOOKED_AT},
    "finite differences": {
        "measure": {"probe": "off", "descent": False, "finite_differences": True},
        "recipe": {"epochs": 1},
    },
    "looks before and after": {"measure": {"probe": "ends"}, "method": {"name": "arctan"}},
    "looks at plif": {"measure": LOOKED_AT, "backbone": {"neuron": "plif", "reset": "subtract"}},
    "looks at recurrence": {"measure": LOOKED_AT, "backbone": {"name": "rsnn"}},
    "looks at an adaptive method": {"measure": LOOKED_AT, "method": {"name": "mpd-agl"}},
    "looks at a network without spikes": {"measure": LOOKED_AT, "method": {"name": "ann-relu"}},
    "looks at events": {"measure": LOOKED_AT, "dataset": {"name": "moving"}, "recipe": {"augment": "none"}},
}


@cache
def found() -> registry.Registry:
    """What is shipped, and the data sets above."""
    known = registry.load()
    own = {item.name: Entry(item, Path(__file__)) for load in (pictures, moving) for item in load.declared}
    return dataclasses.replace(known, datasets={**known.datasets, **own})


def cell(case: str) -> Cell:
    """The training of a case."""
    changes = CASES[case]
    parts = {
        name: {**part, **changes[name]} if isinstance(part, dict) and name in changes else part
        for name, part in PLAIN.items()
    }
    named = changes.get("dataset", {}).get("name", "digits")
    parts["dataset"] = changes.get("dataset", PLAIN["dataset"])
    known = found().dataset(named).item
    settled = {"params": known.settle(parts["dataset"].get("params", {}))}
    if named in ("digits", "digits-events", "yin-yang"):
        settled["subset"] = SAMPLES
    parts["dataset"] = parts["dataset"] | settled
    scalars = {name: changes[name] for name in ("timesteps", "seed") if name in changes}
    return Cell.model_validate(parts | scalars)


def numbers(case: str) -> Numbers:
    """What a record would keep of it: metrics, the curves of its epochs, and means of its layers."""
    of = cell(case)
    item = found().dataset(of.dataset.name).item
    prepared = loading.prepare(
        item, Request(Path("nowhere"), of.timesteps, of.dataset.params), of.dataset.subset
    )
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    try:
        outcome = train.train(of, found(), prepared, lambda *_: None)
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
    kept: Numbers = {"data": prepared.checksum}
    kept |= {name: value for name, value in outcome.metrics.items() if value is not None}
    for name in outcome.epochs[0]:
        kept[f"epochs.{name}"] = [row[name] for row in outcome.epochs]
    for name in outcome.layers[0] if outcome.layers else ():
        there = [row[name] for row in outcome.layers if isinstance(row[name], int | float)]
        if there:
            kept[f"layers.{name}"] = [math.fsum(there) / len(there), len(there)]
    kept |= {f"unmeasured.{what}": why for what, why in outcome.unmeasured.items()}
    return {name: _rounded(value) for name, value in kept.items() if not name.endswith("_seconds")}


def _rounded(value: Any) -> Any:
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def pieces(case: str) -> dict[str, str]:
    """The identities of its method, data set and network."""
    there = digests(cell(case), found())
    return {name: there[name] for name in PIECES}


def differences(before: Numbers, now: Numbers) -> list[str]:
    """What differs by more than the last bits do, in words."""
    return [
        f"{name} was {before.get(name, 'not there')} and is {now.get(name, 'not there')}"
        for name in dict.fromkeys([*before, *now])
        if not _alike(before.get(name), now.get(name))
    ]


def _alike(before: Any, now: Any) -> bool:
    if isinstance(before, list) and isinstance(now, list):
        return len(before) == len(now) and all(map(_alike, before, now))
    if isinstance(before, int | float) and isinstance(now, int | float):
        return math.isclose(before, now, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return bool(before == now)


def read() -> dict[str, Any]:
    """{"protocol": version, "cases": {case: {"pieces": ..., "numbers": ...}}}; without a file no cases."""
    return json.loads(FILE.read_text()) if FILE.is_file() else {"protocol": 0, "cases": {}}


def through_harness(case: str, now: Numbers) -> list[str]:
    """What differs from the file though method, data set and network are what they were."""
    before = read()["cases"].get(case)
    if before is None or before["pieces"] != pieces(case):
        return []
    return differences(before["numbers"], now)


def write() -> None:
    """Take all anew and write them, unless the version must be raised first."""
    cases = {case: {"pieces": pieces(case), "numbers": numbers(case)} for case in CASES}
    moved = [case for case, content in cases.items() if through_harness(case, content["numbers"])]
    if moved and read()["protocol"] == protocol.VERSION:
        sys.exit(
            f"the numbers of {', '.join(map(repr, moved))} have changed, and the protocol is still version "
            f"{protocol.VERSION}: add a line to HISTORY in bench/records/protocol.py first"
        )
    content = {"protocol": protocol.VERSION, "cases": cases}
    FILE.write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote {FILE}: {len(cases)} trainings under {protocol.harness()}")


if __name__ == "__main__":
    write()
