"""The counter of costs against loops over weights and other counters; every backbone is left as it is."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from bench import registry
from bench.errors import BenchError
from bench.measures.cost import counting
from bench.model.backbone import Network, build_network
from bench.model.layers import Layers, NeuronOptions, OverTime
from bench.surrogate import FixedSurrogate

FOUND = registry.load()
METHODS = ["ann-relu", "mpd-agl", "norse/superspike", "rectangle", "trsg"]
WIDTH = {"mlp": 0.25, "convnet": 0.25, "rsnn": 0.25}
SHAPE = (2, 16, 16)


class Fed(nn.Module):
    """Neurons that fire where their input is 1, and whatever comes after them."""

    def __init__(self, neuron, then):
        super().__init__()
        self.neuron = neuron
        self.then = then

    def forward(self, x):
        return self.then(self.neuron(x))


def fed(then, sample_ndim, surrogate=None):
    """A network that applies `then` to the spikes [T, B, ...] that it is given as input."""

    def make(site):
        made = surrogate or FOUND.method("rectangle").item.build(site, {})
        made.bind(site)
        return made

    layers = Layers("net", make, NeuronOptions(norm="none"), timesteps=1)
    neuron = layers.spike("in", nn.Identity())
    return Network(Fed(neuron, then), layers.sites, [neuron.surrogate], 1, sample_ndim).eval()


def each_step(function):
    """A function of [B, ...] as one of [T, B, ...]."""

    class Step(nn.Module):
        def forward(self, x):
            return function(x)

    return OverTime(Step())


@torch.no_grad()
def totals(network, x):
    """Spikes, SOPs and MACs over all samples."""
    with counting(network) as counts:
        network(x)
    return tuple(each.item() for each in (counts.spikes, counts.sops, counts.macs))


def build(backbone, name, timesteps=3):
    torch.manual_seed(0)
    return build_network(
        FOUND.backbone(backbone).item,
        FOUND.method(name).item,
        {},
        NeuronOptions(),
        shape=SHAPE,
        classes=5,
        width=WIDTH.get(backbone, 1 / 16),
        timesteps=timesteps,
    ).eval()


@st.composite
def convolutions(draw):
    """(sizes, kernel, stride, padding, dilation, groups, inputs, outputs) that fit."""
    dims = draw(st.integers(1, 2))

    def some(low, high):
        return [draw(st.integers(low, high)) for _ in range(dims)]

    kernel, dilation, padding, stride = some(1, 3), some(1, 2), some(0, 2), some(1, 3)
    least = [max(1, d * (k - 1) + 1 - 2 * p) for k, d, p in zip(kernel, dilation, padding, strict=True)]
    sizes = [low + extra for low, extra in zip(least, some(0, 4), strict=True)]
    groups = draw(st.integers(1, 2))
    return sizes, kernel, stride, padding, dilation, groups, 2 * groups, groups * draw(st.integers(1, 3))


def meetings(sizes, kernel, stride, padding, dilation):
    """Every (output place, input place) that a weight of the kernel joins, one by one."""
    outs = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True)
    ]
    for out in itertools.product(*map(range, outs)):
        for offset in itertools.product(*map(range, kernel)):
            place = tuple(
                o * s - p + k * d
                for o, s, p, k, d in zip(out, stride, padding, offset, dilation, strict=True)
            )
            if all(0 <= at < n for at, n in zip(place, sizes, strict=True)):
                yield out, place


def by_loops(activity, convolution):
    """Of [B, C, ...]: its sum over every weight that it reaches."""
    sizes, kernel, stride, padding, dilation, groups, inputs, outputs = convolution
    total = 0
    for sample, output in itertools.product(activity, range(outputs)):
        group = output // (outputs // groups)
        for channel in range(group * inputs // groups, (group + 1) * inputs // groups):
            for _, place in meetings(sizes, kernel, stride, padding, dilation):
                total += abs(sample[(channel, *place)].item())
    return total


@settings(max_examples=60)
@given(convolutions(), st.integers(0, 2**31), st.booleans())
def test_convolutions_equal_loops_over_weights(convolution, seed, real):
    sizes, kernel, stride, padding, dilation, groups, inputs, outputs = convolution
    kind = (nn.Conv1d, nn.Conv2d)[len(sizes) - 1]
    conv = kind(inputs, outputs, kernel, stride, padding, dilation, groups)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 2, (2, 1, inputs, *sizes), generator=generator).float()
    spikes, sops, macs = totals(fed(each_step(lambda s: conv(s.exp() if real else s)), 1 + len(sizes)), x)
    assert spikes == x.sum()
    if real:
        assert (sops, macs) == (0, by_loops(torch.ones_like(x[:, 0]), convolution))
    else:
        assert (sops, macs) == (by_loops(x[:, 0], convolution), 0)


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 3), min_size=2, max_size=2),
    st.lists(st.integers(1, 3), min_size=2, max_size=2),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_average_pools_equal_loops_over_windows(kernel, stride, padded, include, seed):
    sizes, padding = [5, 6], [k // 2 if padded else 0 for k in kernel]
    pool = nn.AvgPool2d(kernel, stride, padding, count_include_pad=include)
    x = torch.randint(0, 2, (2, 1, 1, *sizes), generator=torch.Generator().manual_seed(seed)).float()
    conv = nn.Conv2d(1, 2, 1)
    found = totals(fed(each_step(lambda s: conv(pool(s))), 3), x)
    reached = sum(
        x[(sample, 0, 0, *place)].item()
        for sample in range(2)
        for _, place in meetings(sizes, kernel, stride, padding, [1, 1])
    )
    assert found == (x.sum(), 2 * reached, 0)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [2, 3, 4])
def test_same_padding_has_the_odd_place_at_the_end(kernel, dilation):
    conv = nn.Conv1d(1, 1, kernel, padding="same", dilation=dilation)
    for place in range(5):
        x = functional.one_hot(torch.tensor(place), 5).float().view(1, 1, 1, 5)
        expected = functional.conv1d(x[0], torch.ones_like(conv.weight), padding="same", dilation=dilation)
        assert totals(fed(each_step(conv), 2), x) == (1, expected.sum(), 0)


PATTERN = (torch.arange(2 * 4 * 6 * 6) % 5 == 0).float().view(2, 1, 4, 6, 6)
SPIKES = PATTERN.sum().item()
GROUP = PATTERN[:, 0].view(2, 2, 2, 6, 6).sum(1)
HANDED_ON = {
    "in place": (lambda s: s.clone().add_(s), 2 * SPIKES),
    "python's sum": (lambda s: sum([s, s, s]), 3 * SPIKES),
    "cat": (lambda s: torch.cat([s, s], 1), 2 * SPIKES),
    "halves": (lambda s: s.chunk(2, 1)[0], PATTERN[:, :, :2].sum().item()),
    "list as index": (lambda s: s.mean(1)[[0, 1]], SPIKES),
    "mean": (lambda s: s.mean((0, 2, 3)), SPIKES),
    "mean of all": (lambda s: s.mean()[None], SPIKES),
    "sum, scaled": (lambda s: s.sum(dim=-1) / 6, SPIKES),
    "constant": (lambda s: 0.3 * s, SPIKES),
    "learned constant": (lambda s: s * nn.Parameter(torch.tensor(0.3)), SPIKES),
    "shuffled": (lambda s: s.unflatten(1, (2, 2)).transpose(1, 2).flatten(1, 2), SPIKES),
    "both": (lambda s: s * s.flip(-1), (PATTERN * PATTERN.flip(-1)).sum().item()),
    "dropout": (lambda s: functional.dropout(s, 0.5, False), SPIKES),
    "padded": (lambda s: functional.pad(s, (1, 2)), SPIKES),
    "circular": (lambda s: functional.pad(s, (6, 0, 0, 0), mode="circular"), 2 * SPIKES),
    "adaptive": (lambda s: functional.adaptive_avg_pool2d(s, (2, None)), SPIKES),
    "adaptive, one": (nn.AdaptiveAvgPool2d(1), SPIKES),
    "pool in a line": (lambda s: functional.avg_pool1d(s.flatten(2), 4), SPIKES),
    "pool in space": (lambda s: functional.avg_pool3d(s, 2), SPIKES),
    "maximum": (
        lambda s: functional.max_pool2d(s, 3, return_indices=True)[0],
        functional.max_pool2d(PATTERN[:, 0], 3).sum().item(),
    ),
    "two means": (lambda s: s.mean(1).mean((1, 2)), SPIKES),
    "means side by side": (lambda s: torch.cat([s.mean(1), s.sum(1)]), 2 * SPIKES),
    "sum of mean and spike": (
        lambda s: s.mean(1, keepdim=True) + s[:, :1],
        SPIKES + PATTERN[:, :, 0].sum().item(),
    ),
}


@pytest.mark.parametrize("name", sorted(HANDED_ON))
def test_spikes_are_followed_through(name):
    operation, expected = HANDED_ON[name]
    weight = nn.Parameter(torch.zeros(3, 1))

    def then(s):
        return functional.linear(operation(s[0]).flatten()[:, None], weight)[None]

    assert totals(fed(then, 3), PATTERN) == (SPIKES, 3 * expected, 0)


REAL = {
    "shifted": lambda s: s + 0.5,
    "sigmoid": torch.sigmoid,
    "batch norm": lambda s: functional.batch_norm(s, torch.zeros(4), torch.ones(4)),
    "written to": lambda s: s.clone().mul_(0.3),
    "written through a view": lambda s: _written(s.clone()),
    "with a real one": lambda s: torch.cat([s[:, :2], torch.rand(2, 2, 6, 6)], 1),
    "windows of several sizes": lambda s: functional.adaptive_avg_pool2d(s, 4),
    "padded with ones": lambda s: functional.pad(s, (1, 1), value=1.0),
    "weighted sum": lambda s: torch.add(s, s, alpha=0.5),
}


def _written(s):
    s.view(-1)[0] = 0.5
    return s


@pytest.mark.parametrize("name", sorted(REAL))
def test_whatever_else_is_done_gives_real_numbers(name):
    weight = nn.Parameter(torch.zeros(3, 1))
    inputs = REAL[name](PATTERN[:, 0]).numel()

    def then(s):
        return functional.linear(REAL[name](s[0]).flatten()[:, None], weight)[None]

    assert totals(fed(then, 3), PATTERN) == (SPIKES, 0, 3 * inputs)


class Emits(FixedSurrogate):
    """Spikes that are multiplied before they are sent."""

    def __init__(self, factor):
        super().__init__(lambda x: torch.ones_like(x))
        self.factor = factor

    def emit(self, s, t):
        return s * self.factor


@pytest.mark.parametrize(
    ("factor", "sops", "macs"),
    [
        (torch.tensor([[0.7], [1.3], [0.0]]), 3 * 8, 0),  # a constant of each channel: 3 weights x 8 spikes
        (
            torch.tensor([0.7, 1.3]),
            0,
            3 * 12,
        ),  # of each neuron: a convolution has no weights of its own for it
        (-0.3, 3 * 8, 0),
    ],
    ids=["channel", "neuron", "negative"],
)
def test_spikes_times_something(factor, sops, macs):
    x = torch.ones(2, 1, 3, 2)
    x[:, :, 0] = 0
    network = fed(each_step(nn.Conv1d(3, 3, 1)), 2, Emits(factor))
    assert totals(network, x) == (8, sops, macs)


class Graded(FixedSurrogate):
    """Sends how far the potential is above the threshold."""

    def __init__(self):
        super().__init__(lambda x: torch.ones_like(x))

    def spike(self, x, t, params, noise):
        return torch.relu(x)


class Bursts(FixedSurrogate):
    """Sends as many spikes at once as the potential is large."""

    def __init__(self):
        super().__init__(lambda x: torch.ones_like(x))

    def spike(self, x, t, params, noise):
        return (x + 0.5).round()


def test_more_spikes_than_float32_can_count():
    """257 x 3 x 60001 is odd and beyond 2^24, after which float32 has even numbers only."""
    x = torch.full((257, 1, 3), 60001.0)
    assert totals(fed(each_step(nn.Linear(3, 1)), 1, Bursts()), x) == (46260771, 46260771, 0)


def test_what_is_no_whole_number_is_no_spike():
    x = torch.rand(2, 1, 3, 2)
    network = fed(each_step(nn.Conv1d(3, 3, 1)), 2, Graded())
    assert totals(network, x) == (0, 0, 3 * 12)


@pytest.mark.parametrize("events", [False, True], ids=["still", "events"])
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("backbone", sorted(FOUND.backbones))
def test_every_backbone_computes_the_same_while_it_is_counted(backbone, name, events):
    network = build(backbone, name)
    x = torch.randint(0, 3, (2, 3, *SHAPE)).float() if events else torch.rand(2, *SHAPE)
    with torch.no_grad():
        before = network(x)
        with counting(network) as counts:
            during = network(x)
        assert torch.equal(network(x), before)
    assert torch.equal(during, before)
    found = counts.per_sample()
    assert all(math.isfinite(value) and value >= 0 for value in found.values())
    if name == "ann-relu":
        assert found["spikes_per_sample"] == found["sops_per_sample"] == 0 < found["macs_per_sample"]
    else:
        # Nothing but the first layer is fed by real numbers, and of events none.
        assert found["macs_per_sample"] == (0 if events else first_layer(network))


def first_layer(network):
    """MACs of one sample at one step, by a convolution of ones with ones."""
    synapse = next(m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    if isinstance(synapse, nn.Linear):
        return synapse.weight.numel()
    ones = torch.ones_like(synapse.weight)
    return functional.conv2d(torch.ones(1, *SHAPE), ones, None, synapse.stride, synapse.padding).sum().item()


def test_a_method_that_only_changes_the_gradient_costs_the_same():
    x = torch.rand(2, *SHAPE)
    assert totals(build("resnet18", "rectangle"), x) == totals(build("resnet18", "asgl"), x)


def test_the_network_is_left_as_it_was_after_an_error_too():
    network = build("mlp", "rectangle")
    seen = []
    network.neurons[0].observer = seen.append
    observers = [neuron.observer for neuron in network.neurons]
    with pytest.raises(RuntimeError, match="the test's own"), counting(network):
        network(torch.rand(2, *SHAPE))
        raise RuntimeError("the test's own")
    assert len(seen) == 3
    assert [neuron.observer for neuron in network.neurons] == observers
    assert not network._forward_pre_hooks
    assert torch.overrides._get_current_function_mode() is None


def test_a_count_does_not_go_on_outside():
    network = build("mlp", "rectangle")
    with torch.no_grad():
        with counting(network) as counts:
            network(torch.rand(2, *SHAPE))
        found = counts.per_sample()
        network(torch.rand(2, *SHAPE))
    assert counts.per_sample() == found


@pytest.mark.parametrize(
    "operation",
    [
        lambda s: s @ torch.rand(4, 2),
        lambda s: torch.einsum("tbi,ij->tbj", s, torch.rand(4, 2)),
        lambda s: functional.bilinear(s, s, torch.rand(2, 4, 4)),
    ],
    ids=["matmul", "einsum", "bilinear"],
)
def test_what_has_no_count_is_refused_by_name(operation, request):
    name = request.node.callspec.id
    with pytest.raises(BenchError, match=f"^the operations of {name} cannot be counted"):
        totals(fed(operation, 1), torch.ones(2, 1, 4))


def test_no_samples_have_no_mean():
    with counting(build("mlp", "rectangle")) as counts:
        pass
    with pytest.raises(ValueError, match="no sample"):
        counts.per_sample()


def test_float64_counts_the_same():
    network, x = build("convnet", "rectangle").double(), torch.rand(2, *SHAPE, dtype=torch.float64)
    with torch.no_grad():
        expected = network(x)
        with counting(network) as counts:
            assert torch.equal(network(x), expected)
    assert counts.macs == 2 * first_layer(network.float())


class Plain(nn.Module):
    """Synapses that are fed by spikes alone, which every counter takes for spikes."""

    def __init__(self, neuron, layers):
        super().__init__()
        self.neuron = neuron
        self.conv = layers.conv("conv", 2, 3, stride=2)
        self.fc = OverTime(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5)))

    def forward(self, x):
        return self.fc(self.conv(self.neuron(x)))


def plain():
    torch.manual_seed(0)
    layers = Layers(
        "net", lambda s: FOUND.method("rectangle").item.build(s, {}), NeuronOptions(), timesteps=2
    )
    body = Plain(layers.spike("in", nn.Identity()), layers)
    surrogates = [site.neuron.surrogate for site in layers.sites]
    return Network(body, layers.sites, surrogates, 2).eval(), torch.randint(0, 2, (3, 2, *SHAPE)).float()


def test_spikingjelly_counts_the_same_where_every_input_is_zero_or_one():
    """It takes whole numbers above 1, and averages of spikes, for real; here there are none."""
    counter = pytest.importorskip("spikingjelly.activation_based.op_counter", reason="needs spikingjelly 2")
    network, x = plain()
    theirs = counter.SynOpCounter()
    with torch.no_grad(), counter.DispatchCounterMode([theirs]):
        network(x)
    assert totals(network, x)[1] == theirs.get_total() > 0


def test_neurobench_counts_the_same_where_every_input_is_zero_or_one():
    """It takes whole numbers above 1, and averages, for real, and leaves zeros out of its MACs."""
    layers = pytest.importorskip("neurobench.metrics.utils.layers", reason="needs neurobench")
    network, x = plain()
    fed_with = []
    synapses = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [m.register_forward_pre_hook(lambda m, inputs: fed_with.append((m, *inputs))) for m in synapses]
    with torch.no_grad():
        network(x)
    for hook in hooks:
        hook.remove()
    theirs = [layers.single_layer_MACs(inputs, module) for module, inputs in fed_with]
    assert all(spiking for _, spiking in theirs)
    assert totals(network, x)[1] == sum(operations for operations, _ in theirs) > 0
