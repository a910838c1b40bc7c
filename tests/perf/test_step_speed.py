"""The training step, and the forward pass alone, beside the same network with ReLU and with peers' neurons.

What is listed by pytest-benchmark, below, has no budget.
"""

import time

import ours
import pytest
import torch
from budgets import PEERS as PEERS_BUDGET
from budgets import RELU as RELU_BUDGET
from cases import CASES, WHOLE_CASES, eager, parameters, present, small
from ledger import Measured
from peers import PEERS
from subjects import OURS, RELU
from trained_networks import FOUND, NARROW_SUITE, network_of, training_step

from bench.api import load_suite

pytestmark = pytest.mark.usefixtures("one_thread", "compiler_cache")
NARROW = {"cifarnet": 1 / 16, "resnet18": 1 / 8, "resnet19": 1 / 16, "vggsnn": 1 / 8}


def chosen(case, measuring):
    """The case, and who is measured in it; where nothing is measured, small and nothing compiled."""
    if measuring:
        return case, present(case)
    return small(case), eager()


def note(subject, layouts, case):
    layout = "channels-last" if layouts.of(case, subject) else "channels first"
    return "; ".join(filter(None, [layout, PEERS[subject.peer].note if subject.peer else ""]))


@pytest.mark.sizes("cpu")
@pytest.mark.parametrize("case", parameters(CASES))
def test_training_step(case, in_turn, ledger, layouts, device, measuring):
    case, subjects = chosen(case, measuring)
    what = f"training step, {case}"
    with ours.settings():
        last = layouts.try_out(case, eager(), device, in_turn)
        steps = {}
        for subject in subjects:
            steps[subject.name] = subject.step(case, device, channels_last=layouts.of(case, subject))
            began = time.perf_counter()
            assert torch.isfinite(steps[subject.name]())
            if subject in OURS.values() and subject.mode != "off":
                took = time.perf_counter() - began
                ledger.add(Measured("", f"first {what}", subject.name, "", took, "s", note="compiles"))
        times = in_turn(steps)
    assert set(last) <= set(times.seconds)
    for subject in subjects:
        about = {"what": what, "subject": subject.name, "note": note(subject, layouts, case)}
        if subject is RELU:
            ledger.add(Measured.spread(times.of(RELU.name), "s", **about))
        else:
            ledger.add(Measured.spread(times.ratio(subject.name, RELU.name), "x", against=RELU.name, **about))
    against_budgets(times, subjects, what, ledger)


def against_budgets(times, subjects, what, ledger):
    """Ours in compiled form against the faster of the ReLU networks, and the fastest of the peers.

    Both kinds have a compiled form of their own where those are measured.
    """
    floor = times.fastest([s.name for s in subjects if s.method == RELU.method])
    peers = [s.name for s in subjects if s.peer]
    for subject in subjects:
        if subject not in OURS.values() or subject.mode == "off":
            continue
        to_relu = times.ratio(subject.name, floor)
        ledger.add(Measured.under(RELU_BUDGET, to_relu, what=what, subject=subject.name, against=floor))
        if peers:
            fastest = times.fastest(peers)
            to_peer = times.ratio(fastest, subject.name)
            ledger.add(
                Measured.under(PEERS_BUDGET, to_peer, what=what, subject=subject.name, against=fastest)
            )


@pytest.mark.sizes("cpu")
@pytest.mark.parametrize("case", parameters(WHOLE_CASES))
def test_forward_pass(case, in_turn, ledger, layouts, device, measuring):
    """In evaluation, without a gradient; ours is never compiled there."""
    case, _ = chosen(case, measuring)
    subjects = eager()
    what, x = f"forward pass, {case}", case.samples(device)
    with ours.settings(), torch.no_grad():
        with torch.enable_grad():
            layouts.try_out(case, eager(), device, in_turn)
        passes = {}
        for subject in subjects:
            network = subject.network(case, device, channels_last=layouts.of(case, subject)).eval()
            assert torch.isfinite(network(x)).all()
            passes[subject.name] = lambda network=network: network(x)
        times = in_turn(passes)
    for subject in subjects:
        about = {"what": what, "subject": subject.name, "note": note(subject, layouts, case)}
        if subject is RELU:
            ledger.add(Measured.spread(times.of(RELU.name), "s", **about))
        else:
            ledger.add(Measured.spread(times.ratio(subject.name, RELU.name), "x", against=RELU.name, **about))


@pytest.mark.benchmark(group="training step of a narrow convnet on digits")
@pytest.mark.parametrize("method", ["ann-relu", "rectangle", "mpd-agl"])
def test_step(benchmark, method):
    suite = load_suite(NARROW_SUITE)
    network = network_of("convnet", method, (1, 8, 8), suite.backbones[0].width, suite.timesteps[0])
    # A step of its own at each time: without spikes a still sample would be computed at one step only.
    x = torch.rand(suite.recipe.batch_size, 1, 1, 8, 8).repeat(1, suite.timesteps[0], 1, 1, 1)
    assert torch.isfinite(benchmark(training_step(network, x)))


@pytest.mark.benchmark(group="training step of rectangle, T = 4, on 8 pictures of 3x32x32")
@pytest.mark.parametrize("backbone", FOUND.backbones)
def test_backbone(benchmark, backbone):
    network = network_of(backbone, "rectangle", (3, 32, 32), NARROW.get(backbone, 1), timesteps=4)
    assert torch.isfinite(benchmark(training_step(network, torch.rand(8, 3, 32, 32))))


@pytest.mark.benchmark(group="training step of a narrow convnet, T = 4: what is before the first spike")
@pytest.mark.parametrize("computed", ["once", "at every step"])
def test_still_pictures(benchmark, computed):
    network = network_of("convnet", "rectangle", (1, 8, 8), 0.5, timesteps=4)
    x = torch.rand(64, 1, 8, 8)
    # Events are steps of their own, even where they are all the same.
    x = x if computed == "once" else x[:, None].repeat(1, 4, 1, 1, 1)
    assert torch.isfinite(benchmark(training_step(network, x)))
