"""What an edit of the project's own files does to results that are there, as a maintainer sees it."""

import json
import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TINY = """\
name = "tiny"
methods = ["rectangle", "arctan", "snntorch/atan"]
datasets = [{ name = "digits", subset = 200 }]
backbones = [{ name = "mlp", width = 0.125 }]
timesteps = [2]
seeds = [0]
measure = { probe = "off", descent = false }
times = false
[recipe]
epochs = 1
batch_size = 32
learning_rate = 0.01
[profile]
device = "cpu"
compile = "off"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory, environment, spikegrad):
    """A copy of the project and results that it has made; (its root, call)."""
    root = tmp_path_factory.mktemp("project")
    for folder in ("bench", "methods", "datasets", "results/published"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "tiny.toml").write_text(TINY)
    path = os.pathsep.join([str(root), *environment["PYTHONPATH"].split(os.pathsep)[1:]])

    def call(*arguments):
        done = spikegrad(*arguments, "tiny.toml", cwd=root, path=path)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    call("run")
    return root, call


@pytest.fixture
def edited(made):
    """edited({file: change of its text}) -> the states of the cells, and why they are stale."""
    root, call = made
    before = {}

    def edit(changes):
        for file, change in changes.items():
            text = before.setdefault(file, (root / file).read_text())
            assert change(text) != text
            (root / file).write_text(change(text))
        plan = json.loads(call("plan", "--json").stdout)
        return {cell["method"]["name"]: cell["state"] for cell in plan["cells"]}, plan["stale"]

    yield edit
    for file, text in before.items():
        (root / file).write_text(text)


ALL_DONE = dict.fromkeys(("rectangle", "arctan", "snntorch/atan"), "done")


def test_comments_docstrings_and_names_make_nothing_stale(made, edited):
    _, call = made
    files = (
        "methods/rectangle.py",
        "bench/model/neuron.py",
        "bench/model/layers.py",
        "bench/model/backbones/mlp.py",
    )
    changes = {
        file: lambda text: text.replace('"""', '"""Edited. ', 1) + "\n# edited\n"
        for file in (*files, "datasets/digits.py")
    }
    changes["bench/runner/train.py"] = lambda text: text.replace("_chunks", "_batches_of")
    assert edited(changes) == (ALL_DONE, [])
    assert call("run").stderr.startswith("tiny: 3 cells, 3 finished before, nothing left to do")


def test_a_method_s_own_code_makes_its_results_stale(edited):
    states, why = edited({"methods/arctan.py": lambda text: text.replace("return ", "return 1 * ", 1)})
    assert states == ALL_DONE | {"arctan": "stale"}
    assert why == ["the code of the method arctan has changed"]


def test_another_version_of_the_protocol_makes_all_stale(edited):
    states, why = edited(
        {"bench/records/protocol.py": lambda text: text.replace("VERSION = max(HISTORY)", "VERSION = 99")}
    )
    assert states == dict.fromkeys(ALL_DONE, "stale")
    assert len(why) == 1 and why[0].endswith("and this is protocol 99")


def test_another_torch_leaves_results_and_keeps_new_ones_apart(made, edited):
    root, call = made
    (before,) = {record["digests"]["libraries"] for record in records(root)}
    known = "return {name: _release(name) for name in APART}"
    states, why = edited(
        {"bench/records/protocol.py": lambda text: text.replace(known, 'return {"torch": "99.1.2"}')}
    )
    assert (states, why) == (ALL_DONE, [])
    sentence = f"3 trainings made with {before} are kept, in rows apart from those made with torch 99.1"
    assert sentence in " ".join(call("plan").stdout.split())
    ended = call("run")
    assert "nothing left to do" in ended.stderr and sentence in " ".join(ended.stderr.split())
    assert json.loads(call("plan", "--again", "--json").stdout)["counts"]["stale"] == 3
    (root / "tiny.toml").write_text(TINY.replace("seeds = [0]", "seeds = [0, 1]"))
    call("run")
    table = (root / "results" / "local" / "leaderboards" / "tiny" / "accuracy.csv").read_text()
    assert table.count("rectangle") == 2, "no row mixes the two"
    assert "torch=99.1" in table and before.replace(" ", "=") in table
    call("run", "--again")
    assert {record["digests"]["libraries"] for record in records(root)} == {"torch 99.1"}


def records(root):
    runs = root / "results" / "local" / "runs" / "tiny"
    return [json.loads(file.read_text()) for file in runs.glob("*/record.json")]
