"""One layer of neurons, forward and backward, against copying the bytes that must move, and against peers."""

import pytest
import torch
from in_turn import fastest, in_turn, ratio, seconds
from ledger import Measured
from peers import FOUND, SURROGATE, peers

from bench import compiling
from bench.layers import Layers, NeuronOptions

pytestmark = pytest.mark.usefixtures("one_thread")
TIMESTEPS, SAMPLES, NEURONS = 4, 2000, 1000
PASSES = 5
"""Over all currents: read them, write spikes; read spikes' gradient and currents, write their gradient."""
FLOOR = f"{PASSES} copies"
LIMIT = 1.5


def layer(method="fast-sigmoid", mode="off", values=None, neurons=NEURONS):
    found = FOUND.method(method).item
    values = SURROGATE if method == "fast-sigmoid" else values or {}
    layers = Layers("perf", lambda site: found.build(site, values), NeuronOptions(), timesteps=TIMESTEPS)
    made = layers.spike("layer", layers.norm(neurons)).train()
    made.surrogate.on_epoch(0.0)
    if mode == "neuron":
        compiling.configure()
        made.compiled = compiling.compiled_loop()
    return made


def there_and_back(neuron, current, upstream):
    current.grad = None
    out = neuron(current)
    out.backward(upstream)
    return out.detach()


def currents(measuring):
    torch.manual_seed(0)
    size = (TIMESTEPS, SAMPLES, NEURONS) if measuring else (TIMESTEPS, 6, 5)
    return (0.5 * torch.randn(size)).requires_grad_()


def test_all_compute_the_same():
    current = (0.7 * torch.randn(TIMESTEPS, 40, 30)).requires_grad_()
    upstream = torch.randn_like(current, requires_grad=False)
    expected, gradient = there_and_back(layer(neurons=30), current, upstream), current.grad
    compared = {name: make() for name, make in peers().items()}
    assert {"snntorch", "norse"} <= compared.keys()
    for name, neuron in compared.items():
        assert torch.equal(there_and_back(neuron, current, upstream), expected), name
        assert (current.grad - gradient).abs().max() <= 1e-6 * gradient.abs().max(), name


def test_a_layer_of_neurons(measuring, ledger):
    current = currents(measuring)
    upstream, target = torch.ones_like(current, requires_grad=False), torch.empty_like(current)

    def floor():
        for _ in range(PASSES):
            target.copy_(upstream)

    neurons = current.shape[2]
    actions = {FLOOR: floor, "spikegrad, eager": layer(neurons=neurons)}
    if measuring:
        for method in ("fast-sigmoid", "rectangle", "mpd-agl", "arctan"):
            actions[f"spikegrad, compiled, {method}"] = layer(method, "neuron", neurons=neurons)
    others = {name: make() for name, make in peers().items()}
    for name, neuron in (actions | others).items():
        if name != FLOOR:
            actions[name] = lambda neuron=neuron: there_and_back(neuron, current, upstream)
            assert set(actions[name]().unique().tolist()) == {0.0, 1.0}
    if not measuring:
        return
    times = in_turn(actions, rounds=9)
    what = f"neurons forward and backward, T = {TIMESTEPS}, {SAMPLES * NEURONS / 1e6:.0f}M neurons"
    for name in actions:
        if name != FLOOR:
            compiled = "compiled" in name
            found = ratio(times, name, FLOOR)
            limit = {"budget": "neurons against memory", "limit": LIMIT} if compiled else {"budget": ""}
            ledger.add(Measured(what=what, subject=name, against=FLOOR, unit="x", **found._asdict(), **limit))
    peer = fastest(times, list(others))
    found = ratio(times, peer, "spikegrad, compiled, fast-sigmoid")
    ledger.add(Measured("", what, peer, "spikegrad, compiled, fast-sigmoid", unit="x", **found._asdict()))
    ledger.add(Measured("", what, FLOOR, "", unit="s", **seconds(times, FLOOR)._asdict()))
