"""Laws of training, tested on small networks and on the compiled loop over time."""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Callable
from typing import get_args

import torch
from torch import Tensor, nn

from bench.check.case import CLASSES, FRAMED, NO_SPIKES, Broken, Case, NoClaim
from bench.data import loading
from bench.errors import BenchError
from bench.loop import penalty
from bench.measures.single_layer import CHANNELS, Probe
from bench.model.backbone import Network
from bench.model.neuron import NeuronKind
from bench.runner import train
from bench.suite import Recipe
from bench.surrogate import SearchContext

STEPS = 20
BATCH = 64
SMALL_BATCH = 8
"""Batch size if a test only checks that training works at all."""


def deterministic(case: Case) -> str:
    """The same seed gives the same training result, and evaluation has no noise."""

    def run(elsewhere: int) -> dict[str, Tensor]:
        network = case.network(seed=1)
        # Draws from torch's global generator by other code must have no effect.
        torch.rand(elsewhere)
        _train(network, case.digits(), 2)
        return _outputs_and_gradients(case, network)

    if case.spiking:
        probe, near = case.probe(), torch.linspace(-0.02, 0.02, 101, dtype=torch.float64)
        _expect_same(
            {"a spike": probe.spikes(near)}, {"a spike": probe.spikes(near)}, "between two evaluations"
        )
    network = case.network().eval()
    x, _ = _batch(case.digits(), 0)
    with torch.no_grad():
        _expect_same({"the output": network(x)}, {"the output": network(x)}, "between two evaluations")

    _expect_same(run(0), run(1), "between two trainings from one seed")
    return ""


def state(case: Case) -> str:
    """A state_dict, saved and loaded, gives the same outputs and gradients."""
    network = case.network(seed=1)
    _train(network, case.digits(), 3)
    kept = io.BytesIO()
    torch.save(network.state_dict(), kept)
    kept.seek(0)
    other = case.network(seed=2)
    other.load_state_dict(torch.load(kept, weights_only=True))
    for each in (network, other):
        for surrogate in each.surrogates:
            surrogate.on_epoch(1.0)
    torch.manual_seed(3)
    expected = _outputs_and_gradients(case, network)
    torch.manual_seed(3)
    _expect_same(expected, _outputs_and_gradients(case, other), "after saving and loading")
    return ""


def one_step(case: Case) -> str:
    """It works at T = 1."""
    network = case.network(timesteps=1)
    _train(network, case.digits(), 1)
    x, _ = _batch(case.digits(), 0)
    out = network.eval()(x)
    if out.shape != (1, BATCH, CLASSES):
        raise Broken(f"logits of shape {tuple(out.shape)}, expected (1, {BATCH}, {CLASSES})")
    return ""


def backbones(case: Case) -> str:
    """It works in every backbone, or refuses one with a one-sentence error."""
    refused, built = [], 0
    samples = case.framed_digits(SMALL_BATCH)
    for backbone in case.registry.backbones:
        for neuron in get_args(NeuronKind):
            try:
                network = case.network(backbone, neuron=neuron, sample=FRAMED, width=1 / 16)
            except BenchError as refusal:
                refused.append(f"refuses {backbone} with {neuron}: {refusal}")
                continue
            _train(network, samples, 1)
            built += 1
    if not built:
        raise Broken(f"every backbone is refused: {refused[0]}")
    return "; ".join(refused)


def compiles(case: Case) -> str:
    """torch.compile(fullgraph=True, dynamic=True) takes it, once for all epochs, and changes nothing."""
    if not case.spiking:
        return NO_SPIKES
    if case.compiler == "inductor" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return NoClaim("no C++ compiler here: see --compiler")
    # Imported here, since it takes seconds.
    from torch._dynamo.utils import counters
    from torch._functorch import config as functorch

    plain, made = Probe(case.method).float(), Probe(case.method).float()
    torch._dynamo.reset()
    # Parameters are constants of a method, not inputs: autograd functions cannot take them as symbols.
    # inductor's own random numbers differ from those of eager mode, and a smaller memory budget changes the
    # order in which random numbers of a gradient are drawn.
    with (
        torch._dynamo.config.patch(specialize_float=True),
        torch._inductor.config.patch(fallback_random=True),
        functorch.patch(activation_memory_budget=1.0),
    ):
        compiled = torch.compile(made.neuron.unroll, fullgraph=True, dynamic=True, backend=case.compiler)

        def compare(size: int) -> None:
            current = torch.randn(2, size, CHANNELS)
            torch.manual_seed(size)
            expected = _pass(plain, plain.neuron.unroll, current)
            torch.manual_seed(size)
            found = _pass(made, compiled, current)
            _expect_same(expected, found, f"between eager and compiled ({case.compiler})", rtol=1e-5)

        for size in (6, 9):
            compare(size)
        graphs: list[int] = []
        for progress in (0.0, 0.5, 1.0):
            for probe in (plain, made):
                probe.neuron.surrogate.on_epoch(progress)
            compare(9)
            graphs.append(counters["stats"]["unique_graphs"])
        if graphs[0] != graphs[-1]:
            raise Broken(
                "it is recompiled in every epoch, since on_epoch changes a number that params or spike "
                "read: keep it in a tensor, as by self.register_buffer(...) and self.width.fill_(...)"
            )
    torch._dynamo.reset()
    return ""


