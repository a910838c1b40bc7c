"""What a look at the gradients after every epoch costs beside the training it looks at."""

import pytest
import torch
from in_turn import in_turn, ratio
from ledger import Measured
from ours import training_step
from peers import ours

from bench.metrics.gradients import COLUMNS, look
from bench.metrics.looks import SAMPLES

pytestmark = pytest.mark.usefixtures("one_thread")
BATCH, EPOCH = 100, 45_000
"""Of CIFAR-10 without its validation set."""
LIMIT = 5.0


@pytest.mark.parametrize("method", ["rectangle", "mpd-agl"])
def test_a_look_after_every_epoch(method, measuring, ledger):
    side, samples, batch = (32, SAMPLES, BATCH) if measuring else (8, 8, 4)
    network = ours("resnet19", 2, (3, side, side), 1 / 8, method=method)
    x, y = torch.rand(samples, 3, side, side), torch.arange(samples) % 10
    assert tuple(look(network, x, y, 0, 0)[0]) == COLUMNS
    step, _ = training_step(network, x[:batch])
    times = in_turn(
        {"look": lambda: look(network, x, y, 0, 0), "step": step}, rounds=5 if measuring else 1, warm=1
    )
    if measuring:
        found = ratio(times, "look", "step")
        steps = EPOCH / BATCH
        percent = {name: 100 * value / steps for name, value in found._asdict().items()}
        what = f"gradients after every epoch of {EPOCH:,}, resnet19, width 1/8, T = 2"
        against = "training, eager"
        ledger.add(Measured("probes", what, method, against, unit="%", **percent, limit=LIMIT))
