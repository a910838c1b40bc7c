"""Speed of one training step of the quick suite's network; the brackets are ratios to the fastest."""

import pytest
import torch
from torch.nn import functional

from bench import registry
from bench.api import load_suite
from bench.backbone import build_network
from bench.layers import NeuronOptions


@pytest.mark.benchmark(group="training step of quick's convnet on digits")
@pytest.mark.parametrize("method", ["ann-relu", "rectangle", "mpd-agl"])
def test_step(benchmark, method):
    torch.set_num_threads(1)
    suite, found = load_suite("quick"), registry.load()
    network = build_network(
        found.backbone("convnet").item,
        found.method(method).item,
        {},
        NeuronOptions(),
        shape=(1, 8, 8),
        classes=10,
        width=suite.backbones[0].width,
        timesteps=suite.timesteps[0],
    )
    optimizer = torch.optim.AdamW(network.parameters())
    x, y = torch.rand(suite.recipe.batch_size, 1, 8, 8), torch.randint(10, (suite.recipe.batch_size,))

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(network(x).mean(0), y)
        loss.backward()
        optimizer.step()
        return loss

    assert torch.isfinite(benchmark(step))
