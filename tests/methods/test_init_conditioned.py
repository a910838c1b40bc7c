"""Init-conditioned: one search, after which the gradient has the same size in every layer."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from bench.measures.single_layer import Probe
from bench.model.backbone import build_network
from bench.model.layers import NeuronOptions
from bench.registry import load
from bench.surrogate import SearchContext

FOUND = load()
KIND = FOUND.method("init-conditioned").item


def network_of(backbone, timesteps=2, **options):
    torch.manual_seed(0)
    made = build_network(
        FOUND.backbone(backbone).item,
        KIND,
        {},
        NeuronOptions(**options),
        shape=(1, 8, 8),
        classes=10,
        width=0.125,
        timesteps=timesteps,
        epochs=3,
        seed=3,
    )
    return made.double().train()


def batch():
    random = torch.Generator().manual_seed(1)
    x = torch.rand(64, 1, 8, 8, generator=random, dtype=torch.float64)
    return x, torch.randint(10, (64,), generator=random)


def loss(logits, y):
    return functional.cross_entropy(logits.mean(0), y)


def condition(network, progress=0.0, batches=lambda: iter([batch()])):
    context = SearchContext(network, batches, loss, progress, 5)
    type(network.surrogates[0]).search(network.surrogates, context)
    return [surrogate.height.item() for surrogate in network.surrogates]


def sizes(network):
    """Root mean square of the loss's gradient at the potential, by hooks on what each neuron emits."""
    seen = {}

    def watched(name, spike):
        def call(x, t, params, noise):
            at = x.detach().requires_grad_()
            s = spike(x, t, params, noise)
            inside = (at.detach().abs() < params["width"] / 2) * float(params["height"])
            s.register_hook(lambda g: seen.setdefault(name, []).append(g * inside))
            return s

        return call

    for number, surrogate in enumerate(network.surrogates):
        vars(surrogate)["spike"] = watched(number, surrogate.spike)
    x, y = batch()
    loss(network(x), y).backward()
    for surrogate in network.surrogates:
        del vars(surrogate)["spike"]
    return [torch.stack(seen[number]).square().mean().sqrt().item() for number in sorted(seen)]


@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("mlp", {"norm": "none", "reset": "subtract"}),
        ("convnet", {"neuron": "plif"}),
        ("resnet19", {}),
    ],
)
def test_the_gradient_has_the_same_size_in_all_layers(backbone, options):
    network = network_of(backbone, **options)
    before = sizes(network)
    assert max(before) > 1.3 * min(before), "or there was nothing to do"
    heights = condition(network)
    after = sizes(network)
    assert max(after) < 1.05 * min(after)
    assert heights[-1] == 1.0, "1 / width: the last layer is the measure"


def test_of_layers_in_a_row_one_pass_is_the_solution():
    """Of T = 1 the gradients are a product: c of a layer is the size in the next over its own."""
    network = network_of("convnet", timesteps=1)
    before = sizes(network)
    heights = condition(network)
    expected = [after / own for own, after in pairwise(before)]
    assert heights[:-1] == pytest.approx(expected, rel=0.02)


def test_heights_are_set_before_the_first_epoch_and_stay():
    network = network_of("mlp", norm="none")
    start = [surrogate.height.item() for surrogate in network.surrogates]
    assert condition(network, progress=0.5) == start
    assert condition(network, batches=lambda: iter([])) == start
    assert condition(network) != start


def test_a_silent_layer_keeps_its_height():
    network = network_of("mlp", norm="none")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert condition(network) == [1.0] * len(network.surrogates)


def test_nothing_else_of_the_network_changes():
    network = network_of("convnet")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    condition(network)
    moved = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert moved and all(name.endswith(".height") for name in moved)
    assert all(parameter.grad is None for parameter in network.parameters())


@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_h_is_the_rectangle_before_the_search(threshold):
    x = torch.linspace(-1.1, 1.1, 45, dtype=torch.float64)
    plain = Probe(FOUND.method("rectangle").item, threshold=threshold).gradient(x)
    assert torch.equal(Probe(KIND, threshold=threshold).gradient(x), plain)
