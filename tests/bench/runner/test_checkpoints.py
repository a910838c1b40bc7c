"""A training that was stopped goes on from its last checkpoint, and ends with the same bits."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import api, registry
from bench.cli import progress
from bench.model import compiling
from bench.records.store import CHECKPOINT as SUFFIX
from bench.runner import checkpoints, train
from bench.runner.checkpoints import Checkpoints, generators, set_generators
from bench.suite import Cell

IDENTITY = {"id": "abc", "code": "1"}
EPOCHS = 3
METHODS = sorted(
    name
    for name, each in registry.load().methods.items()
    if each.shipped and not registry.missing_packages(each.item)
)


class Stopped(Exception):
    """Ends a training as a kill would, but in this process."""


@pytest.fixture(autouse=True)
def _often(monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)


@pytest.fixture
def cell(tiny):
    def make(name="mpd-agl", **changes):
        suite = tiny()
        content = {
            "method": {"name": name},
            "dataset": suite.datasets[0],
            "backbone": suite.backbones[0].model_copy(update={"neuron": "plif"}),
            "timesteps": 2,
            "measure": {"probe": "all", "descent": False},
            "seed": 0,
        }
        content["recipe"] = suite.recipe.model_dump() | {"epochs": EPOCHS} | changes.pop("recipe", {})
        content["profile"] = suite.profile.model_dump() | changes.pop("profile", {})
        return Cell.model_validate(content | changes)

    return make


def stop_after(epoch):
    def notify(ended, _):
        if ended == epoch:
            raise Stopped

    return notify


def numbers(outcome):
    """Everything of an outcome but times."""
    found = dataclasses.asdict(outcome)
    for row in (found["metrics"], *found["epochs"]):
        for name in [name for name in row if name.endswith("_seconds")]:
            del row[name]
    predictions = found.pop("predictions")
    # As text, NaN equals NaN.
    return json.dumps(found, default=str), [np.asarray(each).tolist() for each in predictions.values()]


def trained(cell, digits, folder=None, notify=lambda *_: None):
    kept = Checkpoints(folder, IDENTITY) if folder else None
    return train.train(cell, registry.load(), digits, notify, kept), kept


def check_goes_on(cell, digits, folder, epoch=1):
    try:
        whole, _ = trained(cell, digits)
    except TypeError as problem:
        pytest.skip(f"a function of a library that cannot be trained at all: {problem}")
    with pytest.raises(Stopped):
        trained(cell, digits, folder, stop_after(epoch))
    torch.manual_seed(99)
    np.random.seed(99)
    rest, kept = trained(cell, digits, folder)
    assert kept.notes == []
    assert kept.epochs == epoch + 1 and kept.seconds > 0
    assert numbers(rest) == numbers(whole)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_goes_on_with_the_same_bits(cell, digits, tmp_path, name):
    check_goes_on(cell(name), digits, tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": {"optimizer": "adamw", "schedule": "one-cycle"}},
        {"recipe": {"optimizer": "sgd", "schedule": "cosine", "best_test_epoch": True}},
        {"recipe": {"optimizer": "sgd", "schedule": "cosine-epochs", "decayed": "synapses"}},
        {"recipe": {"augment": "standard"}},
        {"profile": {"autocast": "bfloat16"}},
        {"profile": {"dtype": "float64"}},
        {"measure": {"probe": "ends", "descent": True, "finite_differences": True}},
    ],
    ids=str,
)
@pytest.mark.parametrize("epoch", [0, EPOCHS - 1])
def test_every_recipe_goes_on_with_the_same_bits(cell, digits, tmp_path, changes, epoch):
    check_goes_on(cell(**changes), digits, tmp_path, epoch)


def test_compiled_training_goes_on(cell, digits, tmp_path):
    check_goes_on(cell("rectangle", profile={"compile": "neuron"}), digits, tmp_path)


def test_two_are_kept(cell, digits, tmp_path):
    trained(cell(), digits, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == [f"00000{n}{SUFFIX}" for n in (1, 2)]


def test_after_compiling_was_given_up_the_training_goes_on_eager(cell, digits, tmp_path):
    def run():
        return train._Run(cell("rectangle", profile={"compile": "neuron"}), registry.load(), digits)

    before, after = run(), run()
    assert compiling.is_compiled(after.network)
    before.trainer.not_compiled = "given up"
    after.load(before.state())
    assert not compiling.is_compiled(after.network) and after.trainer.not_compiled == "given up"


def test_a_short_run_writes_none(cell, digits, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 60.0)
    trained(cell(), digits, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_damaged_one_falls_back_to_the_one_before_and_says_so(cell, digits, tmp_path):
    whole, _ = trained(cell(), digits)
    with pytest.raises(Stopped):
        trained(cell(), digits, tmp_path, stop_after(1))
    latest = tmp_path / f"000001{SUFFIX}"
    content = bytearray(latest.read_bytes())
    content[-100] ^= 1
    latest.write_bytes(content)
    rest, kept = trained(cell(), digits, tmp_path)
    assert kept.epochs == 1 and numbers(rest) == numbers(whole)
    assert kept.notes == [f"checkpoint 000001{SUFFIX} is not used: it is damaged"]


def test_one_of_other_code_is_not_used(cell, digits, tmp_path):
    with pytest.raises(Stopped):
        trained(cell(), digits, tmp_path, stop_after(1))
    other = Checkpoints(tmp_path, IDENTITY | {"code": "2"})
    train.train(cell(), registry.load(), digits, lambda *_: None, other)
    assert other.epochs == 0
    assert all("made with other code or on another machine" in note for note in other.notes)
    assert len(other.notes) == 2
    assert len([*Checkpoints(tmp_path, IDENTITY | {"code": "2"})]) == 2, "and they make room for new ones"


def test_a_state_that_does_not_fit_starts_the_training_anew(cell, digits, tmp_path):
    whole, _ = trained(cell("mpd-agl"), digits)
    with pytest.raises(Stopped):
        trained(cell("dspike"), digits, tmp_path, stop_after(1))
    rest, kept = trained(cell("mpd-agl"), digits, tmp_path)
    assert kept.epochs == 0 and numbers(rest) == numbers(whole)
    assert len(kept.notes) == 2 and all("is not used" in note for note in kept.notes)


def test_a_full_disk_costs_the_checkpoint_alone(cell, digits, tmp_path):
    (tmp_path / "file").touch()
    rest, kept = trained(cell(), digits, tmp_path / "file")
    assert len(rest.epochs) == EPOCHS
    assert kept.notes[0].startswith("no checkpoint after epoch 1: ") and len(kept.notes) == EPOCHS


def test_a_state_that_cannot_be_saved_costs_the_checkpoint_alone(tmp_path):
    kept = Checkpoints(tmp_path, IDENTITY)
    kept.save(0, lambda: {"odd": lambda: None})
    assert len(kept.notes) == 1 and [*tmp_path.iterdir()] == []


def test_no_code_in_a_file_runs(tmp_path):
    """A file with a valid hash whose content would run code when it is unpickled."""
    import pickle

    class Runs:
        def __reduce__(self):
            return (Path(tmp_path / "ran").touch, ())

    content = pickle.dumps(Runs())
    (tmp_path / f"000001{SUFFIX}").write_bytes(checkpoints._digest(content) + content)
    kept = Checkpoints(tmp_path, IDENTITY)
    assert [*kept] == [] and len(kept.notes) == 1
    assert not (tmp_path / "ran").exists()


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    folder = tmp_path_factory.mktemp("valid")
    Checkpoints(folder, IDENTITY).save(3, lambda: {"epoch": 3, "x": torch.arange(50.0)})
    return (folder / f"000003{SUFFIX}").read_bytes()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_is_taken_for_a_state(tmp_path_factory, valid, data):
    """Truncated, changed and extended files are noted, and never raise or give another state."""
    where = data.draw(st.integers(0, len(valid) - 1))
    how = data.draw(st.sampled_from(["cut", "flip", "insert", "empty"]))
    flipped = bytes([valid[where] ^ data.draw(st.integers(1, 255))])
    damaged = {
        "cut": valid[:where],
        "flip": valid[:where] + flipped + valid[where + 1 :],
        "insert": valid[:where] + b"\0" + valid[where:],
        "empty": b"",
    }[how]
    folder = tmp_path_factory.mktemp("damaged")
    (folder / f"000003{SUFFIX}").write_bytes(damaged)
    kept = Checkpoints(folder, IDENTITY)
    assert [*kept] == [] and len(kept.notes) == 1


def test_generators_go_back():
    import random

    def draw():
        return random.random(), np.random.rand(), np.random.randn(), torch.rand(2).tolist()

    np.random.randn()
    state = generators(torch.device("cpu"))
    first = draw()
    draw()
    set_generators(state, torch.device("cpu"))
    assert draw() == first


PLUGIN = """
import os, signal
from bench.runner import checkpoints

