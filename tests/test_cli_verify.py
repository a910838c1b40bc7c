"""`spikegrad verify`, as a user types it."""

import json
import shutil
from pathlib import Path

import pytest

SHIPPED = Path(__file__).resolve().parents[1] / "results"
TINY = """\
name = "tiny"
methods = ["rectangle"]
datasets = [{ name = "digits", subset = 200 }]
backbones = [{ name = "mlp", width = 0.125 }]
timesteps = [2]
seeds = [0, 1, 2]
times = false
measure = { probe = "off", descent = false }
[recipe]
epochs = 1
batch_size = 32
learning_rate = 0.01
[profile]
device = "cpu"
compile = "off"
"""


@pytest.fixture(scope="module")
def folder(spikegrad, tmp_path_factory):
    folder = tmp_path_factory.mktemp("verified")
    (folder / "tiny.toml").write_text(TINY)
    assert spikegrad("run", "tiny.toml", cwd=folder).returncode == 0
    return folder


def runs(folder):
    return sorted((folder / "results" / "local" / "runs" / "tiny").glob("*/record.json"))


def test_a_sample_is_reproduced_and_nothing_is_written(spikegrad, folder):
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    ended = spikegrad("verify", "tiny.toml", "--sample", "2", "--draw", "7", cwd=folder)
    assert ended.returncode == 0
    assert ended.stderr.startswith("tiny: 2 trainings once more, draw 7; results/local is only read\n")
    assert ended.stdout.count("bit for bit") == 3
    assert ended.stdout.endswith("2 trainings: 2 reproduced bit for bit\n")
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_an_edited_record_is_not(spikegrad, folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    record = json.loads(runs(copy)[0].read_text())
    record["metrics"]["test_accuracy"] = 99.5
    runs(copy)[0].write_text(json.dumps(record))
    ended = spikegrad("verify", "tiny.toml", "--all", "--json", cwd=copy)
    found = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert sorted(each["verdict"] for each in found) == ["bit for bit", "bit for bit", "not reproduced"]
    (bad,) = (each for each in found if each["verdict"] == "not reproduced")
    assert bad["recorded_test_accuracy"] == 99.5 != bad["test_accuracy"]
    assert bad["why"] == "on the same machine and versions test_accuracy differ"


def test_records_of_a_suite_that_is_not_known_are_verified_by_themselves(spikegrad, folder, tmp_path):
    shutil.copytree(folder / "results", tmp_path / "results")
    ended = spikegrad("verify", "tiny", "--sample", "1", cwd=tmp_path)
    assert ended.returncode == 0 and ended.stdout.endswith("1 training: 1 reproduced bit for bit\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "no suite 'nonsense'"),
        (["quick"], "no training of quick in results/local ended well"),
        (["tiny.toml", "--methods", "mpd-agl"], "--methods: no record of 'mpd-agl'; there are rectangle"),
        (["tiny.toml", "--methods", ","], "names nothing"),
    ],
)
def test_what_cannot_be_verified_is_one_sentence(spikegrad, folder, arguments, says):
    ended = spikegrad("verify", *arguments, cwd=folder)
    assert ended.returncode == 2 and ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ") and says in line
