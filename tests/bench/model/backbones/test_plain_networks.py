"""VGGSNN, the network for CIFAR-10 and the recurrent one: sizes, order of the layers, full width."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from bench.model.layers import OverTime, SpikeBlock, TdBN


def test_sizes(parameters):
    # Counted in the published code of MPD-AGL, a decay a layer included.
    assert parameters("vggsnn", (2, 48, 48)) == 9_268_754
    assert parameters("vggsnn", (2, 48, 48), neuron="lif") == 9_268_746
    convs = 3 * 256 * 9 + 5 * 256 * 256 * 9
    linears = 256 * 8 * 8 * 2048 + 2048 * 10 + 10
    norms = 2 * (6 * 256 + 2048)
    assert parameters("cifarnet", (3, 32, 32), neuron="lif") == convs + linears + norms
    synapses, recurrent = 700 * 128 + 128 * 128, 2 * 128 * 128
    assert parameters("rsnn", (700,), neuron="lif") == synapses + recurrent + 2 * 2 * 128 + 128 * 10 + 10


def test_vggsnn_at_full_width(build):
    network = build("vggsnn", (2, 48, 48), timesteps=2)
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == len(network.sites) == 8
    for conv in convs:
        assert conv.bias is None
        assert conv.kernel_size == (3, 3)
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * conv.out_channels)), rel=0.05)
    for norm in (m for m in network.modules() if isinstance(m, TdBN)):
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()
    assert all(site.neuron.decay.item() == pytest.approx(0.2) for site in network.sites)
    readout = network.body.readout.module
    assert (readout.in_features, readout.bias is None) == (512 * 3 * 3, False)
    assert [site.name for site in network.sites] == [f"vggsnn/conv{i}" for i in range(1, 9)]

    sizes = []
    for part in network.body.blocks:
        part.register_forward_hook(lambda _, given, out: sizes.append(tuple(out.shape[2:])))
    logits = network(torch.randn(2, 2, 2, 48, 48))
    assert logits.shape == (2, 2, 10)
    assert sizes == [
        *[(64, 48, 48), (128, 48, 48), (128, 24, 24)],
        *[(256, 24, 24), (256, 24, 24), (256, 12, 12)],
        *[(512, 12, 12), (512, 12, 12), (512, 6, 6)],
        *[(512, 6, 6), (512, 6, 6), (512, 3, 3)],
    ]
    logits.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    assert convs[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("backbone", "stages", "levels"),
    [("vggsnn", [2, 2, 2, 2], {0, 0.25, 0.5, 0.75, 1}), ("cifarnet", [3, 3], {0, 1})],
)
def test_pools_come_after_the_spikes_of_their_stage(build, backbone, stages, levels):
    network = build(backbone, (2, 16, 16), width=1 / 8)
    kinds = [SpikeBlock if isinstance(part, SpikeBlock) else OverTime for part in network.body.blocks]
    assert kinds == [kind for n in stages for kind in [SpikeBlock] * n + [OverTime]]
    found = set()
    for part in network.body.blocks:
        if not isinstance(part, SpikeBlock):
            part.register_forward_hook(lambda _, given, out: found.update(out.unique().tolist()))
    network(torch.randn(8, 2, 16, 16))
    assert found == levels


def test_recurrent_layers_feed_themselves_at_the_next_step(build):
    block = build("rsnn", (6,), width=1 / 16).body.blocks[0]
    x = torch.randn(4, 3, 6)
    with torch.no_grad():
        block.neuron.recurrent.weight.zero_()
        without = block(x)
        block.neuron.recurrent.weight.fill_(5.0)
        with_itself = block(x)
    assert torch.equal(without[0], with_itself[0])
    # The norm sees the input alone: one spike anywhere makes all neurons of the sample spike next.
    for before, after in pairwise(with_itself):
        assert (after[before.any(1)] == 1).all()
    assert not torch.equal(without, with_itself)
