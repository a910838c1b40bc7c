"""The phase of a run that times things, as a user has it."""

import json
import shutil

import pandas as pd
import pytest

SUITE = """
name = "timing"
methods = ["rectangle", "arctan", "trsg", "ann-relu"]
datasets = [{ name = "digits", subset = 200 }]
backbones = [{ name = "mlp", width = 0.125 }]
timesteps = [2]
seeds = [0, 1]

[recipe]
epochs = 1
batch_size = 32
learning_rate = 0.01
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory, spikegrad):
    folder = tmp_path_factory.mktemp("times")
    (folder / "timing.toml").write_text(SUITE)
    before = spikegrad("run", "timing.toml", "--results", "r", "--no-times", cwd=folder)
    shutil.copytree(folder / "r", folder / "without")
    return folder, spikegrad("run", "timing.toml", "--results", "r", cwd=folder), before


def timings(folder):
    return [json.loads(file.read_text()) for file in sorted((folder / "r/latency/timing").glob("*.json"))]


def test_each_forward_pass_once_and_each_training_step(ran):
    folder, done, _ = ran
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("timing: 8 cells, 8 finished before, 0 to run, 7 to time; results in r\n")
    found = timings(folder)
    assert {t["status"] for t in found} == {"ok"}
    inference = sorted(t["forward"] for t in found if t["kind"] == "inference")
    # rectangle and arctan compute the same; trsg's spikes are its own.
    assert inference == ["own", "reference", "spiking"]
    steps = sorted(t["cell"]["method"]["name"] for t in found if t["kind"] == "training")
    assert steps == ["ann-relu", "arctan", "rectangle", "trsg"]
    lines = [line for line in done.stderr.splitlines() if line.startswith("[times ")]
    assert len(lines) == 7 and lines[0].startswith("[times 1/7] digits mlp (width=0.125) T=2 inference")


def test_the_table_gives_each_row_what_is_its_own(ran):
    table = pd.read_csv(ran[0] / "r/leaderboards/timing/latency.csv").set_index("method")
    shared = ["inference_ms_p50_batch1", "inference_ms_p95_batch1", "inference_ms_p50_batch100", "throughput"]
    assert (table.loc["rectangle", shared] == table.loc["arctan", shared]).all()
    assert (table.loc["rectangle", shared] != table.loc["trsg", shared]).all()
    assert table["train_step_ms_p50"].nunique() == 4
    assert (table["inference_ms_p95_batch1"] >= table["inference_ms_p50_batch1"]).all()
    assert (table["n_seeds"] == 2).all() and table["error"].isna().all()


def test_it_changes_nothing_in_a_record(ran):
    def files(folder):
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.glob("timing/*/*") if p.is_file()}

    records = files(ran[0] / "without/runs")
    assert sum(name.endswith("record.json") for name in records) == 8
    assert files(ran[0] / "r/runs") == records
    # The suite, though, is kept as it was last asked for.
    assert not json.loads((ran[0] / "without/runs/timing/suite.json").read_text()).get("times", True)
    assert json.loads((ran[0] / "r/runs/timing/suite.json").read_text()).get("times", True)


def test_what_is_timed_is_not_timed_again(ran, spikegrad):
    folder, *_ = ran
    before = timings(folder)
    again = spikegrad("run", "timing.toml", "--results", "r", cwd=folder)
    assert again.returncode == 0 and "[times" not in again.stderr
    assert "8 finished before, nothing left to do; " in again.stderr
    assert timings(folder) == before
    plan = json.loads(spikegrad("plan", "timing.toml", "--results", "r", "--json", cwd=folder).stdout)
    assert plan["to_time"] == 0


def test_other_code_or_hardware_is_timed_again(ran, spikegrad, tmp_path):
    folder, *_ = ran
    shutil.copytree(folder / "r", tmp_path / "r")
    shutil.copy(folder / "timing.toml", tmp_path)
    for timing in timings(tmp_path):
        if timing["kind"] == "training":
            timing["digests"]["harness"] = "another"
        else:
            # As if they came from another machine: the file keeps its own id.
            timing["id"] = timing["id"][::-1]
            timing["hardware"] = "another machine"
        (tmp_path / "r/latency/timing" / f"{timing['id']}.json").write_text(json.dumps(timing))
    plan = json.loads(spikegrad("plan", "timing.toml", "--results", "r", "--json", cwd=tmp_path).stdout)
    assert plan["to_time"] == 4
    done = spikegrad("leaderboard", "timing.toml", "--results", "r", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "r/leaderboards/timing/latency.csv")
    assert sorted(table["hardware"].value_counts()) == [4, 4]
    elsewhere = table[table["hardware"] == "another machine"]
    # Training steps of other code are nobody's here.
    assert table["train_step_ms_p50"].isna().all() and (elsewhere["n_seeds"] == 0).all()


def test_no_times_leaves_it_out(ran):
    folder, _, done = ran
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("timing: 8 cells, 0 finished before, 8 to run; results in r\n")
    assert "[times" not in done.stderr and not (folder / "without/latency").exists()
    table = pd.read_csv(folder / "without/leaderboards/timing/latency.csv")
    assert len(table) == 4 and table["train_step_ms_p50"].isna().all()
    assert (table["train_seconds_mean"] > 0).all()


def test_one_that_cannot_be_timed_is_a_line_with_its_reason(spikegrad, write_plugin, tmp_path):
    write_plugin(
        """
        @method("moody", paper="none")
        class Moody(Surrogate):
            "It works on few samples only."
            shape = staticmethod(shapes.rectangle)

            def params(self, u, t):
                if len(u) == 100:
                    raise ValueError("a hundred is too many")
                return {"width": 1.0}

        @method("deadly", paper="none", changes="forward")
        class Deadly(Surrogate):
            shape = staticmethod(shapes.rectangle)

            def threshold(self, u, t):
                if len(u) == 100:
                    import os
                    os._exit(3)
                return 0.5

            def params(self, u, t):
                return {"width": 1.0}
        """
    )
    text = SUITE.replace('"rectangle", "arctan", "trsg", "ann-relu"', '"rectangle"').replace("[0, 1]", "[0]")
    (tmp_path / "timing.toml").write_text(text)
    done = spikegrad("run", "timing.toml", "--results", "r", "--plugin", "plugin.py", cwd=tmp_path)
    # Trainings worked: 200 samples in batches of 32, and evaluation in larger ones but not of these sizes.
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "r/leaderboards/timing/latency.csv").set_index("method")
    assert table.loc["deadly", "error"] == "inference: the process ended with exit code 3"
    assert table.loc["deadly", "train_step_ms_p50"] > 0
    # Its forward pass is that of plain spikes, and was timed under them.
    assert table.loc["moody", "inference_ms_p50_batch100"] > 0
    assert "FAILED: the process ended with exit code 3" in done.stderr
    again = spikegrad(
        "plan", "timing.toml", "--results", "r", "--plugin", "plugin.py", "--json", cwd=tmp_path
    )
    assert json.loads(again.stdout)["to_time"] == 0
    retried = spikegrad(
        "run", "timing.toml", "--results", "r", "--plugin", "plugin.py", "--retry", cwd=tmp_path
    )
    assert retried.stderr.count("[times") == 1
