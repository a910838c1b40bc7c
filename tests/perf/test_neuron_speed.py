"""Speed of one neuron layer, forward and backward, against what memory traffic alone would cost.

That floor is five passes over the same bytes. Peers are there as they ship, and compiled as ours is.
"""

import warnings

import ours
import pytest
import torch
from budgets import NEURON
from ledger import Measured
from neuron_layers import COMPILED, EAGER, FLOOR, neuron, there_and_back
from peers import INSTALLED, METHOD, PEERS, VALUES

from bench.model.layers import NeuronOptions

pytestmark = pytest.mark.usefixtures("one_thread", "compiler_cache")
T, N, FEW = 4, 2_000_000, 2_000


@pytest.mark.sizes("cpu")
def test_layer(in_turn, ledger, device, measuring):
    n = N if measuring else FEW
    normal = torch.randn(T, n // T, generator=torch.Generator().manual_seed(0)).to(device)
    upstream = torch.randn(T, n // T, generator=torch.Generator().manual_seed(1)).to(device)
    target = torch.empty_like(normal)

    def five_copies():
        for _ in range(5):
            target.copy_(normal)

    def timed(layer, scale=1.0):
        current = (normal * scale).requires_grad_()
        return lambda: (there_and_back(layer, current, upstream).detach(), current.grad * scale)

    layers = {EAGER: timed(neuron(T, METHOD, VALUES.items()))}
    notes = {}
    options = NeuronOptions()
    with ours.settings():
        compiled = neuron(T, METHOD, VALUES.items())
        ours.compile_neurons([compiled])
        layers[COMPILED] = timed(compiled)
        for name in INSTALLED:
            peer = PEERS[name]
            layer = peer.layer(options.decay, options.threshold).to(device, torch.float32)
            layers[name], notes[name] = timed(layer, peer.current_scale), peer.note
            if measuring:
                theirs = torch.compile(peer.layer(options.decay, options.threshold).to(device), dynamic=False)
                layers[f"{name}, compiled"] = timed(theirs, peer.current_scale)
                notes[f"{name}, compiled"] = peer.note
        spikes, gradient = layers[EAGER]()
        for name in list(layers):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found, back = layers[name]()
            except torch._dynamo.exc.TorchDynamoException as problem:
                ledger.leave_out(f"{name}: {type(problem).__name__}.")
                del layers[name]
                continue
            # Roundings differ, and of millions of potentials a few lie on the threshold.
            assert (found != spikes).double().mean() < 1e-5, name
            assert ((back - gradient).abs() > 1e-4 * gradient.abs().max()).double().mean() < 1e-5, name
        times = in_turn({FLOOR: five_copies, **layers}, rounds=30)
    assert torch.equal(normal, target)
    what = f"neuron layer there and back, T = {T}, {n:,} currents"
    ledger.add(Measured.spread(times.of(FLOOR), "s", what=what, subject=FLOOR))
    for name in layers:
        about = {"what": what, "subject": name, "against": FLOOR, "note": notes.get(name, "")}
        ratio = times.ratio(name, FLOOR)
        budget = name == COMPILED
        ledger.add(Measured.under(NEURON, ratio, **about) if budget else Measured.spread(ratio, "x", **about))


@pytest.mark.benchmark(group="neuron layer, T = 4, 2M currents, forward and backward")
@pytest.mark.parametrize("method", ["rectangle", "arctan", "mpd-agl", "snntorch/atan", "norse/superspike"])
def test_methods(benchmark, method, measuring):
    n = N if measuring else FEW
    current = torch.randn(T, n // T, requires_grad=True)
    out = benchmark(there_and_back, neuron(T, method), current, torch.ones(T, n // T))
    assert set(out.detach().unique().tolist()) == {0.0, 1.0}
