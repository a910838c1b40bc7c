"""Speed of one training step; the brackets are ratios to the fastest of the group."""

import pytest
import torch
from torch.nn import functional

from bench import registry
from bench.api import load_suite
from bench.backbone import build_network
from bench.layers import NeuronOptions

FOUND = registry.load()
NARROW = {"cifarnet": 1 / 16, "resnet18": 1 / 8, "resnet19": 1 / 16, "vggsnn": 1 / 8}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network_of(backbone, method, shape, width, timesteps):
    return build_network(
        FOUND.backbone(backbone).item,
        FOUND.method(method).item,
        {},
        NeuronOptions(),
        shape=shape,
        classes=10,
        width=width,
        timesteps=timesteps,
    )


def training_step(network, x):
    """A function that takes one step on these samples."""
    optimizer = torch.optim.AdamW(network.parameters())
    y = torch.randint(10, (len(x),))

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(network(x).mean(0), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


@pytest.mark.benchmark(group="training step of quick's convnet on digits")
@pytest.mark.parametrize("method", ["ann-relu", "rectangle", "mpd-agl"])
def test_step(benchmark, method):
    suite = load_suite("quick")
    network = network_of("convnet", method, (1, 8, 8), suite.backbones[0].width, suite.timesteps[0])
    # A step of its own at each time: without spikes a still sample would be computed at one step only.
    x = torch.rand(suite.recipe.batch_size, 1, 1, 8, 8).repeat(1, suite.timesteps[0], 1, 1, 1)
    assert torch.isfinite(benchmark(training_step(network, x)))


@pytest.mark.benchmark(group="training step of rectangle, T = 4, on 8 pictures of 3x32x32")
@pytest.mark.parametrize("backbone", FOUND.backbones)
def test_backbone(benchmark, backbone):
    network = network_of(backbone, "rectangle", (3, 32, 32), NARROW.get(backbone, 1), timesteps=4)
    assert torch.isfinite(benchmark(training_step(network, torch.rand(8, 3, 32, 32))))


@pytest.mark.benchmark(group="training step of quick's convnet, T = 4: what is before the first spike")
@pytest.mark.parametrize("computed", ["once", "at every step"])
def test_still_pictures(benchmark, computed):
    network = network_of("convnet", "rectangle", (1, 8, 8), 0.5, timesteps=4)
    x = torch.rand(64, 1, 8, 8)
    # Events are steps of their own, even where they are all the same.
    x = x if computed == "once" else x[:, None].repeat(1, 4, 1, 1, 1)
    assert torch.isfinite(benchmark(training_step(network, x)))
