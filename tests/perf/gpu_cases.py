"""The networks whose training is measured on a GPU: at sizes that fill it, and in what suits a GPU.

Everybody is measured in each arithmetic, and peers in both layouts of pictures in memory, so that the fastest
and the leanest of all they offer can be named. At T = 4 they are there in compiled form too, all of them;
at more steps SpikingJelly alone, which is made for it: the others' loops take too long to compile.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from apart import Work
from peers import INSTALLED, PEERS
from subjects import AS_SHIPPED, COMPILED_PEERS, COMPILED_RELU, OURS, RELU, Case, Subject, of_method
from trained_networks import training_step

from bench.model.precision import Precision
from bench.runner import train
from bench.suite import Profile

ARITHMETIC = {"bfloat16": {"autocast": "bfloat16", "tf32": True}, "TF32": {"tf32": True}}
"""As settings of a profile; under autocast what is not in 16 bits is in TF32."""
WHOLE = Case("resnet19", 1, (3, 32, 32), 64, 4)
LONG = [Case("vggsnn", 1, (2, 48, 48), 32, 10), Case("convnet", 1, (3, 32, 32), 32, 32)]
GPU_CASES = [WHOLE, LONG[1], LONG[0]]
"""The most important first: what there is no time for is left out."""
ADAPTIVE, FIXED = of_method("mpd-agl", "step"), of_method("rectangle", "step")


class Form(NamedTuple):
    """A subject, what it computes in, and how its pictures lie in memory."""

    subject: Subject
    arithmetic: str
    channels_last: bool = True

    @property
    def name(self) -> str:
        layout = "" if self.channels_last else ", channels first"
        return f"{self.subject.name}, {self.arithmetic}{layout}"


def forms(case: Case) -> list[Form]:
    """Everything that is measured in a case."""
    peers = [*AS_SHIPPED, *COMPILED_PEERS] if case == WHOLE else AS_SHIPPED
    last_only = [s for s in _compiled_peers(case) if s not in peers]
    return [
        *(Form(s, a) for s in [*OURS.values(), RELU, COMPILED_RELU, *last_only] for a in ARITHMETIC),
        *(Form(s, a, last) for s in peers for a in ARITHMETIC for last in (True, False)),
        *(Form(s, "bfloat16") for s in [ADAPTIVE, FIXED] if case == WHOLE),
    ]


def _compiled_peers(case: Case) -> list[Subject]:
    if case != WHOLE:
        return COMPILED_PEERS
    return [Subject(f"{name}, compiled", peer=name, mode="step") for name in INSTALLED]


def training(case: Case, form: Form, device: torch.device) -> Work:
    """A training step in a process of its own."""
    subject = form.subject
    profile = Profile.model_validate(
        {"device": device.type, "channels_last": form.channels_last, **ARITHMETIC[form.arithmetic]}
    )
    train.set_profile(profile)
    network = subject.network(case, device, channels_last=form.channels_last)
    step = training_step(network, case.samples(device), precision=Precision(profile))
    note = ""
    if subject.peer:
        peer, compiled = PEERS[subject.peer], subject.mode != "off"
        note = "; ".join(filter(None, [peer.computed_by(device, compiled), peer.note]))

    def check(loss: torch.Tensor) -> str:
        return "" if torch.isfinite(loss) else f"the loss is {float(loss)}"

    return Work(step, check, subject.mode != "off", note)
