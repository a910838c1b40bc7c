"""What a device computes in float32, against float64 on the CPU, which has no TF32 and hardly rounds."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench import registry
from bench.model.layers import Layers, NeuronOptions, TdBN
from bench.runner import train
from bench.suite import Profile

FLOAT32, TF32 = 1e-5, 2e-3
"""Relative errors of whole tensors. TF32 keeps 10 bits of what it multiplies, which makes some 3e-4."""
NEAR = 1e-4
"""Potentials as near to the threshold, in thresholds, may be rounded to its other side."""
TIMESTEPS = 4


def _convolution() -> tuple[nn.Module, Tensor]:
    return nn.Conv2d(64, 64, 3, padding=1, bias=False), torch.randn(8, 64, 12, 12)


def _linear() -> tuple[nn.Module, Tensor]:
    return nn.Linear(256, 256), torch.randn(64, 256)


def _norm() -> tuple[nn.Module, Tensor]:
    return TdBN(32, 0.5), torch.randn(TIMESTEPS, 8, 32, 6, 6)


OPERATIONS: dict[str, Callable[[], tuple[nn.Module, Tensor]]] = {
    "convolution": _convolution,
    "linear layer": _linear,
    "tdBN": _norm,
}


def error(operation: str, device: torch.device, *, tf32: bool) -> float:
    """The largest relative error of output and gradients: ||a - b|| / ||b|| over a whole tensor."""
    train.set_profile(Profile.model_validate({"device": device.type, "tf32": tf32}))
    torch.manual_seed(0)
    module, x = OPERATIONS[operation]()
    expected = _there_and_back(copy.deepcopy(module).double(), x.double())
    found = _there_and_back(module.to(device), x.to(device))
    return max(_relative(one, other) for one, other in zip(found, expected, strict=True))


def neuron_error(kind: str, device: torch.device) -> float:
    """The same of a layer's gradients, where no potential is near the threshold.

    AssertionError where a spike is another although its neuron was never near it.
    """
    method = registry.load().method("arctan").item
    layers = Layers(
        "gpu", lambda site: method.build(site, {}), NeuronOptions(neuron=kind), timesteps=TIMESTEPS
    )
    neuron = layers.spike("layer", nn.Identity()).train()
    current = torch.randn(TIMESTEPS, 10_000, generator=torch.Generator().manual_seed(0))
    reference, near = copy.deepcopy(neuron).double(), torch.zeros(current.shape[1], dtype=torch.bool)

    def look(moment) -> None:
        near.logical_or_((moment.u / moment.threshold - 1).abs() < NEAR)

    reference.observer = look
    expected = _there_and_back(reference, current.double())
    found = _there_and_back(neuron.to(device), current.to(device))
    wrong = (found[0].cpu().double() != expected[0]) & ~near
    assert not wrong.any(), f"{int(wrong.sum())} spikes are others, far from the threshold"
    return _relative(found[1].cpu()[:, ~near], expected[1][:, ~near])


def _there_and_back(module: nn.Module, x: Tensor) -> list[Tensor]:
    """Output, and the gradients of the input and of all parameters."""
    x = x.clone().requires_grad_()
    out = module(x)
    upstream = torch.linspace(-1, 1, out.numel(), dtype=torch.float64).cos().view(out.shape)
    out.backward(upstream.to(out))
    return [out.detach(), *(leaf.grad for leaf in (x, *module.parameters()))]


def _relative(found: Tensor, expected: Tensor) -> float:
    difference = (found.cpu().double() - expected).norm() / expected.norm()
    return float(difference)
