"""TdBN against torch's batch norm and its own formula; blocks; what is computed once; how Layers counts."""

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench import shapes
from bench.model.layers import Layers, NeuronOptions, OverTime, PointwiseConv, SpikeBlock, TdBN
from bench.model.neuron import SpikingNeuron
from bench.surrogate import FixedSurrogate

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SCALE = 0.35  # alpha * v_th
INPUTS = {"TBC": (4, 5, 3), "TBCHW": (4, 5, 3, 2, 6)}
every_input = pytest.mark.parametrize("size", INPUTS.values(), ids=INPUTS)


def make_layers(options=None, *, timesteps=4, **more):
    def build(site):
        made = FixedSurrogate(shapes.rectangle, width=1.0)
        made.bind(site)
        return made

    return Layers("net", build, options or NeuronOptions(), timesteps=timesteps, **more)


def random_tdbn(channels=3, timesteps=1):
    norm = TdBN(channels, SCALE, timesteps).double()
    with torch.no_grad():
        norm.weight.uniform_(0.5, 1.5)
        norm.bias.normal_()
    return norm


def formula(x, norm, upstream):
    """Output, dL/dx, dL/dgamma, dL/dbeta of tdBN in training mode, in NumPy."""
    axes = (0, 1, *range(3, x.ndim))
    shape = (1, 1, -1) + (1,) * (x.ndim - 3)
    gamma, beta = (p.detach().numpy().reshape(shape) for p in (norm.weight, norm.bias))
    sigma = np.sqrt(x.var(axes, keepdims=True) + norm.eps)
    z = (x - x.mean(axes, keepdims=True)) / sigma
    mean, along = upstream.mean(axes, keepdims=True), (upstream * z).mean(axes, keepdims=True)
    grad_x = SCALE * gamma / sigma * (upstream - mean - z * along)
    return SCALE * gamma * z + beta, grad_x, SCALE * (upstream * z).sum(axes), upstream.sum(axes)


@every_input
def test_tdbn_equals_its_formula_forward_and_backward(size):
    norm = random_tdbn()
    x = (3 * torch.randn(size, dtype=torch.float64) + 1).requires_grad_()
    upstream = torch.randn(size, dtype=torch.float64)
    y = norm(x)
    y.backward(upstream)
    found = (y.detach(), x.grad, norm.weight.grad, norm.bias.grad)
    for ours, expected in zip(found, formula(x.detach().numpy(), norm, upstream.numpy()), strict=True):
        np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-11, atol=1e-12)


@every_input
def test_tdbn_equals_torchs_batch_norm_of_scaled_gamma_over_flattened_time(size):
    norm = random_tdbn()
    theirs = (nn.BatchNorm1d if len(size) == 3 else nn.BatchNorm2d)(3).double()
    with torch.no_grad():
        theirs.weight.copy_(SCALE * norm.weight)
        theirs.bias.copy_(norm.bias)
    for training in (True, True, False):
        norm.train(training)
        theirs.train(training)
        norm.zero_grad()
        theirs.zero_grad()
        x = (2 * torch.randn(size, dtype=torch.float64) - 1).requires_grad_()
        flat = x.detach().flatten(0, 1).requires_grad_()
        y, expected = norm(x), theirs(flat)
        upstream = torch.randn_like(y)
        y.backward(upstream)
        expected.backward(upstream.flatten(0, 1))
        close = {"rtol": 1e-12, "atol": 1e-12}
        torch.testing.assert_close(y.flatten(0, 1), expected, **close)
        torch.testing.assert_close(x.grad.flatten(0, 1), flat.grad, **close)
        torch.testing.assert_close(norm.weight.grad, SCALE * theirs.weight.grad, **close)
        torch.testing.assert_close(norm.bias.grad, theirs.bias.grad, **close)
        torch.testing.assert_close(norm.running_mean, theirs.running_mean, **close)
        torch.testing.assert_close(norm.running_var, theirs.running_var, **close)


