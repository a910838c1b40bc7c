"""Showing one run, as a user types it."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import shown_runs

from bench.cli import app

ONE, TWO = (shown_runs.record(number)["id"] for number in (1, 2))


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    """here("show", ...) -> (exit code, stdout, stderr), in a folder with two runs of the suite hand."""
    monkeypatch.chdir(tmp_path)
    shown_runs.write("results/local", shown_runs.record(1))
    shown_runs.write("results/local", shown_runs.record(2, cell={"method": {"name": "arctan"}, "seed": 3}))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["spikegrad", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            app.main()
        return ended.value.code, *capsys.readouterr()

    return call


def test_a_run_by_the_beginning_of_its_id(here):
    code, out, err = here("show", ONE[:3])
    assert (code, err) == (0, "")
    assert out.startswith("mpd-agl on digits, convnet, T=2, seed 0\n")
    assert "available fraction" in out and "gradient size" in out


def test_a_suite_is_listed(here):
    code, out, err = here("show", "hand")
    head, *rows = out.splitlines()
    assert head.split("  ")[0] == "id" and head.endswith("seed  status  test %")
    assert [row.split() for row in rows] == [
        [TWO, "digits", "convnet", "2", "arctan", "default", "3", "ok", "97.50"],
        [ONE, "digits", "convnet", "2", "mpd-agl", "default", "0", "ok", "97.50"],
    ]
    assert (code, err) == (0, f"\n2 runs; one of them: spikegrad show {TWO[:8]}\n")


def test_a_suite_narrowed_to_one_run_shows_it(here):
    code, out, _ = here("show", "hand", "--method", "arctan", "--dataset", "digits", "--seed", "3")
    assert code == 0
    assert out.startswith("arctan on digits")


def test_json_has_everything(here):
    code, out, err = here("show", ONE, "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    metrics = shown_runs.fitted(shown_runs.METRICS, shown_runs.epochs(), shown_runs.layers())
    assert found["record"]["metrics"] == metrics
    hashes = ("metrics", "files", "outcome_sha256")
    assert {k: v for k, v in found["record"].items() if k not in hashes} == {
        k: v for k, v in shown_runs.record(1).items() if k not in hashes
    }
    assert found["epochs"] == shown_runs.epochs()
    # Sums in another order.
    assert found["layers"] == shown_runs.layers()


def test_json_of_a_suite(here):
    rows = json.loads(here("show", "hand", "--json")[1])
    assert [(row["id"], row["method"], row["test_accuracy"]) for row in rows] == [
        (TWO, "arctan", 97.5),
        (ONE, "mpd-agl", 97.5),
    ]


def test_a_figure(here):
    code, out, err = here("show", ONE, "--figure", "run.svg")
    assert (code, out, err) == (0, "", "wrote run.svg\n")
    text = "".join(ElementTree.parse("run.svg").getroot().itertext())
    assert all(name in text for name in shown_runs.NAMES)
    # With --json both.
    code, out, _ = here("show", ONE, "--figure", "run.png", "--json")
    assert json.loads(out)["record"]["id"] == ONE
    assert Path("run.png").read_bytes().startswith(b"\x89PNG")


def test_a_damaged_record_beside_others_is_a_warning(here):
    file = Path("results/local/runs/hand") / ONE / "record.json"
    file.write_text("half")
    code, out, err = here("show", "hand")
    assert code == 0
    assert TWO in out and ONE not in out
    assert err.startswith(f"warning: {file} is damaged")


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("show zzz", "no run or suite 'zzz' in results/local: there are the suites hand"),
        ("show hadn", "no run or suite 'hadn' in results/local: did you mean 'hand'?"),
        ("show hand --results nowhere", "there are no runs in nowhere: give --results"),
        (
            "show hand --method arctn",
            "no run with the method 'arctn' in the suite hand in results/local: did",
        ),
        ("show hand --figure a.svg", "--figure draws one run and hand has 2 runs of that kind: give an id"),
        ("show 1 --figure a.bmp", "--figure a.bmp: the name must end in one of .svg"),
        ("show 1 --figure no/a.svg", "--figure no/a.svg cannot be written: there is no folder no"),
    ],
)
def test_what_cannot_be_shown_is_one_line_and_exit_code_2(here, command, sentence):
    code, out, err = here(*command.split())
    (line,) = err.splitlines()
    assert line.startswith(f"error: {sentence}")
    assert (code, out) == (2, "")
    assert not list(Path().glob("a.*"))


@pytest.mark.parametrize("name", ["record.json", "epochs.parquet", "layers.parquet"])
def test_a_damaged_file_is_named(here, name):
    file = Path("results/local/runs/hand") / ONE / name
    file.write_bytes(b"PAR1")
    code, out, err = here("show", ONE)
    (line,) = err.splitlines()
    how = "is damaged" if name == "record.json" else "has the hash"
    assert line.startswith(f"error: {file} {how}")
    assert (code, out) == (2, "")


def test_needs_no_torch(here, environment):
    script = (
        "import sys; from bench.cli import app\n"
        "sys.argv = ['spikegrad', 'show', '1', '--figure', 'a.svg', '--json']\n"
        "try: app.main()\nexcept SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_real_run_from_start_to_picture(spikegrad, tmp_path):
    (tmp_path / "a.toml").write_text(
        'name = "a"\nmethods = ["mpd-agl"]\nbackbones = [{ name = "mlp", width = 0.125 }]\n'
        'datasets = [{ name = "digits", subset = 200 }]\ntimesteps = [1]\nseeds = [0]\ntimes = false\n'
        '[recipe]\nepochs = 1\nbatch_size = 32\nlearning_rate = 0.01\n[measure]\nprobe = "all"\n'
    )
    assert spikegrad("run", "a.toml", cwd=tmp_path).returncode == 0
    shown = spikegrad("show", "a", "--method", "mpd-agl", cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("mpd-agl (backbone.width=0.125 subset=200) on digits, mlp, T=1, seed 0\n")
    assert "fc1" in shown.stdout and "fc2" in shown.stdout
