"""Networks, and a training step of one, to be timed."""

import torch
from torch.nn import functional

from bench import registry
from bench.backbone import build_network
from bench.layers import NeuronOptions

FOUND = registry.load()


def network_of(backbone, method, shape, width, timesteps):
    return build_network(
        FOUND.backbone(backbone).item,
        FOUND.method(method).item,
        {},
        NeuronOptions(),
        shape=shape,
        classes=10,
        width=width,
        timesteps=timesteps,
    )


def training_step(network, x):
    """A function that takes one step on these samples."""
    optimizer = torch.optim.AdamW(network.parameters())
    y = torch.randint(10, (len(x),))

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(network(x).mean(0), y)
        loss.backward()
        optimizer.step()
        return loss

    return step
