"""The residual block against its sums written plainly; ResNet-18 and -19 against what is known of them."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench import shapes
from bench.model.layers import Layers, NeuronOptions, TdBN
from bench.model.residual import ResidualBlock, residual_stages
from bench.surrogate import FixedSurrogate


def make_layers(**options):
    def build(site):
        made = FixedSurrogate(shapes.rectangle, width=1.0)
        made.bind(site)
        return made

    return Layers("net", build, NeuronOptions(**options), timesteps=3)


def spikes(x, weight, stride):
    """What a block of plain LIF neurons makes of x [T, B, C, H, W], tdBN at gamma 1 and beta 0."""
    padding = weight.shape[-1] // 2
    current = torch.stack([functional.conv2d(step, weight, None, stride, padding) for step in x])
    over = (0, 1, 3, 4)
    centred = current - current.mean(over, keepdim=True)
    current = 0.5 * centred / (centred.square().mean(over, keepdim=True) + 1e-5).sqrt()
    v, out = torch.zeros_like(current[0]), []
    for step in current:
        u = 0.2 * v + step
        out.append((u >= 0.5).double())
        v = u * (1 - out[-1])
    return torch.stack(out)


def test_a_block_adds_the_spikes_of_both_ways():
    torch.manual_seed(0)
    layers = make_layers()
    changing = ResidualBlock(layers, "a", 3, 4, stride=2).double()
    keeping = ResidualBlock(layers, "b", 4, 4, stride=1).double()
    x = torch.randn(3, 5, 3, 7, 7, dtype=torch.float64)

    w1, w2, w3 = (
        block[0].module.weight.detach() for block in (changing.conv1, changing.conv2, changing.shortcut)
    )
    assert w3.shape == (4, 3, 1, 1)
    middle = spikes(spikes(x, w1, 2), w2, 1) + spikes(x, w3, 2)
    found = changing(x)
    assert found.shape == (3, 5, 4, 4, 4)
    assert torch.equal(found, middle)
    assert set(middle.unique().tolist()) == {0.0, 1.0, 2.0}

    w1, w2 = (block[0].module.weight.detach() for block in (keeping.conv1, keeping.conv2))
    assert not list(keeping.shortcut.parameters())
    last = spikes(spikes(middle, w1, 1), w2, 1) + middle
    assert torch.equal(keeping(found), last)
    assert last.max() == 3


def test_gradient_reaches_the_input_by_both_ways():
    block = ResidualBlock(make_layers(), "a", 4, 4, stride=1).double()
    x = torch.randint(3, (3, 5, 4, 6, 6)).double().requires_grad_()
    upstream = torch.randn(3, 5, 4, 6, 6, dtype=torch.float64)
    (both,) = torch.autograd.grad(block(x), x, upstream)
    (spiking,) = torch.autograd.grad(block.conv2(block.conv1(x)), x, upstream)
    assert spiking.abs().sum() > 0
    torch.testing.assert_close(both, spiking + upstream)


@pytest.mark.parametrize(
    ("inputs", "outputs", "stride", "changes"), [(4, 4, 1, False), (4, 4, 2, True), (4, 5, 1, True)]
)
def test_a_shortcut_is_a_layer_only_where_the_shape_changes(inputs, outputs, stride, changes):
    layers = make_layers()
    block = ResidualBlock(layers, "a", inputs, outputs, stride)
    x = torch.rand(3, 2, inputs, 5, 5)
    assert (block(x).shape != x.shape) == changes
    assert len(layers.sites) == 2 + changes


def test_stages_name_their_blocks_in_order():
    layers = make_layers()
    blocks = residual_stages(layers, (4, 4, 8), counts=(1, 2), strides=(1, 2))
    assert blocks(torch.rand(3, 2, 4, 6, 6)).shape == (3, 2, 8, 3, 3)
    assert [site.name for site in layers.sites] == [
        "net/block1.conv1",
        "net/block1.conv2",
        "net/block2.conv1",
        "net/block2.conv2",
        "net/block2.shortcut",
        "net/block3.conv1",
        "net/block3.conv2",
    ]


def test_sizes(parameters):
    # Counted in the published code of MPD-AGL, a decay a layer included.
    assert parameters("resnet19", (3, 32, 32)) == 12_698_260
    assert parameters("resnet19", (3, 32, 32), neuron="lif") == 12_698_240
    # The ResNet-18 for CIFAR-10 of many a repository; gamma and beta are those of its batch norms.
    assert parameters("resnet18", (3, 32, 32), neuron="lif") == 11_173_962


@pytest.mark.parametrize(
    ("backbone", "blocks", "with_shortcut", "end"),
    [("resnet19", 8, {4, 7}, ["fc"]), ("resnet18", 8, {3, 5, 7}, [])],
)
def test_names_and_depths(build, backbone, blocks, with_shortcut, end):
    sites = build(backbone, (3, 8, 8), width=1 / 16).sites
    expected = ["stem"]
    for i in range(1, blocks + 1):
        expected += [f"block{i}.conv1", f"block{i}.conv2"]
        expected += [f"block{i}.shortcut"] if i in with_shortcut else []
    assert [site.name.removeprefix(f"{backbone}/") for site in sites] == expected + end
    assert len(sites) == 20
    depth = {site.name.removeprefix(f"{backbone}/"): site.depth for site in sites}
    chain = [d for name, d in depth.items() if "shortcut" not in name]
    assert chain == list(reversed(range(len(chain))))
    for i in with_shortcut:
        assert depth[f"block{i}.shortcut"] == depth[f"block{i}.conv2"]


def test_resnet19_at_full_width(build):
    network = build("resnet19", (3, 32, 32), timesteps=2)
    linears = [m for m in network.modules() if isinstance(m, nn.Linear)]
    assert [(m.in_features, m.out_features, m.bias) for m in linears] == [(512, 256, None), (256, 10, None)]
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 1 + 16 + 2
    for conv in convs:
        fan_out = conv.out_channels * conv.kernel_size[0] * conv.kernel_size[1]
        assert conv.bias is None
        assert conv.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.04)
    norms = [m for m in network.modules() if isinstance(m, TdBN)]
    assert len(norms) == 20
    for norm in norms:
        assert norm.scale == 0.5
        assert (norm.weight == 1).all()
        assert (norm.bias == 0).all()
    assert all(site.neuron.decay.item() == pytest.approx(0.2) for site in network.sites)

    sizes = []
    for block in network.body.blocks:
        block.register_forward_hook(lambda _, given, out: sizes.append(tuple(out.shape[2:])))
    logits = network(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, 2, 10)
    assert sizes == [(128, 32, 32)] * 3 + [(256, 16, 16)] * 3 + [(512, 8, 8)] * 2
    logits.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())
    assert convs[0].weight.grad.abs().sum() > 0
