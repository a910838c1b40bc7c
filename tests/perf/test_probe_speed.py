"""What a look at the gradients after every epoch costs, beside the training that it looks at."""

import pytest
import torch
from budgets import PROBES
from in_turn import Spread
from ledger import Measured
from trained_networks import network_of, training_step

from bench.measures.gradients import COLUMNS, look
from bench.measures.probing import SAMPLES

pytestmark = pytest.mark.usefixtures("one_thread")
IMAGES, BATCH = 45_000, 100
"""An epoch of CIFAR-10 without its validation set."""
STEPS = IMAGES // BATCH


@pytest.mark.parametrize("method", ["rectangle", "mpd-agl"])
def test_a_look_after_every_epoch(method, in_turn, ledger, device, measuring):
    size, samples, batch = ((3, 32, 32), SAMPLES, BATCH) if measuring else ((3, 8, 8), 4, 2)

    def network():
        return network_of("resnet19", method, size, width=1 / 8, timesteps=2).to(device)

    generator = torch.Generator().manual_seed(0)
    x = torch.rand(samples, *size, generator=generator).to(device)
    y = (torch.arange(samples) % 10).to(device)
    looked_at, rows = network(), []
    times = in_turn(
        {
            "look": lambda: rows.append(look(looked_at, x, y, 0, 0)),
            "step": training_step(network(), torch.rand(batch, *size, generator=generator).to(device)),
        },
        warm=1,
        least=3,
        seconds=10.0,
    )
    assert tuple(rows[0][0]) == COLUMNS
    share = Spread(*(None if part is None else 100 * part / STEPS for part in times.ratio("look", "step")))
    what = f"a look at {samples} samples, {method}, resnet19 at width 1/8, T = 2, 3×32×32"
    against = f"an epoch of {IMAGES:,} pictures"
    ledger.add(Measured.under(PROBES, share, what=what, subject="spikegrad", against=against))
