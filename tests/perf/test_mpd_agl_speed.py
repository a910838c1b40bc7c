"""What MPD-AGL's adaptation costs: its training step beside that of the rectangle it adapts."""

import ours
import pytest
import torch
from budgets import MPD_AGL
from cases import WHOLE, convnet, resnet, small
from ledger import Measured
from subjects import of_method

pytestmark = pytest.mark.usefixtures("one_thread", "compiler_cache")
ROUNDS = {"rounds": 40, "seconds": 20.0}
"""More than usual: it is a question of percents."""


@pytest.mark.parametrize(
    ("case", "mode"),
    # The other compiled forms of the ResNet would take minutes to make.
    [
        (convnet(WHOLE), "off"),
        *(
            pytest.param(case, mode, marks=pytest.mark.measured_only)
            for case, mode in [
                (convnet(WHOLE), "neuron"),
                (convnet(WHOLE), "step"),
                (resnet(WHOLE), "off"),
            ]
        ),
    ],
    ids=lambda part: str(part).replace("×", "x"),
)
def test_mpd_agl(case, mode, in_turn, ledger, device, measuring):
    if not measuring:
        case = small(case)
    with ours.settings():
        subjects = [of_method(method, mode) for method in ("mpd-agl", "rectangle")]
        steps = {s.name: s.step(case, device, channels_last=True) for s in subjects}
        for step in steps.values():
            assert torch.isfinite(step())
        times = in_turn(steps, **ROUNDS)
    mine, base = steps
    what = f"training step, {case}, compile = {mode}"
    ledger.add(
        Measured.under(MPD_AGL, times.ratio(mine, base), what=what, subject="mpd-agl", against="rectangle")
    )
