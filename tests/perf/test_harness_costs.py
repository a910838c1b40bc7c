"""What the harness itself costs, in the seconds that its user waits; training is left out, or taken off.

Without measuring, every command runs once over a few cells or records, and only its work is looked at.
SPIKEGRAD_WHOLE_SUITES=1 adds what takes minutes: one worker and two on the whole quick suite.
"""

import json
import os
import re
import subprocess
import sys
from statistics import median, quantiles
from time import perf_counter

import pandas as pd
import pytest
from harness_costs import SEEDS, finish, write_layers, write_records, write_suite
from ledger import Measured

ROUNDS = 5
RERUN_CELLS = 1_000
LEADERBOARD_RECORDS = 10_000
GROWTH = (100, 1_000, 10_000)
TINY_CELLS, TINY_RECORDS = 20, 50
IMPORTS = (
    "import bench.cli.app, bench.cli.render, bench.tables.results, bench.runner.timing.times; "
    "import bench.runner.engines.local; "
    "from bench import registry; registry.load()"
)
"""What a run imports before it has seen that nothing is left to do."""


@pytest.fixture(scope="session")
def measuring(request):
    """Whether times are wanted; else everything is small, runs once and leaves no figure."""
    option = request.config.getoption
    return option("benchmark_enable") or not option("benchmark_disable")


@pytest.fixture
def timed(measuring, request):
    """timed(call, rounds, **of) -> what the last call returned; the median of its seconds goes to the ledger.

    One call more goes before, so that files are in memory as for whoever works with them. of: further
    fields of `Measured`.
    """

    def time(call, rounds=ROUNDS, **of):
        result = call()
        if measuring:
            seconds = []
            for _ in range(rounds):
                began = perf_counter()
                result = call()
                seconds.append(perf_counter() - began)
            request.getfixturevalue("ledger").add(figure(seconds, **of))
        return result

    return time


def figure(values, *, what, budget="", limit=None, unit="s", sense="at most", **of):
    """A row of the ledger: the median, between the quartiles."""
    low, _, high = quantiles(values, n=4) if len(values) > 1 else (None,) * 3
    fixed = {"subject": "spikegrad", "against": "", "note": ""} | of
    return Measured(
        budget=budget,
        what=what,
        value=median(values),
        unit=unit,
        low=low,
        high=high,
        limit=limit,
        sense=sense,
        **fixed,
    )


@pytest.fixture
def done(started, tmp_path):
    """done("run", ...) -> what the command printed, once it has ended well."""

    def call(*arguments):
        ended = started(*arguments, cwd=tmp_path)
        assert ended.returncode == 0, ended.stderr
        return ended

    return call


def written(folder):
    """When the files of a results folder changed last, by name; those of its tables are left out."""
    files = (path for part in ("runs", "latency") for path in (folder / part).rglob("*.json"))
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in files}


def test_rerun_of_a_finished_suite(done, timed, measuring, environment, tmp_path):
    cells = RERUN_CELLS if measuring else TINY_CELLS
    suite, results = write_suite(cells, tmp_path), tmp_path / "results"
    assert finish(suite, results) == cells
    before = written(results)
    assert len(before) > cells
    ended = timed(
        lambda: done("run", suite, "--results", results, "--json"),
        budget="re-running a finished suite of 1,000 cells",
        what=f"re-running a finished suite of {cells:,} cells",
        limit=2.0,
    )
    assert f"{cells} cells, {cells} finished before, nothing left to do" in ended.stderr
    if measuring:
        timed(
            lambda: subprocess.run([sys.executable, "-c", IMPORTS], env=environment, check=True),
            what="of it, to import torch and all else",
        )
    assert json.loads(ended.stdout)["statuses"] == {"ok": cells}
    assert written(results) == before


def test_leaderboards_from_records(done, timed, measuring, tmp_path):
    count = LEADERBOARD_RECORDS if measuring else TINY_RECORDS
    suite, results = write_suite(TINY_CELLS, tmp_path), tmp_path / "results"
    # Every seed of the records counts.
    suite.write_text(re.sub(r"^seeds = .*$", f"seeds = {[*range(SEEDS)]}", suite.read_text(), flags=re.M))
    configurations = write_records(count, "finished", results)
    assert configurations == count // SEEDS
    timed(
        lambda: done("leaderboard", suite, "--results", results),
        budget="leaderboards from 10,000 records",
        what=f"leaderboards from {count:,} records",
        limit=5.0,
    )
    tables = results / "leaderboards" / "finished"
    assert len(pd.read_csv(tables / "runs.csv")) == count
    assert len(pd.read_csv(tables / "anytime.csv")) >= 2 * configurations
    for name in ("accuracy", "gradients", "cost", "latency"):
        table = pd.read_csv(tables / f"{name}.csv")
        assert len(table) == configurations and (table["n_seeds"] == SEEDS).all()


