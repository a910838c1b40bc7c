"""`spikegrad verify`, as a user types it."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.records import predictions
from bench.records.anytime import timesteps_to_99
from bench.records.record_files import sealed

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
    assert ended.stderr.startswith(
        "tiny: 2 trainings once more, draw 7; results/local is only read\n"
        "an edit in one of 3 records would be found with probability 0.66\n"
    )
    assert ended.stdout.count("bit for bit") == 3
    assert ended.stdout.endswith("2 trainings: 2 reproduced bit for bit\n")
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def lie(file):
    """Make one more test sample right, in every place where it counts, and the hashes anew."""
    record = json.loads(file.read_text())
    beside = {path.name: path.read_bytes() for path in file.parent.glob("*.parquet")}
    said = predictions.of_bytes(beside[predictions.FILE])
    better = said.predicted.copy()
    first = int(np.argmin(said.right))
    better[first] = said.label[first]
    better = predictions.Predictions(said.label, better)
    curve = [*record["metrics"]["anytime_accuracy"][:-1], better.accuracy]
    record["metrics"] |= {"test_accuracy": better.accuracy, "anytime_accuracy": curve}
    record["metrics"]["timesteps_to_99"] = timesteps_to_99(curve)
    beside[predictions.FILE] = predictions.to_bytes(better)
    (file.parent / predictions.FILE).write_bytes(beside[predictions.FILE])
    file.write_text(json.dumps(sealed(record, beside)))
    return better.accuracy


def test_an_edited_record_that_fits_its_files_is_not(spikegrad, folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    told = lie(runs(copy)[0])
    assert spikegrad("leaderboard", "tiny.toml", cwd=copy).returncode == 0, "nothing else shows it"
    ended = spikegrad("verify", "tiny.toml", "--all", "--json", cwd=copy)
    found = json.loads(ended.stdout)
    assert ended.returncode == 1
    assert sorted(each["verdict"] for each in found) == ["bit for bit", "bit for bit", "not reproduced"]
    (bad,) = (each for each in found if each["verdict"] == "not reproduced")
    assert bad["recorded_test_accuracy"] == told != bad["test_accuracy"]
    assert "on the same machine and versions anytime_accuracy, test_accuracy" in bad["why"]
    assert 0.9 < bad["same_predictions"] < 1


def test_an_edited_record_that_does_not_is_named_by_every_command(spikegrad, folder, tmp_path):
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    file = runs(copy)[0].relative_to(copy)
    record = json.loads((copy / file).read_text())
    record["metrics"]["test_accuracy"] += 1.0
    (copy / file).write_text(json.dumps(record))
    for command in (
        ["leaderboard", "tiny.toml"],
        ["leaderboard", "tiny.toml", "--format", "markdown"],
        ["report", "tiny.toml"],
        ["verify", "tiny.toml", "--all"],
    ):
        ended = spikegrad(*command, cwd=copy)
        assert ended.returncode == 1, command
        assert f"warning: {file} contradicts itself (test_accuracy is " in ended.stderr
    table = spikegrad("leaderboard", "tiny.toml", "--table", "runs", "--format", "csv", cwd=copy).stdout
    assert len(table.splitlines()) == 1 + 2
    taken = spikegrad("import", "results/local", "--results", "other", cwd=copy)
    assert taken.returncode == 1 and f"refused: {file} contradicts itself (" in taken.stdout
    shown = spikegrad("show", file, cwd=copy)
    assert shown.returncode == 2 and "contradicts itself" in shown.stderr
    planned = spikegrad("plan", "tiny.toml", cwd=copy)
    assert "1 to run" in planned.stdout and f"warning: {file} contradicts itself" in planned.stderr
    assert spikegrad("run", "tiny.toml", cwd=copy).returncode == 0
    assert spikegrad("verify", "tiny.toml", "--all", cwd=copy).returncode == 0


def test_another_draw_each_time_and_as_many_as_a_share(spikegrad, folder):
    ended = [spikegrad("verify", "tiny.toml", "--fraction", "0.3", cwd=folder) for _ in range(2)]
    draws = {each.stderr.split("draw ")[1].split(";")[0] for each in ended}
    assert len(draws) == 2 and all(each.stderr.startswith("tiny: 1 training once more") for each in ended)
    ended = spikegrad("verify", "tiny.toml", "--fraction", "0.3", "--all", cwd=folder)
    assert ended.returncode == 2 and "give one of them" in ended.stderr


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
