"""Compiled training beside eager training of the same, on one device: one layer, and a small network."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import nn

from bench import registry
from bench.errors import BenchError
from bench.model import compiling
from bench.model.backbone import build_network
from bench.model.layers import Layers, NeuronOptions
from bench.runner import train
from bench.suite import Profile
from bench.surrogate import Method

TIMESTEPS, CHANNELS, SIDE = 4, 16, 4
BATCHES = (32, 20)
"""One graph serves both."""
SAME = 1e-4
"""Of the largest gradient."""


class Layer(NamedTuple):
    """Shares of what differs from eager by more than SAME: spikes, and gradients of the currents.

    parameters: the largest difference of a parameter's gradient, relative to that gradient. size: the norm of
    the compiled gradient of the currents by that of the eager one; 1 where both are zero.
    """

    spikes: float
    gradients: float
    parameters: float
    size: float

    def wrong(self) -> str:
        """What is wrong, or "". A few potentials lie on the threshold, or on an edge of the surrogate."""
        if not 0.99 < self.size < 1.01:
            return f"the compiled gradient is {self.size:.3g} times as large as the eager one"
        if self.spikes > 1e-3:
            return f"{self.spikes:.2%} of the spikes differ"
        if self.gradients > 1e-3:
            return f"{self.gradients:.2%} of the gradients differ"
        return f"a parameter's gradient differs by {self.parameters:.2%}" if self.parameters > 0.01 else ""


def layer(name: str, on: str) -> Layer:
    """The worst of two batches."""
    train.set_profile(Profile.model_validate({"device": on}))
    device = torch.device(on)
    torch._dynamo.reset()
    compiling.configure()
    eager = _layer(registry.load().method(name).item).to(device).train()
    compiled = copy.deepcopy(eager)
    compiled[1].compiled = compiling.compiled_loop()
    found = [_compare(eager, compiled, batch, device) for batch in BATCHES]
    return Layer(
        *(
            max(values, key=lambda value: abs(value - 1.0) if part == 3 else value)
            for part, values in enumerate(zip(*found, strict=True))
        )
    )


def _layer(method: Method) -> nn.Sequential:
    """tdBN and neurons; LIF where PLIF is refused."""
    for kind in ("plif", "lif"):
        options = NeuronOptions(neuron=kind)
        layers = Layers("gpu", lambda site: method.build(site, {}), options, timesteps=TIMESTEPS, epochs=2)
        norm = layers.norm(CHANNELS)
        try:
            made = nn.Sequential(norm, layers.spike("layer", norm))
        except BenchError as problem:
            refusal = problem
            continue
        made[1].surrogate.on_epoch(0.5)
        return made
    raise refusal


def _compare(eager: nn.Sequential, compiled: nn.Sequential, batch: int, device: torch.device) -> Layer:
    generator = torch.Generator().manual_seed(batch)
    x = torch.randn(TIMESTEPS, batch, CHANNELS, SIDE, SIDE, generator=generator).to(device)
    upstream = torch.randn(x.shape, generator=generator).to(device)
    (spikes, back, theirs), (found, other, ours) = (_run(m, x, upstream) for m in (eager, compiled))
    largest = back.abs().max()
    apart = [
        float((ours[name] - gradient).norm() / gradient.norm()) if name in ours else 1.0
        for name, gradient in theirs.items()
        if gradient.norm() > 0
    ]
    size = float(other.norm() / back.norm()) if back.norm() > 0 else 1.0 + float(other.norm())
    return Layer(
        # The spikes of some methods are smooth while they train.
        float(((spikes - found).abs() > SAME).double().mean()),
        float(((other - back).abs() > SAME * largest).double().mean()),
        max(apart, default=0.0),
        size,
    )


def _run(module: nn.Sequential, x: torch.Tensor, upstream: torch.Tensor):
    """Spikes, the gradient of the currents, and those of the parameters."""
    module.zero_grad(set_to_none=True)
    # Some libraries' functions draw from torch's own generator.
    torch.manual_seed(0)
    current = module[0](x).detach().requires_grad_()
    out = module[1](current)
    if out.requires_grad:
        out.backward(upstream)
    back = torch.zeros_like(current) if current.grad is None else current.grad
    gradients = {n: p.grad for n, p in module[1].named_parameters() if p.grad is not None}
    return out.detach(), back, gradients


def network(name: str, on: str, mode: compiling.CompileMode = "step") -> dict[str, float]:
    """By parameter, how many times as large as the eager gradient the compiled one is.

    Of a convnet on 8 samples; parameters without a gradient in eager training are left out. That network
    amplifies roundings: gradients agree in size, and not in every digit.
    """
    train.set_profile(Profile.model_validate({"device": on}))
    device = torch.device(on)
    torch._dynamo.reset()
    eager = _network(registry.load().method(name).item).to(device).train()
    compiled = copy.deepcopy(eager)
    x = torch.rand(8, TIMESTEPS, 3, 12, 12, generator=torch.Generator().manual_seed(1)).to(device)
    y = (torch.arange(8) % 10).to(device)
    problem = compiling.prepare(compiled, mode, x, y, train.trained_on)[1]
    assert problem == "", problem
    for each in (eager, compiled):
        torch.manual_seed(0)
        train.trained_on(each, x, y).backward()
    pairs = zip(eager.named_parameters(), compiled.parameters(), strict=True)
    norms = {
        name: (theirs.grad.norm(), torch.zeros(()) if ours.grad is None else ours.grad.norm())
        for (name, theirs), ours in pairs
        if theirs.grad is not None
    }
    return {name: float(our / their) for name, (their, our) in norms.items() if their > 0}


def _network(method: Method):
    for kind in ("lif", "plif"):
        torch.manual_seed(0)
        try:
            made = build_network(
                registry.load().backbone("convnet").item,
                method,
                {},
                NeuronOptions(neuron=kind),
                shape=(3, 12, 12),
                classes=10,
                width=0.5,
                timesteps=TIMESTEPS,
                epochs=2,
            )
        except BenchError as problem:
            refusal = problem
            continue
        for surrogate in made.surrogates:
            surrogate.on_epoch(0.5)
        return made
    raise refusal


def wrong_sizes(sizes: dict[str, float]) -> dict[str, float]:
    """Those that are dead, or of another size than eager ones."""
    return {name: size for name, size in sizes.items() if not 0.5 < size < 2.0}
