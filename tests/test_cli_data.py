"""Listing, fetching and checking datasets, as a user types it."""

import json
import signal
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from bench.cli import app

PLUGIN = '''
    """A set of numbers that lives in one file of the data root."""

    import os, sys, time
    import numpy as np
    import torch
    from bench.data import Setting, Splits, dataset, with_ids
    from bench.errors import BenchError
    from bench.data.frames import Part, frames

    FILE = "numbers/all.npy"

    def download(root):
        print("fetching", file=sys.stdout)
        (root / "numbers").mkdir()
        if os.environ.get("FAIL"):
            (root / FILE).write_bytes(b"half")
            raise OSError(-2, "Name or service not known")
        if os.environ.get("HANG"):
            (root / FILE).write_bytes(b"half")
            print("hanging", file=sys.stderr, flush=True)
            time.sleep(60)
        np.save(root / FILE, np.arange(400, dtype=np.float32).reshape(100, 4))

    def verify(request):
        found = np.load(request.root / FILE)
        if (wrong := np.flatnonzero((found < 0).any(1))).size:
            raise BenchError(f"dataset numbers: {request.root / FILE}: record {wrong[0]} is negative")
        return [f"{len(found)} records"]

    @dataset("numbers", shape=None, classes=5, licence="CC0", source="A book of numbers, 1900",
             params={"scale": Setting(1, low=1, high=9, help="multiplier")},
             files=[FILE], get="http://numbers.example, as numbers/all.npy", size="2 kB",
             download=download, verify=verify)
    def numbers(request):
        table = np.load(request.root / FILE) * request.params["scale"]
        labels = np.arange(100) % 5
        def parts():
            return {n: Part(50, lambda i, s=s: table[s + i], labels[s:s + 50])
                    for n, s in (("train", 0), ("test", 50))}
        settings = {"scale": request.params["scale"]}
        kept = frames(request, "numbers", settings, [request.root / FILE], (4,), "float32", parts)
        train, test = (with_ids(kept[n].x, kept[n].y, s) for n, s in (("train", 0), ("test", 50)))
        return Splits(train, test, shape=(4,), note="50 and 50")

    @dataset("own", shape=None, classes=None, licence="yours", source="yours",
             params={"path": Setting("", help="folder")}, files=["{path}"], get="your own folder")
    def own(request):
        raise AssertionError("never loaded here")
'''


