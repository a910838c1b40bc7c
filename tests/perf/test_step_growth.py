"""How a training step grows with the time steps, the batch and the width of a network."""

import ours
import pytest
import torch
from cases import small
from ledger import Measured
from subjects import OURS, Case

pytestmark = pytest.mark.usefixtures("one_thread", "compiler_cache")
BASE = Case("convnet", 1, (1, 8, 8), 32, 4)
DOUBLED = {
    "T": BASE._replace(timesteps=8),
    "the batch": BASE._replace(batch=64),
    "the width": BASE._replace(width=2),
}
MODES = ("off", "neuron")


def test_doubling(in_turn, ledger, device, measuring):
    """Twice T or the batch is twice the work; twice the width twice the currents, four times the products."""
    cases = {"": BASE, **DOUBLED}
    if not measuring:
        cases = {name: small(case) for name, case in cases.items()}
    with ours.settings():
        steps = {
            (mode, name): OURS[mode].step(case, device, channels_last=True)
            for mode in (MODES if measuring else MODES[:1])
            for name, case in cases.items()
        }
        for step in steps.values():
            assert torch.isfinite(step())
        times = in_turn({f"{mode} {name}": step for (mode, name), step in steps.items()}, rounds=30)
    for mode, name in steps:
        if name:
            what = f"training step with twice {name}, from {BASE}"
            ratio = times.ratio(f"{mode} {name}", f"{mode} ")
            ledger.add(Measured.spread(ratio, "x", what=what, subject=OURS[mode].name, against="half of it"))
