"""A suite is tuned, as a user meets it: defaults, trials, what they choose, and its tables."""

import json
import shutil

import pandas as pd
import pytest

from bench.records.record_files import SEAL, outcome_hash
from bench.records.store import Store

SUITE = """
name = "mine"
methods = ["rectangle", "mpd-agl"]
datasets = [{ name = "digits", subset = 200 }]
backbones = [{ name = "mlp", width = 0.125 }]
timesteps = [2]
seeds = [0, 1]
times = false
measure = { probe = "off", descent = false }
recipe = { epochs = 1, batch_size = 32, learning_rate = 0.01 }
profile = { device = "cpu", compile = "off" }
tune = { rates = [0.3, 3], points = 1, seeds = [7] }
"""


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, spikegrad):
    """(folder, ended commands): one method is tuned, then the suite is run, tuned, tuned again, and run."""
    folder = tmp_path_factory.mktemp("tuned")
    (folder / "mine.toml").write_text(SUITE)
    commands = (("tune", "--methods", "mpd-agl", "--json"), ("run",), ("tune",), ("tune",), ("run",))
    ended = [
        spikegrad(command, "mine.toml", "--results", "r", *more, cwd=folder) for command, *more in commands
    ]
    return folder, ended


@pytest.fixture
def copied(tuned, tmp_path):
    """A copy of the folder, to be changed."""
    shutil.copytree(tuned[0], tmp_path / "copy")
    return tmp_path / "copy"


def records(folder, suite):
    return [json.loads(file.read_text()) for file in sorted(folder.glob(f"r/runs/{suite}/*/record.json"))]


def test_one_method_alone_can_be_tuned(tuned):
    done = tuned[1][0]
    assert done.returncode == 0, done.stderr
    tables = json.loads(done.stdout)
    assert [line["method"] for line in tables["tuned"]] == ["mpd-agl"] and len(tables["tuning"]) == 2


def test_run_says_which_trials_are_missing_and_runs_the_defaults(tuned):
    done = tuned[1][1]
    assert done.returncode == 0, done.stderr
    assert "mine: 6 cells, 0 finished before, 6 to run" in done.stderr
    assert (
        "2 cells of the tuning still to run: `spikegrad tune mine`; until then, methods that "
        "lack some of theirs run at their defaults alone"
    ) in done.stderr
    assert "mpd-agl (tuned" in done.stderr and "rectangle (tuned" not in done.stderr


def test_tune_runs_the_trials_and_writes_what_they_choose(tuned):
    folder, (_, _, done, *_) = tuned
    assert done.returncode == 0, done.stderr
    assert "mine: 2 trials for each method in each task, on 1 tuning seed; " in done.stderr
    assert "2 cells finished before, 2 to run; results in r" in done.stderr
    assert "The chosen values run on the suite's own seeds with `spikegrad run mine`." in done.stdout
    for name in ("tuning", "tuned"):
        assert f"wrote r/leaderboards/mine/{name}.csv" in done.stdout
    tuning = pd.read_csv(folder / "r/leaderboards/mine/tuning.csv")
    assert tuning["method"].tolist() == ["mpd-agl"] * 2 + ["rectangle"] * 2
    assert {*tuning["learning_rate"]} == {0.003, 0.03} and {*tuning["value"].dropna()} == {1.0}
    assert tuning["chosen"].tolist() == ["yes", "no"] * 2
    chosen = tuning[tuning["chosen"] == "yes"].set_index("method")["val_accuracy_mean"]
    assert tuning.groupby("method")["val_accuracy_mean"].max().to_dict() == chosen.to_dict()


def test_trials_are_records_without_test_data_in_a_folder_of_their_own(tuned):
    found = records(tuned[0], "mine.tune")
    assert len(found) == 4 and {record["status"] for record in found} == {"ok"}
    for record in found:
        assert not [name for name in record["metrics"] if name.startswith(("test_", "anytime_"))]
        assert record["cell"]["seed"] == 7 and record["cell"]["selection"]["by"] == "tuning"
    assert not (tuned[0] / "r/leaderboards/mine.tune").exists()


def test_again_there_is_nothing_to_run(tuned):
    again = tuned[1][3]
    assert again.returncode == 0, again.stderr
    assert "4 cells finished before, 0 to run" in again.stderr


def test_run_then_has_tuned_rows_with_the_chosen_values(tuned):
    folder, (*_, last) = tuned
    assert last.returncode == 0, last.stderr
    assert "mine: 8 cells, 6 finished before, 2 to run" in last.stderr
    assert "of the tuning still to run" not in last.stderr
    accuracy = pd.read_csv(folder / "r/leaderboards/mine/accuracy.csv")
    own = accuracy["variant"].str.partition(" ")[0]
    assert sorted(zip(accuracy["method"], own == "tuned", strict=True)) == [
        *(("mpd-agl", False), ("mpd-agl", True), ("rectangle", False), ("rectangle", True))
    ]
    assert accuracy.groupby(own == "tuned")["rank"].min().tolist() == [1, 1], "ranked apart"
    table = pd.read_csv(folder / "r/leaderboards/mine/tuned.csv").set_index("method")
    assert table["n_seeds"].tolist() == [2, 2]
    assert (
        table["gain"] - (table["tuned_accuracy_mean"] - table["default_accuracy_mean"])
    ).abs().max() < 2e-4
    for record in records(folder, "mine"):
        cell = record["cell"]
        if "selection" in cell:
            assert cell["selection"]["by"] == "tuned"
            rate = table.loc[cell["method"]["name"], "learning_rate"]
            assert cell["recipe"]["learning_rate"] == rate


