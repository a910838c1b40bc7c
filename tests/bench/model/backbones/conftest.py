"""Networks of the size that their papers have."""

import pytest
import torch

from bench import registry
from bench.model.backbone import build_network
from bench.model.layers import NeuronOptions


@pytest.fixture(scope="session")
def build():
    """build(backbone, shape) -> its network at width 1 for ten classes, under rectangle and PLIF."""
    found = registry.load()

    def make(backbone, shape, *, timesteps=2, width=1, neuron="plif", **options):
        torch.manual_seed(0)
        return build_network(
            found.backbone(backbone).item,
            found.method("rectangle").item,
            {},
            NeuronOptions(neuron=neuron, **options),
            shape=shape,
            classes=10,
            width=width,
            timesteps=timesteps,
        )

    return make


@pytest.fixture(scope="session")
def parameters(build):
    """parameters(backbone, shape) -> how many, without making them."""

    def count(backbone, shape, **options):
        with torch.device("meta"):
            return sum(p.numel() for p in build(backbone, shape, **options).parameters())

    return count