checkpoints.EVERY = 0.0

@method("killed", paper="none")
class Killed(Surrogate):
    shape = staticmethod(lambda x: shapes.triangle(x, 1.0))
    def on_epoch(self, progress):
        if self.site.index == 0:
            with open({log!r}, "a") as file:
                file.write(f"{{progress:g}}\\n")
            if progress == 0.75 and open({mark!r}, "a+").tell() < 2:
                open({mark!r}, "a").write(".")
                os.kill(os.getpid(), signal.SIGKILL)
            if {end!r} and progress == 1:
                exec({end!r})
"""


@pytest.fixture
def run(tiny, make_plan, write_plugin, tmp_path):
    """run(end) -> the store and the record of a training that is killed twice, and runs `end` at its end."""
    recipe = {"epochs": 5, "batch_size": 32, "learning_rate": 0.01}
    suite = tiny(methods=["killed"], recipe=recipe)

    def run(end=""):
        paths = {name: str(tmp_path / name) for name in ("log", "mark")}
        heard = []

        class Heard(api.Silent):
            def ended(self, planned, record):
                heard.append(record)

        made = make_plan(suite, plugins=[write_plugin(PLUGIN.format(**paths, end=end))])
        api.execute(made, listener=Heard())
        return made.store, heard[0]

    return run


def test_a_killed_training_goes_on_in_the_next_run(run, tmp_path):
    store, first = run()
    assert first["status"] == "interrupted" and first["error"].startswith("ended from outside by SIGKILL")
    kept = [file.name for file in store.folder(first["id"]).iterdir()]
    assert sorted(kept) == [f"000001{SUFFIX}", f"000002{SUFFIX}", "record.json"]

    _, resumed = run()
    assert resumed["resumed"] == {"epochs_before": 3, "notes": []}
    assert "resumed after 3 epochs" in progress.outcome(resumed)
    assert (tmp_path / "log").read_text().split() == ["0", "0.25", "0.5", "0.75", "0.75", "0.75", "1"]
    assert not [*store.folder(first["id"]).glob(f"*{SUFFIX}")]

    store.folder(first["id"]).joinpath("record.json").unlink()
    _, whole = run()
    assert "resumed" not in whole
    apart = ("train_seconds", "search_seconds", "compile_seconds", "probe_seconds")
    for name in resumed["metrics"].keys() - set(apart):
        assert resumed["metrics"][name] == whole["metrics"][name], name


@pytest.mark.parametrize(
    ("end", "resumed"),
    [("raise ValueError('late')", {"epochs_before": 3, "notes": []}), ("os._exit(3)", None)],
)
def test_a_training_that_fails_after_it_went_on_leaves_no_checkpoint(run, end, resumed):
    run(end)
    store, record = run(end)
    assert record["status"] == "failed" and record.get("resumed") == resumed
    assert [file.name for file in store.folder(record["id"]).iterdir()] == ["record.json"]
