"""Dspike and DGS: the shape in float64, searches that find what is known, and leave the rest alone."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bench.model.backbone import build_network
from bench.model.layers import Layers, NeuronOptions
from bench.registry import load
from bench.surrogate import SearchContext

FOUND = load()
NAMES = ["dspike", "dgs"]
every_name = pytest.mark.parametrize("name", NAMES)


def loss(logits, y):
    return functional.cross_entropy(logits.mean(0), y)


def network_of(name, backbone="mlp", epochs=11, **options):
    torch.manual_seed(0)
    return build_network(
        FOUND.backbone(backbone).item,
        FOUND.method(name).item,
        {},
        NeuronOptions(**options),
        shape=(1, 8, 8),
        classes=10,
        width=0.1,
        timesteps=2,
        epochs=epochs,
        seed=3,
    ).train()


def batches_of(count, seed=0):
    random = torch.Generator().manual_seed(seed)
    return [
        (torch.rand(16, 1, 8, 8, generator=random), torch.randint(10, (16,), generator=random))
        for _ in range(count)
    ]


def search(network, batches, progress=0.5, loss=loss):
    context = SearchContext(network, lambda: iter(batches), loss, progress, len(batches))
    type(network.surrogates[0]).search(network.surrogates, context)
    return [float(surrogate.b) for surrogate in network.surrogates]


@every_name
@pytest.mark.parametrize("b", [1.0, 3.0, 6.0])
@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_h_is_the_papers_formula(plugin, layers_under, name, b, threshold):
    layers = layers_under(plugin("dspike")[name], {"b": b}, norm="none", threshold=threshold)
    surrogate = layers.spike("layer", nn.Identity()).double().surrogate
    x = np.linspace(-1.501, 1.501, 601)
    ours = torch.from_numpy(x).requires_grad_()
    surrogate.spike(ours, 0, surrogate.params(ours, 0), None).sum().backward()
    z = x / (2 * threshold)
    expected = b / np.cosh(b * z) ** 2 / (2 * np.tanh(b / 2)) / (2 * threshold) * (np.abs(z) <= 0.5)
    np.testing.assert_allclose(ours.grad.numpy(), expected, rtol=1e-10, atol=1e-14)


@every_name
@pytest.mark.parametrize("backbone", ["mlp", "convnet"])
def test_a_search_changes_the_temperatures_and_nothing_else(name, backbone):
    network = network_of(name, backbone, neuron="plif")
    network(batches_of(1)[0][0])
    before = copy.deepcopy(network.state_dict())
    random = torch.random.get_rng_state()
    search(network, batches_of(2, seed=1))
    after = network.state_dict()
    assert before.keys() == after.keys()
    for key, value in before.items():
        if not key.endswith("surrogate.b"):
            assert torch.equal(value, after[key]), key
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(random, torch.random.get_rng_state())
    assert network.training


@every_name
def test_a_search_is_repeatable_and_its_result_is_saved(name):
    one, two = (network_of(name) for _ in range(2))
    found = search(one, batches_of(3))
    assert search(two, batches_of(3)) == found
    other = network_of(name)
    other.load_state_dict(one.state_dict())
    assert [float(surrogate.b) for surrogate in other.surrogates] == found


def one_layer(name, offset):
    """A network of one block whose potentials all lie at `offset` from the threshold.

    The loss is the mean spike: to lower it the weights must lower the potentials, and the surrogate
    that is highest at this offset takes the largest step that way.
    """
    method = FOUND.method(name).item
    layers = Layers(
        "net", lambda site: method.build(site, {}), NeuronOptions(norm="none"), timesteps=1, epochs=11
    )
    block = layers.linear("fc", 4, 4)
    with torch.no_grad():
        block[0].module.weight.copy_(torch.eye(4) * (0.5 + offset))
        block[0].module.bias.zero_()
    network = SimpleNetwork(block)
    network.surrogates = (block.neuron.surrogate,)
    return network


class SimpleNetwork(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x):
        return self.block(x[None])


def height(b, x):
    z = x
    return b / math.cosh(b * z) ** 2 / (2 * math.tanh(b / 2)) * (abs(z) <= 0.5)


@pytest.mark.parametrize("offset", [0.05, 0.45])
def test_dgs_moves_to_the_temperature_whose_step_lowers_the_loss_most(offset):
    # Near the threshold a sharper surrogate is higher, far from it a flatter one.
    slopes = [height(3 + change, offset) for change in (-0.4, 0, 0.4)]
    upwards = slopes[2] > slopes[1] > slopes[0]
    assert upwards == (offset == 0.05)
    network = one_layer("dgs", offset)
    batches = [(torch.eye(4), torch.zeros(4, dtype=torch.long))] * 20

    def potential(logits, y):
        # A loss that every step of the weights along the gradient lowers.
        return logits.mean()

    (b,) = search(network, batches, loss=potential)
    assert b == pytest.approx(3.4 if upwards else 2.6)


def test_dgs_searches_every_fifth_epoch_within_its_bounds():
    network = network_of("dgs", epochs=11)
    for epoch, moves in ((0, False), (3, False), (4, False), (5, True), (10, True)):
        for surrogate in network.surrogates:
            surrogate.b.fill_(3.0)
        seen = []
        search(
            network,
            [*batches_of(2)],
            progress=epoch / 10,
            loss=lambda z, y, s=seen: s.append(1) or loss(z, y),
        )
        # Five trials and one mixture a batch.
        assert len(seen) == (12 if moves else 0)
    for surrogate in network.surrogates:
        surrogate.b.fill_(6.0)
    assert all(1 <= b <= 6 for b in search(network, batches_of(2)))


def test_dspike_keeps_the_temperature_of_the_best_aligned_gradient():
    network = network_of("dspike")
    batches = batches_of(1)
    seen = []
    found = search(network, batches, loss=lambda z, y: seen.append(1) or loss(z, y))
    assert len(set(found)) == 1
    assert found[0] in (2.5, 3.0, 3.5)
    # Three gradients, and two evaluations for each of the sampled weights.
    assert len(seen) == 3 + 2 * 8

    # Again, written plainly: every weight of the sample by itself, and the cosine by numpy.
    network = network_of("dspike")
    weight = network.body.blocks[0][0].module.weight
    x, y = batches[0]
    site = network.sites[0]
    generator = torch.Generator().manual_seed(site.seed + round(1e6 * 0.5))
    sample = torch.randperm(weight.numel(), generator=generator)[:8]
    size, true = weight.detach().square().mean().sqrt().item(), []
    for index in sample.tolist():
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                old = weight.view(-1)[index].item()
                weight.view(-1)[index] = old + sign * size
                values.append(loss(network(x), y).item())
                weight.view(-1)[index] = old
        true.append((values[0] - values[1]) / (2 * size))
    cosines = {}
    for b in (3.0, 2.5, 3.5):
        for surrogate in network.surrogates:
            surrogate.b.fill_(b)
        network.zero_grad()
        loss(network(x), y).backward()
        gradient = weight.grad.flatten()[sample].numpy()
        cosines[b] = gradient @ true / (np.linalg.norm(gradient) * np.linalg.norm(true))
    assert found[0] == max(cosines, key=cosines.get)


@every_name
def test_a_network_without_blocks_keeps_its_temperatures(name):
    method = FOUND.method(name).item
    layers = Layers(
        "net", lambda site: method.build(site, {}), NeuronOptions(norm="none"), timesteps=1, epochs=11
    )
    neuron = layers.spike("bare", nn.Identity())
    network = nn.Sequential(neuron)
    network.surrogates = (neuron.surrogate,)
    assert search(network, [(torch.rand(1, 4, 3), torch.zeros(4, dtype=torch.long))]) == [3.0]