def _pass(probe: Probe, unroll: Callable[..., Tensor], current: Tensor) -> dict[str, Tensor]:
    current = current.clone().requires_grad_()
    for parameter in probe.parameters():
        parameter.grad = None
    out = unroll(current, probe.neuron.surrogate.noise(current.shape, current))
    if out.requires_grad:
        (out * torch.linspace(0.5, 1.5, out.numel()).view(out.shape)).sum().backward()
    grads = {f"the gradient of {name}": p.grad for name, p in probe.named_parameters() if p.grad is not None}
    return {"the output": out.detach(), "the gradient of the input": _grad(current), **grads}


def _grad(x: Tensor) -> Tensor:
    return torch.zeros_like(x) if x.grad is None else x.grad


def training(case: Case) -> str:
    """In 20 steps on digits the loss falls with a frozen readout, so the surrogate has to do it."""
    network = case.network("convnet", seed=1)
    for name, weight in network.named_parameters():
        weight.requires_grad_("readout" not in name)
    first = _loss(case, network)
    _train(network, case.digits(), STEPS)
    last = _loss(case, network)
    if not last < first:
        raise Broken(f"the loss went from {first:.4g} to {last:.4g} in {STEPS} steps")
    for name, weight in network.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            raise Broken(f"{name} became NaN or infinite within {STEPS} steps")
        if ".surrogate." in name and weight.grad is None:
            raise Broken(f"no gradient ever reaches the method's own parameter {name}")
    return ""


def _train(network: Network, samples: loading.Split, steps: int) -> None:
    """Take steps with the benchmark's own optimizer. Raises Broken if a loss is not finite."""
    recipe = Recipe(epochs=1, batch_size=min(BATCH, len(samples)), learning_rate=0.01)
    optimizers = train.optimizers(network, recipe)
    for surrogate in network.surrogates:
        surrogate.on_epoch(0.0)
    network.train()
    _search(network, samples)
    for step in range(steps):
        loss = float(train.step(network, optimizers, *_batch(samples, step)))
        if not math.isfinite(loss):
            raise Broken(f"the loss is {loss} in step {step + 1}")


@torch.no_grad()
def _loss(case: Case, network: Network) -> float:
    """The loss over all samples, with normalisation as in training."""
    samples = case.digits()
    return float(nn.functional.cross_entropy(network.train()(samples.x).mean(0), samples.y))


def _search(network: Network, samples: loading.Split) -> None:
    """Run the method's search, as before an epoch during training."""
    context = SearchContext(
        network,
        lambda: iter([_batch(samples, 7)]),
        lambda logits, y: nn.functional.cross_entropy(logits.mean(0), y),
        progress=1.0,
        budget=1,
    )
    type(network.surrogates[0]).search(network.surrogates, context)


def _batch(samples: loading.Split, step: int) -> tuple[Tensor, Tensor]:
    size = min(BATCH, len(samples))
    rows = torch.arange(step * size, (step + 1) * size) % len(samples)
    return samples.x[rows], samples.y[rows]


def _outputs_and_gradients(case: Case, network: Network) -> dict[str, Tensor]:
    """The output in evaluation, and the output and gradients of a training step, without an update."""
    x, y = _batch(case.digits(), 5)
    with torch.no_grad():
        evaluated: Tensor = network.eval()(x)
    network.train()
    network.zero_grad()
    out: Tensor = network(x)
    loss = nn.functional.cross_entropy(out.mean(0), y) + penalty(network.surrogates)
    loss.backward()
    grads = {f"the gradient of {n}": p.grad for n, p in network.named_parameters() if p.grad is not None}
    return {"the output in evaluation": evaluated, "the output": out.detach(), **grads}


def _expect_same(one: dict[str, Tensor], other: dict[str, Tensor], when: str, *, rtol: float = 0.0) -> None:
    if one.keys() != other.keys():
        lost = sorted(one.keys() ^ other.keys())[0]
        raise Broken(f"{lost} exists only once {when}")
    for name, value in one.items():
        difference = (value - other[name]).abs().max().item()
        if not torch.allclose(value, other[name], rtol=rtol, atol=rtol, equal_nan=True):
            raise Broken(f"{name} differs by {difference:.3g} {when}")
