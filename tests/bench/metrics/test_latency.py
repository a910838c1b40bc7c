"""Timing: how many rounds there are, and what memory is seen."""

import sys
from types import SimpleNamespace

import pytest
import torch

from bench.metrics.latency import USUAL, HighWater, Rounds, inference, timed, training
from bench.surrogate import Surrogate

CPU = torch.device("cpu")


class Clock:
    """Moves on by a second whenever the action is called."""

    def __init__(self):
        self.now, self.calls = 0.0, 0

    def __call__(self):
        return self.now

    def action(self):
        self.calls += 1
        self.now += 1.0


@pytest.mark.parametrize(
    ("rounds", "expected"),
    [
        (Rounds(warm=3, least=5, most=100, seconds=2.5), 5),
        # Slow, a second each: few more than the limit allows.
        (Rounds(warm=0, least=2, usual=20, seconds=1.0, limit=10.0), 10),
        (Rounds(warm=0, least=12, usual=20, seconds=1.0, limit=10.0), 12),
        # Quick: no fewer than usual, and on until the time is up.
        (Rounds(warm=0, least=2, usual=20, seconds=1.0, limit=50.0), 20),
        (Rounds(warm=1, least=2, usual=20, seconds=30.0, limit=50.0), 30),
        (Rounds(warm=2, least=1, most=7, seconds=1e9, limit=1e9), 7),
    ],
)
def test_rounds(rounds, expected):
    clock = Clock()
    times = timed(clock.action, CPU, rounds, clock)
    assert times == [1.0] * expected
    assert clock.calls == expected + rounds.warm


def test_inference_gives_percentiles_of_both_batches(monkeypatch):
    asked = []
    times = {1: [0.001 * i for i in range(1, 101)], 100: [0.01 * i for i in range(1, 101)]}

    def scripted(action, device, rounds):
        action()
        return times[asked[-1]]

    monkeypatch.setattr("bench.metrics.latency.timed", scripted)

    def samples(count):
        asked.append(count)
        return torch.zeros(count, 3)

    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout())
    found = inference(network.train(), samples, Rounds())
    assert asked == [1, 100] and not network.training
    assert found["inference_ms_p50_batch1"] == pytest.approx(50.5)
    assert found["inference_ms_p95_batch1"] == pytest.approx(95.05)
    assert found["inference_ms_p50_batch100"] == pytest.approx(505)
    assert found["throughput"] == pytest.approx(100 / 0.505)
    assert found["calls_batch1"] == 100


def test_a_few_calls_have_no_95th_percentile():
    found = inference(torch.nn.Identity(), torch.zeros, Rounds(warm=0, least=19, usual=19, seconds=0))
    assert found["calls_batch1"] == 19
    assert not [name for name in found if "p95" in name]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the mark cannot be set back")
def test_what_libraries_load_at_their_first_use_is_no_memory_of_training(tiny):
    loaded = []

    def make():
        network = torch.nn.Linear(4, 3)
        network.surrogates = [Surrogate()]
        network.sites = [SimpleNamespace(neuron=SimpleNamespace(statistics=None))]
        forward = network.forward

        def first(x):
            if not loaded:
                loaded.append(torch.ones(100 * 2**18))
            return forward(x)[None]

        network.forward = first
        return network

    found = training(make, torch.ones(6, 4), torch.zeros(6, dtype=torch.int64), tiny().recipe, Rounds())
    assert loaded and found["peak_memory_mb"] < 20


def test_what_a_run_uses_is_at_least_five_calls_and_twenty_where_they_are_quick():
    assert (USUAL.least, USUAL.usual, USUAL.seconds) == (5, 20, 0.7)
    assert not USUAL.enough(4, 1e9)
    assert USUAL.enough(5, USUAL.limit) and not USUAL.enough(19, 0.8)
    assert USUAL.enough(20, 0.7) and not USUAL.enough(20, 0.6)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the mark cannot be set back")
@pytest.mark.parametrize(("count", "kib"), [(1, 100 * 1024), (1600, 64)])
def test_what_was_in_use_before_hides_nothing(count, kib):
    def use():
        held = [torch.ones(kib * 2**8) for _ in range(count)]
        del held

    # In one piece, and in many small ones, which the C library would keep for later.
    use()
    high = HighWater(CPU)
    use()
    assert 80 < high.mb() < 160


def test_the_high_water_mark_sees_what_was_in_use_and_is_no_longer():
    high = HighWater(CPU)
    before = high.mb()
    x = torch.ones(50 * 2**20)
    del x
    # 200 MB; what else the process does meanwhile is small.
    assert 195 < high.mb() - before < 260