@pytest.fixture
def here(monkeypatch, capsys, tmp_path):
    """here("data", "list") -> (exit code, stdout, stderr), in this process, from an empty folder."""
    (tmp_path / "mine.py").write_text(dedent(PLUGIN))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPIKEGRAD_DATA", str(tmp_path / "root"))
    monkeypatch.delenv("SPIKEGRAD_CACHE", raising=False)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["spikegrad", "data", *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main()
        return ended.value.code, *capsys.readouterr()

    return call


def plugged(*arguments):
    return (*arguments, "--plugin", "mine.py")


def below(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


# --- list ---


def test_the_list_says_what_is_there_of_each(here, tmp_path):
    code, out, err = here(*plugged("list", "--json"))
    rows = {row["name"]: row for row in json.loads(out)}
    assert (code, err) == (0, "")
    assert rows["digits"]["state"] == "needs nothing"
    assert rows["own"]["state"] == "needs a path"
    row = rows["numbers"]
    assert (row["state"], row["missing"], row["bytes"]) == ("missing", ["numbers/all.npy"], 0)
    assert (row["shape"], row["classes"], row["licence"], row["download"]) == (None, 5, "CC0", True)
    assert row["params"]["scale"] == {"default": 1, "low": 1, "high": 9, "choices": [], "help": "multiplier"}
    assert not (tmp_path / "root").exists()


def test_the_table_has_a_line_for_each_and_says_how_to_get_it(here):
    code, out, _ = here(*plugged("list"))
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert code == 0
    assert lines[0].endswith("root, which is not there")
    assert "numbers missing 2 kB from the data 5" in lines
    assert "own needs a path – from the data from the data" in lines
    assert "digits needs nothing – 1 x 8 x 8 10" in lines
    assert "numbers numbers/all.npy: spikegrad data prepare numbers" in lines
    assert "own it reads your own files: spikegrad data prepare own --set path=FOLDER" in lines
    assert "numbers CC0. A book of numbers, 1900" in lines


def test_the_table_fits_in_100_columns(here, monkeypatch):
    from rich.console import Console

    monkeypatch.setattr("bench.show.terminal.console", lambda **_: Console(width=100))
    monkeypatch.setattr("bench.cli.data.console", lambda **_: Console(width=100))
    _, out, _ = here(*plugged("list"))
    table = out.split("\n\n")[1].splitlines()
    # No name or shape is cut or folded: each line of the table starts a dataset.
    names = {row["name"] for row in json.loads(here(*plugged("list", "--json"))[1])}
    assert {line.split()[0] for line in table[1:] if line[0] != " "} == names
    assert max(map(len, out.splitlines()[2:])) <= 100


def test_list_datasets_knows_sets_that_follow_from_their_data(here, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["spikegrad", *plugged("list", "datasets")])
    with pytest.raises(SystemExit) as ended:
        app.main()
    out = capsys.readouterr().out
    assert ended.value.code == 0
    (line,) = [" ".join(line.split()) for line in out.splitlines() if line.startswith("numbers ")]
    assert line == "numbers from the data 5 no – scale=1"


# --- prepare ---


def test_a_missing_set_is_fetched_and_told_of(here, tmp_path):
    code, out, err = here(*plugged("prepare", "numbers", "--json"))
    report = json.loads(out)
    assert code == 0
    assert f"dataset numbers: downloading it (2 kB) into {tmp_path / 'root'}" in err
    assert "fetching" in err
    assert report["samples"] == {"train": 40, "val": 10, "test": 50}
    assert (report["shape"], report["classes"], report["note"]) == ([4], 5, "50 and 50")
    assert all(
        Path(file).is_relative_to(tmp_path / "root/spikegrad-frames/numbers") for file in report["frames"]
    )
    code, out, err = here(*plugged("prepare", "numbers"))
    assert (code, "downloading" in err) == (0, False)
    assert dict(line.split(None, 1) for line in out.splitlines())["checksum"].strip() == report["checksum"]
    listed = {row["name"]: row["state"] for row in json.loads(here(*plugged("list", "--json"))[1])}
    assert listed["numbers"] == "there"


def test_parameters_reach_the_loader(here):
    one = json.loads(here(*plugged("prepare", "numbers", "--json"))[1])
    two = json.loads(here(*plugged("prepare", "numbers", "--json", "--set", "scale=2"))[1])
    assert one["checksum"] != two["checksum"]


def test_time_steps_matter_for_events_alone(here):
    shapes = {
        name: json.loads(here("prepare", name, "--timesteps", "3", "--json")[1])["shape"]
        for name in ("digits", "digits-events")
    }
    assert shapes == {"digits": [1, 8, 8], "digits-events": [3, 2, 10, 10]}


REFUSED = [
    (("prepare", "digit"), "unknown dataset 'digit': did you mean 'digits'?"),
    (("prepare", "digits", "--set", "pool=4"), "dataset digits has no parameter 'pool': it has none"),
    (
        ("prepare", "numbers", "--set", "scale=two"),
        "dataset numbers: scale must be a whole number, got 'two'",
    ),
    (("prepare", "own"), "dataset own: it reads your own files and path is not set; give --set path="),
    (
        ("prepare", "own", "--set", "path=/no"),
        "dataset own: /no is not there or is empty; path is taken",
    ),
    (("prepare", "digits-events", "--timesteps", "99"), "dataset digits-events: 99 time steps"),
    (("prepare", "digits", "--data-root", "mine.py"), "the data root mine.py is not a folder"),
    (("check", "numbers"), "dataset numbers: a file missing from the data root"),
    (("check", "digits", "--all"), "data check: --all or names (digits), not both"),
    (("check", "--all", "--set", "a=1"), "data check: --set a=1 is for one dataset: name it"),
    (("check", "digits", "numbers"), "dataset numbers: a file missing from the data root"),
    (("list", "--data-root", "mine.py"), "the data root mine.py is not a folder"),
]


@pytest.mark.parametrize(("command", "sentence"), REFUSED)
def test_what_cannot_start_is_one_line_and_exit_code_2(here, tmp_path, command, sentence):
    code, out, err = here(*plugged(*command))
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"error: {sentence}")
    assert not (tmp_path / "root").exists()


def test_nothing_to_check(here):
    assert here("check")[0::2] == (
        2,
        "error: data check: nothing to check; give names of datasets, --all, or --plugin FILE\n",
    )


def test_a_failed_download_says_what_to_put_where(here, monkeypatch, tmp_path):
    monkeypatch.setenv("FAIL", "1")
    code, out, err = here(*plugged("prepare", "numbers"))
    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == (
        f"error: dataset numbers: a file missing from the data root {tmp_path / 'root'} (numbers/all.npy), "
        "and the download failed (Name or service not known); to put them there yourself: "
        "http://numbers.example, as numbers/all.npy"
    )
    assert not (tmp_path / "root").exists()


# --- check ---


def test_a_sound_set_passes_and_a_changed_one_does_not(here, tmp_path):
    import numpy as np

    here(*plugged("prepare", "numbers"))
    code, out, _ = here(*plugged("check", "numbers", "--json"))
    found = {row["check"]: row for row in json.loads(out)}
    assert code == 0
    assert {row["outcome"] for row in found.values()} == {"ok"}
    assert found["sources"]["detail"] == "100 records"
    assert {row["dataset"] for row in found.values()} == {"numbers"}
    file = tmp_path / "root/numbers/all.npy"
    table = np.load(file)
    table[7, 2] = -1
    np.save(file, table)
    code, out, _ = here(*plugged("check", "numbers"))
    assert code == 1
    assert f"✗  sources  dataset numbers: {file}: record 7 is negative" in out
    assert out.splitlines()[-1] == "1 dataset, 1 problem"


def test_all_are_those_that_are_there(here):
    code, out, err = here("check", "digits", "digits-events", "--json")
    assert (code, err) == (0, "1/2 digits\n2/2 digits-events\n")
    assert {row["dataset"] for row in json.loads(out)} == {"digits", "digits-events"}


# --- in processes of their own ---


def test_a_new_dataset_passes_check_and_runs(spikegrad, tmp_path):
    made = spikegrad("new", "dataset", "my-bars", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[0] == "wrote my_bars.py"
    check, run = (line.split("spikegrad ")[1].split() for line in made.stdout.splitlines()[1:])
    checked = spikegrad(*check, "--json", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    assert {row["dataset"] for row in json.loads(checked.stdout)} == {"my-bars"}
    done = spikegrad(*run, "--methods", "rectangle", "--json", cwd=tmp_path)
    assert json.loads(done.stdout)["statuses"] == {"ok": 1}, done.stderr


def test_an_interrupted_download_leaves_nothing(start, tmp_path):
    (tmp_path / "mine.py").write_text(dedent(PLUGIN))
    root = tmp_path / "root"
    process = start(
        "data",
        "prepare",
        "numbers",
        "--plugin",
        "mine.py",
        "--data-root",
        str(root),
        cwd=tmp_path,
        HANG="1",
    )
    said = next(line for line in process.stderr if "downloading" not in line)
    while said == "fetching\n":
        said = process.stderr.readline()
    assert said == "hanging\n"
    assert any(name.endswith("all.npy") for name in below(root))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "stopped"
    assert not root.exists()
