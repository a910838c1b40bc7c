"""The copy that is looked at: all of the network's state, and nothing shared with it."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench import registry, shapes
from bench.model.backbone import build_network
from bench.model.copying import copied
from bench.model.layers import NeuronOptions
from bench.surrogate import Surrogate, method

FOUND = registry.load()
INSTALLED = sorted(n for n, e in FOUND.methods.items() if not registry.missing_packages(e.item))


def network_of(named, neuron="plif"):
    torch.manual_seed(0)
    item = FOUND.method(named).item if isinstance(named, str) else named
    mlp = FOUND.backbone("mlp").item
    options = NeuronOptions(neuron=neuron)
    return build_network(mlp, item, {}, options, shape=(6,), classes=3, width=1 / 16, timesteps=2)


def trained(network):
    """The network after a step's forward and backward, and what it gave."""
    torch.manual_seed(1)
    x, y = torch.rand(8, 6, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3
    out = network.train()(x)
    functional.cross_entropy(out.mean(0), y).backward()
    return out


def same(a, b):
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize("named", INSTALLED)
def test_a_copy_of_every_method_computes_the_same_and_shares_nothing(named):
    network = network_of(named)
    try:
        trained(network)
    except Exception as problem:
        pytest.skip(f"it cannot be trained: {problem}")
    twin = copied(network)
    before = {
        k: copy.copy(v) if not isinstance(v, torch.Tensor) else v.clone()
        for k, v in network.state_dict().items()
    }
    assert all(same(v, twin.state_dict()[k]) for k, v in before.items())
    assert all(p.grad is None for p in twin.parameters())
    theirs = {v.data_ptr() for v in network.state_dict().values() if isinstance(v, torch.Tensor)}
    assert not theirs & {v.data_ptr() for v in twin.state_dict().values() if isinstance(v, torch.Tensor)}
    for surrogate, site, neuron in zip(twin.surrogates, twin.sites, twin.neurons, strict=True):
        assert neuron.surrogate is surrogate and surrogate.site is site and site.neuron is neuron
    gradients = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
    given = trained(twin)
    after = network.state_dict()
    assert all(same(v, after[k]) for k, v in before.items())
    for gradient, parameter in zip(gradients, network.parameters(), strict=True):
        assert gradient is parameter.grad is None or torch.equal(gradient, parameter.grad)
    # A sum over 8 samples of NaN is no reason to differ.
    torch.testing.assert_close(given, trained(network), rtol=0, atol=0, equal_nan=True)


class Box:
    """Neither a container nor a dataclass."""


@method("keeper", paper="none", kind="control")
class Keeper(Surrogate):
    """Keeps results of its computations in all kinds of places, and a generator."""

    shape = staticmethod(shapes.rectangle)

    def bind(self, site):
        super().bind(site)
        self.scale = nn.Parameter(torch.ones(()))
        self.generator = torch.Generator().manual_seed(3)
        self.register_buffer("seen", torch.zeros(()))

    def params(self, u, t):
        self.draw = torch.rand((), generator=self.generator).item()
        return {"width": 1.0}

    def spike(self, x, t, params, noise):
        s = super().spike(x, t, params, noise) * self.scale
        self.last, self.pair, self.nested = s, (s, x), {"of": [s * 2]}
        self.box = Box()
        self.box.s = s
        self.seen = self.seen + s.mean()
        return s


def test_results_of_computations_become_plain_tensors_wherever_they_are():
    network = network_of(Keeper.declared[0])
    with pytest.raises(RuntimeError, match="deepcopy protocol"):
        trained(network)
        copy.deepcopy(network)
    first, *_ = network.surrogates
    twin, *_ = copied(network).surrogates
    pairs = [
        (first.last, twin.last),
        (first.pair[1], twin.pair[1]),
        (first.nested["of"][0], twin.nested["of"][0]),
        (first.box.s, twin.box.s),
        (first.seen, twin.seen),
    ]
    for theirs, ours in pairs:
        assert theirs.grad_fn is not None
        assert not ours.requires_grad
        assert torch.equal(theirs, ours) and theirs.data_ptr() != ours.data_ptr()
    assert twin.last is twin.pair[0] is twin.box.s
    assert twin.scale.requires_grad and twin.scale is not first.scale
    draws = [torch.rand(3, generator=of.generator).tolist() for of in (twin, first)]
    assert draws[0] == draws[1]


def test_what_cannot_be_copied_is_said():
    network = network_of("rectangle")
    network.surrogates[0].lines = (line for line in "abc")
    with pytest.raises(TypeError, match="generator"):
        copied(network)
