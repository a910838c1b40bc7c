"""Timing: how many rounds there are, and what memory is seen."""

import sys
import weakref
from types import SimpleNamespace

import pytest
import torch

from bench.model import compiling
from bench.runner.timing.network import USUAL, HighWater, Rounds, inference, timed, training
from bench.suite import Profile
from bench.surrogate import Surrogate

CPU = torch.device("cpu")


class Clock:
    """Moves on by a second whenever the action is called, or by as many as the call takes."""

    def __init__(self, *seconds):
        self.now, self.calls, self.seconds = 0.0, 0, seconds

    def __call__(self):
        return self.now

    def action(self):
        self.now += self.seconds[min(self.calls, len(self.seconds) - 1)] if self.seconds else 1.0
        self.calls += 1


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


@pytest.mark.parametrize(
    ("seconds", "warm", "counted"),
    [
        # As quick as ever: three calls to warm up, and five that count.
        ([4.9], 3, 5),
        # Slow: one to warm up, and as many as a minute has room for.
        ([5.0], 1, 5),
        ([12.0], 1, 5),
        ([20.0], 1, 3),
        ([100.0], 1, 1),
        # The first call compiles, or the second does too: a call itself is quick.
        ([200.0, 1.0], 3, 5),
        ([200.0, 50.0, 1.0], 1, 5),
    ],
)
def test_slow_calls_are_fewer_and_the_warm_up_counts(seconds, warm, counted):
    clock = Clock(*seconds)
    times = timed(clock.action, CPU, USUAL, clock)
    assert (clock.calls - len(times), len(times)) == (warm, counted)
    assert times[-1] == pytest.approx(seconds[-1])


def test_inference_gives_percentiles_of_both_batches(monkeypatch):
    asked = []
    times = {1: [0.001 * i for i in range(1, 101)], 100: [0.01 * i for i in range(1, 101)]}

    def scripted(action, device, rounds):
        action()
        return times[asked[-1]]

    monkeypatch.setattr("bench.runner.timing.network.timed", scripted)

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


def linear(before):
    """A network that calls before() on every pass."""
    network = torch.nn.Linear(4, 3)
    network.surrogates = [Surrogate()]
    network.sites = [SimpleNamespace(neuron=SimpleNamespace(statistics=None))]
    network.surrogates[0].site = network.sites[0]
    forward = network.forward

    def whole(x):
        before()
        return forward(x)[None]

    network.forward = whole
    return network


BATCH = torch.ones(6, 4), torch.zeros(6, dtype=torch.int64)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the mark cannot be set back")
def test_what_libraries_load_at_their_first_use_is_no_memory_of_training(tiny):
    loaded = []

    def load():
        if not loaded:
            loaded.append(torch.ones(100 * 2**18))

    found = training(lambda: linear(load), *BATCH, tiny().recipe, Rounds())
    assert loaded and found["peak_memory_mb"] < 20


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the mark cannot be set back")
def test_what_compiling_takes_is_no_memory_of_training(tiny, monkeypatch):
    def prepare(*given):
        torch.ones(100 * 2**18)
        return 1.5, ""

    monkeypatch.setattr(compiling, "prepare", prepare)
    profile = Profile(compile="step")
    found = training(lambda: linear(lambda: None), *BATCH, tiny().recipe, Rounds(), profile)
    assert found["compile_s"] == 1.5
    assert found["peak_memory_mb"] < 20


def test_one_network_is_gone_before_the_next_is_made(tiny):
    made = []

    def make():
        assert not any(there() for there in made)
        network = linear(lambda: None)
        # As a real one does: nothing but a collection frees it.
        network.surrogates[0].site = SimpleNamespace(neuron=network)
        network.statistics = None
        made.append(weakref.ref(network))
        return network

    training(make, *BATCH, tiny().recipe, Rounds())
    assert len(made) == 2


@pytest.mark.parametrize(
    ("rounds", "passes"), [(Rounds(most=1, least=1), 2 + 3 + 1), (Rounds(slow=0, patience=0), 3)]
)
def test_a_slow_network_takes_few_steps(tiny, rounds, passes):
    calls = []
    found = training(lambda: linear(lambda: calls.append(1)), *BATCH, tiny().recipe, rounds)
    assert len(calls) == passes
    assert found["calls_training"] == 1


@pytest.fixture
def device(monkeypatch):
    """A GPU whose memory is what `in_use` and `most` say, in MB."""
    memory = SimpleNamespace(in_use=100, most=0, device=torch.device("cuda", 0))
    names = {
        "reset_peak_memory_stats": lambda _: setattr(memory, "most", memory.in_use),
        "memory_allocated": lambda _: memory.in_use * 2**20,
        "max_memory_allocated": lambda _: memory.most * 2**20,
    }
    for name, instead in names.items():
        monkeypatch.setattr(torch.cuda, name, instead)
    return memory


def test_a_mark_that_forgets_keeps_its_start(device):
    device.most = 5000
    high = HighWater(device.device)
    assert high.mb() == 0
    device.most, device.in_use = 900, 160
    assert high.mb() == 800
    high.forget()
    assert high.mb() == 60


def test_what_a_run_uses_is_at_least_five_calls_and_twenty_where_they_are_quick():
    assert (USUAL.least, USUAL.usual, USUAL.seconds) == (5, 20, 0.7)
    assert not USUAL.enough(4, 59) and USUAL.enough(1, 60) and not USUAL.enough(0, 1e9)
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
