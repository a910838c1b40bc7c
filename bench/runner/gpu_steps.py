"""Cost model of a training step on a GPU, by compile mode and arithmetic, with its measured constants.

Host and device work at the same time, and a step takes as long as the slower one. The host launches the
kernels, layer by layer; the device computes them.

    host      a fixed time per spiking layer; in addition, eager neurons take time for each of T steps,
              compiled neurons once. A network compiled as a whole takes only the fixed time.
    device    a time per multiplication with a weight, and a time per current of a neuron

All figures were measured by hand on an NVIDIA H200, torch 2.11, at commit 70553bb with a corrected spike: a
training step of ResNet-19 at full width, 3x32x32, batch 64, T = 4. The model was fitted to these figures and
reproduces them within 6 %, except "neuron" in TF32, which took 35.5 ms while the model says 30. For another
GPU or network, it can be wrong by a factor of two or more. The time per multiplication includes norms and
ReLU, at about 1,500 multiplications per current. TF32 and 16 bits were measured channels-last only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bench.model.compiling import CompileMode

if TYPE_CHECKING:
    from bench.runner.workload import Workload
    from bench.suite import Profile

HOST_LAYER = 0.56e-3
"""Seconds of the host per layer of an eager network without neurons: a step with ReLU in bfloat16."""
HOST_COMPILED_LAYER = 0.46e-3
"""Upper bound for a network compiled as a whole: a step with ReLU, possibly limited by the device."""
HOST_STEP = 0.33e-3
"""Seconds of the host per layer and time step of eager neurons."""
HOST_NEURON = 0.7e-3
"""Seconds of the host per layer of compiled neurons."""
PER_MAC = {"16 bits": 1.57e-14, "TF32": 3.18e-14, "float32": 1.93e-13}
"""Seconds of a training step per multiplication of the forward pass."""
PER_CURRENT: dict[CompileMode, float] = {"off": 4.7e-11, "neuron": 3.0e-11, "step": 1.0e-11}
"""Seconds of a training step per 32-bit current. The value for "neuron" is the middle of 1.4e-11, channels
first, and 4.3e-11, channels-last."""
SIXTEEN = 0.65
"""The time of a 16-bit current relative to a 32-bit one, measured in mode "step"."""
COMPILING: dict[CompileMode, tuple[float, float]] = {
    "off": (0.0, 0.0),
    "neuron": (30.0, 0.0),
    "step": (20.0, 5.0),
}
"""Seconds of compilation, in all and per layer; conservative: measured were 18 to 31 s for neurons in a run,
and 120 s for 24 networks of 20 layers each, side by side on 16 cores."""
BYTES: dict[CompileMode, tuple[float, float]] = {
    "off": (24.0, 13.0),
    "neuron": (18.0, 9.5),
    "step": (18.0, 9.5),
}
"""Bytes that a step keeps per current of 32 and of 16 bits; up to a quarter above the measured values."""
RESIDENT = 5e8
"""Bytes on the device for data and for libraries: an assumption, not measured."""


class Step(NamedTuple):
    """Seconds of one training step: of the host, and of the device."""

    host: float
    device: float

    def beside(self, others: int) -> float:
        """Seconds with `others` equal runs on the same device, whose kernels this one waits for.

        Measured with two at once: 18 s per epoch, against 12 to 14 for one alone.
        """
        return max(self) + others * self.device


def step(load: Workload, profile: Profile, timesteps: int, mode: CompileMode) -> Step:
    """A training step of this size in this mode, whatever mode the profile names."""
    if mode == "step":
        layer = HOST_COMPILED_LAYER
    else:
        layer = HOST_LAYER + (HOST_NEURON if mode == "neuron" else HOST_STEP * timesteps)
    current = PER_CURRENT[mode] * (SIXTEEN if profile.autocast != "off" else 1)
    device = load.macs * PER_MAC[arithmetic(profile)] + load.currents * current
    # 64-bit numbers have not been measured: assume twice the time for twice the bytes.
    return Step(layer * load.layers, device * (2 if profile.dtype == "float64" else 1))


def arithmetic(profile: Profile) -> str:
    """The arithmetic of convolutions."""
    if profile.autocast != "off":
        return "16 bits"
    return "TF32" if profile.tf32 and profile.dtype == "float32" else "float32"


def compile_seconds(load: Workload, mode: CompileMode) -> float:
    """Seconds to compile a network of this size."""
    once, per_layer = COMPILING[mode]
    return once + per_layer * load.layers


def bytes_per_current(profile: Profile, mode: CompileMode) -> float:
    """Bytes that a training step keeps per current in this mode."""
    full, half = BYTES[mode]
    return half if profile.autocast != "off" else full * (2 if profile.dtype == "float64" else 1)
