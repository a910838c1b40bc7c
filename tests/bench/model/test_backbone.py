"""Every shipped backbone under methods of every kind: shapes, gradients, width, and what does not fit.

That every method works in every backbone is a law of conformance: tests/methods/test_every_method.py.
"""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench import registry
from bench.errors import BenchError
from bench.model.backbone import build_network, picture, scaled
from bench.model.layers import NeuronOptions, SpikeBlock, TdBN
from bench.model.neuron import SpikingNeuron
from bench.surrogate import Surrogate, method

FOUND = registry.load()
METHODS = ["ann-relu", "asgl", "ds-atgo", "learned-width", "mpd-agl", "norse/superspike", "rectangle", "trsg"]
LAYERS = {"cifarnet": 7, "convnet": 3, "mlp": 2, "resnet18": 20, "resnet19": 20, "rsnn": 2, "vggsnn": 8}
SHAPE = (2, 16, 16)
WIDTH = {"mlp": 0.25, "convnet": 0.25, "rsnn": 0.25}
"""Of the small ones; the others have channels enough at 1/16."""
ANY_SHAPE = ["mlp", "rsnn"]

every_backbone = pytest.mark.parametrize("backbone", LAYERS)


def build(backbone, name, *, shape=SHAPE, classes=5, width=None, timesteps=3, values=None, **options):
    torch.manual_seed(0)
    return build_network(
        FOUND.backbone(backbone).item,
        FOUND.method(name).item,
        values or {},
        NeuronOptions(**options),
        shape=shape,
        classes=classes,
        width=width or WIDTH.get(backbone, 1 / 16),
        timesteps=timesteps,
    )


def on_meta(backbone, **more):
    """A network without numbers in it, of any size."""
    with torch.device("meta"):
        return build(backbone, "rectangle", **more)


def test_every_shipped_backbone_is_tested_here():
    assert FOUND.backbones.keys() == LAYERS.keys()


@pytest.mark.parametrize("name", METHODS)
@every_backbone
def test_forward_and_backward(backbone, name):
    network = build(backbone, name)
    logits = network(torch.rand(4, *SHAPE))
    assert logits.shape == (3, 4, 5)
    logits.mean(0).square().sum().backward()
    for parameter in network.parameters():
        assert parameter.grad.isfinite().all()
    assert len(network.surrogates) == len(network.sites) == LAYERS[backbone]


@pytest.mark.parametrize("name", ["asgl", "rectangle", "trsg"])
@every_backbone
@pytest.mark.parametrize(
    "options", [{"neuron": "plif"}, {"reset": "subtract", "detach_reset": True}], ids=str
)
def test_neuron_options_reach_every_parameter(backbone, name, options):
    network = build(backbone, name, **options)
    network(torch.rand(4, *SHAPE)).mean(0).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    assert sum(n.endswith(".w") for n, _ in network.named_parameters()) == (
        LAYERS[backbone] if "neuron" in options else 0
    )


@pytest.mark.parametrize("norm", ["tdbn", "bn", "none"])
@every_backbone
def test_every_norm_trains_every_layer(backbone, norm):
    network = build(backbone, "rectangle", norm=norm, neuron="plif")
    assert sum(isinstance(m, TdBN) for m in network.modules()) == (0 if norm == "none" else LAYERS[backbone])
    for synapse in (m[0].module for m in network.modules() if isinstance(m, SpikeBlock)):
        assert (synapse.bias is None) == (norm != "none")
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.AdamW(network.parameters(), 0.01)
    x, y = torch.rand(16, *SHAPE), torch.arange(16) % 5
    loss = functional.cross_entropy(network(x).mean(0), y)
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    for name, value in network.named_parameters():
        assert value.isfinite().all()
        # Without a norm, deep layers of such a small network get too little to spike at first.
        if norm != "none":
            assert not torch.equal(value, before[name]), name


@every_backbone
def test_the_first_layer_learns(backbone):
    network = build(backbone, "rectangle")
    network(torch.rand(16, *SHAPE)).mean(0).square().sum().backward()
    assert next(network.parameters()).grad.abs().sum() > 0


