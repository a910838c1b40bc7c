"""A suite is its name and its content, as a user meets it."""

import pandas as pd
import pytest

SUITE = """
name = "mine"
methods = ["rectangle", "arctan"]
datasets = [{ name = "digits", subset = 200 }]
backbones = [{ name = "mlp", width = 0.125 }]
timesteps = [2]
seeds = [0, 1]
times = false
measure = { probe = "off", descent = false }
recipe = { epochs = 1, batch_size = 32, learning_rate = 0.01 }
"""


@pytest.fixture
def ran(tmp_path, spikegrad):
    (tmp_path / "mine.toml").write_text(SUITE)
    done = spikegrad("run", "mine.toml", "--results", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_a_name_stands_for_one_matrix_and_names_narrow_it(ran, spikegrad):
    (ran / "other.toml").write_text(SUITE.replace("0.01", "0.03"))
    refused = spikegrad("run", "other.toml", "--results", "r", cwd=ran)
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: r/runs/mine holds another suite of the name mine: recipe.learning_rate is 0.01 there and "
        "0.03 here; give this one another name, or another --results\n"
    )
    assert spikegrad("leaderboard", "other.toml", "--results", "r", cwd=ran).returncode == 2
    for names, told in (
        (("--seeds", "2"), "--seeds: the suite mine does not have 2: it has 0, 1; with `--add`"),
        (("--methods", "triangle"), "--methods: the suite mine does not have triangle: "),
    ):
        refused = spikegrad("run", "mine.toml", "--results", "r", *names, cwd=ran)
        assert refused.returncode == 2 and told in refused.stderr
    added = spikegrad("run", "mine.toml", "--results", "r", "--seeds", "0,2", "--add", cwd=ran)
    assert "mine: 4 cells, 2 finished before, 2 to run" in added.stderr
    (ran / "mine.toml").write_text(SUITE.replace("seeds = [0, 1]", "seeds = [0, 1, 2]"))
    more = spikegrad("run", "mine.toml", "--results", "r", cwd=ran)
    assert more.stderr.startswith(
        "warning: the suite mine has more than when it was last run here: seeds 2\n"
    )
    assert "nothing left to do" in more.stderr


def test_the_results_folder_alone_is_enough_to_look_at_a_suite(ran, spikegrad):
    table = ran / "r/leaderboards/mine/accuracy.csv"
    before = table.read_bytes()
    (ran / "mine.toml").unlink()
    table.unlink()
    for command in ("leaderboard", "report", "show", "verify"):
        done = spikegrad(command, "mine", "--results", "r", cwd=ran)
        assert done.returncode == 0, done.stderr
    assert table.read_bytes() == before
    assert list(pd.read_csv(table)["method"].sort_values()) == ["arctan", "rectangle"]
    unknown = spikegrad("leaderboard", "yours", "--results", "r", cwd=ran)
    assert unknown.returncode == 2 and "no suite 'yours': the shipped ones are" in unknown.stderr
