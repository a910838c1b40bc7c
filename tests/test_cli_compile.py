"""Compiled training, as a user asks for it: what happens, what is said, and where it cannot be done."""

import json
import os
import subprocess
import sys

import pytest

from bench.model import compiling

SUITE = """
name = "compiled"
methods = {methods}
datasets = [{{ name = "digits", subset = 200 }}]
backbones = [{{ name = "convnet", width = 0.125 }}]
timesteps = [2]
seeds = [0, 1]
times = false
[measure]
probe = "ends"
descent = false
[recipe]
epochs = 2
batch_size = 32
learning_rate = 0.01
[profile]
device = "cpu"
compile = "{mode}"
"""


@pytest.fixture
def suite(tmp_path):
    """suite(mode, methods) -> the file."""

    def write(mode, methods=("rectangle",)):
        file = tmp_path / "compiled.toml"
        file.write_text(SUITE.format(mode=mode, methods=list(methods)))
        return file

    return write


def records(folder):
    found = [json.loads(path.read_text()) for path in folder.glob("results/local/runs/*/*/record.json")]
    return {(r["cell"]["method"]["name"], r["cell"]["seed"]): r for r in found}


@pytest.mark.skipif(bool(compiling.compiler_missing("cpu")), reason="no C++ compiler here to compile with")
def test_seeds_share_what_was_compiled_and_reach_what_eager_ones_reach(suite, spikegrad, tmp_path):
    file = suite("neuron", ["rectangle", "ann-relu"])
    planned = spikegrad("plan", file, cwd=tmp_path)
    assert "compiled: 2 by neuron" in planned.stdout
    done = spikegrad("run", file, "--jobs", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "without being compiled" not in done.stdout
    compiled = records(tmp_path)
    assert {key: r["cell"]["profile"]["compile"] for key, r in compiled.items()} == {
        ("rectangle", 0): "neuron",
        ("rectangle", 1): "neuron",
        ("ann-relu", 0): "off",
        ("ann-relu", 1): "off",
    }
    seconds = {key: r["metrics"]["compile_seconds"] for key, r in compiled.items()}
    assert seconds["ann-relu", 0] == 0
    # A graph is found again in a fraction of what making it took.
    assert 0 < seconds["rectangle", 1] < seconds["rectangle", 0]
    assert not any(r["unmeasured"] for r in compiled.values())
    table = tmp_path / "results/local/leaderboards/compiled/accuracy.csv"
    assert len(table.read_text().splitlines()) == 3
    assert ",compile" not in table.read_text()
    suite("off")
    spikegrad("run", file, cwd=tmp_path)
    eager = [r for r in records(tmp_path).values() if r["cell"]["profile"]["compile"] == "off"]
    for record in eager:
        if record["cell"]["method"]["name"] == "rectangle":
            twin = compiled["rectangle", record["cell"]["seed"]]
            assert record["metrics"]["train_loss"] == pytest.approx(twin["metrics"]["train_loss"], rel=0.05)


def test_without_a_compiler_it_trains_all_the_same_and_says_so(suite, environment, tmp_path):
    bare = environment | {"PATH": str(tmp_path / "nothing"), "CXX": ""}
    command = [sys.executable, "-m", "bench", "run", str(suite("neuron"))]
    done = subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (
        "trained without being compiled: rectangle on digits, 2 runs: no C++ compiler found: "
        "install g++ or clang++, or name one in CXX" in done.stdout
    )
    assert {r["status"] for r in records(tmp_path).values()} == {"ok"}
    assert {r["metrics"]["compile_seconds"] < 1 for r in records(tmp_path).values()} == {True}
    command = [*command[:3], "plan", str(suite("auto")), "--results", "elsewhere"]
    done = subprocess.run(command, cwd=tmp_path, env=bare, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "compiled:" not in done.stdout


def test_what_cannot_be_traced_trains_all_the_same_and_says_so(suite, spikegrad, write_plugin, tmp_path):
    plugin = write_plugin(
        """
        @method("looks", paper="none")
        class Looks(Surrogate):
            shape = staticmethod(shapes.triangle)
            def params(self, u, t):
                return {"width": 1.0 if u.detach().sum().item() > 0 else 2.0}
        """
    )
    done = spikegrad("run", suite("neuron"), "--methods", "looks", "--plugin", plugin, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = [x for x in done.stdout.splitlines() if x.startswith("trained without being compiled: looks")]
    assert "2 runs" in line
    assert {r["status"] for r in records(tmp_path).values()} == {"ok"}


def test_an_unknown_mode_is_refused_in_a_sentence(suite, spikegrad, tmp_path):
    done = spikegrad("run", suite("fast"), cwd=tmp_path)
    assert done.returncode == 2
    assert "profile.compile" in done.stderr
    assert "'fast'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not os.path.exists(tmp_path / "results")
