"""A machine without a package that only reports and figures need, as a user meets it."""

import os
import subprocess
import sys

import pytest
import shown_runs

SUITE = """\
name = "hand"
methods = ["rectangle"]
datasets = [{ name = "digits", subset = 200 }]
backbones = [{ name = "mlp", width = 0.125 }]
timesteps = [2]
seeds = [0]
times = false
[recipe]
epochs = 1
batch_size = 32
learning_rate = 0.01
[profile]
device = "cpu"
compile = "off"
"""
PACKAGES = {"vl_convert": "vl-convert-python", "altair": "altair", "jinja2": "jinja2"}


@pytest.fixture
def without(environment, tmp_path):
    """without("altair")("report", "hand") -> the ended process, for which altair cannot be imported."""

    def make(*modules):
        blocked = tmp_path / f"no-{'-'.join(modules)}"
        blocked.mkdir()
        for module in modules:
            (blocked / f"{module}.py").write_text(f'raise ImportError("No module named {module!r}")')
        path = os.pathsep.join([str(blocked), environment["PYTHONPATH"]])

        def call(*arguments):
            return subprocess.run(
                [sys.executable, "-m", "bench", *arguments],
                cwd=tmp_path,
                env=environment | {"PYTHONPATH": path},
                capture_output=True,
                text=True,
                timeout=120,
            )

        return call

    return make


def sentence(what, module):
    package = PACKAGES[module]
    why = f"ImportError: No module named {module!r}"
    return f"{what} needs the package {package}, which cannot be imported ({why}): pip install {package}"


def test_a_run_ends_with_its_tables_and_one_sentence(spikegrad, without, tmp_path):
    (tmp_path / "hand.toml").write_text(SUITE)
    local = tmp_path / "results" / "local"
    # The first trains; the others find all done but the report.
    for module in PACKAGES:
        call = without(module)
        ended = call("run", "hand.toml")
        assert ended.returncode == 0 and "Traceback" not in ended.stderr
        told = [line for line in ended.stderr.splitlines() if line.startswith("warning: ")]
        assert told == [f"warning: {sentence('the report', module)}"]
        assert "rectangle" in ended.stdout and "reports" not in ended.stdout
        assert (local / "leaderboards" / "hand" / "accuracy.csv").is_file()
        assert not (local / "reports").exists()
    assert spikegrad("run", "hand.toml", cwd=tmp_path).stdout.rstrip().endswith("reports/hand.html")
    # What is there is not written again, and needs nothing.
    again = call("run", "hand.toml")
    assert again.returncode == 0 and "warning" not in again.stderr


@pytest.mark.parametrize("module", PACKAGES)
def test_a_report_or_a_figure_without_it_is_one_sentence(without, tmp_path, module):
    shown_runs.write(tmp_path / "results" / "local", shown_runs.record(1))
    (tmp_path / "hand.toml").write_text(SUITE)
    call = without(module)
    for what, arguments in {
        "the report": ["report", "hand.toml"],
        "--figure a.svg": ["show", "1", "--figure", "a.svg"],
        "--figure b.PNG": ["list", "methods", "--figure", "b.PNG"],
    }.items():
        ended = call(*arguments)
        assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", f"error: {sentence(what, module)}\n")
    assert not [*tmp_path.glob("[ab].*")]


def test_what_draws_nothing_needs_none_of_them(without, tmp_path):
    shown_runs.write(tmp_path / "results" / "local", shown_runs.record(1))
    call = without(*PACKAGES)
    for arguments in (["show", "1"], ["list", "methods", "--json"]):
        ended = call(*arguments)
        assert (ended.returncode, ended.stderr) == (0, "")


def test_a_figure_for_a_browser_needs_no_vl_convert(without, tmp_path):
    shown_runs.write(tmp_path / "results" / "local", shown_runs.record(1))
    ended = without("vl_convert")("show", "1", "--figure", "a.html")
    assert (ended.returncode, ended.stderr) == (0, "wrote a.html\n")