@every_backbone
def test_layers_have_names_of_their_own_and_stand_in_blocks_in_their_order(backbone):
    network = build(backbone, "rectangle")
    names = [site.name for site in network.sites]
    assert len(set(names)) == len(names)
    assert all(name.startswith(f"{backbone}/") for name in names)
    blocks = [m for m in network.modules() if isinstance(m, SpikeBlock)]
    assert [block.neuron for block in blocks] == [site.neuron for site in network.sites]
    assert all(site.norm is block[1] for site, block in zip(network.sites, blocks, strict=True))


@pytest.mark.parametrize("backbone", [b for b in LAYERS if not b.startswith("resnet")])
def test_every_layer_of_a_chain_lies_one_deeper_than_the_one_before(backbone):
    sites = build(backbone, "rectangle").sites
    assert [site.depth for site in sites] == list(reversed(range(len(sites))))


@every_backbone
def test_what_is_called_readout_is_the_last_layer_and_nothing_else(backbone):
    network = build(backbone, "rectangle", classes=7)
    last = [m for m in network.modules() if isinstance(m, nn.Linear)][-1]
    named = [p for n, p in network.named_parameters() if "readout" in n]
    assert last.out_features == 7
    assert {id(p) for p in named} == {id(p) for p in last.parameters()}


@every_backbone
def test_a_still_image_is_shown_at_every_step_and_events_step_by_step(backbone):
    network = build(backbone, "rectangle").double()
    image = torch.rand(4, *SHAPE, dtype=torch.float64)
    # At first running statistics are those of no data, and the network is silent in evaluation.
    for norm in (m for m in network.modules() if isinstance(m, TdBN)):
        norm.momentum = 1.0
    network(image)
    network.eval()
    film = image[:, None].repeat(1, 3, 1, 1, 1)
    torch.testing.assert_close(network(image), network(film), rtol=1e-12, atol=1e-12)
    later = film.clone()
    later[:, 2] = 0
    assert torch.equal(network(later)[:2], network(film)[:2]), "the past does not see the future"
    assert not torch.equal(network(later)[2], network(film)[2])


@pytest.mark.parametrize("norm", ["tdbn", "none"])
@every_backbone
def test_what_is_before_the_first_spike_is_computed_once_with_the_same_results(backbone, norm):
    network = build(backbone, "rectangle", neuron="plif", norm=norm).double()
    other = copy.deepcopy(network)
    seen = []
    first = next(m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    first.register_forward_hook(lambda _, given, out: seen.append(len(given[0])))
    close = {"rtol": 1e-10, "atol": 1e-12}
    for training in (True, True, True, False):
        # Channels last in memory: to flatten it takes a copy, of one step only.
        image = torch.rand(4, 16, 16, 2, dtype=torch.float64).permute(0, 3, 1, 2)
        upstream = torch.randn(3, 4, 5, dtype=torch.float64)
        once = network.train(training)(image)
        at_every_step = other.train(training).body(image.expand(3, *image.shape).contiguous())
        torch.testing.assert_close(once, at_every_step, **close)
        ours, theirs = (
            torch.autograd.grad(out, list(n.parameters()), upstream)
            for out, n in ((once, network), (at_every_step, other))
        )
        for one, each in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, each, **close)
        assert ours[0].any() or norm == "none" or not training
        for (name, one), each in zip(network.named_buffers(), other.buffers(), strict=True):
            assert "running" in name
            torch.testing.assert_close(one, each, **close)
    assert seen == [4] * 4
    network(torch.rand(4, 3, *SHAPE, dtype=torch.float64))
    assert seen[4:] == [12]


def test_neurons_are_those_of_the_sites():
    network = build("resnet18", "rectangle")
    assert network.neurons == tuple(m for m in network.modules() if isinstance(m, SpikingNeuron))
    assert [n.surrogate for n in network.neurons] == list(network.surrogates)


