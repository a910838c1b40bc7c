"""Several runs of one suite in one results folder: they divide its cells, and each is trained once."""

import os
import signal

import pandas as pd
import pytest
from no_locks import NO_LOCKS
from processes import until
from tiny_toml import tiny_toml

from bench import api
from bench.records.claims import CLAIMS, RUNNERS, TIMES, Claims
from bench.records.store import Store
from bench.runner.engines import local

PLUGIN = """
import os, time
from pathlib import Path
from bench.surrogate import Surrogate, method
from bench import shapes

HERE = Path(__file__).parent

class Noted(Surrogate):
    shape = staticmethod(lambda x: shapes.rectangle(x, 1.0, None))
    def on_epoch(self, progress):
        if progress == 0 and self.site.index == 0:
            with open(HERE / "trained.txt", "a") as file:
                file.write(f"{type(self).__name__} {os.getppid()}\\n")
        time.sleep(0.3)

@method("first", paper="none")
class First(Noted):
    pass

@method("second", paper="none")
class Second(Noted):
    pass
"""


@pytest.fixture
def command(tmp_path):
    (tmp_path / "tiny.toml").write_text(tiny_toml(["first", "second"], [0, 1, 2, 3]))
    (tmp_path / "noted.py").write_text(PLUGIN)
    return ("run", "tiny.toml", "--plugin", "noted.py", "--jobs", "1")


def trained(folder):
    file = folder / "trained.txt"
    return file.read_text().splitlines() if file.exists() else []


def finish(processes):
    for process in processes:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
        assert "first" in out and "second" in out, "each shows the whole table"
        assert "Traceback" not in err


def test_four_runs_divide_a_suite_though_one_is_killed(command, start, tmp_path):
    runs = [start(*command, cwd=tmp_path) for _ in range(4)]
    until(lambda: len(trained(tmp_path)) >= 3)
    runs[0].kill()
    runs[0].wait()
    finish(runs[1:])

    store = Store(tmp_path / "results/local", "tiny")
    records = store.records()
    assert [record["status"] for record in records] == ["ok"] * 8
    # Only what the killed run had in hand can have begun twice.
    assert 8 <= len(trained(tmp_path)) <= 9
    with store.lock():
        # The next run has cleared away what the killed one left.
        assert not [*(store.runs / CLAIMS).iterdir()] and len([*(store.runs / RUNNERS).iterdir()]) == 1
    assert not [*store.runs.glob(".logs-*")]

    alone = start(*command, "--results", "alone", cwd=tmp_path)
    finish([alone])
    accuracy = [
        (tmp_path / folder / "leaderboards/tiny/accuracy.csv").read_bytes()
        for folder in ("results/local", "alone")
    ]
    assert accuracy[0] == accuracy[1]


def test_what_is_stopped_in_one_run_is_trained_by_another(command, start, tmp_path):
    first = start(*command, cwd=tmp_path)
    until(lambda: trained(tmp_path))
    second = start(*command, cwd=tmp_path)
    until(lambda: len({line.split()[1] for line in trained(tmp_path)}) == 2)
    os.killpg(first.pid, signal.SIGINT)
    first.communicate(timeout=60)
    assert first.returncode == 130
    finish([second])
    records = Store(tmp_path / "results/local", "tiny").records()
    assert [record["status"] for record in records] == ["ok"] * 8
    assert len(pd.read_csv(tmp_path / "results/local/leaderboards/tiny/runs.csv")) == 8


def test_runs_divide_a_suite_where_locks_do_not_work(command, start, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NO_LOCKS)
    path = os.pathsep.join(filter(None, [str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")]))
    runs = [start(*command, cwd=tmp_path, PYTHONPATH=path) for _ in range(2)]
    finish(runs)
    assert len(trained(tmp_path)) == 8


class Other(api.Silent):
    """A listener that lets another run do something when this one waits for it."""

    def __init__(self, then):
        self.then, self.waited, self.ends = then, [], []

    def waiting(self, cells):
        self.waited.append(cells)
        if self.then:
            self.then.pop()()

    def ended(self, planned, record):
        self.ends.append((planned.id, record["status"]))


@pytest.fixture
def made(tiny, make_plan):
    return make_plan(tiny(seeds=[0, 1]))


def test_a_run_waits_for_what_another_trains_and_trains_what_it_gives_up(made, monkeypatch):
    monkeypatch.setattr(local, "SOON", 0.01)
    with made.store.shared() as other, made.store.shared() as claims:
        other.take(made.cells[1].id)
        heard = Other([lambda: other.release(made.cells[1].id)])
        local.run(made, jobs=1, timeout=60, listener=heard, claims=claims)
    assert heard.ends == [(planned.id, "ok") for planned in made.cells]
    assert heard.waited and set(heard.waited) == {1}


def test_what_another_run_finished_after_the_plan_is_not_trained(made, make_plan, tiny, monkeypatch):
    monkeypatch.setattr(local, "SOON", 0.01)
    twin = make_plan(tiny(seeds=[0, 1]))

    def finish_there():
        local.run(twin, jobs=1, timeout=60, listener=api.Silent())
        for planned in made.cells:
            other.release(planned.id)

    with made.store.shared() as other, made.store.shared() as claims:
        for planned in made.cells:
            other.take(planned.id)
        heard = Other([finish_there])
        local.run(made, jobs=1, timeout=60, listener=heard, claims=claims)
    before = {record["id"]: record["ended"] for record in twin.store.records()}
    assert {record["id"]: record["ended"] for record in made.store.records()} == before
    assert heard.ends == [(planned.id, "ok") for planned in made.cells]


def test_nothing_is_trained_here_while_another_run_measures_times(made, monkeypatch):
    monkeypatch.setattr(local, "SOON", 0.01)
    with made.store.shared() as other, made.store.shared() as claims:
        other.take(TIMES)
        heard = Other([lambda: other.release(TIMES), lambda: assert_nothing(made, other)])
        local.run(made, jobs=2, timeout=60, listener=heard, claims=claims, wait=False)
        assert not other.theirs()
    assert sorted(heard.ends) == sorted((planned.id, "ok") for planned in made.cells)
    assert heard.waited == [None, None]


def assert_nothing(made, other):
    assert not made.store.records() and not other.theirs()


def test_a_worker_takes_no_further_cell_once_another_run_measures_times(made, monkeypatch):
    monkeypatch.setattr(local, "SOON", 0.01)

    class Measures(Other):
        def started(self, planned):
            other.take(TIMES)

    with made.store.shared() as other, made.store.shared() as claims:
        heard = Measures([lambda: other.release(TIMES)])
        local.run(made, jobs=1, timeout=60, listener=heard, claims=claims)
        other.release(TIMES)
    assert heard.ends == [(planned.id, "ok") for planned in made.cells]
    assert heard.waited == [None]


def test_only_one_run_measures_times(tiny, make_plan, capfd):
    made = make_plan(tiny(times=True))
    timed = []

    class Heard(api.Silent):
        def timed(self, measurement, timing, number, total):
            timed.append(measurement.id)

    other = Claims(made.store.runs)
    other.join()
    try:
        other.take("a cell of another suite of methods")
        api.execute(made, listener=Heard())
        assert timed == []
        assert (
            "times are not measured here, because another run of the suite is at work"
            in capfd.readouterr().err
        )
        other.release("a cell of another suite of methods")
        other.take(TIMES)
        api.execute(made, listener=Heard())
        assert timed == []
        other.release(TIMES)
        api.execute(made, listener=Heard())
        assert len(timed) == 2
    finally:
        other.leave()
