"""A scheduler's jobs are followed to the end, whatever becomes of their tasks."""

import threading

import pytest
from tiny_toml import tiny_toml

from bench import api
from bench.errors import BenchError, Stopped
from bench.records.store import CHECKPOINT
from bench.runner.engines import following, local


class Heard(api.Silent):
    def __init__(self):
        self.jobs, self.waited = [], []

    def submitted(self, job, tasks):
        self.jobs.append(job)

    def waiting(self, cells):
        self.waited.append(cells)


class Scheduler:
    """Its jobs do act(number of the job), and have ended when it is asked for them."""

    def __init__(self, act):
        self.act, self.number = act, 0

    def submit(self, plan):
        self.number += 1
        self.act(self.number)
        return f"job {self.number}"

    def tasks(self, job):
        return {}

    def advice(self, job):
        return f"the log of {job}"


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(following, "POLL", 0.01)


def test_a_job_that_only_takes_a_training_further_is_followed_by_another(tiny, make_plan):
    made = make_plan(tiny())
    (cell,) = made.cells
    folder = made.store.folder(cell.id)

    def act(number):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{min(number, 2):06}{CHECKPOINT}").touch()

    heard = Heard()
    said = "the job 3 ended without finishing any training: see the log of job 3"
    with made.store.shared() as claims, pytest.raises(Stopped, match=said):
        following.run(made, Scheduler(act), listener=heard, claims=claims)
    assert heard.jobs == ["job 1", "job 2", "job 3"]


def test_a_job_that_finds_all_claimed_by_others_is_followed_by_another(tiny, make_plan):
    made, twin = make_plan(tiny()), make_plan(tiny())

    def act(number):
        if number == 1:
            threading.Timer(0.5, other.release, [made.cells[0].id]).start()
        else:
            local.run(twin, jobs=1, timeout=60, listener=api.Silent())

    heard = Heard()
    with made.store.shared() as other, made.store.shared() as claims:
        other.take(made.cells[0].id)
        following.run(made, Scheduler(act), listener=heard, claims=claims)
    assert heard.jobs == ["job 1", "job 2"] and set(heard.waited) == {1}


def test_a_file_system_that_does_not_answer_for_a_while_costs_no_job(tiny, make_plan, monkeypatch):
    made, twin = make_plan(tiny()), make_plan(tiny())
    read, states = made.store.read, iter([{"running": 1}, {"running": 1}, {}])

    class Slow(Scheduler):
        def tasks(self, job):
            state = next(states)
            if not state:
                monkeypatch.setattr(made.store, "read", read)
            return state

    def unreadable(cell):
        raise BenchError("record.json cannot be read: Stale file handle")

    monkeypatch.setattr(made.store, "read", unreadable)
    scheduler = Slow(lambda number: local.run(twin, jobs=1, timeout=60, listener=api.Silent()))
    with made.store.shared() as claims:
        following.run(made, scheduler, listener=Heard(), claims=claims)
    assert scheduler.number == 1 and [record["status"] for record in twin.store.records()] == ["ok"]


def test_what_lost_tasks_claimed_is_free_before_more_are_submitted(tiny, make_plan):
    made, twin = make_plan(tiny(seeds=[0, 1])), make_plan(tiny(seeds=[0, 1]))
    cells = [planned.id for planned in made.cells]

    def act(number):
        if number == 1:
            lost.take(cells[1])
        else:
            assert not watching.theirs()
        local.run(twin.only(cells[number - 1 : number]), jobs=1, timeout=60, listener=api.Silent())
        if number == 1:
            threading.Timer(1, lost.release, [cells[1]]).start()

    heard = Heard()
    with made.store.shared() as lost, made.store.shared() as watching:
        following.run(made, Scheduler(act), listener=heard, claims=watching)
    assert heard.jobs == ["job 1", "job 2"] and set(heard.waited) == {1}
    assert {record["status"] for record in made.store.records()} == {"ok"}


def test_a_later_task_of_a_job_repeats_no_failure_of_an_earlier_one(spikegrad, write_plugin, tmp_path):
    write_plugin('@method("no", paper="none")\ndef no(x):\n    raise ValueError("no")\n')
    (tmp_path / "tiny.toml").write_text(tiny_toml(["no"], [0]))
    task = ("run", "tiny.toml", "--plugin", "plugin.py", "--retry", "--before")
    ended = []
    for before in ("2000-01-01T00:00:00+00:00", "2000-01-01T00:00:00+00:00", "2100-01-01T00:00:00Z"):
        done = spikegrad(*task, before, cwd=tmp_path)
        assert done.returncode == 1, done.stderr
        ended.append("FAILED" in done.stderr)
    assert ended == [True, False, True]
