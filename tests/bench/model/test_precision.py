"""Mixed precision: 16 bits inside, 32 bits outside, and small gradients that survive."""

import pytest
import torch
from torch import nn

from bench import registry
from bench.model.backbone import build_network
from bench.model.layers import NeuronOptions
from bench.model.precision import FULL, Precision
from bench.runner import train
from bench.suite import Profile

FOUND = registry.load()
HALVES = ["bfloat16", "float16"]


def precision(autocast):
    return Precision(Profile(device="cpu", autocast=autocast))


def network():
    torch.manual_seed(0)
    return build_network(
        FOUND.backbone("convnet").item,
        FOUND.method("mpd-agl").item,
        {},
        NeuronOptions(),
        shape=(1, 8, 8),
        classes=10,
        width=0.25,
        timesteps=2,
    ).train()


@pytest.mark.parametrize("autocast", HALVES)
def test_currents_are_of_16_bits_and_weights_of_32(autocast):
    made, seen = network(), []
    for neuron in made.neurons:
        neuron.register_forward_hook(lambda _, given, out: seen.append((given[0].dtype, out.dtype)))
    own = [torch.optim.SGD(made.parameters(), 0.1)]
    before = [p.detach().clone() for p in made.parameters()]
    loss = train.step(made, own, torch.rand(16, 1, 8, 8), torch.arange(16) % 10, precision(autocast))
    half = getattr(torch, autocast)
    assert seen == [(half, half)] * 3
    assert loss.dtype == torch.float32
    for new in made.parameters():
        assert new.dtype == new.grad.dtype == torch.float32
        assert new.isfinite().all()
    assert any(not torch.equal(old, new) for old, new in zip(before, made.parameters(), strict=True))


@pytest.mark.parametrize(("autocast", "close"), [("bfloat16", 0.05), ("float16", 0.01)])
def test_a_step_is_near_that_of_full_precision(autocast, close):
    x, y = torch.rand(64, 1, 8, 8), torch.arange(64) % 10
    losses = []
    for how in (FULL, precision(autocast)):
        made = network()
        own = [torch.optim.SGD(made.parameters(), 0.05)]
        losses.append([train.step(made, own, x, y, how).item() for _ in range(5)])
    assert losses[1] == pytest.approx(losses[0], rel=close)
    assert losses[1] != losses[0]


def test_float16_keeps_gradients_that_it_cannot_hold_itself():
    found = []
    for how in (precision("float16"), precision("bfloat16")):
        layer = nn.Linear(4, 1, bias=False)
        with torch.no_grad():
            layer.weight.fill_(1.0)
        own = [torch.optim.SGD(layer.parameters(), 1.0)]
        with how.forward():
            # 1e-7 is under the smallest number of float16.
            loss = (layer(torch.full((1, 4), 1e-4)).float() * 1e-3).sum()
        how.backward(loss)
        how.update(own)
        found.append((1 - layer.weight.detach()).mean().item())
    assert found[0] == pytest.approx(1e-7, rel=0.3)
    assert found[0] == pytest.approx(found[1], rel=0.3)


def test_a_step_with_infinite_gradients_is_left_out():
    how = precision("float16")
    layer = nn.Linear(2, 1, bias=False)
    own = [torch.optim.SGD(layer.parameters(), 1.0)]
    before = layer.weight.detach().clone()
    with how.forward():
        loss = layer(torch.ones(1, 2)).float().sum() * 1e30
    how.backward(loss)
    how.update(own)
    assert torch.equal(layer.weight, before)


def test_full_precision_is_plain_training():
    a, b = network(), network()
    x, y = torch.rand(16, 1, 8, 8), torch.arange(16) % 10
    optimizer = torch.optim.SGD(a.parameters(), 0.1)
    train.trained_on(a, x, y).backward()
    optimizer.step()
    train.step(b, [torch.optim.SGD(b.parameters(), 0.1)], x, y)
    for one, other in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("autocast", HALVES)
def test_an_optimizer_without_a_gradient_in_a_step_waits_for_one(autocast):
    """A method's own, as where its parameters take part in some epochs only."""
    how = precision(autocast)
    weight, idle = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(()))
    own = [torch.optim.SGD([weight], 0.1), torch.optim.Adam([idle], 0.1)]
    how.backward((weight * 2).sum())
    how.update(own)
    assert torch.equal(weight.detach(), torch.full((3,), 0.8))
    assert idle.item() == 1.0
    how.backward((weight * idle).sum())
    how.update(own)
    assert idle.item() < 1.0
