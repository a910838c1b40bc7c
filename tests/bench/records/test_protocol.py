"""The version of the protocol goes with the numbers that the harness gives."""

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import fingerprints
import numpy as np
import pytest
import torch
from torch import nn
from written_records import FAIR, GOOD, POOR, runs

from bench import loop, randomness
from bench.data import augment, batches, mixing
from bench.measures import cost, descent, gradients
from bench.model import layers, loss, neuron
from bench.records import anytime, protocol, run_columns, timings
from bench.runner import train
from bench.suite import BackboneSpec, Measure, Recipe
from bench.tables import rows
from bench.tables.results import Results

DOCS = Path(__file__).parents[3] / "docs" / "protocol.md"
COMMAND = "python tests/bench/records/fingerprints.py"


def test_the_fingerprints_are_of_this_version():
    there = fingerprints.read()
    assert there["protocol"] == protocol.VERSION, f"the version was raised: run `{COMMAND}`"
    assert there["cases"].keys() == fingerprints.CASES.keys(), f"there are other cases: run `{COMMAND}`"


@pytest.mark.parametrize("case", fingerprints.CASES)
def test_the_numbers_are_those_of_this_version(case):
    now = fingerprints.numbers(case)
    before = fingerprints.read()["cases"][case]
    apart = "\n".join(fingerprints.differences(before["numbers"], now))
    assert not fingerprints.through_harness(case, now), (
        f"the harness gives other numbers than version {protocol.VERSION} of the protocol did. If that is "
        f"meant, add a line to HISTORY in bench/records/protocol.py and run `{COMMAND}`: all results made "
        f"before count as stale from then on. If it is not, a number has changed by mistake:\n{apart}"
    )
    assert not apart, (
        f"the code of the method, data set or network of this case has changed, which results know by its "
        f"identity: no other version is needed, run `{COMMAND}`:\n{apart}"
    )


def test_every_choice_of_a_suite_is_in_some_case():
    cells = [fingerprints.cell(case) for case in fingerprints.CASES]
    for part, of in (("recipe", Recipe), ("backbone", BackboneSpec), ("measure", Measure)):
        hints = get_type_hints(of)
        for name, hint in ((name, hints[name]) for name in of.model_fields):
            there = {getattr(getattr(cell, part), name) for cell in cells}
            if get_origin(hint) is Literal:
                assert there == set(get_args(hint)), f"{part}.{name}"
            elif name not in ("epochs", "batch_size"):
                assert len(there) > 1, f"{part}.{name} is the same in all"


# --- they notice ---


def scaled(function, by=1.01):
    """The function, whose result is multiplied."""

    def changed(*arguments, **options):
        return function(*arguments, **options) * by

    return changed