@every_input
def test_tdbn_running_statistics_go_over_time_batch_and_space(size):
    norm = random_tdbn()
    x = 2 * torch.randn(size, dtype=torch.float64) + 3
    norm(x)
    channels = x.transpose(0, 2).flatten(1)
    assert channels.shape[1] == math.prod(size) / 3
    torch.testing.assert_close(norm.running_mean, 0.1 * channels.mean(1))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * channels.var(1, correction=1))


@every_input
def test_tdbn_in_evaluation_uses_running_statistics_and_leaves_them(size):
    norm = random_tdbn()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    norm.eval()
    x = torch.randn(size, dtype=torch.float64)
    y = norm(x).transpose(0, 2).flatten(1)
    for c, (ours, given) in enumerate(zip(y, x.transpose(0, 2).flatten(1), strict=True)):
        z = (given - norm.running_mean[c]) / torch.sqrt(norm.running_var[c] + 1e-5)
        torch.testing.assert_close(ours, SCALE * norm.weight[c] * z + norm.bias[c])
    for name, value in norm.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("layout", ["batch first", "repeated", "channels last"])
def test_tdbn_takes_any_layout_in_memory(layout):
    x = {
        "batch first": torch.randn(5, 4, 3, 2, 6).transpose(0, 1),
        "repeated": torch.randn(5, 3, 2, 6).expand(4, 5, 3, 2, 6),
        "channels last": torch.randn(20, 3, 2, 6).to(memory_format=torch.channels_last).unflatten(0, (4, 5)),
    }[layout].double()
    norm = random_tdbn()
    torch.testing.assert_close(norm(x), norm(x.contiguous()))


@every_input
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("training", [True, False])
def test_tdbn_keeps_the_dtype(size, dtype, training):
    norm = TdBN(3, SCALE).to(dtype).train(training)
    x = torch.randn(size).to(dtype).requires_grad_()
    y = norm(x)
    y.square().sum().backward()
    assert y.dtype == x.grad.dtype == norm.weight.grad.dtype == dtype
    assert y.isfinite().all()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_tdbn_with_float32_parameters_keeps_a_half_precision_input(dtype):
    assert TdBN(3, SCALE)(torch.randn(4, 5, 3).to(dtype)).dtype == dtype


def test_normalised_input_has_the_spread_of_the_threshold():
    y = TdBN(3, 0.5)(5 * torch.randn(4, 500, 3) + 2)
    torch.testing.assert_close(y.std((0, 1)), torch.full((3,), 0.5), rtol=1e-3, atol=0)
    torch.testing.assert_close(y.mean((0, 1)), torch.zeros(3), rtol=0, atol=1e-5)


def test_over_time_applies_the_module_to_every_step():
    conv = nn.Conv2d(3, 7, 3, stride=2)
    x = torch.randn(4, 5, 3, 9, 9)
    y = OverTime(conv)(x)
    assert y.shape == (4, 5, 7, 4, 4)
    torch.testing.assert_close(y, torch.stack([conv(step) for step in x]))


@pytest.mark.parametrize("size", [(5, 3), (5, 3, 2, 6), (1, 3, 2, 6), (2, 3), (1, 3), (1, 3, 1, 1)], ids=str)
def test_tdbn_of_a_repeated_step_is_that_of_all_the_steps(size):
    once, all_steps = random_tdbn(timesteps=4), random_tdbn(timesteps=4)
    all_steps.load_state_dict(once.state_dict())
    for training in (True, True, True, False):
        step = (2 * torch.randn(size, dtype=torch.float64) - 1).requires_grad_()
        upstream = torch.randn(4, *size, dtype=torch.float64)
        found = []
        for norm, x in ((once, step[None]), (all_steps, step.expand(4, *size).contiguous())):
            y = norm.train(training)(x).expand(4, *size)
            found.append((y, *torch.autograd.grad(y, [step, *norm.parameters()], upstream)))
        close = {"rtol": 1e-12, "atol": 1e-12}
        for ours, expected in zip(*found, strict=True):
            torch.testing.assert_close(ours, expected, **close)
        torch.testing.assert_close(once.running_mean, all_steps.running_mean, **close)
        torch.testing.assert_close(once.running_var, all_steps.running_var, **close)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_one_step_that_stands_for_all_stays_one_step(dtype):
    norm = TdBN(7, SCALE, 4).to(dtype)
    conv, linear = OverTime(nn.Conv2d(3, 7, 3)).to(dtype), OverTime(nn.Linear(9, 6)).to(dtype)
    x = torch.randn(1, 5, 3, 7, 7).to(dtype)
    y = linear(OverTime(nn.Flatten(2))(norm(conv(x)))[..., :9])
    assert y.shape == (1, 5, 7, 6)
    assert y.dtype == dtype