@pytest.mark.parametrize(("shape", "ndim"), [((2, 16, 16), 3), ((18,), 1)])
def test_events_have_one_dimension_more(shape, ndim):
    network = build("mlp", "rectangle", shape=shape)
    assert network.sample_ndim == ndim
    assert network.is_events(torch.zeros(4, 3, *shape))
    assert not network.is_events(torch.zeros(4, *shape))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("norm", ["tdbn", "bn", "none"])
@every_backbone
def test_without_spikes_a_still_image_is_computed_once_with_the_same_results(backbone, norm, training):
    network = build(backbone, "ann-relu", norm=norm).double()
    image = torch.rand(4, *SHAPE, dtype=torch.float64)
    with torch.no_grad():
        for _ in range(2):
            # Running statistics of some data, else there is nothing to evaluate with.
            network(image[:, None].expand(-1, 3, *SHAPE))
    other = copy.deepcopy(network)
    steps = []
    network.neurons[-1].register_forward_hook(lambda _, given, out: steps.append(len(out)))
    remembers = any(neuron.recurrent is not None for neuron in network.neurons)
    film = image[:, None].repeat(1, 3, 1, 1, 1)
    once, at_every_step = network.train(training)(image), other.train(training)(film)
    assert once.shape == (3, 4, 5)
    assert steps == [3 if remembers else 1]
    torch.testing.assert_close(once, at_every_step, rtol=1e-12, atol=1e-12)
    upstream = torch.randn(3, 4, 5, dtype=torch.float64)
    ours, theirs = (
        torch.autograd.grad(out, list(n.parameters()), upstream)
        for out, n in ((once, network), (at_every_step, other))
    )
    for one, each in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, each, rtol=1e-10, atol=1e-11)
    assert any(one.any() for one in ours)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("backbone", ANY_SHAPE)
def test_flat_samples_are_like_pictures_of_as_many_values(backbone, name):
    flat, square = (build(backbone, name, shape=shape) for shape in ((18,), (2, 3, 3)))
    still, moving = torch.rand(4, 2, 3, 3), torch.rand(4, 3, 2, 3, 3)
    for pictures, values in ((still, still.flatten(1)), (moving, moving.flatten(2))):
        logits = flat(values)
        assert logits.shape == (3, 4, 5)
        assert torch.equal(logits, square(pictures))
    logits.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in flat.parameters())


@every_backbone
def test_width_scales_every_spiking_layer(backbone):
    channels = {w: [s.norm.weight.numel() for s in on_meta(backbone, width=w).sites] for w in (1, 2)}
    assert channels[2] == [2 * c for c in channels[1]]
    tiny = build(backbone, "rectangle", width=1e-9)
    assert [site.norm.weight.numel() for site in tiny.sites] == [1] * LAYERS[backbone]
    assert tiny(torch.rand(4, *SHAPE)).shape == (3, 4, 5)


def test_scaled_rounds_and_is_never_zero():
    assert [scaled(32, w) for w in (1, 0.5, 0.75, 0.001, 1.01)] == [32, 16, 24, 1, 32]


def test_width_one_is_what_the_docstrings_say():
    sizes = {b: [s.norm.weight.numel() for s in on_meta(b, width=1).sites] for b in LAYERS}
    assert sizes == {
        "mlp": [256, 256],
        "rsnn": [128, 128],
        "convnet": [32, 64, 64],
        "cifarnet": [256] * 6 + [2048],
        "vggsnn": [64, 128, 256, 256, 512, 512, 512, 512],
        "resnet18": [64] * 5 + [128] * 5 + [256] * 5 + [512] * 5,
        "resnet19": [128] * 7 + [256] * 7 + [512] * 5 + [256],
    }


PICTURES = "samples of shape (C, H, W)"
ANY = "use the backbone mlp or rsnn, which take any shape"
SMALLER = "use the backbone convnet, resnet18 or resnet19, which take any size"


