"""Our networks, ready to be timed: a training step in each mode of compiling."""

import time

import torch
from torch.nn import functional

from bench import compiling
from bench.train import step

MODES = ("off", "neuron", "step")


def training_step(network, x, mode="off"):
    """A function that takes one training step on x; compiled already. And the seconds that compiling took."""
    y = torch.arange(len(x)) % 10
    seconds = 0.0
    if mode != "off":
        began = time.perf_counter()
        _, problem = compiling.prepare(network, mode, x, y, loss)
        assert problem == ""
        seconds = time.perf_counter() - began
    optimizers = [torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, fused=True)]
    return lambda: step(network, optimizers, x, y), seconds


def loss(network, x, y):
    """What all are trained on."""
    return functional.cross_entropy(network(x).mean(0), y)
