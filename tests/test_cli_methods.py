"""Listing, checking and starting methods, as a user types it."""

import json
import signal
from textwrap import dedent

import pandas as pd
import pytest

# What each shipped method must say of itself; the numbers are computed and may be unknown.
FACTS = {"height", "fwhm", "area", "tail"}


@pytest.fixture(scope="module")
def listed(spikegrad, tmp_path_factory):
    folder = tmp_path_factory.mktemp("list")
    done = spikegrad("list", "methods", "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert list(folder.iterdir()) == []
    return {row["name"]: row for row in json.loads(done.stdout)}


@pytest.mark.parametrize(
    ("kind", "least"), [("fixed", 12), ("library", 15), ("adaptive", 12), ("control", 12)]
)
def test_there_are_enough_methods_of_each_kind(listed, kind, least):
    # Presets and peers do not count: they come on top.
    rows = [r for n, r in listed.items() if r["kind"] == kind and r["installed"] and ":paper" not in n]
    assert len(rows) >= least


def test_every_row_says_what_it_is(listed):
    for name, row in listed.items():
        assert row["paper"], name
        assert row["changes"] in ("gradient", "forward", "loss", "network"), name
        assert row["fidelity"] in ("official-code", "library", "paper", "reconstructed", "own"), name
        assert set(row) >= FACTS, name
        assert row["height"] is not None or row["problem"], name
        assert row["formula"], name
        if row["fidelity"] == "reconstructed":
            assert row["note"], name


def test_fixed_shapes_start_at_one_scale(listed):
    for name, row in listed.items():
        if (
            row["kind"] == "fixed"
            and ":" not in name
            and row["area"] is not None
            and name != "multi-gaussian"
            # Its paper's window, half as wide: rectangle:0.5 is its counterpart.
            and name != "sltt"
        ):
            assert row["area"] == pytest.approx(1, abs=1e-3), name
            assert row["fwhm"] == pytest.approx(1, abs=1e-3), name


def test_the_table_has_a_line_for_each(spikegrad, listed, tmp_path):
    shown = spikegrad("list", "methods", cwd=tmp_path)
    lines = shown.stdout.splitlines()
    assert {line.split()[0] for line in lines[1:] if line} >= set(listed)
    assert lines[0].split()[:8] == ["name", "kind", "changes", "fidelity", "height", "fwhm", "area", "tail"]


def test_the_conversion_table(spikegrad, tmp_path):
    shown = spikegrad("list", "methods", "--conversions", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "snntorch/atan" in shown.stdout
    rows = json.loads(spikegrad("list", "methods", "--conversions", "--json", cwd=tmp_path).stdout)
    (atan,) = [row for row in rows if row["theirs"] == "snntorch/atan"]
    assert atan["ours"] == "arctan"
    assert atan["params"]["width"] == pytest.approx(2 / 3.14159265, rel=1e-6)
    assert atan["difference"] < 1e-6


def test_the_figure(spikegrad, tmp_path):
    done = spikegrad("list", "methods", "--figure", "all.svg", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "wrote all.svg\n")
    assert (tmp_path / "all.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["list", "suites", "--figure", "a.svg"], "--figure is about methods, not suites"),
        (["list", "datasets", "--conversions"], "--conversions is about methods, not datasets"),
        (["list", "methods", "--figure", "a.bmp"], "the name must end in one of .svg"),
        (["list", "methods", "--figure", "no/a.svg"], "cannot be written: there is no folder no"),
        (["check"], "nothing to check; give names of methods, --all, or --plugin FILE"),
        (["check", "rectangel"], "unknown method 'rectangel': did you mean 'rectangle'?"),
        (["check", "rectangle", "--all"], "--all or names (rectangle), not both"),
        (["check", "--plugin", "no.py"], "plugin no.py does not exist"),
        (["new", "method", "all"], "'all'"),
        (["new", "method", "rectangle"], "rectangle"),
        (["new", "method", "mine", "--folder", "nowhere"], "nowhere"),
        (["new", "dataset", "mine", "--adaptive"], "--adaptive is about methods"),
    ],
)
def test_a_mistake_gets_one_sentence_and_leaves_nothing(spikegrad, tmp_path, arguments, sentence):
    done = spikegrad(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert sentence in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [[], ["--adaptive"]], ids=str)
def test_a_new_method_passes_check_and_runs(spikegrad, tmp_path, options):
    made = spikegrad("new", "method", "my-bump", *options, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[0] == "wrote my_bump.py"
    checked = spikegrad("check", "--plugin", "my_bump.py", "--json", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    verdicts = json.loads(checked.stdout)
    assert {v["method"] for v in verdicts} == {"my-bump"}
    assert {v["law"]: v["outcome"] for v in verdicts if v["outcome"] != "holds"} == {}
    again = spikegrad("new", "method", "my-bump", cwd=tmp_path)
    assert again.returncode == 2
    assert "my_bump.py" in again.stderr
    run = spikegrad(
        "run",
        "smoke",
        "--plugin",
        "my_bump.py",
        "--methods",
        "rectangle,my-bump",
        "--json",
        cwd=tmp_path,
    )
    assert json.loads(run.stdout)["statuses"] == {"ok": 2}


WRONG = """
    from bench.surrogate import Param, Surrogate, method, spike
    from bench.shapes import rectangle

    @method("twice", paper="none", width=Param(1.0, per_threshold=1))
    class Twice(Surrogate):
        "h(x) = 2 * 1(|x| < width/2) / width, and says half of it."
        shape = staticmethod(rectangle)
        def bind(self, site):
            print("a plugin may print")
            super().bind(site)
        def spike(self, x, t, params, noise):
            return spike(x, lambda x, width: 2 * rectangle(x, width), params)
"""


def test_a_wrong_plugin_fails_on_its_law_with_the_numbers(spikegrad, tmp_path):
    (tmp_path / "twice.py").write_text(dedent(WRONG))
    done = spikegrad("check", "--plugin", "twice.py", "--compiler", "aot_eager", cwd=tmp_path)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("✗  derivative")]
    assert "the gradient is 2 at x = " in line
    assert done.stdout.splitlines()[0] == "twice"
    assert done.stdout.endswith("1 method, 2 laws broken\n")
    assert "a plugin may print" not in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_plugin_that_cannot_be_imported_is_no_success(spikegrad, tmp_path):
    (tmp_path / "bad.py").write_text("import no_such_module\n")
    done = spikegrad("check", "rectangle", "--plugin", "bad.py", "--compiler", "aot_eager", cwd=tmp_path)
    assert done.returncode == 1
    assert "no_such_module" in done.stderr


def test_check_can_be_stopped(start, tmp_path):
    process = start("check", "--all", cwd=tmp_path)
    # It says which method it is at.
    assert process.stderr.readline().startswith("1/")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in out + err


EVERY = """
name = "all-tiny"
methods = ["all"]
datasets = [{ name = "digits", subset = 150 }]
backbones = [{ name = "mlp", width = 0.125, neuron = "plif" }]
timesteps = [2]
seeds = [0]
# A minute for so many methods, and what is timed has tests of its own.
times = false

[recipe]
epochs = 2
batch_size = 32
learning_rate = 0.01
"""


def test_every_method_ends_with_a_row_and_ours_are_ok(spikegrad, listed, tmp_path):
    (tmp_path / "all.toml").write_text(EVERY)
    done = spikegrad("run", "all.toml", cwd=tmp_path)
    runs = pd.read_csv(tmp_path / "results/local/leaderboards/all-tiny/runs.csv").set_index("method")
    assert set(runs.index) == {name for name, row in listed.items() if row["installed"]}
    lost = runs[runs["status"] != "ok"]
    assert set(lost["kind"]) == {"library"}
    # What fails is a row with its reason, and the last lines on the terminal say so.
    assert runs.loc["snntorch/LSO", "status"] == "failed"
    assert "missing 1 required positional argument" in runs.loc["snntorch/LSO", "error"]
    assert "failed: snntorch/LSO on digits, seed 0: TypeError: " in done.stdout
    assert done.returncode == 1
