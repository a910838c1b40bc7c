"""The phase in which things are timed: stopping, limits, and a full disk."""

import signal

import pytest

from bench import api
from bench.errors import Stopped
from bench.records.store import OK
from bench.records.timings import Timings
from bench.runner.timing import serial
from bench.runner.timing.network import Rounds
from bench.runner.timing.times import pending

SHORT = Rounds(warm=1, least=2, most=2, seconds=0)
SUITE = """
name = "tiny"
methods = ["rectangle"]
datasets = [{ name = "digits", subset = 200 }]
backbones = [{ name = "mlp", width = 0.125 }]
timesteps = [2]
seeds = [0]
[measure]
probe = "off"
descent = false
[recipe]
epochs = 1
batch_size = 32
learning_rate = 0.01
"""


class Heard(api.Silent):
    """Keeps what it hears of timings."""

    def __init__(self):
        self.titles, self.timings = [], []

    def timing(self, measurement, number, total):
        self.titles.append((number, total, measurement.title))

    def timed(self, measurement, timing, number, total):
        self.timings.append(timing)


@pytest.fixture
def planned(tiny, make_plan):
    """A plan with two things to time, and what they are."""
    plan = make_plan(tiny(times=True))
    plan.store.runs.mkdir(parents=True)
    return plan, pending(plan, worked=[cell.id for cell in plan.cells])


def test_what_is_timed_leaves_a_file_each(planned):
    plan, measurements = planned
    heard = Heard()
    serial.run(plan, measurements, timeout=60, listener=heard, rounds=SHORT)
    assert [number for number, _, _ in heard.titles] == [1, 2]
    assert [timing["kind"] for timing in heard.timings] == ["inference", "training"]
    assert {timing["status"] for timing in heard.timings} == {OK}
    assert {t["id"] for t in Timings(plan.store.results, "tiny").survey()[0]} == {m.id for m in measurements}
    assert pending(plan, worked=[cell.id for cell in plan.cells]) == []
    assert pending(plan, worked=[]) == []
    assert not list(plan.store.runs.glob(".logs-*"))


def test_a_limit_of_time_is_kept_and_tried_again_next_time(planned):
    plan, measurements = planned
    heard = Heard()
    long = Rounds(warm=0, least=10**9, most=10**9)
    serial.run(plan, measurements[:1], timeout=1, listener=heard, rounds=long)
    assert heard.timings[0]["status"] == "timeout"
    assert heard.timings[0]["error"] == "took longer than 1 s"
    assert measurements[0].id in {m.id for m in pending(plan, worked=[cell.id for cell in plan.cells])}


def test_a_disk_that_is_full(planned, monkeypatch):
    plan, measurements = planned

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bench.records.timings.write_atomic", full)
    with pytest.raises(Stopped, match="No space left on device; finished runs are kept"):
        serial.run(plan, measurements, timeout=60, listener=Heard(), rounds=SHORT)
    assert Timings(plan.store.results, "tiny").survey()[0] == []


def test_ctrl_c_keeps_what_was_trained_and_timed_and_goes_on_next_time(start, spikegrad, tmp_path):
    (tmp_path / "tiny.toml").write_text(SUITE)
    process = start("run", "tiny.toml", cwd=tmp_path)
    for line in process.stderr:
        if line.startswith("[times 1/2]"):
            break
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    if "[times 2/2]" in rest:
        pytest.skip("it had ended before it heard of it")
    assert process.returncode == 130
    assert rest.splitlines()[-1].startswith("stopped; finished runs are kept")
    assert (tmp_path / "results/local/leaderboards/tiny/latency.csv").is_file()
    again = spikegrad("run", "tiny.toml", cwd=tmp_path)
    assert again.returncode == 0
    assert [line.split("]")[0] for line in again.stderr.splitlines() if "[times" in line] == ["[times 1/1"]
