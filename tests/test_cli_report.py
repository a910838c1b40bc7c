"""The report from the command line, and the reading half of the benchmark on a machine without torch."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TINY = """\
name = "tiny"
methods = ["rectangle", "ann-relu"]
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


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A copy of the records that the project ships, without its tables."""
    folder = tmp_path_factory.mktemp("shipped")
    for what in ("runs", "latency", "derivatives"):
        shutil.copytree(ROOT / "results" / what / "quick", folder / what / "quick")
    return folder


@pytest.fixture
def without_torch(environment, tmp_path):
    """without_torch("leaderboard", "quick") -> the ended process; torch and its users cannot be imported."""
    blocked = tmp_path / "blocked"
    for name in ("torch", "torchvision", "snntorch", "norse", "tonic"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text(f"raise ImportError('{name} is not installed')")

    def call(*arguments):
        path = f"{blocked}:{ROOT}"
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            env=environment | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return call


def test_the_report_of_the_shipped_suite(spikegrad, results, tmp_path):
    ended = spikegrad("report", "quick", "--results", results, cwd=tmp_path)
    file = results / "reports" / "quick.html"
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"wrote {file}\n", "")
    page = file.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>") and "The suite quick" in page and "mpd-agl" in page
    shown = spikegrad("report", "quick", "--results", results, "--json", cwd=tmp_path)
    assert json.loads(shown.stdout) == {"suite": "quick", "file": str(file)}


def test_one_page_over_all_suites(spikegrad, results, tmp_path):
    ended = spikegrad("report", "--all", "--results", results, "--json", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    said = json.loads(ended.stdout)
    assert list(said["files"]) == ["quick"]
    page = Path(said["index"]).read_text(encoding="utf-8")
    assert 'href="quick.html"' in page and "Better than the baseline rectangle" in page
    for wrong, why in (
        (("quick", "--all"), "leave out quick, or --all"),
        ((), "name a SUITE, or give --all"),
        (("--all", "--baseline", "arctan"), "--baseline arctan is for one suite"),
    ):
        ended = spikegrad("report", *wrong, "--results", results, cwd=tmp_path)
        assert ended.returncode and why in ended.stderr, ended.stderr


@pytest.mark.parametrize("command", ["leaderboard", "report"])
def test_tables_and_report_need_no_torch(without_torch, results, command):
    ended = without_torch("-m", "bench", command, "quick", "--results", results)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    "module",
    [
        *("tables.results", "tables.diff", "tables.text.by_task", "tables.text.flat", "records.reading"),
        *("report.page", "report.suite_figures", "api", "cli.app", "cli.render"),
    ],
)
def test_the_reading_half_imports_no_torch(without_torch, module):
    ended = without_torch(
        "-W", "error", "-c", f"import bench.{module}, sys; assert 'torch' not in sys.modules"
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_run_ends_with_a_report_and_one_that_has_nothing_to_do_leaves_it(spikegrad, tmp_path):
    (tmp_path / "tiny.toml").write_text(TINY)
    ended = spikegrad("run", "tiny.toml", cwd=tmp_path)
    file = tmp_path / "results" / "local" / "reports" / "tiny.html"
    assert ended.returncode == 0
    assert ended.stdout.rstrip().endswith("wrote results/local/reports/tiny.html")
    # The derivative of the method that ran stands beside the records, and in the page.
    assert len([*(tmp_path / "results" / "local" / "derivatives" / "tiny").iterdir()]) == 1
    before = file.stat().st_mtime_ns
    again = spikegrad("run", "tiny.toml", cwd=tmp_path)
    assert again.returncode == 0 and file.stat().st_mtime_ns == before
    file.unlink()
    file.parent.rmdir()
    file.parent.write_text("in the way")
    third = spikegrad("run", "tiny.toml", cwd=tmp_path)
    assert third.returncode == 0 and "Traceback" not in third.stderr
    assert f"warning: {file.relative_to(tmp_path)} cannot be written" in third.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "no suite 'nonsense'"),
        (["quick", "--results", "empty"], "no records of the suite quick in empty"),
    ],
)
def test_what_cannot_be_reported_is_one_sentence(spikegrad, tmp_path, arguments, says):
    ended = spikegrad("report", *arguments, cwd=tmp_path)
    assert ended.returncode == 2 and ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ") and says in line


def damage(results):
    """Five records that cannot be relied on, each in its own way; the folders that hold them."""
    first, second, third, fourth, fifth = sorted((results / "runs" / "quick").glob("*/record.json"))[:5]
    whole = json.loads(first.read_text())
    del whole["cell"]
    first.write_text(json.dumps(whole))
    second.write_text(second.read_text().replace('"schema": 4', '"schema": 99'))
    third.write_text(third.read_text().replace('"test_accuracy": ', '"test_accuracy": NaN, "was": '))
    fourth.write_text(fourth.read_text()[:500])
    shutil.copytree(fifth.parent, fifth.parent.with_name("copied"))
    return [first, second, third, fourth, fifth.parent.with_name("copied") / "record.json"]


def test_records_that_cannot_be_relied_on_are_named_counted_and_left_out(spikegrad, results, tmp_path):
    copy = Path(shutil.copytree(results, tmp_path / "copy"))
    damaged = damage(copy)
    ended = spikegrad(
        "leaderboard", "quick", "--results", copy, "--table", "runs", "--format", "csv", cwd=tmp_path
    )
    assert ended.returncode == 1
    told = ended.stderr.splitlines()
    assert len(told) == 5 and all(line.startswith("warning: ") for line in told)
    for file in damaged:
        assert sum(str(file) in line for line in told) == 1
    assert len(ended.stdout.splitlines()) == 1 + 176
    reported = spikegrad("report", "quick", "--results", copy, cwd=tmp_path)
    page = (copy / "reports" / "quick.html").read_text(encoding="utf-8")
    assert reported.returncode == 1 and "176 trainings: 176 ok" in page and "5 files are left out" in page
    for file in damaged:
        assert str(file) in page
