"""The command as a user types it, from an empty folder."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from bench import api
from bench.cli import app

NEW_METHOD = '''
"""Ten lines: a new method."""

from bench.surrogate import Param, method


@method("tent", paper="none", width=Param(1.0, search=(0.25, 4.0), per_threshold=True))
def tent(x, width):
    """h(x) = max(0, 1 - |x|/width) / width."""
    return (1 - x.abs() / width).clamp(min=0) / width
'''
FAILING = """
from bench.surrogate import Surrogate, method

@method("rotten", paper="none")
class Rotten(Surrogate):
    "h(x) = ?"
    def on_epoch(self, progress):
        raise ValueError("no luck")
"""


def files(folder):
    """Every file below a folder with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# --- what works ---


@pytest.fixture(scope="module")
def smoke(spikegrad, tmp_path_factory):
    """A folder in which `run smoke --json` with a new method has ended, and the process."""
    folder = tmp_path_factory.mktemp("smoke")
    (folder / "tent.py").write_text(NEW_METHOD)
    done = spikegrad("run", "smoke", "--plugin", "tent.py", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_new_method_of_ten_lines_stands_in_the_table(smoke):
    folder, done = smoke
    found = json.loads(done.stdout)
    assert found["statuses"] == {"ok": 4}
    methods = {"mpd-agl", "rectangle", "ann-relu", "tent"}
    assert {row["method"] for row in found["accuracy"]} == methods
    table = pd.read_csv(folder / "results/local/leaderboards/smoke/accuracy.csv")
    assert set(table["method"]) == methods
    assert (table["test_accuracy_mean"] > 90).all()
    runs = pd.read_csv(folder / "results/local/leaderboards/smoke/runs.csv")
    assert set(runs["status"]) == {"ok"}
    tables = ("accuracy", "anytime", "cost", "gradients", "latency", "overall", "pairs", "published", "runs")
    assert [Path(path).name for path in found["files"]] == [*(f"{name}.csv" for name in tables), "smoke.html"]
    assert all((folder / path).is_file() for path in found["files"])


def test_a_run_says_what_it_does_as_it_goes(smoke):
    lines = smoke[1].stderr.splitlines()
    assert lines[0] == "smoke: 4 cells, 0 finished before, 4 to run, 6 to time; results in results/local"
    assert [line.split()[0] for line in lines[1:5]] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert all("% test accuracy in" in line for line in lines[1:5])
    # Inference of spikes and of the network without them, and a training step of each method.
    assert [line.split("]")[0] for line in lines[5:]] == [f"[times {i}/6" for i in range(1, 7)]
    assert all(" ms" in line for line in lines[5:])


def test_a_run_leaves_nothing_outside_its_results(smoke):
    kinds = {path.split("/")[0] for path in files(smoke[0])}
    assert kinds - {"__pycache__"} == {"results", "tent.py"}


def test_again_runs_nothing_and_changes_nothing(smoke, spikegrad):
    folder, _ = smoke
    before = files(folder)
    again = spikegrad("run", "smoke", "--plugin", "tent.py", cwd=folder)
    assert again.returncode == 0
    assert again.stderr.splitlines() == [
        "smoke: 4 cells, 4 finished before, nothing left to do; results in results/local"
    ]
    assert "mpd-agl" in again.stdout
    assert files(folder) == before


def test_the_plan_of_a_finished_suite(smoke, spikegrad):
    folder, _ = smoke
    before = files(folder)
    shown = spikegrad("plan", "smoke", "--json", cwd=folder)
    found = json.loads(shown.stdout)
    assert found["counts"] == {"done": 3, "failed": 0, "missing": 0, "stale": 0}
    assert {c["method"]["name"] for c in found["cells"]} == {"mpd-agl", "rectangle", "ann-relu"}
    assert files(folder) == before


def test_a_plan_writes_nothing(spikegrad, tmp_path):
    shown = spikegrad(
        "plan", "smoke", "--seeds", "0,5", "--methods", "rectangle,triangle", "--add", cwd=tmp_path
    )
    assert shown.returncode == 0, shown.stderr
    assert "4 cells, 4 to run" in shown.stdout
    assert "triangle" in shown.stdout
    assert "mpd-agl" not in shown.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def regenerated(smoke, spikegrad):
    """The tables before, and after they were deleted and made anew; and the process."""
    folder, _ = smoke
    place = folder / "results/local/leaderboards"
    before = files(place)
    shutil.rmtree(place)
    done = spikegrad("leaderboard", "smoke", "--format", "csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    return before, files(place), done


def test_deleted_tables_come_back_byte_for_byte(regenerated):
    before, after, done = regenerated
    assert before == after
    assert done.stdout.encode() == before["smoke/accuracy.csv"]
    assert done.stderr == ""


def test_records_copied_to_another_folder_in_another_order_give_the_same_bytes(smoke, regenerated, tmp_path):
    folder, _ = smoke
    records = folder / "results/local/runs/smoke"
    for path in sorted(records.iterdir(), reverse=True):
        if path.is_dir():
            shutil.copytree(path, tmp_path / "runs/smoke" / path.name)
    shutil.copytree(folder / "results/local/latency", tmp_path / "latency")
    api.leaderboard("smoke", results=tmp_path)
    assert files(tmp_path / "leaderboards") == regenerated[0]


def test_from_python_without_a_main_guard_beside_a_folder_called_bench(smoke, environment, tmp_path):
    work = tmp_path / "work"
    (work / "bench").mkdir(parents=True)
    (work / "bench/__init__.py").write_text("raise SystemExit('another bench')")
    script = tmp_path / "script.py"
    script.write_text(
        "import bench\nprint('begin')\n"
        "frame = bench.run('smoke', methods=['rectangle'], seeds=[0, 1], add=True)\n"
        "print(sorted(frame.method), int(frame.n_seeds.sum()), int(frame.n_extra.sum()))\n"
        "again = bench.leaderboard('smoke')\nprint(again.equals(frame))\n"
    )
    done = subprocess.run(
        [sys.executable, script], cwd=work, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "begin\n['rectangle'] 1 1\nTrue\n", done.stderr
    assert done.stderr == ""
    table = pd.read_csv(work / "results/local/leaderboards/smoke/runs.csv")
    ours = pd.read_csv(smoke[0] / "results/local/leaderboards/smoke/runs.csv")
    same = table.merge(ours, on="id", suffixes=("", "_there"))
    assert len(same) == 1
    assert (same["test_accuracy"] == same["test_accuracy_there"]).all()


def test_a_method_that_fails_is_a_row_and_exit_code_1(spikegrad, tmp_path):
    (tmp_path / "rotten.py").write_text(FAILING)
    (tmp_path / "broken.py").write_text("import no_such_module")
    command = ("run", "smoke", "--methods", "rotten", "--plugin", "rotten.py", "--plugin", "broken.py")
    done = spikegrad(*command, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "broken.py could not be imported: ModuleNotFoundError: No module named" in done.stderr
    assert "rotten seed 0: FAILED: ValueError: no luck" in done.stderr
    assert "cells: 1 failed" in done.stdout
    assert "failed: rotten on digits, seed 0: ValueError: no luck\n" in done.stdout
    runs = pd.read_csv(tmp_path / "results/local/leaderboards/smoke/runs.csv")
    assert list(runs["status"]) == ["failed"]
    assert list(runs["error"]) == ["ValueError: no luck"]


# --- listings ---


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    """here("list", "methods") -> (exit code, stdout, stderr), in this process, from an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPIKEGRAD_DATA", "/nowhere/data")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["spikegrad", *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main()
        return ended.value.code, *capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("what", "name", "column"),
    [
        ("methods", "mpd-agl", "fidelity"),
        ("datasets", "digits", "licence"),
        ("backbones", "convnet", "description"),
        ("suites", "smoke", "description"),
    ],
)
def test_listings(here, what, name, column):
    Path("tent.py").write_text(NEW_METHOD)
    code, out, err = here("list", what, "--json", "--plugin", "tent.py")
    rows = json.loads(out)
    assert name in {row["name"] for row in rows}
    assert all(column in row for row in rows)
    assert ("tent" in {row["name"] for row in rows}) == (what == "methods")
    assert (code, err) == (0, "")


def test_a_listing_for_people(spikegrad, tmp_path):
    (tmp_path / "tent.py").write_text(NEW_METHOD)
    done = spikegrad("list", "methods", "--plugin", "tent.py", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert all(name in done.stdout for name in ("tent", "mpd-agl", "snntorch/atan"))


def test_help(spikegrad, tmp_path):
    done = spikegrad("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("run", "plan", "list", "leaderboard"))
    assert spikegrad("run", "--help", cwd=tmp_path).returncode == 0


# --- what is refused ---

BAD = """
name = "bad"
methods = ["rectangle"]
datasets = ["digits"]
backbones = [{ name = "mlp", norm = "none" }]
timesteps = [2]
seed = [0]
[recipe]
epochs = 1
batch_size = 64
learning_rate = 0.01
"""


STARTED = [
    ("run nosuch", "no suite 'nosuch': the shipped ones are"),
    ("run smoke --datasets cifar10 --add", "dataset cifar10: "),
    ("run smoke --results bad.toml/sub", "cannot write results to bad.toml/sub: bad.toml is not a"),
]
"""Tried in a process of their own; the others in this one, which starts faster."""
REFUSED = [
    *STARTED,
    ("run bad.toml", "suite bad.toml: unknown key 'seed'; did you mean 'seeds'?"),
    ("run smoke --seeds 0,x", "--seeds: 'x' is not a seed"),
    ("run smoke --methods ,", "',' names nothing"),
    ("run smoke --plugin nowhere.py", "plugin nowhere.py does not exist"),
    (
        "run smoke --methods rectangel",
        "--methods: the suite smoke does not have rectangel: did you mean rect",
    ),
    ("run smoke --methods rectangel --add", "unknown method 'rectangel': did you mean 'rectangle'?"),
    ("run smoke --datasets digit --add", "unknown dataset 'digit': did you mean"),
    ("run smoke --seeds 9", "--seeds: the suite smoke does not have 9: it has 0; with `--add` it joins"),
    ("run fit.toml", "digits on mlp: mpd-agl needs a tdBN before every spiking layer; mlp/fc1 has none"),
    ("plan nosuch", "no suite 'nosuch'"),
    ("plan smoke --results bad.toml", "cannot write results to bad.toml: bad.toml is not a folder"),
    ("leaderboard smoke", "no records of the suite smoke in results/local"),
    ("leaderboard nosuch", "no suite 'nosuch'"),
]


def write_bad(folder):
    fitting = BAD.replace("seed =", "seeds =").replace("rectangle", "mpd-agl")
    (folder / "bad.toml").write_text(BAD)
    (folder / "fit.toml").write_text(fitting)
    assert tomllib.loads(fitting)
    return files(folder)


def check_refused(code, out, err, sentence):
    (line,) = err.splitlines()
    assert line.startswith(f"error: {sentence}")
    assert (code, out) == (2, "")


@pytest.mark.parametrize(("command", "sentence"), REFUSED)
def test_what_cannot_start_is_one_line_and_exit_code_2(here, tmp_path, command, sentence):
    before = write_bad(tmp_path)
    check_refused(*here(*command.split()), sentence)
    assert files(tmp_path) == before
    assert not Path("results").exists()


@pytest.mark.parametrize(("command", "sentence"), STARTED)
def test_the_same_in_a_process_of_its_own(spikegrad, tmp_path, command, sentence):
    before = write_bad(tmp_path)
    done = spikegrad(*command.split(), cwd=tmp_path)
    check_refused(done.returncode, done.stdout, done.stderr, sentence)
    assert files(tmp_path) == before