def with_defaults(function, **changed):
    """Its defaults, with these changed."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount][-len(function.__defaults__) :]
    known = dict(zip(names, function.__defaults__, strict=True))
    assert changed.keys() <= known.keys()
    return tuple((known | changed).values())


def mutations():
    """By what is changed: a case that must notice, and what to patch as (owner, name, value)."""
    norm, one_cycle = layers.TdBN.__init__, torch.optim.lr_scheduler.OneCycleLR
    decay = neuron.SpikingNeuron.decay
    faster = property(lambda self: 0.99 * decay.fget(self))
    return {
        "decay": ("plain", neuron.SpikingNeuron, "decay", faster),
        "learned decay": ("plif", neuron.SpikingNeuron, "decay", faster),
        "tdBN's epsilon": ("plain", norm, "__defaults__", with_defaults(norm, eps=1e-3)),
        "tdBN's momentum": ("plain", norm, "__defaults__", with_defaults(norm, momentum=0.2)),
        "initial weights": (
            "convnet",
            nn.init,
            "kaiming_normal_",
            lambda weight, **_: nn.init.uniform_(weight, -0.1, 0.1),
        ),
        "the loss": ("plain", train, "loss_of", lambda recipe: scaled(loss.of_mean)),
        "the loss at each step": ("tet", loss, "tet", scaled(loss.tet)),
        "smoothed labels": ("label smoothing", train, "loss_of", lambda recipe: loss.of_mean),
        "how samples are mixed": ("mixup", mixing, "uniform", scaled(mixing.uniform, 0.9)),
        "what replaces a part of a sample": ("cutmix and erasing", mixing, "ROW", mixing.COLUMN),
        "what is erased": ("cutmix and erasing", train, "erase", lambda p: augment.erase(0.9 * p)),
        "a method's penalty": ("method esg+im", train, "penalty", scaled(train.penalty)),
        "the schedule": (
            "plain",
            torch.optim.lr_scheduler,
            "OneCycleLR",
            lambda *a, **k: one_cycle(*a, **k, pct_start=0.4),
        ),
        "momentum under the schedule": (
            "sgd",
            torch.optim.lr_scheduler,
            "OneCycleLR",
            lambda *a, cycle_momentum, **k: one_cycle(*a, **k),
        ),
        "what weights decay": ("adamw, weight decay", torch.optim, "AdamW", without_decay),
        "how often a method searches": ("method dspike", loop, "SEARCH_BUDGET", 0),
        "the order of samples": ("plain", train, "derive", lambda *a: randomness.derive(*a) + 1),
        "noise": ("method msg", randomness, "GOLDEN", 1),
        "draws of augmentation": (
            "augmentation of pictures",
            augment,
            "uniform",
            scaled(augment.uniform, 0.9),
        ),
        "augmentation of events": (
            "augmentation of events",
            augment,
            "uniform",
            scaled(augment.uniform, 0.9),
        ),
        "autoaugment": ("autoaugment", augment, "_blended", lambda x, other, blends, row: x),
        "autoaugment of papers": ("autoaugment of papers", augment, "GREY", 0),
        "randaugment": ("randaugment", augment, "RANDOM", augment.RANDOM[::-1]),
        "what the network is given": ("plain", train, "as_input", scaled(batches.as_input)),
        "time steps to 99 %": ("more time steps", anytime, "SHARE", 0.5),
        "which slopes count as available": ("looks before and after", gradients, "AVAILABLE", 0.1),
        "which gradients count as vanished": ("looks", run_columns, "VANISHED", 100.0),
        "energy": ("looks", cost, "PICOJOULE_PER_SOP", 0.8),
        "a step downhill": ("looks", descent, "STEPS", {"1e-3": 2e-3, "1e-2": 1e-2}),
        "a finite difference": ("finite differences", descent, "SIGMA", 2e-2),
        "a statistic of potentials": ("looks at plif", gradients, "wide", scaled(gradients.wide)),
    }


def without_decay(*arguments, weight_decay, **options):
    return torch.optim.Adam(*arguments, **options)


MUTATIONS = mutations()


@pytest.mark.parametrize("what", MUTATIONS)
def test_a_change_of_a_number_is_noticed(monkeypatch, what):
    case, owner, name, value = MUTATIONS[what]
    monkeypatch.setattr(owner, name, value)
    now = fingerprints.numbers(case)
    assert fingerprints.through_harness(case, now)


def test_a_change_of_code_without_one_is_not(monkeypatch):
    """As a function that is renamed, wrapped and moved."""
    plain = neuron.SpikingNeuron.step
    monkeypatch.setattr(neuron.SpikingNeuron, "step", lambda *a, **k: plain(*a, **k))
    assert (
        fingerprints.differences(
            fingerprints.read()["cases"]["plain"]["numbers"], fingerprints.numbers("plain")
        )
        == []
    )


# --- the command ---


@pytest.fixture
def two_cases(monkeypatch, tmp_path):
    """The file elsewhere, with two cases."""
    cases = {name: fingerprints.CASES[name] for name in ("plain", "sgd")}
    content = fingerprints.read()
    monkeypatch.setattr(fingerprints, "CASES", cases)
    monkeypatch.setattr(fingerprints, "FILE", tmp_path / "fingerprints.json")
    content["cases"] = {name: content["cases"][name] for name in cases}
    fingerprints.FILE.write_text(json.dumps(content))
    return content


def test_the_command_refuses_other_numbers_under_the_same_version(two_cases, monkeypatch):
    before = fingerprints.FILE.read_bytes()
    monkeypatch.setattr(train, "loss_of", lambda recipe: scaled(loss.of_mean))
    with pytest.raises(SystemExit, match=r"the numbers of 'plain', 'sgd' have changed, and the protocol is"):
        fingerprints.write()
    assert fingerprints.FILE.read_bytes() == before
    monkeypatch.setattr(protocol, "VERSION", protocol.VERSION + 1)
    fingerprints.write()
    assert fingerprints.read()["protocol"] == protocol.VERSION
    assert fingerprints.through_harness("plain", fingerprints.numbers("plain")) == []


def test_the_command_takes_what_a_network_of_another_code_gives(two_cases, monkeypatch):
    two_cases["cases"]["plain"]["pieces"]["backbone"] = "of other code"
    fingerprints.FILE.write_text(json.dumps(two_cases))
    monkeypatch.setattr(train, "loss_of", lambda recipe: scaled(loss.of_mean))
    with pytest.raises(SystemExit, match="the numbers of 'sgd' have changed"):
        fingerprints.write()


# --- rows ---


def made_with(name, accuracies, **digests):
    known = {"harness": "protocol 1", "method": name, "dataset": "d", "backbone": "b"}
    digests = known | {"libraries": "torch 2.14"} | digests
    return [record | {"digests": digests} for record in runs(name, accuracies)]


@pytest.mark.parametrize(
    ("part", "other", "variant"),
    [
        ("harness", "protocol 2", r"protocol=[12]"),
        ("method", "other", r"default #[0-9a-f]{4}"),
        ("libraries", "torch 2.15", r"torch=2\.1[45]"),
    ],
)
def test_results_of_two_versions_are_rows_of_their_own(part, other, variant):
    found = rows.rows(made_with("arctan", GOOD) + made_with("arctan", POOR, **{part: other}))
    assert sorted(row.score(10) for row in found) == pytest.approx([np.mean(POOR), np.mean(GOOD)])
    assert all(re.fullmatch(variant, row.variant) for row in found)
    assert len({row.variant for row in found}) == 2
    # A method of other code is another method of the same comparison; all else makes another comparison.
    assert len(list(rows.settings(found))) == (1 if part == "method" else 2)


def test_a_row_is_compared_with_the_baseline_of_its_own_torch():
    table = (
        Results(
            made_with("rectangle", GOOD)
            + made_with("rectangle", POOR, libraries="torch 2.15")
            + made_with("arctan", FAIR, libraries="torch 2.15"),
            "rectangle",
        )
        .table("accuracy")
        .set_index(["method", "variant"])
    )
    delta = table["delta_vs_baseline"]
    assert delta["arctan", "torch=2.15"] == pytest.approx(np.mean(FAIR) - np.mean(POOR), abs=1e-3)


def test_many_rows_of_one_name_are_told_apart():
    other = made_with("arctan", FAIR, libraries="torch 2.15", method="other")
    found = rows.rows(made_with("arctan", GOOD) + made_with("arctan", POOR, libraries="torch 2.15") + other)
    assert len({row.variant for row in found}) == 3
    assert sum(row.variant.startswith("torch=2.15 #") for row in found) == 2


# --- versions ---


def test_the_documentation_lists_every_version():
    lines = re.findall(r"^\| (\d+) \| (.*) \|$", DOCS.read_text(), re.MULTILINE)
    listed = {int(number): text for number, text in lines}
    assert len(lines) == len(protocol.HISTORY) + len(timings.HISTORY)
    first, second = lines[: len(protocol.HISTORY)], lines[len(protocol.HISTORY) :]
    assert {int(n): text for n, text in first} == protocol.HISTORY
    assert {int(n): text for n, text in second} == timings.HISTORY
    assert listed


@pytest.mark.parametrize("history", [protocol.HISTORY, timings.HISTORY])
def test_versions_follow_each_other(history):
    assert list(history) == list(range(1, len(history) + 1))
    assert all(text.endswith(".") and "\n" not in text for text in history.values())


def test_libraries_are_known_to_their_minor_version(monkeypatch):
    major, minor, *_ = torch.__version__.split(".")
    assert protocol.libraries() == f"torch {major}.{minor}"
    for installed, known in (("2.14.1+cu130", "torch 2.14"), ("2.14.0", "torch 2.14"), ("3.0", "torch 3.0")):
        protocol.libraries.cache_clear()
        monkeypatch.setattr(metadata, "version", lambda _, installed=installed: installed)
        assert protocol.libraries() == known
    protocol.libraries.cache_clear()


def test_what_a_method_requires_is_known_to_its_patch_version(monkeypatch):
    assert protocol.releases(()) == {}
    assert protocol.releases(("snntorch",)) == {"snntorch": metadata.version("snntorch")}
    assert protocol.releases(("no_such_package_at_all",)) == {}
    # It is distributed under another name than it is imported by.
    assert protocol.releases(("sklearn",)) == {"sklearn": metadata.version("scikit-learn")}
