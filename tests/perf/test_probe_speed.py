"""What a look at the gradients costs beside the training it looks at.

An epoch of n samples takes n/100 of the steps below: one look after each costs at most 5 % of training
where an epoch has at least 20 times as many steps as a look is worth.
"""

import pytest
import torch
from torch.nn import functional

from bench import registry
from bench.backbone import build_network
from bench.layers import NeuronOptions
from bench.metrics.gradients import COLUMNS, look
from bench.metrics.looks import SAMPLES

FOUND = registry.load()
GROUP = "resnet19 at width 1/8, T = 2, pictures of 3x32x32"


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network_of(method):
    return build_network(
        FOUND.backbone("resnet19").item,
        FOUND.method(method).item,
        {},
        NeuronOptions(),
        shape=(3, 32, 32),
        classes=10,
        width=1 / 8,
        timesteps=2,
    )


@pytest.mark.benchmark(group=f"{GROUP}: a look at {SAMPLES} samples, a training step of 100", min_rounds=3)
@pytest.mark.parametrize("method", ["rectangle", "mpd-agl"])
def test_look(benchmark, method):
    x, y = torch.rand(SAMPLES, 3, 32, 32), torch.randint(10, (SAMPLES,))
    rows = benchmark(look, network_of(method), x, y, 0, 0)
    assert tuple(rows[0]) == COLUMNS


@pytest.mark.benchmark(group=f"{GROUP}: a look at {SAMPLES} samples, a training step of 100", min_rounds=3)
@pytest.mark.parametrize("method", ["rectangle", "mpd-agl"])
def test_training_step(benchmark, method):
    network = network_of(method)
    optimizer = torch.optim.AdamW(network.parameters())
    x, y = torch.rand(100, 3, 32, 32), torch.randint(10, (100,))

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(network(x).mean(0), y)
        loss.backward()
        optimizer.step()
        return loss

    assert torch.isfinite(benchmark(step))