@pytest.mark.parametrize("norm", ["tdbn", "bn", "none"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_blocks_have_the_shape_of_their_synapse_and_train_in_every_dtype(norm, dtype):
    layers = make_layers(NeuronOptions(norm=norm, neuron="plif"))
    conv = layers.conv("c", 3, 6, stride=2).to(dtype)
    linear = layers.linear("f", 6 * 4 * 4, 10).to(dtype)
    x = torch.randn(4, 5, 3, 8, 8).to(dtype)
    hidden = conv(x)
    out = linear(hidden.flatten(2))
    assert isinstance(conv, SpikeBlock)
    assert hidden.shape == (4, 5, 6, 4, 4)
    assert out.shape == (4, 5, 10)
    assert hidden.dtype == out.dtype == dtype
    out.sum().backward()
    for parameter in (*conv.parameters(), *linear.parameters()):
        assert parameter.grad.dtype == dtype
        assert parameter.grad.isfinite().all()


def test_a_block_is_synapse_then_norm_then_neuron():
    block = make_layers().conv("c", 3, 6)
    x = torch.randn(4, 5, 3, 8, 8)
    over_time, norm, neuron = block
    torch.testing.assert_close(block(x), neuron(norm(over_time(x))))
    assert [type(part) for part in block] == [OverTime, TdBN, SpikingNeuron]


def test_convolutions_keep_the_size_and_start_kaiming_normal_over_fan_out():
    layers = make_layers()
    assert layers.conv("a", 2, 4, kernel=5)(torch.randn(4, 1, 2, 7, 7)).shape == (4, 1, 4, 7, 7)
    weight = layers.conv("b", 64, 32)[0].module.weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (32 * 9)), rel=0.03)


@pytest.mark.parametrize("stride", [2, (2, 3)])
def test_a_pointwise_convolution_is_torchs_own(stride):
    own = PointwiseConv(3, 5, 1, stride).double()
    theirs = nn.Conv2d(3, 5, 1, stride).double()
    theirs.load_state_dict(own.state_dict())
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    assert torch.allclose(own(x), theirs(x), rtol=1e-12)


def test_few_channels_survive_a_shortcut_with_a_stride():
    """Training with torch's own convolution there ends the process, or leaves its memory broken."""
    program = (
        "import torch; from test_layers import make_layers\n"
        "for inputs in (1, 3, 4, 7):\n"
        "    block = make_layers().conv('shortcut', inputs, 16, kernel=1, stride=2)\n"
        "    block = block.to(memory_format=torch.channels_last)\n"
        "    x = torch.randn(2 * 8, inputs, 32, 32).to(memory_format=torch.channels_last)\n"
        "    for _ in range(20):\n"
        "        x = x.detach().requires_grad_()\n"
        "        block(x.unflatten(0, (2, 8))).sum().backward()\n"
        "print('alive')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=Path(__file__).parent,
    )
    assert ended.stdout == "alive\n", ended.stderr


