import gc

import pytest
import torch
from in_turn import Pace, Times, in_turn

CPU = torch.device("cpu")


class Machine:
    """Calls that take as long as they say, on a clock of their own, and a log of them."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def call(self, name, *seconds):
        times = iter(seconds * 100)

        def run():
            self.log.append(name)
            self.now += next(times)

        return run

    def clock(self):
        return self.now


def test_calls_alternate_and_warm_rounds_do_not_count():
    machine = Machine()
    subjects = {"a": machine.call("a", 9.0, 1.0, 1.0), "b": machine.call("b", 9.0, 2.0, 2.0)}
    times = in_turn(subjects, CPU, Pace(warm=1, least=2, rounds=2), machine.clock)
    assert machine.log == list("ababab")
    assert times.seconds == {"a": [1.0, 1.0], "b": [2.0, 2.0]}


def test_no_round_begins_after_the_time_is_up_but_for_the_least():
    machine = Machine()
    pace = Pace(warm=0, least=3, rounds=50, seconds=10.0)
    assert len(in_turn({"a": machine.call("a", 20.0)}, CPU, pace, machine.clock).seconds["a"]) == 3
    assert len(in_turn({"a": machine.call("a", 2.0)}, CPU, pace, machine.clock).seconds["a"]) == 5


def test_what_slows_a_whole_round_slows_no_ratio():
    times = Times({"a": [2.0, 20.0, 4.0], "b": [1.0, 10.0, 2.0]})
    assert times.ratio("a", "b") == (2.0, 2.0, 2.0)
    assert times.of("a").value == 4.0
    assert times.fastest(["a", "b"]) == "b"


def test_one_round_has_no_spread():
    assert Times({"a": [3.0], "b": [2.0]}).ratio("a", "b") == (1.5, None, None)


def test_garbage_collection_is_left_as_it_was():
    during = []
    in_turn({"a": lambda: during.append(gc.isenabled())}, CPU, Pace(warm=0, least=1, rounds=1))
    assert during == [False] and gc.isenabled()
    with pytest.raises(ZeroDivisionError):
        in_turn({"a": lambda: 1 / 0}, CPU, Pace(warm=0))
    assert gc.isenabled()
