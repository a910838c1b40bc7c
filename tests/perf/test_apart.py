import os
import time
from functools import partial

import pytest
import torch
from apart import LATE, Work, apart
from in_turn import Pace

CPU = torch.device("cpu")
TWICE = Pace(warm=1, least=2, rounds=2)


def appends(file, name, device):
    def call():
        with file.open("a") as log:
            log.write(name)
        return name

    return Work(call, note=f"on {device}", compiles=name == "b")


def raises(device):
    raise ValueError("of two\nlines")


def dies(device):
    os._exit(7)


def is_wrong(device):
    return Work(lambda: 3.0, lambda given: f"it gave {given}")


def dies_when_timed(device):
    called = []
    return Work(lambda: os._exit(9) if called else called.append(1))


def sleeps(device):
    time.sleep(600)


def test_each_is_timed_in_turn_in_a_process_of_its_own(tmp_path):
    file = tmp_path / "log"
    makes = {name: partial(appends, file, name) for name in "ab"}
    found = apart(makes, CPU, ready_within=60, pace=TWICE, calls=3)
    log = file.read_text()
    assert sorted(log[:2]) == ["a", "b"] and log[2:] == "aaaabbbb" * 2
    assert {name: len(rounds) for name, rounds in found.times.seconds.items()} == {"a": 2, "b": 2}
    assert found.notes == {"a": "on cpu", "b": "on cpu"}
    assert found.failed == {} and min(found.first.values()) > 0


def test_what_fails_is_named_and_the_rest_is_timed(tmp_path):
    makes = {
        "raises": raises,
        "dies": dies,
        "is wrong": is_wrong,
        "dies when timed": dies_when_timed,
        "works": partial(appends, tmp_path / "log", "w"),
    }
    found = apart(makes, CPU, ready_within=60, pace=TWICE, calls=1)
    assert list(found.times.seconds) == ["works"]
    assert found.failed == {
        "raises": "ValueError: of two",
        "dies": "its process ended with exit code 7",
        "is wrong": "it gave 3.0",
        "dies when timed": "its process ended with exit code 9",
    }


def test_what_is_not_ready_in_time_is_left_out():
    found = apart({"sleeps": sleeps}, CPU, ready_within=0.0, pace=TWICE, calls=1)
    assert found.failed == {"sleeps": LATE}


def test_a_full_gpu_is_waited_for(monkeypatch):
    import apart as module

    full = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
    left = [full, RuntimeError(f"backend='inductor' raised: {full}")]

    def call():
        if left:
            raise left.pop()
        return "done"

    monkeypatch.setattr(time, "sleep", lambda _: None)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert module._once_there_is_memory(call, time.monotonic() + 60) == "done"
    for problem, patience in [(full, -1), (ValueError("of another kind"), 60)]:
        left.append(problem)
        with pytest.raises(type(problem)):
            module._once_there_is_memory(call, time.monotonic() + patience)


def test_on_a_gpu_time_is_from_one_event_to_the_next(monkeypatch):
    import apart as module

    now = [0.0]

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.at = now[0]

        def elapsed_time(self, other):
            return other.at - self.at

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)

    def call():
        now[0] += 250.0

    assert module._by_events(call, 3) == [0.25, 0.25, 0.25]
