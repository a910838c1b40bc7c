"""The probe of any network: the benchmark's own numbers, and layers of snntorch and SpikingJelly."""

import copy
import importlib.util

import pytest
import snntorch
import torch
from torch import nn
from torch.nn import functional

import bench
from bench import registry
from bench.errors import BenchError
from bench.measures.gradients import look
from bench.model.backbone import build_network
from bench.model.layers import NeuronOptions

FOUND = registry.load()
T = 3
SHARED = ("spike_rate", "available_fraction", "participation", "gain", "gradient_norm")


@pytest.mark.parametrize("backbone", ["mlp", "convnet", "rsnn"])
@pytest.mark.parametrize(
    "method",
    ["rectangle", "mpd-agl", "mpd-agl:channel", "pdsg", "arctan", "ds-atgo", "trsg", "snntorch/fast_sigmoid"],
)
def test_it_measures_what_the_benchmark_measures(method, backbone):
    torch.manual_seed(0)
    shape = (1, 8, 8) if backbone == "convnet" else (12,)
    network = build_network(
        FOUND.backbone(backbone).item,
        FOUND.method(method).item,
        {},
        NeuronOptions(),
        shape=shape,
        classes=4,
        width=0.25,
        timesteps=T,
    ).train()
    x, y = torch.rand(16, *shape), torch.randint(4, (16,))
    expected = look(network, x, y, 0, 0)
    found = bench.probe(network, lambda: functional.cross_entropy(network(x).mean(0), y))
    assert len(found) == len(expected) == T * len(network.sites)
    for row, known in zip(found.to_dict("records"), expected, strict=True):
        assert row["t"] == known["t"]
        for column in SHARED:
            assert row[column] == pytest.approx(known[column], rel=1e-4, abs=1e-9), (column, row, known)


class Snn(nn.Module):
    """Two layers of snntorch, step by step."""

    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(12, 20), nn.Linear(20, 4)
        self.lif = snntorch.Leaky(beta=0.5, **options)

    def forward(self, x):
        mem, total = self.lif.reset_mem(), 0.0
        for _ in range(T):
            spikes, mem = self.lif(self.first(x), mem)
            total = total + self.second(spikes)
        return total / T


def loss_of(network):
    x, y = 3 * torch.rand(16, 12, generator=torch.Generator().manual_seed(0)), torch.arange(16) % 4
    return lambda: functional.cross_entropy(network(x), y)


def test_a_layer_of_snntorch_by_hand():
    network = Snn(spike_grad=snntorch.surrogate.triangular())
    seen = []
    x = 3 * torch.rand(16, 12, generator=torch.Generator().manual_seed(0))
    currents, mem = [network.first(x).detach().requires_grad_() for _ in range(T)], network.lif.reset_mem()
    total = 0.0
    for current in currents:
        spikes, mem = network.lif(current, mem)
        seen.append(spikes)
        total = total + network.second(spikes)
    functional.cross_entropy(total / T, torch.arange(16) % 4).backward()
    found = bench.probe(network, loss_of(network))
    assert found["layer"].tolist() == ["lif"] * T
    assert found["t"].tolist() == [*range(T)]
    for row, current, spikes in zip(found.to_dict("records"), currents, seen, strict=True):
        assert row["spike_rate"] == pytest.approx(float(spikes.detach().mean()))
        assert row["gradient_norm"] == pytest.approx(float(current.grad.norm()), rel=1e-5)


def test_a_method_in_snntorch_is_seen_through_its_layer():
    network = Snn(spike_grad=bench.spike_grad("rectangle", timesteps=T, width=1.0))
    plain = bench.probe(network, loss_of(network))
    assert len(plain) == T
    assert plain["available_fraction"].between(0.05, 0.95).all()
    # A rectangle of height 1: the share that passes is the mean of h.
    assert plain["gain"].tolist() == pytest.approx(plain["available_fraction"].tolist())


@pytest.mark.skipif(importlib.util.find_spec("spikingjelly") is None, reason="SpikingJelly is not installed")
@pytest.mark.parametrize("mode", ["s", "m"])
def test_layers_of_spikingjelly(mode):
    from spikingjelly.activation_based import functional as sj
    from spikingjelly.activation_based import neuron

    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(12, 20), neuron.LIFNode(step_mode=mode), nn.Linear(20, 4))
    x, y = 6 * torch.rand(T, 16, 12), torch.arange(16) % 4

    def loss():
        sj.reset_net(network)
        out = network(x) if mode == "m" else torch.stack([network(step) for step in x])
        return functional.cross_entropy(out.mean(0), y)

    found = bench.probe(network, loss)
    assert found["layer"].tolist() == ["1"] * T
    assert (found[["spike_rate", "available_fraction", "gradient_norm"]] > 0).all().all()


def test_it_leaves_everything_as_it_was():
    network = Snn()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    own, random = network.lif.spike_grad, torch.get_rng_state()
    bench.probe(network, loss_of(network))
    assert network.lif.spike_grad is own
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for p in network.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    function = bench.spike_grad("rectangle", timesteps=T)
    network = Snn(spike_grad=function)
    bench.probe(network, loss_of(network))
    assert "spike" not in vars(function.surrogate)


@pytest.mark.parametrize("method", ["cpng", "localzo", "msg", "ds-atgo"])
def test_it_leaves_a_methods_state_as_it_was(method):
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(20)
    layer = bench.neuron(method, timesteps=T)
    network = nn.Sequential(nn.Linear(12, 20), norm, nn.Unflatten(0, (T, 16)), layer)
    readout, x = nn.Linear(20, 4), torch.rand(T * 16, 12)
    before = {name: copy.deepcopy(value) for name, value in network.state_dict().items()}
    bench.probe(network, lambda: readout(network(x)).square().mean())
    after = network.state_dict()
    assert all(
        torch.equal(value, after[name]) if isinstance(value, torch.Tensor) else value == after[name]
        for name, value in before.items()
    )


def test_a_layer_without_gradient_has_none():
    network = Snn(spike_grad=bench.spike_grad("rectangle", timesteps=T, width=1e-6))
    found = bench.probe(network, loss_of(network))
    assert found["available_fraction"].tolist() == [0.0] * T
    assert found["gradient_norm"].tolist() == [0.0] * T


@pytest.mark.parametrize(
    ("network", "loss", "sentence"),
    [
        (nn.Linear(2, 2), lambda: torch.zeros(()), "no spiking layer whose.*Linear"),
        (
            Snn(),
            lambda: torch.zeros(3),
            r"reaches a spiking layer, not a tensor of shape \(3,\), which is detached",
        ),
        (Snn(), lambda: 1.0, "not float"),
        (Snn(), 3, "must be a function without arguments, not 3"),
    ],
)
def test_mistakes_are_sentences(network, loss, sentence):
    with pytest.raises(BenchError, match=sentence):
        bench.probe(network, loss)
