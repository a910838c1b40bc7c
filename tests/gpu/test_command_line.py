"""A real training through the command line, compiled and not; and what becomes of one that needs too much."""

import json
from statistics import mean

import pandas as pd
import pytest

from bench.paths import suites_folder

ON_BOTH = pytest.mark.parametrize("on", ["cpu", pytest.param("cuda", marks=pytest.mark.needs_gpu)])
ALIKE = 0.02
"""Of the training loss, mean over all epochs: compiled code rounds differently."""
TOO_MUCH = """
import torch


@method("too-much", paper="none")
class TooMuch(Surrogate):
    shape = staticmethod(torch.ones_like)

    def params(self, u, t):
        torch.empty(2**46, device=u.device)
        return {}
"""


@pytest.fixture
def trained(started, tmp_path):
    """trained(device, compile, *options) -> the records of the suite smoke, by method, with their losses."""
    text = (suites_folder() / "smoke.toml").read_text(encoding="utf-8")

    def run(on, mode, *options):
        results = tmp_path / f"results-{len(list(tmp_path.iterdir()))}"
        suite = tmp_path / f"{mode}.toml"
        changed = text.replace('name = "smoke"', f'name = "smoke-{mode}"')
        changed = changed.replace('compile = "off"', f'compile = "{mode}"')
        assert changed.count(mode) >= 2
        # Whether training is right shows without a table of times.
        suite.write_text("times = false\n" + changed)
        ended = started("run", suite, "--device", on, "--results", results, *options, cwd=tmp_path)
        found = {}
        for file in results.rglob("record.json"):
            record = json.loads(file.read_text(encoding="utf-8"))
            epochs = file.with_name("epochs.parquet")
            losses = list(pd.read_parquet(epochs)["train_loss"]) if epochs.exists() else []
            found[record["cell"]["method"]["name"]] = record | {"losses": losses}
        assert found, ended.stderr
        return found

    return run


def apart(one, other):
    """Methods whose mean losses differ by more than they may, with the difference."""
    means = {name: [mean(losses[name]) for losses in (one, other)] for name in one}
    differences = {name: abs(a - b) / a for name, (a, b) in means.items()}
    return {name: difference for name, difference in differences.items() if not difference <= ALIKE}


@ON_BOTH
def test_compiled_training_reaches_what_eager_training_reaches(on, trained, figures):
    """On the CPU one method, eager: what is checked there is the reading of what it left."""
    methods = {"cpu": ["rectangle"], "cuda": ["mpd-agl", "rectangle", "ann-relu"]}[on]
    modes = {"cpu": ("off",), "cuda": ("off", "neuron")}[on]
    found = [trained(on, mode, "--methods", ",".join(methods)) for mode in modes]
    for records in found:
        for record in records.values():
            assert (record["status"], record["unmeasured"]) == ("ok", {})
            assert record["environment"]["device"] == on
    losses = [{name: r["losses"] for name, r in records.items()} for records in found]
    assert set(losses[0]) == set(methods)
    for name in methods:
        means = {mode: mean(each[name]) for mode, each in zip(modes, losses, strict=True)}
        figures.append(f"smoke, {on}, {name}: mean training loss by compile: {means}")
    assert apart(losses[0], losses[-1]) == {}


def test_another_loss_is_noticed():
    one = {"a": [2.0, 1.0], "b": [2.0, 1.0], "c": [2.0, 1.0]}
    other = {"a": [2.0, 1.01], "b": [2.0, 1.2], "c": [2.0, float("nan")]}
    assert set(apart(one, other)) == {"b", "c"}


@ON_BOTH
def test_too_little_memory_is_no_failure_of_the_method(on, trained, write_plugin):
    plugin = write_plugin(TOO_MUCH)
    found = trained(on, "off", "--plugin", plugin, "--methods", "too-much")
    assert (found["too-much"]["status"], found["too-much"]["losses"]) == ("oom", [])
