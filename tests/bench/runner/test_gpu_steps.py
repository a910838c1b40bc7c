"""The model of a training step on a GPU, against the steps that were measured."""

import pytest

from bench.runner import gpu_steps
from bench.runner.workload import Workload
from bench.suite import Profile

RESNET19 = Workload(394_330_112, 585_055_731_712, 12_698_260, layers=20, steps=1)
"""At full width, 3x32x32, batch 64, T = 4."""
ARITHMETIC = {"float32": {}, "TF32": {"tf32": True}, "16 bits": {"autocast": "bfloat16"}}


def step(mode, arithmetic, timesteps=4, load=RESNET19, **profile):
    made = Profile(device="cuda", **ARITHMETIC[arithmetic], **profile)
    return gpu_steps.step(load, made, timesteps, mode)


@pytest.mark.parametrize(
    ("mode", "arithmetic", "milliseconds"),
    [
        ("off", "float32", 131.7),
        ("neuron", "float32", 118.5),
        ("neuron", "TF32", 35.5),
        ("off", "TF32", 37.8),
        ("step", "TF32", 22.6),
        ("off", "16 bits", 37.3),
        ("neuron", "16 bits", 25.3),
        ("step", "16 bits", 11.8),
    ],
)
def test_the_model_gives_what_was_measured(mode, arithmetic, milliseconds):
    # As its docstring says.
    within = 0.15 if (mode, arithmetic) == ("neuron", "TF32") else 0.06
    assert 1e3 * step(mode, arithmetic).beside(0) == pytest.approx(milliseconds, rel=within)


def test_of_a_small_network_the_host_decides_layer_by_layer_and_step_by_step():
    few = Workload(1000, 1000, 10, layers=5, steps=1)
    eager, longer = (step("off", "16 bits", t, few) for t in (1, 11))
    assert max(eager) == eager.host and max(longer) == longer.host
    assert longer.host - eager.host == pytest.approx(50 * gpu_steps.HOST_STEP)
    assert step("neuron", "16 bits", 11, few) == step("neuron", "16 bits", 1, few)
    assert max(step("step", "16 bits", 11, few)) < max(step("neuron", "16 bits", 11, few)) < max(longer)


def test_a_training_waits_for_the_device_of_those_beside_it():
    host = gpu_steps.Step(host=3.0, device=1.0)
    assert [host.beside(n) for n in (0, 1, 2)] == [3.0, 4.0, 5.0]
    device = gpu_steps.Step(host=1.0, device=3.0)
    assert device.beside(1) == 2 * device.beside(0), "a device that is always busy has nothing to give"


def test_numbers_of_64_bits_are_neither_tf32_nor_cheap():
    double = step("off", "TF32", dtype="float64")
    assert double.device == 2 * step("off", "float32").device
    profile = Profile(device="cuda", dtype="float64")
    assert gpu_steps.bytes_per_current(profile, "off") == 48


def test_compiling_the_whole_takes_longer_the_deeper_it_is():
    deep, flat = (Workload(1, 1, 1, layers=n, steps=1) for n in (20, 2))
    assert gpu_steps.compile_seconds(deep, "off") == 0
    assert gpu_steps.compile_seconds(deep, "neuron") == gpu_steps.compile_seconds(flat, "neuron") >= 30
    assert gpu_steps.compile_seconds(deep, "step") >= 120 > gpu_steps.compile_seconds(flat, "step")
