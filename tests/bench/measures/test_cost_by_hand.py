"""Costs of small networks, counted by hand to the unit; the arithmetic is in the comments."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench import registry
from bench.measures.cost import counting
from bench.model.backbone import Network
from bench.model.layers import Layers, NeuronOptions, OverTime

FOUND = registry.load()


def layers_of(name="rectangle", timesteps=2):
    method = FOUND.method(name).item
    layers = Layers(
        "net", lambda site: method.build(site, {}), NeuronOptions(norm="none"), timesteps=timesteps
    )
    return layers


def network_of(layers, body, sample_ndim):
    surrogates = [site.neuron.surrogate for site in layers.sites]
    return Network(body, layers.sites, surrogates, layers.timesteps, sample_ndim).eval()


def constant(block, biases):
    """A block whose neurons fire at every step where the bias is 1, and never where it is 0."""
    synapse = block[0].module
    with torch.no_grad():
        synapse.weight.zero_()
        synapse.bias.copy_(torch.tensor(biases))
    return block


@torch.no_grad()
def count(network, x):
    expected = network(x)
    with counting(network) as counts:
        assert torch.equal(network(x), expected)
    return counts.per_sample()


def numbers(spikes, sops, macs):
    return {
        "spikes_per_sample": spikes,
        "sops_per_sample": sops,
        "macs_per_sample": macs,
        "energy_uj": pytest.approx((4.6 * macs + 0.9 * sops) / 1e6, rel=1e-12),
    }


class Residual(nn.Module):
    """2C3 - AP2 - 3C3 - (3C3 + shortcut) - mean - 5, for pictures of 1 x 4 x 4."""

    def __init__(self, layers):
        super().__init__()
        self.conv1 = constant(layers.conv("conv1", 1, 2), [1.0, 0.0])
        self.pool = OverTime(nn.AvgPool2d(2))
        self.conv2 = constant(layers.conv("conv2", 2, 3), [1.0, 1.0, 0.0])
        self.conv3 = constant(layers.conv("conv3", 3, 3), [1.0, 0.0, 1.0])
        self.readout = OverTime(nn.Linear(3, 5))

    def forward(self, x):
        y = self.conv2(self.pool(self.conv1(x)))
        return self.readout((self.conv3(y) + y).mean((-2, -1)))


# A 3x3 kernel with padding 1 moves over 4 places: the outer two meet 2 of its 3 offsets, the inner two
# all 3, so 10 along a side and 10 * 10 = 100 over the picture. Over 2 places each meets 2: 4 at each.
#
# conv1: 2 outputs for each meeting.                                 200 MACs, once: the picture stands still
# Channel 0 fires everywhere, 16 spikes; channel 1 nowhere.          16 spikes a step
# The pool makes 4 places with the average 1, which are 4 spikes each.
# conv2: each of 16 spikes meets 4 offsets, of 3 outputs.            16 * 4 * 3 = 192 a step
# Two channels fire at 4 places.                                     8 spikes a step
# conv3: each of 8 spikes meets 4 offsets, of 3 outputs.             8 * 4 * 3 = 96 a step
# Two channels fire at 4 places.                                     8 spikes a step
# The sum is 2 in channel 0, and 1 in channels 1 and 2: 4 * (2 + 1 + 1) = 16 spikes, whatever their mean.
# readout: 5 outputs.                                                16 * 5 = 80 a step
PER_STEP = {"spikes": 16 + 8 + 8, "sops": 192 + 96 + 80}  # 32 and 368


@pytest.mark.parametrize("timesteps", [1, 2, 5])
@pytest.mark.parametrize("samples", [1, 3])
def test_border_pool_shortcut_and_mean_of_a_picture(timesteps, samples):
    layers = layers_of(timesteps=timesteps)
    network = network_of(layers, Residual(layers), 3)
    found = count(network, torch.rand(samples, 1, 4, 4))
    assert found == numbers(32 * timesteps, 368 * timesteps, 200)
    if timesteps == 2:
        assert found == numbers(64, 736, 200)
        assert found["energy_uj"] == pytest.approx(0.0015824)  # 920 pJ + 662.4 pJ


def test_real_numbers_at_every_step_are_multiplied_at_every_step():
    layers = layers_of()
    network = network_of(layers, Residual(layers), 3)
    assert count(network, torch.rand(3, 2, 1, 4, 4)) == numbers(64, 736, 2 * 200)


def test_events_are_operations_from_the_first_layer_on():
    layers = layers_of()
    network = network_of(layers, Residual(layers), 3)
    x = torch.zeros(2, 2, 1, 4, 4)
    # Sample 0: at a corner 3 events, 2 * 2 offsets met, 2 outputs: 3 * 4 * 2 = 24.
    x[0, 0, 0, 0, 0] = 3
    # Sample 1: 1 event at an edge, 2 * 3 offsets: 12; one of the other sign inside, 3 * 3 offsets: 18.
    x[1, 1, 0, 0, 2] = 1
    x[1, 0, 0, 2, 1] = -1
    assert count(network, x) == numbers(64, 736 + (24 + 12 + 18) / 2, 0)


def test_one_fraction_among_the_events_makes_them_real():
    layers = layers_of()
    network = network_of(layers, Residual(layers), 3)
    x = torch.zeros(2, 2, 1, 4, 4)
    x[1, 1, 0, 3, 3] = 0.5
    assert count(network, x) == numbers(64, 736, 2 * 200)


def test_a_whole_picture_is_real_all_the_same():
    layers = layers_of()
    network = network_of(layers, Residual(layers), 3)
    assert count(network, torch.ones(2, 1, 4, 4)) == numbers(64, 736, 200)


def test_an_average_over_three_by_three():
    """Whose averages no float holds exactly."""
    layers = layers_of(timesteps=1)
    body = nn.Sequential(
        constant(layers.conv("a", 1, 1), [1.0]), OverTime(nn.AvgPool2d(3)), OverTime(nn.Conv2d(1, 2, 1))
    )
    # The first layer: along 6 places 2 + 4 * 3 + 2 = 16 meetings, 16 * 16 = 256.
    # 36 spikes, in 4 averages of 9, each of which reaches 2 weights: 36 * 2.
    assert count(network_of(layers, body, 3), torch.rand(2, 1, 6, 6)) == numbers(36, 72, 256)


class Emitting(nn.Module):
    """Neurons that fire where the input is 1, and what comes after them."""

    def __init__(self, neuron, then):
        super().__init__()
        self.neuron = neuron
        self.then = OverTime(then)

    def forward(self, x):
        return self.then(self.neuron(x))


def emitting(then, name="rectangle"):
    layers = layers_of(name)
    neuron = layers.spike("in", nn.Identity())
    return neuron, lambda ndim: network_of(layers, Emitting(neuron, then), ndim)


def test_stride():
    _, made = emitting(nn.Conv2d(1, 7, 3, stride=2, padding=1))
    x = torch.zeros(1, 2, 1, 5, 5)
    # The kernel begins at -1, 1 and 3: places 0 to 4 meet 1, 2, 1, 2, 1 of its offsets.
    x[0, 0, 0, 1, 3] = 1  # 2 * 2 * 7 = 28
    x[0, 0, 0, 0, 0] = 1  # 1 * 1 * 7 = 7
    x[0, 1, 0, 2, 1] = 1  # 1 * 2 * 7 = 14
    assert count(made(3), x) == numbers(3, 28 + 7 + 14, 0)


def test_what_no_kernel_reaches_costs_nothing():
    _, made = emitting(nn.Conv2d(1, 7, 1, stride=2))
    x = torch.zeros(1, 2, 1, 4, 4)
    x[0, 0, 0, 1, 1] = x[0, 1, 0, 3, 0] = 1  # between the places where the kernel begins
    assert count(made(3), x) == numbers(2, 0, 0)


def test_groups_and_dilation():
    _, made = emitting(nn.Conv1d(4, 6, 2, dilation=3, groups=2))
    x = torch.zeros(1, 2, 4, 5)
    # Outputs begin at 0 and 1, and look 3 further: places 0 to 4 meet 1, 1, 0, 1, 1. 6 / 2 outputs a group.
    x[0, 0, 0, 0] = x[0, 0, 1, 2] = x[0, 1, 3, 4] = 1  # 3 + 0 + 3
    assert count(made(2), x) == numbers(3, 6, 0)


def test_a_learned_threshold_is_folded_into_the_next_weights():
    neuron, made = emitting(nn.Linear(4, 3), "trsg")
    with torch.no_grad():
        neuron.surrogate.raw.fill_(0.3)
    x = 2 * torch.tensor([[[1.0, 0, 0, 1], [0, 1, 0, 0]]])
    network = made(1)
    assert 0 < network.body.neuron(x.transpose(0, 1)).amax().item() != 1
    assert count(network, x) == numbers(3, 3 * 3, 0)


class TwoThresholds(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.a, self.b = (layers.spike(name, nn.Identity()) for name in "ab")
        self.readout = OverTime(nn.Linear(4, 3))
        with torch.no_grad():
            self.a.surrogate.raw.fill_(0.3)
            self.b.surrogate.raw.fill_(-0.4)

    def forward(self, x):
        return self.readout(self.a(x) + self.b(x))


def test_a_sum_of_spikes_of_two_sizes_counts_both():
    layers = layers_of("trsg", timesteps=1)
    network = network_of(layers, TwoThresholds(layers), 1)
    # 2 + 2 spikes, of 3 weights each.
    assert count(network, torch.tensor([[[2.0, 0, 0, 2]]])) == numbers(4, 12, 0)


@pytest.mark.parametrize(("timesteps", "sops"), [(1, 0), (3, 32)])
def test_recurrence(timesteps, sops):
    layers = layers_of(timesteps=timesteps)
    block = constant(layers.linear("fc", 5, 4, recurrent=True), [1.0] * 4)
    with torch.no_grad():
        block.neuron.recurrent.weight.zero_()
    network = network_of(layers, nn.Sequential(block, OverTime(nn.Linear(4, 3))), 1)
    # 5 * 4 MACs once; each step's 4 spikes reach 4 * 4 weights at the next, and 4 * 3 of the readout.
    assert count(network, torch.rand(2, 5)) == numbers(4 * timesteps, sops + 12 * timesteps, 20)


def test_the_reference_multiplies_everywhere():
    layers = layers_of("ann-relu", timesteps=4)
    network = network_of(layers, Residual(layers), 3)
    # conv1 200; conv2: 2 channels * 4 places * 4 offsets * 3 outputs = 96; conv3: 3 * 4 * 4 * 3 = 144;
    # readout 3 * 5 = 15. A picture that stands still is computed at one step.
    assert count(network, torch.rand(2, 1, 4, 4)) == numbers(0, 0, 455)
    # Events, whole or not, at all that there are; here 3.
    assert count(network, torch.ones(2, 3, 1, 4, 4)) == numbers(0, 0, 3 * 455)


def test_a_silent_network_has_its_first_layer_still():
    layers = layers_of()
    body = Residual(layers)
    for block in (body.conv1, body.conv2, body.conv3):
        constant(block, [0.0] * block[0].module.out_channels)
    assert count(network_of(layers, body, 3), torch.rand(2, 1, 4, 4)) == numbers(0, 0, 200)


def test_samples_of_several_batches_are_averaged():
    _, made = emitting(nn.Linear(4, 3))
    network = made(1)
    with torch.no_grad(), counting(network) as counts:
        network(torch.ones(2, 2, 4))  # 2 * 2 * 4 = 16 spikes
        network(torch.zeros(1, 2, 4))
    assert counts.per_sample() == numbers(16 / 3, 16, 0)


def test_a_large_count_is_exact():
    """Events: 16777217 has no float32, but two such numbers of 8388608 and one of 1 sum up to it."""
    layers = layers_of(timesteps=1)
    block = constant(layers.linear("fc", 3, 1), [0.0])
    network = network_of(layers, block, 1)
    found = count(network, torch.tensor([[[8388608.0, 8388608.0, 1.0]]]))
    assert found["sops_per_sample"] == 16777217


def test_pooled_twice_then_flattened():
    then = nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(1, 3))
    _, made = emitting(then)
    x = torch.zeros(1, 2, 1, 4, 4)
    # Two spikes in one window of the maximum are one; two windows fire, which are not their average, 1/2.
    x[0, 0, 0, 0, 0] = x[0, 0, 0, 1, 1] = x[0, 0, 0, 3, 3] = 1
    assert count(made(3), x) == numbers(3, 2 * 3, 0)


def test_a_maximum_over_averages():
    then = nn.Sequential(nn.AvgPool2d(2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1, 3))
    _, made = emitting(then)
    x = torch.zeros(1, 2, 1, 4, 4)
    x[0, 0, 0, :2, :2] = 1  # 4 spikes in one average
    x[0, 0, 0, 3, 3] = 1  # one in another, which is lost
    assert count(made(3), x) == numbers(5, 4 * 3, 0)


def test_functional_synapses_count_as_modules_do():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(3, 4))

        def forward(self, x):
            return functional.linear(input=x, weight=self.w)

    _, made = emitting(Functional())
    assert count(made(1), torch.ones(2, 2, 4)) == numbers(8, 24, 0)