@pytest.mark.parametrize(
    ("backbone", "shape", "says"),
    [
        ("convnet", (64,), f"convnet needs {PICTURES}, got (64,): {ANY}"),
        ("resnet18", (700,), f"resnet18 needs {PICTURES}, got (700,): {ANY}"),
        ("resnet19", (2, 3), f"resnet19 needs {PICTURES}, got (2, 3): {ANY}"),
        ("vggsnn", (700,), f"vggsnn needs {PICTURES} with H and W of at least 16, got (700,): {ANY}"),
        (
            "vggsnn",
            (2, 48, 15),
            f"vggsnn needs {PICTURES} with H and W of at least 16, got (2, 48, 15): {SMALLER}",
        ),
        (
            "vggsnn",
            (2, 8, 48),
            f"vggsnn needs {PICTURES} with H and W of at least 16, got (2, 8, 48): {SMALLER}",
        ),
        (
            "cifarnet",
            (1, 2, 3, 3),
            f"cifarnet needs {PICTURES} with H and W of at least 4, got (1, 2, 3, 3): {ANY}",
        ),
        (
            "cifarnet",
            (1, 3, 9),
            f"cifarnet needs {PICTURES} with H and W of at least 4, got (1, 3, 9): {SMALLER}",
        ),
    ],
)
def test_samples_that_do_not_fit(backbone, shape, says):
    with pytest.raises(BenchError) as problem:
        build(backbone, "rectangle", shape=shape)
    assert str(problem.value) == says


@pytest.mark.parametrize(
    ("backbone", "shape"),
    [
        ("cifarnet", (1, 4, 4)),
        ("convnet", (1, 1, 1)),
        ("mlp", (1,)),
        ("resnet18", (1, 1, 1)),
        ("resnet19", (1, 1, 1)),
        ("rsnn", (2, 3, 1, 1)),
        ("vggsnn", (1, 16, 16)),
        ("vggsnn", (2, 19, 33)),
    ],
)
def test_the_smallest_and_the_odd_samples_that_fit(backbone, shape):
    network = build(backbone, "rectangle", shape=shape)
    for x in (torch.rand(2, *shape), torch.rand(2, 3, *shape)):
        logits = network(x)
        assert logits.shape == (3, 2, 5)
        logits.sum().backward()


def test_a_picture_has_three_numbers():
    assert picture("any", (2, 5, 4)) == picture("any", (2, 5, 4), smallest=4) == (2, 5, 4)


@pytest.mark.parametrize(
    ("backbone", "layer"),
    [
        ("cifarnet", "conv1"),
        ("convnet", "conv1"),
        ("mlp", "fc1"),
        ("resnet18", "stem"),
        ("resnet19", "stem"),
        ("rsnn", "fc1"),
        ("vggsnn", "conv1"),
    ],
)
@pytest.mark.parametrize("norm", ["bn", "none"])
def test_a_method_that_does_not_fit_names_the_layer_and_the_way_out(backbone, layer, norm):
    with pytest.raises(BenchError, match=f"mpd-agl needs a tdBN .*; {backbone}/{layer} has none: set norm"):
        build(backbone, "mpd-agl", norm=norm)


def test_values_reach_every_layer():
    network = build("mlp", "rectangle", values={"width": 3.0})
    assert [s.params(None, 0)["width"] for s in network.surrogates] == [3.0, 3.0]
    network = build("mlp", "rectangle", threshold=1.0)
    assert [s.params(None, 0)["width"] for s in network.surrogates] == [2.0, 2.0]


def test_a_methods_own_parameters_are_registered_once():
    @method("own", paper="none")
    class Own(Surrogate):
        def bind(self, site):
            super().bind(site)
            self.gain = torch.nn.Parameter(torch.ones(()))

    (found,) = vars(Own)["declared"]
    plain, own = (
        build_network(
            FOUND.backbone("mlp").item,
            m,
            {},
            NeuronOptions(),
            shape=(1, 2, 2),
            classes=2,
            width=0.1,
            timesteps=1,
        )
        for m in (FOUND.method("rectangle").item, found)
    )
    assert len(list(own.parameters())) == len(list(plain.parameters())) + 2
    assert sum("gain" in name for name in own.state_dict()) == 2