@pytest.mark.parametrize(
    ("norm", "kind", "scale"), [("tdbn", TdBN, 0.8), ("bn", TdBN, 1.0), ("none", nn.Identity, 0)]
)
def test_the_norm_decides_scale_bias_and_what_the_site_shows(norm, kind, scale):
    layers = make_layers(NeuronOptions(norm=norm, threshold=0.8))
    for block in (layers.conv("c", 3, 6), layers.linear("f", 6, 2)):
        assert type(block[1]) is kind
        assert (block[0].module.bias is None) == (norm != "none")
        assert getattr(block[1], "scale", 0) == scale
        assert block[2].surrogate.site.norm is (block[1] if norm == "tdbn" else None)


def test_options_reach_the_neuron_and_its_site():
    options = NeuronOptions(neuron="plif", reset="subtract", detach_reset=True, threshold=0.7, decay=0.4)
    layers = make_layers(options, timesteps=6, epochs=9)
    neuron = layers.linear("f", 3, 2)[2]
    (site,) = layers.sites
    assert (neuron.kind, neuron.threshold) == ("plif", 0.7)
    assert (neuron.reset, neuron.detach_reset) == ("subtract", True)
    assert neuron.decay.item() == pytest.approx(0.4)
    assert site.neuron is neuron
    assert site is neuron.surrogate.site
    assert (site.name, site.timesteps, site.epochs) == ("net/f", 6, 9)


def test_layers_are_numbered_in_order_and_count_those_behind_them():
    layers = make_layers()
    for name in "abcd":
        layers.linear(name, 3, 3)
    assert [(s.name, s.index, s.depth) for s in layers.sites] == [
        ("net/a", 0, 3),
        ("net/b", 1, 2),
        ("net/c", 2, 1),
        ("net/d", 3, 0),
    ]


def test_a_shortcut_lies_as_deep_as_the_layer_it_goes_around_and_makes_nothing_deeper():
    layers = make_layers()
    layers.conv("a", 3, 3)
    layers.conv("around a", 3, 3, kernel=1, parallel=True)
    layers.linear("b", 3, 3)
    layers.block("c", nn.Linear(3, 3), 3)
    layers.block("around c", nn.Linear(3, 3), 3, parallel=True)
    layers.spike("also around c", nn.Identity(), parallel=True)
    assert [(s.index, s.depth) for s in layers.sites] == [(0, 2), (1, 2), (2, 1), (3, 0), (4, 0), (5, 0)]
    layers.spike("d", nn.Identity())
    assert [s.depth for s in layers.sites] == [3, 3, 2, 1, 1, 1, 0]


def test_a_recurrent_layer_starts_with_torchs_own_weights_and_no_bias():
    layers = make_layers()
    plain, recurrent = layers.linear("a", 3, 100), layers.linear("b", 3, 100, recurrent=True)
    assert plain.neuron.recurrent is None
    over_time = recurrent.neuron.recurrent
    assert over_time.bias is None
    assert over_time.weight.shape == (100, 100)
    # Uniform within +-1/sqrt(100): the largest of 10,000 lies near the end.
    assert 0.099 < over_time.weight.abs().max() <= 0.1
    assert over_time.weight.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.02)


def test_no_two_layers_of_any_two_seeds_draw_the_same():
    seeds = []
    for seed in range(20):
        layers = make_layers(seed=seed)
        for i in range(30):
            layers.spike(str(i), nn.Identity())
        seeds += [site.seed for site in layers.sites]
    assert len(set(seeds)) == 20 * 30
    torch.Generator().manual_seed(max(seeds))
    again = make_layers(seed=1)
    again.spike("0", nn.Identity())
    assert again.sites[0].seed == seeds[30]


def test_a_spiking_layer_without_tdbn_has_no_norm_to_show():
    layers = make_layers()
    layers.spike("bare", nn.Identity())
    layers.spike("fed", norm := layers.norm(3))
    assert [site.norm for site in layers.sites] == [None, norm]


def test_every_site_knows_how_many_layers_there_are():
    layers = make_layers()
    for i in range(3):
        layers.spike(str(i), nn.Identity())
        assert [site.layers for site in layers.sites] == [i + 1] * (i + 1)
