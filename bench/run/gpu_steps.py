"""What a training step costs on a GPU, by mode and arithmetic: one model, and the figures that it rests on.

A step takes as long as the slower of two that work at the same time: the host, which starts the kernels,
layer by layer, and the device, which computes them.

    host      a fixed time for each spiking layer; on top, eager neurons take some for each of T steps,
              compiled ones once. A network that is compiled whole has the first alone.
    device    a time for each multiplication with a weight, and one for each current of a neuron

All figures were measured by hand on an NVIDIA H200, torch 2.11, at commit 70553bb with a corrected spike: a
training step of ResNet-19 at full width, 3x32x32, batch 64, T = 4. To these the model was fitted, and gives
them within 6 %, but for "neuron" in TF32, which took 35.5 ms and is said to take 30. On another GPU, or for
another network, it may be wrong by a factor of two or more. Times of a multiplication have norms and ReLU in
them, with some 1,500 multiplications a current. TF32 and 16 bits were measured channels-last only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bench.model.compiling import CompileMode

if TYPE_CHECKING:
    from bench.run.workload import Workload
    from bench.suite import Profile

HOST_LAYER = 0.56e-3
"""Seconds of the host for each layer of an eager network, neurons left out: ReLU's step in bfloat16."""
HOST_COMPILED_LAYER = 0.46e-3
"""Of the network compiled whole at most: ReLU's step, in which the device may have been slower."""
HOST_STEP = 0.33e-3
"""Seconds of the host for each layer and time step of eager neurons."""
HOST_NEURON = 0.7e-3
"""Seconds of the host for each layer of compiled neurons."""
PER_MAC = {"16 bits": 1.57e-14, "TF32": 3.18e-14, "float32": 1.93e-13}
"""Seconds of a training step for each multiplication of the forward pass."""
PER_CURRENT: dict[CompileMode, float] = {"off": 4.7e-11, "neuron": 3.0e-11, "step": 1.0e-11}
"""Seconds of a training step for each current of 32 bits. Of "neuron" it is the middle of 1.4e-11, channels
first, and 4.3e-11, channels-last."""
SIXTEEN = 0.65
"""What currents of 16 bits take of that, measured under "step"."""
COMPILING: dict[CompileMode, tuple[float, float]] = {
    "off": (0.0, 0.0),
    "neuron": (30.0, 0.0),
    "step": (20.0, 5.0),
}
"""Seconds that compiling takes, in all and for each layer; on the large side: 18 to 31 s were measured of
neurons in a run, and 120 s of 24 networks, all of 20 layers, side by side on 16 cores."""
BYTES: dict[CompileMode, tuple[float, float]] = {
    "off": (24.0, 13.0),
    "neuron": (18.0, 9.5),
    "step": (18.0, 9.5),
}
"""Bytes that a step keeps for each current, of 32 and of 16 bits; up to a quarter above what was measured."""
RESIDENT = 5e8
"""Bytes of data that lies on the device, and of what libraries keep there: an assumption, not measured."""


class Step(NamedTuple):
    """Seconds of one training step: of the host, and of the device."""

    host: float
    device: float

    def beside(self, others: int) -> float:
        """Seconds with so many like it on the same device, whose kernels it waits for.

        Two at once, measured: 18 s an epoch where one alone took 12 to 14.
        """
        return max(self) + others * self.device


def step(load: Workload, profile: Profile, timesteps: int, mode: CompileMode) -> Step:
    """A training step of this size under this mode, whatever mode the profile names."""
    if mode == "step":
        layer = HOST_COMPILED_LAYER
    else:
        layer = HOST_LAYER + (HOST_NEURON if mode == "neuron" else HOST_STEP * timesteps)
    current = PER_CURRENT[mode] * (SIXTEEN if profile.autocast != "off" else 1)
    device = load.macs * PER_MAC[arithmetic(profile)] + load.currents * current
    # Numbers of 64 bits have not been measured: twice as many bytes.
    return Step(layer * load.layers, device * (2 if profile.dtype == "float64" else 1))


def arithmetic(profile: Profile) -> str:
    """What convolutions multiply in."""
    if profile.autocast != "off":
        return "16 bits"
    return "TF32" if profile.tf32 and profile.dtype == "float32" else "float32"


def compile_seconds(load: Workload, mode: CompileMode) -> float:
    """Seconds until a network of so many layers is compiled."""
    once, per_layer = COMPILING[mode]
    return once + per_layer * load.layers


def bytes_per_current(profile: Profile, mode: CompileMode) -> float:
    """Bytes that a training step keeps for each current under this mode."""
    full, half = BYTES[mode]
    return half if profile.autocast != "off" else full * (2 if profile.dtype == "float64" else 1)
