"""What the probe says of networks twenty layers deep, and that training does not notice it."""

import math

import pytest
import torch
from torch import nn

from bench import registry
from bench.data import loading
from bench.measures.gradients import RELU, look
from bench.model.backbone import Backbone, build_network
from bench.model.layers import NeuronOptions, OverTime
from bench.records.run_columns import run_columns
from bench.runner import train
from bench.suite import Cell

FOUND = registry.load()
DEEP = 20
RANDOM = ("norse/circ_dist", "snntorch/SSO")


class Chain(nn.Module):
    """Twenty fully connected spiking layers of 64, then a linear readout."""

    def __init__(self, layers, shape, classes, width):
        super().__init__()
        sizes = [shape[0], *[64] * DEEP]
        blocks = [layers.linear(f"fc{i}", sizes[i], sizes[i + 1]) for i in range(DEEP)]
        self.blocks = nn.Sequential(*blocks)
        self.readout = OverTime(nn.Linear(64, classes))

    def forward(self, x):
        return self.readout(self.blocks(x))


def network_of(named, params=None):
    torch.manual_seed(0)
    item = FOUND.method(named).item if isinstance(named, str) else named
    return build_network(
        Backbone("chain", Chain, ""),
        item,
        params or {},
        NeuronOptions(),
        shape=(16,),
        classes=10,
        width=1.0,
        timesteps=2,
    )


def batch():
    return torch.randn((64, 16), generator=torch.Generator().manual_seed(0)), torch.arange(64) % 10


def columns_of(named, params=None, epochs=()):
    network = network_of(named, params)
    x, y = batch()
    rows = look(network, x, y, 0, 0)
    for epoch, values in enumerate(epochs, 1):
        for surrogate in network.surrogates:
            surrogate.values = surrogate.values | values
        rows += look(network, x, y, epoch, 0)
    relu = look(network_of(RELU), x, y, 0, 0)
    return run_columns(rows, relu)


def test_a_narrow_and_low_window_vanishes_from_the_start():
    found = columns_of("rectangle", {"width": 0.2, "height": 0.3})
    assert found["vanishing_slope"] < found["vanishing_slope_ann"] - 0.3
    assert found["vanish_onset_epoch"] == 0
    assert found["first_to_last"] < -3
    assert found["dead_layers"] == 0


def test_one_that_is_pushed_there_shows_when():
    healthy, low = {"width": 1.0, "height": 1.0}, {"width": 0.2, "height": 0.3}
    found = columns_of("rectangle", healthy, epochs=(healthy, healthy, low, low))
    assert found["vanish_onset_epoch"] == 3
    assert abs(found["vanishing_slope_before"] - found["vanishing_slope_ann"]) < 0.15
    assert found["vanishing_slope"] < found["vanishing_slope_before"] - 0.3
    assert columns_of("rectangle", healthy, epochs=(healthy,))["vanish_onset_epoch"] is None


def test_four_times_the_height_explodes():
    healthy, high = columns_of("rectangle"), columns_of("rectangle", {"height": 4.0})
    assert high["vanishing_slope"] > high["vanishing_slope_ann"] + 0.3
    # Each layer multiplies by four times as much.
    gained = high["vanishing_slope"] - healthy["vanishing_slope"]
    assert gained == pytest.approx(math.log10(4), abs=0.02)


def test_layers_that_get_no_gradient_are_counted_and_stay_out_of_the_fit():
    network = network_of("rectangle")
    # Where the window of the tenth layer is shut nothing passes to those below it.
    network.surrogates[9].values = {"width": 0.5, "height": 0.0}
    rows = look(network, *batch(), 0, 0)
    found = run_columns(rows, rows)
    assert found["dead_layers"] == 10
    assert found["vanish_onset_epoch"] == 0
    assert all(value is None or math.isfinite(value) for value in found.values())
    assert {name for name, value in found.items() if value is None} == set()
    shut = [row for row in rows if row["layer"] == 9]
    assert all(row["available_fraction"] == row["participation"] == row["gain"] == 0 for row in shut)
    assert all(row["gradient_zero_fraction"] == 1 for row in shut)
    below = [row for row in rows if row["layer"] < 9]
    assert all(row["gradient_norm"] == 0 and row["weight_gradient_ratio"] == 0 for row in below)


# --- training does not notice ---


@pytest.fixture
def _torch_as_it_was():
    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


KINDS = {
    "fixed": "rectangle",
    "adaptive": "mpd-agl",
    "noise": "msg",
    "noise and learned": "asgl",
    "search": "dspike",
    "learned": "learned-width",
    "penalty": "mpd-sgr",
    "learned threshold": "trsg",
    "reference": "ann-relu",
}


@pytest.mark.usefixtures("_torch_as_it_was")
@pytest.mark.parametrize("neuron", ["lif", "plif"])
@pytest.mark.parametrize("named", KINDS.values(), ids=KINDS)
def test_a_run_ends_in_the_same_weights_with_and_without_looks(tiny, named, neuron, tmp_path):
    trained_alike(tiny, named, neuron, tmp_path)


@pytest.mark.usefixtures("_torch_as_it_was")
@pytest.mark.parametrize("named", RANDOM)
def test_nor_does_a_library_that_draws_from_the_global_generator(tiny, named, tmp_path):
    pytest.importorskip(named.partition("/")[0])
    trained_alike(tiny, named, "lif", tmp_path)


def trained_alike(tiny, named, neuron, tmp_path):
    suite = tiny(backbones=[{"name": "mlp", "width": 0.125, "neuron": neuron}])
    digits = loading.prepare(FOUND.dataset("digits").item, loading.Request(tmp_path, 2), 200)
    ends, outcomes = {}, {}
    build = train.build
    for probe in ("off", "all"):
        made = []

        def keep(cell, found, known, instead=None, made=made):
            made.append(build(cell, found, known, instead))
            return made[-1]

        cell = Cell.model_validate(
            {
                "method": {"name": named},
                "dataset": suite.datasets[0],
                "backbone": suite.backbones[0],
                "timesteps": 2,
                "seed": 0,
                "recipe": suite.recipe,
                "profile": suite.profile,
                "measure": {"probe": probe, "descent": False},
            }
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(train, "build", keep)
            outcomes[probe] = train.train(cell, FOUND, digits, lambda *_: None)
        ends[probe] = made[0].state_dict()
    assert outcomes["all"].unmeasured == outcomes["off"].unmeasured == {}
    assert not outcomes["off"].layers
    assert {row["epoch"] for row in outcomes["all"].layers} == {0, 1, 2}
    losses = [[row["train_loss"] for row in outcomes[probe].epochs] for probe in ("off", "all")]
    assert losses[0] == losses[1]
    for name, value in ends["off"].items():
        other = ends["all"][name]
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other, name
