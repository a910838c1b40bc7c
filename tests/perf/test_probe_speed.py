"""What a look at the gradients costs beside the training it looks at.

An epoch of n samples takes n/100 of the steps below: one look after each costs at most 5 % of training
where an epoch has at least 20 times as many steps as a look is worth.
"""

import pytest
import torch
from trained_networks import network_of, training_step

from bench.metrics.gradients import COLUMNS, look
from bench.metrics.looks import SAMPLES

pytestmark = pytest.mark.usefixtures("one_thread")
GROUP = "resnet19 at width 1/8, T = 2, pictures of 3x32x32"


def network(method):
    return network_of("resnet19", method, (3, 32, 32), width=1 / 8, timesteps=2)


@pytest.mark.benchmark(group=f"{GROUP}: a look at {SAMPLES} samples, a training step of 100", min_rounds=3)
@pytest.mark.parametrize("method", ["rectangle", "mpd-agl"])
def test_look(benchmark, method):
    x, y = torch.rand(SAMPLES, 3, 32, 32), torch.randint(10, (SAMPLES,))
    rows = benchmark(look, network(method), x, y, 0, 0)
    assert tuple(rows[0]) == COLUMNS


@pytest.mark.benchmark(group=f"{GROUP}: a look at {SAMPLES} samples, a training step of 100", min_rounds=3)
@pytest.mark.parametrize("method", ["rectangle", "mpd-agl"])
def test_training_step(benchmark, method):
    step = training_step(network(method), torch.rand(100, 3, 32, 32))
    assert torch.isfinite(benchmark(step))
