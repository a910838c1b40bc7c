"""Every shipped backbone under methods of every kind: shapes, gradients, width, and what does not fit.

That every method works in every backbone is a law of conformance: tests/methods/test_every_method.py.
"""

import pytest
import torch

from bench import registry
from bench.backbone import build_network, scaled
from bench.errors import BenchError
from bench.layers import NeuronOptions
from bench.surrogate import Surrogate, method

FOUND = registry.load()
METHODS = ["ann-relu", "asgl", "ds-atgo", "learned-width", "mpd-agl", "norse/superspike", "rectangle", "trsg"]
LAYERS = {"mlp": 2, "convnet": 3}


def build(backbone, name, *, shape=(2, 8, 8), classes=5, width=0.25, timesteps=3, values=None, **options):
    torch.manual_seed(0)
    return build_network(
        FOUND.backbone(backbone).item,
        FOUND.method(name).item,
        values or {},
        NeuronOptions(**options),
        shape=shape,
        classes=classes,
        width=width,
        timesteps=timesteps,
    )


def test_every_shipped_backbone_is_tested_here():
    assert FOUND.backbones.keys() == LAYERS.keys()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("backbone", LAYERS)
def test_forward_and_backward(backbone, name):
    network = build(backbone, name)
    logits = network(torch.rand(4, 2, 8, 8))
    assert logits.shape == (3, 4, 5)
    logits.mean(0).square().sum().backward()
    for parameter in network.parameters():
        assert parameter.grad.isfinite().all()
    assert len(network.surrogates) == len(network.sites) == LAYERS[backbone]
    assert [site.depth for site in network.sites] == list(reversed(range(LAYERS[backbone])))
    assert all(site.name.startswith(f"{backbone}/") for site in network.sites)


@pytest.mark.parametrize("name", [n for n in METHODS if n != "ann-relu"])
@pytest.mark.parametrize("backbone", LAYERS)
@pytest.mark.parametrize(
    "options", [{"neuron": "plif"}, {"reset": "subtract", "detach_reset": True}], ids=str
)
def test_neuron_options_reach_every_parameter(backbone, name, options):
    network = build(backbone, name, **options)
    network(torch.rand(4, 2, 8, 8)).mean(0).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    assert sum(n.endswith(".w") for n, _ in network.named_parameters()) == (
        LAYERS[backbone] if "neuron" in options else 0
    )


@pytest.mark.parametrize("backbone", LAYERS)
def test_the_first_layer_learns(backbone):
    network = build(backbone, "rectangle")
    network(torch.rand(16, 2, 8, 8)).mean(0).square().sum().backward()
    assert next(network.parameters()).grad.abs().sum() > 0


@pytest.mark.parametrize("backbone", LAYERS)
def test_a_still_image_is_shown_at_every_step_and_events_step_by_step(backbone):
    network = build(backbone, "rectangle").eval()
    image = torch.rand(4, 2, 8, 8)
    film = image[:, None].expand(-1, 3, -1, -1, -1)
    assert torch.equal(network(image), network(film))
    later = film.clone()
    later[:, 2] = 0
    assert torch.equal(network(later)[:2], network(film)[:2]), "the past does not see the future"


@pytest.mark.parametrize("backbone", LAYERS)
def test_width_scales_every_spiking_layer(backbone):
    channels = {
        w: [s.norm.weight.numel() for s in build(backbone, "rectangle", width=w).sites] for w in (1, 2)
    }
    assert channels[2] == [2 * c for c in channels[1]]
    tiny = build(backbone, "rectangle", width=1e-9)
    assert [site.norm.weight.numel() for site in tiny.sites] == [1] * LAYERS[backbone]
    assert tiny(torch.rand(4, 2, 8, 8)).shape == (3, 4, 5)


def test_scaled_rounds_and_is_never_zero():
    assert [scaled(32, w) for w in (1, 0.5, 0.75, 0.001, 1.01)] == [32, 16, 24, 1, 32]


def test_width_one_is_what_the_docstrings_say():
    sizes = {b: [s.norm.weight.numel() for s in build(b, "rectangle", width=1).sites] for b in LAYERS}
    assert sizes == {"mlp": [256, 256], "convnet": [32, 64, 64]}


def test_a_convnet_refuses_flat_samples():
    with pytest.raises(BenchError, match=r"convnet needs samples of shape \(C, H, W\), got \(64,\): use"):
        build("convnet", "rectangle", shape=(64,))


@pytest.mark.parametrize(("backbone", "layer"), [("mlp", "fc1"), ("convnet", "conv1")])
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
