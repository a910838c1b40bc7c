"""`spikegrad diff`, as a user types it."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

QUICK = Path(__file__).resolve().parents[1] / "results" / "leaderboards" / "quick"


@pytest.fixture
def moved(tmp_path):
    """A copy in which one row moved far, one is gone, and one has another kind."""
    folder = Path(shutil.copytree(QUICK, tmp_path / "moved"))
    table = pd.read_csv(folder / "accuracy.csv", dtype=str, keep_default_na=False)
    table.loc[0, ["test_accuracy_mean", "test_accuracy_sd"]] = "50.0000", "0.1000"
    table.loc[2, "kind"] = "library"
    table.drop(index=1).to_csv(folder / "accuracy.csv", index=False)
    return folder


def test_what_moved_stands_in_a_table_and_in_sentences(spikegrad, moved, tmp_path):
    ended = spikegrad("diff", QUICK, moved, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    first, *_ = ended.stdout.splitlines()
    assert first.split() == ["row", "old", "new", "difference", "p,", "adjusted", "rank", "verdict"]
    assert "beyond noise" in ended.stdout and "incomparable" in ended.stdout
    table = pd.read_csv(QUICK / "accuracy.csv")
    rows, gone = len(table), table.iloc[1]
    assert f"{rows - 3} of {rows - 1} rows are identical to {QUICK}" in ended.stdout
    assert f"1 row only in {QUICK}: digits resnet19 T=2 {gone['method']} {gone['variant']}" in ended.stdout


def test_equal_tables_say_so_and_end_with_0(spikegrad, tmp_path):
    ended = spikegrad("diff", QUICK, QUICK, "--exit-code", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    rows = len(pd.read_csv(QUICK / "accuracy.csv"))
    assert ended.stdout.startswith(f"{rows} of {rows} rows are identical to")


def test_the_exit_code_tells_a_script_that_something_moved(spikegrad, moved, tmp_path):
    assert spikegrad("diff", QUICK, moved, "--exit-code", cwd=tmp_path).returncode == 1
    assert spikegrad("diff", QUICK, moved, cwd=tmp_path).returncode == 0


def test_json_and_markdown(spikegrad, moved, tmp_path):
    found = json.loads(spikegrad("diff", QUICK, moved, "--json", cwd=tmp_path).stdout)
    assert (
        len(found["rows"]) == len(pd.read_csv(QUICK / "accuracy.csv")) - 1
        and len(found["only_old"]) == 1
        and found["only_new"] == []
    )
    first = found["rows"][0]
    assert first["verdict"] == "beyond noise" and first["p_adjusted"] < 0.05 and first["new"] == 50.0
    markdown = spikegrad("diff", QUICK, moved, "--format", "markdown", cwd=tmp_path).stdout
    assert markdown.startswith("| row | old | new |") and "| beyond noise |" in markdown


def test_what_is_no_leaderboard_is_one_sentence(spikegrad, tmp_path):
    ended = spikegrad("diff", QUICK, tmp_path / "nowhere", cwd=tmp_path)
    assert ended.returncode == 2 and ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: cannot read ") and "give an accuracy.csv" in line