def test_both_tables_are_shown_again(tuned, spikegrad):
    for name in ("tuned", "tuning"):
        shown = spikegrad(
            "leaderboard", "mine", "--results", "r", "--table", name, "--format", "csv", cwd=tuned[0]
        )
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout == (tuned[0] / f"r/leaderboards/mine/{name}.csv").read_text()
    shown = spikegrad("leaderboard", "mine", "--results", "r", "--table", "tuned", cwd=tuned[0])
    assert shown.returncode == 0 and "mpd-agl" in shown.stdout and "gain" in shown.stdout


def test_a_changed_table_tune_is_refused(copied, spikegrad):
    file = copied / "mine.toml"
    file.write_text(SUITE.replace("points = 1", "points = 2"))
    for command in ("tune", "run"):
        refused = spikegrad(command, "mine.toml", "--results", "r", cwd=copied)
        assert refused.returncode == 2 and refused.stderr == (
            "error: r/runs/mine holds another suite of the name mine: tune.points is 1 there and 2 here; "
            "give this one another name, or another --results\n"
        )
    file.write_text(SUITE.replace("tune =", "# tune ="))
    refused = spikegrad("run", "mine.toml", "--results", "r", cwd=copied)
    assert refused.returncode == 2 and "tune.rates is (0.3, 3.0) there and None here" in refused.stderr


def edit(file, metrics):
    """Change a record, and its own hash with it."""
    record = json.loads(file.read_text())
    record["metrics"] |= metrics
    file.write_text(json.dumps({**record, SEAL: outcome_hash(record)}))


CHANGES = {
    "a test accuracy": (
        {"test_accuracy": 50.0},
        "test_accuracy is there, and a tuning trial has no test data",
    ),
    "a validation accuracy": ({"val_accuracy": 100.0}, "contradicts itself (val_accuracy is 100"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_edited_trial_is_left_out_and_told(copied, change):
    metrics, told = CHANGES[change]
    file = sorted(copied.glob("r/runs/mine.tune/*/record.json"))[0]
    edit(file, metrics)
    left, (sentence,) = Store(copied / "r", "mine.tune").survey()
    assert len(left) == 3 and told in sentence and str(file) in sentence


def test_the_leaderboard_tells_of_an_edited_trial(copied, spikegrad):
    metrics, told = CHANGES["a test accuracy"]
    edit(sorted(copied.glob("r/runs/mine.tune/*/record.json"))[0], metrics)
    shown = spikegrad("leaderboard", "mine", "--results", "r", "--table", "tuning", cwd=copied)
    assert told in shown.stderr and shown.returncode == 1


def test_an_edited_trial_is_run_again(copied, spikegrad):
    table = copied / "r/leaderboards/mine/tuning.csv"
    before = pd.read_csv(table).drop(columns="seconds")
    edit(sorted(copied.glob("r/runs/mine.tune/*/record.json"))[0], {"val_accuracy": 100.0})
    planned = spikegrad("plan", "mine.toml", "--results", "r", cwd=copied)
    assert "1 cell of the tuning still to run" in planned.stdout
    again = spikegrad("tune", "mine.toml", "--results", "r", cwd=copied)
    assert again.returncode == 0 and "3 cells finished before, 1 to run" in again.stderr
    pd.testing.assert_frame_equal(pd.read_csv(table).drop(columns="seconds"), before)


def test_unknown_names_are_refused(tmp_path, spikegrad):
    (tmp_path / "mine.toml").write_text(SUITE)
    refused = spikegrad("tune", "mine.toml", "--results", "r", "--methods", "nonsense", cwd=tmp_path)
    assert refused.returncode == 2 and not (tmp_path / "r").exists()
    assert refused.stderr.startswith(
        "error: --methods: the suite mine does not have nonsense: it has rectangle"
    )


def test_a_suite_that_is_not_tuned_is_refused(copied, spikegrad):
    (copied / "mine.toml").write_text(SUITE.replace("tune =", "# tune ="))
    (copied / "r/runs/mine/suite.json").unlink()
    shutil.rmtree(copied / "r/runs/mine.tune")
    refused = spikegrad("tune", "mine.toml", "--results", "r", cwd=copied)
    assert refused.returncode == 2
    assert refused.stderr == "error: the suite mine is not tuned: it has no table [tune]\n"
    refused = spikegrad("leaderboard", "mine.toml", "--results", "r", "--table", "tuned", cwd=copied)
    assert refused.returncode == 2 and refused.stdout == ""
    assert refused.stderr == (
        "error: --table tuned: the suite mine.toml has no tuning trials; `spikegrad tune` runs them\n"
    )