def test_report_of_records(done, timed, measuring, request, tmp_path):
    count = LEADERBOARD_RECORDS if measuring else TINY_RECORDS
    suite, results = write_suite(TINY_CELLS, tmp_path), tmp_path / "results"
    write_records(count, "finished", results)
    write_layers("finished", results)
    about = {"budget": "report of 10,000 records", "what": f"report of {count:,} records and their layers"}
    timed(lambda: done("report", suite, "--results", results), rounds=3, limit=30.0, **about)
    page = results / "reports" / "finished.html"
    if measuring:
        about["what"] = f"page of {count:,} records"
        size = figure([page.stat().st_size / 1e6], unit="MB", limit=20.0, **about)
        request.getfixturevalue("ledger").add(size)
    assert f"{count} trainings: {count} ok" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "limit", "says"),
    [(["--help"], 0.5, "leaderboard"), (["list", "methods"], 5.0, "mpd-agl")],
    ids=["help", "list methods"],
)
def test_first_commands(done, timed, arguments, limit, says):
    command = " ".join(["spikegrad", *arguments])
    ended = timed(lambda: done(*arguments), budget=command, what=command, limit=limit)
    assert says in ended.stdout


@pytest.mark.parametrize(
    "statement",
    [
        "import bench.cli.app",
        "import torch",
        "import bench.tables.results",
        "from bench import registry; registry.load()",
    ],
)
def test_start_up(timed, measuring, environment, statement):
    """What every command pays, or those that need the tables or torch; no budget of its own."""
    if not measuring:
        pytest.skip("there is nothing to look at but its time")
    command = [sys.executable, "-c", statement]
    timed(lambda: subprocess.run(command, env=environment, check=True), what=f'python -c "{statement}"')


def test_a_cell_beyond_its_training(done, measuring, tmp_path, request):
    """What more seeds of one configuration add to a run, less the seconds of their training steps.

    So validation and test count as the harness's, on little data; looks at gradients are left out.
    """
    rounds, seeds = (3, 12) if measuring else (1, 2)
    suite = write_suite(TINY_CELLS, tmp_path, '[measure]\nprobe = "off"\ndescent = false\n')
    beyond = []
    for number in range(rounds):
        took, trained = {}, {}
        for n in (1, seeds) if measuring else (seeds,):
            results = tmp_path / f"{number}-{n}"
            chosen = (
                "--methods",
                "mpd-agl",
                "--datasets",
                "digits",
                "--seeds",
                ",".join(map(str, range(n))),
                "--add",
            )
            began = perf_counter()
            done("run", suite, "--results", results, *chosen, "--jobs", "1", "--no-times")
            took[n] = perf_counter() - began
            records = [json.loads(file.read_text()) for file in results.rglob("record.json")]
            assert [record["status"] for record in records] == ["ok"] * n
            trained[n] = sum(record["metrics"]["train_seconds"] for record in records)
        if measuring:
            beyond.append((took[seeds] - took[1] - trained[seeds] + trained[1]) / (seeds - 1))
    if measuring:
        what = "a further seed of a configuration, beyond its training steps"
        budget = "harness time per cell beyond training"
        request.getfixturevalue("ledger").add(figure(beyond, budget=budget, what=what, limit=0.5))


@pytest.mark.parametrize("command", ["run", "leaderboard"])
def test_growth(done, measuring, tmp_path, request, command):
    """Seconds a cell from the middle size to the largest, against those from the smallest to the middle."""
    sizes = GROWTH if measuring else (TINY_CELLS,)
    took = []
    for cells in sizes:
        results = tmp_path / str(cells)
        suite = write_suite(cells, tmp_path)
        finish(suite, results)
        seconds = []
        for _ in range(2 if measuring else 1):
            began = perf_counter()
            done(command, suite, "--results", results)
            seconds.append(perf_counter() - began)
        took.append(min(seconds))
        assert len(pd.read_csv(results / "leaderboards" / "finished" / "runs.csv")) == cells
    if measuring:
        slopes = [(took[i + 1] - took[i]) / (sizes[i + 1] - sizes[i]) for i in range(2)]
        counted = f"{sizes[1]:,} to {sizes[2]:,} cells, against {sizes[0]:,} to {sizes[1]:,}"
        what = f"seconds a finished cell adds to spikegrad {command}, {counted}"
        each = ", ".join(f"{n:,} cells: {seconds:.2f} s" for n, seconds in zip(sizes, took, strict=True))
        request.getfixturevalue("ledger").add(figure([slopes[1] / slopes[0]], what=what, unit="x", note=each))


@pytest.mark.skipif(
    not os.environ.get("SPIKEGRAD_WHOLE_SUITES"), reason="takes minutes: set SPIKEGRAD_WHOLE_SUITES=1"
)
def test_two_workers_against_one(environment, measuring, tmp_path, request):
    """On the whole quick suite, each run once into a folder of its own."""
    took, accuracies = {}, {}
    for jobs in (1, 2):
        command = [sys.executable, "-m", "bench", "run", "quick", "--no-times"]
        command += ["--jobs", str(jobs), "--results", str(tmp_path / str(jobs))]
        began = perf_counter()
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        took[jobs] = perf_counter() - began
        assert ended.returncode == 0, ended.stderr
        accuracies[jobs] = (tmp_path / str(jobs) / "leaderboards/quick/accuracy.csv").read_bytes()
    assert accuracies[1] == accuracies[2]
    if measuring:
        found = figure(
            [took[1] / took[2]],
            budget="two workers against one, whole quick suite",
            what="two workers on the whole quick suite",
            against="one worker",
            unit="x",
            limit=1.9,
            sense="at least",
            note=f"{took[1]:.0f} s against {took[2]:.0f} s, cores: {os.cpu_count()}",
        )
        request.getfixturevalue("ledger").add(found)
