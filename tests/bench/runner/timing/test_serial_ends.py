"""The engine that times things: what is sick costs its own row, and what is there is not made again."""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from bench import api
from bench.errors import BenchError
from bench.records.store import Store
from bench.records.timings import Timings
from bench.runner import plan
from bench.runner.timing import serial, times
from bench.runner.timing.network import Rounds

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

SICK = """
import os, signal, subprocess, sys, time
from pathlib import Path
import torch
from bench.surrogate import Surrogate, method
from bench import shapes

HERE = Path(__file__).parent

class Sick(Surrogate):
    "Is well in training, and fails in evaluation."
    shape = staticmethod(lambda x: shapes.rectangle(x, 1.0, None))
    def threshold(self, u, t):
        if not self.training:
            self.fail()
        return 0.5

@method("raises", paper="none", changes="forward")
class Raises(Sick):
    def fail(self): raise ValueError("of two\\nlines")

@method("leaves", paper="none", changes="forward")
class Leaves(Sick):
    def fail(self):
        # It holds what its parent had open.
        child = subprocess.Popen(["sleep", "300"], close_fds=False)
        (HERE / "child.pid").write_text(str(child.pid))
        os._exit(3)

@method("killed", paper="none", changes="forward")
class Killed(Sick):
    def fail(self): os.kill(os.getpid(), signal.SIGKILL)

@method("memory", paper="none", changes="forward")
class Memory(Sick):
    def fail(self): raise MemoryError

@method("chatty", paper="none", changes="forward")
class Chatty(Sick):
    def fail(self):
        print("hello " * 1000)
        os.write(2, b"to the descriptor")

@method("hungry", paper="none")
class Hungry(Surrogate):
    "Takes 200 MB for a moment of every training step."
    shape = staticmethod(Sick.shape)
    def params(self, u, t):
        if self.training:
            torch.ones(50 * 2**20)
        return {}
"""
NAMES = ["raises", "leaves", "killed", "memory", "chatty", "hungry", "rectangle"]
TRAINED = ["chatty", "hungry", "raises"]
QUICK = Rounds(warm=1, least=2, usual=2, most=2, seconds=0.0, limit=0.0)


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self):
        self.begun, self.ended = [], []

    def timing(self, measurement, number, total):
        self.begun.append((measurement.id, number, total))

    def timed(self, measurement, timing, number, total):
        self.ended.append((measurement, timing))


@pytest.fixture(scope="module")
def make(tiny, tmp_path_factory):
    """make(names) -> the plan of these methods, all on one results folder that trained nothing."""
    folder = tmp_path_factory.mktemp("serial")
    file = folder / "sick.py"
    file.write_text(SICK)
    store = Store(folder / "results", "tiny")

    def make(names):
        return plan.make_plan(tiny(methods=names, times=True), store, plugins=[file], data_root=folder)

    return make


def time_all(made, training):
    """Time all inference, and the steps of the methods in `training`; what was heard."""
    heard = Heard()
    pending = times.pending(made, worked=[planned.id for planned in made.cells])
    pending = [m for m in pending if m.kind == "inference" or m.cell.method.name in training]
    serial.run(made, pending, timeout=60.0, listener=heard, rounds=QUICK)
    return heard


@pytest.fixture(scope="module")
def first(make):
    """The plan and what was heard of timing it; outcomes by (kind, method)."""
    made = make(NAMES)
    heard = time_all(made, TRAINED)
    return made, heard, {(m.kind, m.cell.method.name): timing for m, timing in heard.ended}


ENDS = {
    "raises": ("failed", "ValueError: of two\nlines"),
    "leaves": ("failed", "the process ended with exit code 3"),
    "killed": ("interrupted", "ended from outside by SIGKILL, as when memory runs out"),
    "memory": ("oom", "MemoryError: "),
    "chatty": ("ok", None),
}


@pytest.mark.parametrize("name", sorted(ENDS))
def test_how_it_ended_and_why_and_that_the_rest_goes_on(first, name):
    found = first[2]
    assert (found["inference", name]["status"], found["inference", name]["error"]) == ENDS[name]
    assert bool(found["inference", name]["metrics"]) == (name == "chatty")


def test_a_step_is_timed_of_what_fails_in_inference(first):
    assert first[2]["training", "raises"]["status"] == "ok"


def test_each_is_heard_once_in_order_and_written(first):
    made, heard, _ = first
    total = 5 + 1 + len(TRAINED)
    assert [n for _, n, _ in heard.begun] == list(range(1, total + 1))
    assert {t for *_, t in heard.begun} == {total}
    assert [i for i, *_ in heard.begun] == [m.id for m, _ in heard.ended]
    kept = Timings(made.store.results, "tiny")
    assert kept.survey()[0] == sorted((timing for _, timing in heard.ended), key=lambda timing: timing["id"])
    # Logs are gone.
    assert [path.name for path in made.store.runs.iterdir()] == []


def test_what_a_timing_says(first):
    timing = first[2]["training", "chatty"]
    what = {"schema", "id", "suite", "kind", "forward", "data", "cell", "hardware", "digests"}
    outcome = {"status", "error", "metrics", "environment", "started", "ended", "seconds", "rounds"}
    assert timing.keys() == what | outcome
    assert timing["suite"] == "tiny" and timing["rounds"] == asdict(QUICK)
    assert timing["metrics"].keys() == {
        *("train_step_ms_p50", "compile_s", "peak_memory_mb", "calls_training"),
    }
    inference = first[2]["inference", "chatty"]["metrics"]
    p50 = inference["inference_ms_p50_batch100"]
    assert p50 > 0 and inference["calls_batch100"] >= QUICK.least
    assert inference["throughput"] == pytest.approx(100 / (p50 / 1000))


def test_what_a_step_takes_for_a_moment_is_in_its_peak_memory_and_in_no_other(first):
    found = {name: first[2]["training", name]["metrics"]["peak_memory_mb"] for name in TRAINED}
    assert 199 <= found["hungry"] < 300
    assert all(0 <= found[name] < 100 for name in TRAINED if name != "hungry")


def test_what_a_method_had_started_ends_with_it(first):
    child = Path("/proc") / (first[0].plugins[0].parent / "child.pid").read_text()

    def alive():
        return child.exists() and "zombie" not in (child / "status").read_text()

    end = time.monotonic() + 15
    while alive() and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive()


def test_what_circumstances_had_ended_is_timed_again_and_what_failed_on_request(first, make):
    def again(retry):
        pending = times.pending(made, worked=[p.id for p in made.cells], retry=retry)
        return [m.cell.method.name for m in pending if m.kind == "inference"]

    made = make(NAMES)
    assert again(retry=False) == ["killed", "memory"]
    assert again(retry=True) == ["raises", "leaves", "killed", "memory"]


def test_nobody_else_may_run_the_suite_meanwhile(tiny, make_plan):
    refused = []

    class Second(api.Silent):
        def timing(self, measurement, number, total):
            with pytest.raises(BenchError, match="another run of tiny is at work"), made.store.lock():
                pass
            refused.append(number)

    made = make_plan(tiny(times=True))
    api.execute(made, listener=Second())
    assert refused == [1, 2]


def test_what_a_killed_run_was_writing_is_cleared_away(make):
    made = make(["arctan"])
    kept = Timings(made.store.results, "tiny")
    kept.folder.mkdir(parents=True, exist_ok=True)
    half = kept.folder / ".a.json.xyz.tmp"
    half.write_text(json.dumps({})[:1])
    time_all(made, ["arctan"])
    assert not half.exists()
