"""Speed of one training step; the brackets are ratios to the fastest of the group."""

import pytest
import torch
from trained_networks import FOUND, network_of, training_step

from bench.api import load_suite

pytestmark = pytest.mark.usefixtures("one_thread")
NARROW = {"cifarnet": 1 / 16, "resnet18": 1 / 8, "resnet19": 1 / 16, "vggsnn": 1 / 8}


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
