"""Networks, and a training step of one, to be timed."""

from pathlib import Path

import torch

from bench import registry
from bench.model.backbone import build_network
from bench.model.layers import NeuronOptions
from bench.model.precision import FULL
from bench.runner import train

FOUND = registry.load()
NARROW_SUITE = str(Path(__file__).with_name("narrow.toml"))


def network_of(backbone, method, shape, width, timesteps, values=None):
    """Initial weights are the same for every method: they are drawn from one seed."""
    torch.manual_seed(0)
    return build_network(
        FOUND.backbone(backbone).item,
        FOUND.method(method).item,
        values or {},
        NeuronOptions(),
        shape=shape,
        classes=10,
        width=width,
        timesteps=timesteps,
    )


def optimizer_of(network):
    return torch.optim.AdamW(network.parameters(), fused=True)


def labels(x):
    """A class for each sample."""
    return (torch.arange(len(x)) % 10).to(x.device)


def training_step(network, x, optimizer=None, precision=FULL):
    """A function that takes one step on these samples, as the harness does; it returns the loss."""
    network.train()
    optimizers, y = [optimizer or optimizer_of(network)], labels(x)
    return lambda: train.step(network, optimizers, x, y, precision)
