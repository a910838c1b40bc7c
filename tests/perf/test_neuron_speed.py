"""Speed of one neuron layer, forward and backward; the table's brackets are ratios to the fastest.

The floor is what memory traffic alone would cost: five passes over the same bytes.
"""

import pytest
import torch

from bench import registry
from bench.layers import Layers, NeuronOptions

pytestmark = pytest.mark.usefixtures("one_thread")
T, N = 4, 2_000_000


def neuron(method):
    found = registry.load().method(method).item
    layers = Layers("perf", lambda site: found.build(site, {}), NeuronOptions(), timesteps=T)
    return layers.spike("layer", layers.norm(1))


def there_and_back(layer, current, upstream):
    current.grad = None
    out = layer(current)
    out.backward(upstream)
    return out


@pytest.mark.benchmark(group="neuron layer, T = 4, 2M currents, forward and backward")
@pytest.mark.parametrize("method", ["rectangle", "arctan", "mpd-agl", "snntorch/atan", "norse/superspike"])
def test_ours(benchmark, method):
    current = torch.randn(T, N // T, requires_grad=True)
    out = benchmark(there_and_back, neuron(method), current, torch.ones(T, N // T))
    assert set(out.detach().unique().tolist()) == {0.0, 1.0}


@pytest.mark.benchmark(group="neuron layer, T = 4, 2M currents, forward and backward")
def test_floor(benchmark):
    source, target = torch.randn(T, N // T), torch.empty(T, N // T)

    def five_passes():
        for _ in range(5):
            target.copy_(source)

    benchmark(five_passes)
    assert torch.equal(source, target)


@pytest.mark.benchmark(group="neuron layer, T = 4, 2M currents, forward and backward")
def test_snntorch_leaky(benchmark):
    snntorch = pytest.importorskip("snntorch", reason="a peer to compare with")
    layer = snntorch.Leaky(beta=0.2, threshold=0.5, reset_mechanism="zero")

    def over_time(current):
        potential, out = layer.init_leaky(), []
        for i in current.unbind(0):
            spikes, potential = layer(i, potential)
            out.append(spikes)
        return torch.stack(out)

    current = torch.randn(T, N // T, requires_grad=True)
    out = benchmark(there_and_back, over_time, current, torch.ones(T, N // T))
    assert set(out.detach().unique().tolist()) == {0.0, 1.0}
