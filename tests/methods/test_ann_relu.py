"""The reference row: ReLU in place of every spiking neuron."""

import pytest
import torch

from bench.model.neuron import SpikingNeuron


@pytest.fixture
def ann_relu(plugin):
    return plugin("ann_relu")["ann-relu"]


@pytest.mark.parametrize("norm", ["tdbn", "bn", "none"])
@pytest.mark.parametrize("kind", ["lif", "plif"])
def test_a_block_is_relu_of_its_current(ann_relu, layers_under, norm, kind):
    layers = layers_under(ann_relu, norm=norm, neuron=kind)
    for block, x in (
        (layers.conv("c", 3, 6, stride=2), torch.randn(4, 5, 3, 8, 8)),
        (layers.linear("f", 3, 2), torch.randn(4, 5, 3)),
    ):
        synapse, normalise, neuron = block
        current = normalise(synapse(x))
        assert isinstance(neuron, SpikingNeuron)
        assert torch.equal(block(x), current.clamp(min=0))
        assert (block(x) > 0).any()
        (grad,) = torch.autograd.grad(neuron(current).sum(), current)
        assert torch.equal(grad, (current > 0).float())
    assert [(site.index, site.depth) for site in layers.sites] == [(0, 1), (1, 0)]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_dtype_is_kept(ann_relu, layers_under, dtype):
    block = layers_under(ann_relu).linear("f", 3, 2).to(dtype)
    assert block(torch.randn(4, 5, 3).to(dtype)).dtype == dtype


def test_what_it_declares(ann_relu):
    assert (ann_relu.kind, ann_relu.changes) == ("reference", "network")
    assert ann_relu.formula.startswith("y = max(0, I)")
