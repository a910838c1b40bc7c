"""Whether two cores train two seeds faster side by side, one thread each, or one after the other."""

import json

import pytest
from in_turn import spread
from ledger import Measured

ROUNDS, SEEDS = 3, 2
SUITE = """\
name = "threads"
methods = ["rectangle"]
datasets = [{{ name = "digits", subset = 1200 }}]
backbones = [{{ name = "{backbone}", width = {width} }}]
timesteps = [4]
seeds = [0, 1]
timeout = 600
times = false

[recipe]
epochs = 1
batch_size = 64
learning_rate = 0.01

[profile]
device = "cpu"
threads = {threads}
compile = "off"
channels_last = true

[measure]
probe = "off"
descent = false
"""
NETWORKS = [("convnet", 1.0), ("resnet19", 0.25)]


@pytest.fixture
def seconds(started, tmp_path):
    """seconds(text, jobs) -> those that each seed's training steps took."""

    def run(text, jobs):
        suite = tmp_path / "threads.toml"
        suite.write_text(text)
        results = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        ended = started("run", suite, "--results", results, "--jobs", str(jobs), cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        records = [json.loads(file.read_text()) for file in results.rglob("record.json")]
        assert len(records) == SEEDS
        return [record["metrics"]["train_seconds"] for record in records]

    return run


@pytest.mark.measured_only
@pytest.mark.parametrize(("backbone", "width"), NETWORKS)
def test_two_threads_against_two_trainings(seconds, ledger, backbone, width):
    found = []
    for _ in range(ROUNDS):
        fill = {"backbone": backbone, "width": width}
        beside = seconds(SUITE.format(threads=1, **fill), SEEDS)
        after = seconds(SUITE.format(threads=2, **fill), 1)
        found.append(sum(after) / max(beside))
    ledger.add(
        Measured.spread(
            spread(found),
            "x",
            what=f"training steps of two seeds, {backbone} at width {width:g}, 1×8×8, batch 64, T = 4",
            subject="one after the other with two threads",
            against="side by side with one thread each",
        )
    )
