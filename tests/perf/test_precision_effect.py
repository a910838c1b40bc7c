"""What mixed precision and the layout of pictures change: the accuracy reached, and a step's time."""

import dataclasses
from pathlib import Path

import pytest
from ledger import Measured
from trained_networks import FOUND, NARROW_SUITE

from bench.data import loading
from bench.runner import train
from bench.suite import Cell, load_suite

pytestmark = pytest.mark.usefixtures("one_thread")
PLAIN = "float32"
PROFILES = {
    PLAIN: {},
    "channels last": {"channels_last": True},
    "bfloat16": {"autocast": "bfloat16"},
    "float16": {"autocast": "float16"},
}
SEEDS = range(3)
ROUNDS = 5


@pytest.fixture(scope="module")
def digits():
    suite = load_suite(NARROW_SUITE)
    return loading.prepare(FOUND.dataset("digits").item, loading.Request(Path(), suite.timesteps[0]))


def cell(seed, epochs, **profile):
    suite = load_suite(NARROW_SUITE)
    method = FOUND.method("mpd-agl").item
    return Cell(
        method={"name": "mpd-agl", "params": method.defaults(0.5)},
        dataset={"name": "digits"},
        backbone=suite.backbones[0],
        timesteps=suite.timesteps[0],
        recipe=suite.recipe.model_copy(update={"epochs": epochs}),
        profile=suite.profile.model_copy(update={"channels_last": False} | profile),
        measure={"probe": "off", "descent": False},
        seed=seed,
    )


def test_effect(digits, measuring, ledger, in_turn):
    seeds, epochs = (SEEDS, load_suite(NARROW_SUITE).recipe.epochs) if measuring else ([0], 1)
    if not measuring:
        few = digits.train.take(range(48))
        digits = dataclasses.replace(digits, train=few)
    accuracies = {
        name: [
            train.train(cell(seed, epochs, **profile), FOUND, digits, lambda *_: None).metrics[
                "test_accuracy"
            ]
            for seed in seeds
        ]
        for name, profile in PROFILES.items()
    }
    assert all(0 <= value <= 100 for found in accuracies.values() for value in found)
    if not measuring:
        return
    trainers = {}
    for name, profile in PROFILES.items():
        # Of a schedule with more epochs than are timed.
        made = cell(0, 2 * ROUNDS, **profile)
        trainer = train._Trainer(made, digits, train.build(made, FOUND, digits))
        trainers[name] = lambda trainer=trainer: trainer._pass(0)
    times = in_turn(trainers, rounds=ROUNDS, warm=1)
    what = "mpd-agl in a narrow convnet on digits"
    for name, found in accuracies.items():
        mean, spread = sum(found) / len(found), (min(found), max(found))
        note = f"mean of {len(found)} seeds, smallest and largest"
        ledger.add(Measured("", f"test accuracy, {what}", name, "", mean, "%", *spread, note=note))
        if name != PLAIN:
            step = times.ratio(name, PLAIN)
            about = {"what": f"an epoch, {what}", "subject": name, "against": PLAIN}
            ledger.add(Measured.spread(step, "x", **about))
