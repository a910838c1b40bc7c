"""Steps along the surrogate gradient: against a plain computation, laws, and every method."""

import copy
import random
import statistics

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from bench import registry, shapes
from bench.measures import descent
from bench.measures.descent import descent_gains, finite_difference_agreement
from bench.model.backbone import Backbone, build_network, synapses
from bench.model.layers import NeuronOptions, OverTime
from bench.model.neuron import SpikingNeuron
from bench.suite import Profile
from bench.surrogate import Param, Surrogate, method, spike

FOUND = registry.load()
INSTALLED = sorted(name for name, e in FOUND.methods.items() if not registry.missing_packages(e.item))
ALONG = ["descent_gain_1e-3", "descent_gain_1e-2"]
RANDOM = ["descent_gain_random_1e-3", "descent_gain_random_1e-2"]


def network_of(named, backbone="mlp", *, shape=(1, 4, 4), classes=5, width=0.0625, timesteps=2, **options):
    torch.manual_seed(0)
    item = FOUND.method(named).item if isinstance(named, str) else vars(named)["declared"][0]
    found = FOUND.backbone(backbone).item if isinstance(backbone, str) else Backbone("test", backbone, "")
    return build_network(
        found,
        item,
        {},
        NeuronOptions(**options),
        shape=shape,
        classes=classes,
        width=width,
        timesteps=timesteps,
        epochs=2,
    )


def batches(count=1, samples=32, shape=(1, 4, 4), classes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(samples) % classes
    return [(torch.randn((samples, *shape), generator=generator), y) for _ in range(count)]


class Readout(nn.Module):
    """Nothing but a readout, behind one spiking layer that nobody listens to."""

    def __init__(self, layers, shape, classes, width):
        super().__init__()
        self.aside = layers.block("aside", nn.Identity(), shape[0])
        self.readout = OverTime(nn.Linear(shape[0], classes, bias=False))

    def forward(self, x):
        return self.readout(x) + 0 * self.aside(x).mean()


# --- against a plain computation ---


def plain_gains(network, x, y):
    """{eps: gain} with all matrices as one long vector, by functional calls.

    A norm's weights are vectors, and no method here owns a matrix.
    """
    names = [n for n, p in network.named_parameters() if p.ndim > 1]
    network = copy.deepcopy(network).double().train()
    x = x.double()
    for neuron in (m for m in network.modules() if isinstance(m, SpikingNeuron)):
        neuron.surrogate.noise = lambda *_: None
    weights = {n: p.detach().clone().requires_grad_() for n, p in network.named_parameters() if n in names}
    loss = functional.cross_entropy(functional_call(network, weights, (x,)).mean(0), y)
    g = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(weights.values()))])
    theta = torch.cat([w.detach().flatten() for w in weights.values()])
    gains = {}
    for eps in (1e-3, 1e-2):
        moved = (theta - eps * theta.norm() * g / g.norm()).split([w.numel() for w in weights.values()])
        there = {n: part.view(w.shape) for (n, w), part in zip(weights.items(), moved, strict=True)}
        with torch.no_grad():
            after = functional.cross_entropy(functional_call(network, there, (x,)).mean(0), y)
        gains[eps] = ((loss - after) / loss).item()
    return gains


@pytest.mark.parametrize("named", ["ann-relu", "asgl", "ds-atgo", "learned-width", "mpd-agl", "rectangle"])
@pytest.mark.parametrize("backbone", ["convnet", "mlp", "rsnn"])
def test_equals_a_plain_computation(named, backbone):
    network = network_of(named, backbone, neuron="plif", threshold=0.3)
    given = batches(3)
    found = descent_gains(network, given, seed=5)
    each = [plain_gains(network, *batch) for batch in given]
    for key, eps in zip(ALONG, (1e-3, 1e-2), strict=True):
        assert found[key] == pytest.approx(statistics.median(e[eps] for e in each), rel=1e-8, abs=1e-12)
    assert sorted(found) == sorted([*ALONG, *RANDOM])


def test_which_weights_are_moved():
    @method("matrices", paper="none")
    class Matrices(Surrogate):
        shape = staticmethod(torch.ones_like)

        def bind(self, site):
            super().bind(site)
            self.own = nn.Parameter(torch.ones(3, 3))

    network = network_of(Matrices, "rsnn", neuron="plif", norm="none")
    names = {id(p): name for name, p in network.named_parameters()}
    moved = [names[id(p)] for p in synapses(network)]
    kept = set(names.values()) - set(moved)
    assert sum("recurrent.weight" in name for name in moved) == 2
    assert len(moved) == 5, "two layers, their recurrence and the readout"
    assert all(name.endswith(("bias", ".w", "surrogate.own")) for name in kept)


def test_a_step_along_the_gradient_of_logistic_regression_is_known_by_hand():
    network = network_of("rectangle", Readout, shape=(3,), classes=2, timesteps=1)
    (x, y) = batches(1, 8, (3,), 2)[0]
    weight = network.body.readout.module.weight.detach().double().numpy()
    samples, labels = x.double().numpy(), y.numpy()

    def loss(weight):
        z = samples @ weight.T
        return float(np.mean(np.log(np.exp(z).sum(1)) - z[range(8), labels]))

    def slope(weight):
        e = np.exp(samples @ weight.T)
        share = e / e.sum(1, keepdims=True)
        share[range(8), labels] -= 1
        return share.T @ samples / 8

    g = slope(weight)
    scale = (weight**2).sum() ** 0.5 / (g**2).sum() ** 0.5
    found = descent_gains(network, [(x, y)], seed=0)
    for key, eps in zip(ALONG, (1e-3, 1e-2), strict=True):
        expected = (loss(weight) - loss(weight - eps * scale * g)) / loss(weight)
        assert found[key] == pytest.approx(expected, rel=1e-9)


# --- a batch in parts ---


@pytest.mark.parametrize("named", ["ann-relu", "ds-atgo", "rectangle"])
def test_a_batch_in_parts_has_the_mean_loss_of_its_parts(monkeypatch, named):
    """The parts of 32 samples, at most 9 at once, are four of eight."""
    network, (x, y) = network_of(named, "convnet"), batches(1)[0]
    monkeypatch.setattr(descent, "at_once", lambda *_: 9)
    landscape = descent._Landscape(network, 0, 9)
    whole, gradient = landscape.gradient(x, y)
    parts = [descent._Landscape(network, 0, 8) for _ in range(4)]
    if named != "ds-atgo":  # Its state goes from one part to the next.
        each = [part.loss(*some, gradient, 0.0) for part, some in zip(parts, split(x, y), strict=True)]
        assert whole == pytest.approx(statistics.mean(each), rel=1e-12)
    twin = copy.deepcopy(network).double().train()
    loss = sum(functional.cross_entropy(twin(a.double()).mean(0), b) for a, b in split(x, y)) / 4
    expected = torch.autograd.grad(loss, synapses(twin), allow_unused=True)
    largest = max(float(g.abs().max()) for g in expected if g is not None)
    for found, plain in zip(gradient, expected, strict=True):
        torch.testing.assert_close(found, plain / largest, rtol=1e-9, atol=1e-12)
    assert whole == pytest.approx(loss.item(), rel=1e-12)
    together = descent._Landscape(network, 0, 32).gradient(x, y)[0]
    assert whole != pytest.approx(together, rel=1e-6), "statistics are those of a part"
    # Of a loss in parts too the gradient shows the way down.
    gains = descent_gains(network, [(x, y)], seed=0)
    assert gains[ALONG[0]] == pytest.approx(
        (whole - landscape.loss(x, y, gradient, -1e-3)) / whole, rel=1e-12
    )


def split(x, y):
    return list(zip(x.split(8), y.split(8), strict=True))


def test_parts_are_as_equal_as_can_be():
    landscape = descent._Landscape(network_of("rectangle"), 0, 15)
    parts = list(landscape._parts(torch.arange(256), torch.arange(256)))
    assert torch.equal(torch.cat([x for _, x, _ in parts]), torch.arange(256))
    assert {len(x) for _, x, _ in parts} == {14, 15} and len(parts) == 18
    assert sum(share for share, _, _ in parts) == pytest.approx(1)


@pytest.mark.parametrize("events", [False, True])
@pytest.mark.parametrize("named", ["ann-relu", "asgl", "mpd-agl", "rectangle"])
def test_how_many_samples_fit_is_the_same_for_every_method(monkeypatch, named, events):
    network, (x, _) = network_of(named, width=0.25, timesteps=3), batches(1)[0]
    x = x[:, None].repeat(1, 3, 1, 1, 1) if events else x
    # 16 numbers of 8 bytes for each of the neurons of two layers, at three time steps.
    neurons = sum(block.out_features for block in network.modules() if isinstance(block, nn.Linear)) - 5
    monkeypatch.setattr(descent, "AT_ONCE", 20 * 128 * 3 * neurons + 1)
    assert descent.at_once(network, x) == 20
    monkeypatch.setattr(descent, "AT_ONCE", 1)
    assert descent.at_once(network, x) == descent.FEWEST


def test_a_network_that_fits_is_computed_whole(monkeypatch):
    """A ResNet-19 at a sixteenth of its width, T = 2, on CIFAR-10."""
    network = network_of("rectangle", "resnet19", shape=(3, 32, 32), width=0.0625)
    assert descent.at_once(network, torch.zeros(2, 3, 32, 32)) > 256


# --- what it may cost ---


@pytest.mark.parametrize("named", ["ann-relu", "mpd-agl", "rectangle"])
def test_multiplications_are_counted_by_hand(named):
    x = torch.randn(4, 1, 4, 4)
    first, second, readout = (
        each.weight.numel() for each in network_of(named).modules() if isinstance(each, nn.Linear)
    )
    assert descent._multiplications(network_of(named), x) == 2 * (first + second + readout)
    moving = x[:, None].repeat(1, 2, 1, 1, 1)
    assert descent._multiplications(network_of(named), moving) == 2 * (first + second + readout)
    recurrent = network_of(named, "rsnn")
    back = sum(neuron.recurrent.weight.numel() for neuron in recurrent.neurons)
    all_of_them = sum(each.weight.numel() for each in recurrent.modules() if isinstance(each, nn.Linear))
    # At the first step nothing has been emitted.
    assert descent._multiplications(recurrent, x) == 2 * all_of_them - back


@pytest.mark.parametrize(
    ("profile", "longer"),
    [
        ({"device": "cpu"}, 2),
        ({"device": "cpu", "autocast": "bfloat16"}, 2),
        ({"device": "cpu", "dtype": "float64"}, 1),
        ({"device": "cuda"}, 64),
        ({"device": "cuda", "tf32": True}, 512),
        ({"device": "cuda", "autocast": "bfloat16"}, 512),
        ({"device": "cuda", "dtype": "float64"}, 1),
    ],
)
def test_what_takes_more_than_half_as_long_as_training_is_left_out(monkeypatch, profile, longer):
    network, (x, _) = network_of("rectangle"), batches(1)[0]
    monkeypatch.setattr(descent, "FREE", 0)
    passes = 3 * 1000 // 2
    profile = Profile(**profile)
    descent.afford(network, x, passes, 1000 * longer, profile)
    with pytest.raises(descent.LeftOut) as raised:
        descent.afford(network, x, 2 * passes, 1000 * longer, profile)
    assert str(raised.value) == (
        "3,000 passes of a sample in float64 would take 1.0 times as long as the training, by estimate; "
        "up to 0.5 times is measured"
    )
    count = descent._multiplications(network, x)
    monkeypatch.setattr(descent, "FREE", 2 * passes * count)
    descent.afford(network, x, 2 * passes, 1000 * longer, profile)
    monkeypatch.setattr(descent, "FREE", 2 * passes * count - 1)
    with pytest.raises(descent.LeftOut):
        descent.afford(network, x, 2 * passes, 1000 * longer, profile)


def test_passes_are_as_many_as_are_made(monkeypatch):
    passes = {"there": 0, "back": 0}
    plain, slope = descent._Landscape._loss, torch.autograd.grad

    def loss(self, x, y):
        passes["there"] += len(y)
        return plain(self, x, y)

    def back(*given, **named):
        # A pass back takes as long as two there.
        passes["back"] += 2 * 32
        return slope(*given, **named)

    monkeypatch.setattr(descent._Landscape, "_loss", loss)
    monkeypatch.setattr(torch.autograd, "grad", back)
    monkeypatch.setattr(descent, "DIRECTIONS", 5)
    network = network_of("rectangle")
    descent_gains(network, batches(3), seed=0)
    assert 2 * sum(passes.values()) == descent.gain_passes(3 * 32)
    passes.update(there=0, back=0)
    finite_difference_agreement(network, *batches(1)[0], seed=0)
    assert 2 * sum(passes.values()) == descent.agreement_passes(32)


@pytest.mark.parametrize("tf32", [False, True])
@pytest.mark.parametrize(("samples", "val"), [(45_000, 5_000), (9_000, 1_000)])
def test_on_a_gpu_the_recipe_of_a_paper_has_room_for_it(samples, val, tf32):
    """150 epochs; decided without a look at the network. In 16 bits 10,000 samples are too few."""
    passes, profile = descent.gain_passes(min(5, val // 256) * 256), Profile(device="cuda", tf32=tf32)
    if tf32 and samples < 10_000:
        network, (x, _) = network_of("rectangle", width=4.0, timesteps=100), batches(1)[0]
        with pytest.raises(descent.LeftOut):
            descent.afford(network, x, passes, 150 * samples, profile)
    else:
        descent.afford(None, None, passes, 150 * samples, profile)


# --- laws ---


def test_a_true_gradient_goes_down_further_than_a_random_direction():
    found = descent_gains(network_of("ann-relu"), batches(3), seed=0)
    for along, aside in zip(ALONG, RANDOM, strict=True):
        assert found[along] > 5 * abs(found[aside])
    assert found[ALONG[1]] > 5 * found[ALONG[0]], "the longer step goes further"


@pytest.fixture
def times(monkeypatch):
    """times(factor): every gradient of the loss is multiplied by it, the loss itself is not."""
    plain = functional.cross_entropy

    def multiply(factor):
        def scaled(*given):
            loss = plain(*given)
            if loss.requires_grad:
                loss.register_hook(lambda g: factor * g)
            return loss

        monkeypatch.setattr(functional, "cross_entropy", scaled)

    return multiply


@pytest.mark.parametrize("factor", [100.0, 2.0**900, 2.0**-900])
def test_the_scale_of_the_gradient_changes_nothing(times, factor):
    network, given = network_of("rectangle"), batches(2)
    gains = descent_gains(network, given, seed=0)
    agreement = finite_difference_agreement(network, *given[0], seed=0)
    times(factor)
    assert descent_gains(network, given, seed=0) == pytest.approx(gains, rel=1e-9)
    assert finite_difference_agreement(network, *given[0], seed=0) == pytest.approx(agreement, rel=1e-9)


def test_the_sign_of_the_gradient_changes_the_sign(times):
    network, given = network_of("ann-relu"), batches(1)
    gains = descent_gains(network, given, seed=0)
    agreement = finite_difference_agreement(network, *given[0], seed=0)
    times(-1.0)
    uphill = descent_gains(network, given, seed=0)
    for along, aside in zip(ALONG, RANDOM, strict=True):
        assert uphill[along] < 0 < gains[along]
        assert uphill[aside] == gains[aside]
    # Over a short way the loss is nearly straight.
    assert uphill[ALONG[0]] == pytest.approx(-gains[ALONG[0]], rel=0.05)
    assert finite_difference_agreement(network, *given[0], seed=0) == pytest.approx(-agreement, rel=1e-9)


def test_finite_differences_agree_where_the_loss_is_smooth(monkeypatch):
    network, (given,) = network_of("ann-relu"), batches(1)
    assert 0.9 < finite_difference_agreement(network, *given, seed=0) < 1
    monkeypatch.setattr(descent, "SIGMA", 1e-6)
    assert finite_difference_agreement(network, *given, seed=0) == pytest.approx(1, abs=1e-6)


def test_finite_differences_equal_a_plain_computation():
    network, ((x, y),) = network_of("rectangle"), batches(1)
    twin = copy.deepcopy(network).double().train()
    weights = synapses(twin)
    start = [w.detach().clone() for w in weights]
    size = torch.cat([w.flatten() for w in start]).norm()

    def loss():
        return functional.cross_entropy(twin(x.double()).mean(0), y)

    g = torch.cat([part.flatten() for part in torch.autograd.grad(loss(), weights)])
    told, seen = [], []
    landscape = descent._Landscape(network, 3, 100)
    for k in range(64):
        d = torch.cat([part.flatten() for part in landscape.random(descent.derive(3, "difference", k))])
        d = d / d.norm()
        losses = []
        for sign in (1, -1):
            moved = (sign * 0.01 * size * d).split([w.numel() for w in weights])
            with torch.no_grad():
                for w, origin, part in zip(weights, start, moved, strict=True):
                    w.copy_(origin + part.view(w.shape))
                losses.append(loss())
        told.append(g @ d)
        seen.append((losses[0] - losses[1]) / (2 * 0.01 * size))
    expected = torch.corrcoef(torch.stack([torch.stack(told), torch.stack(seen)]))[0, 1]
    found = finite_difference_agreement(network, x, y, seed=3)
    assert found == pytest.approx(expected.item(), rel=1e-7)


def test_random_directions_are_their_seeds_and_no_direction_is_preferred():
    landscape = descent._Landscape(network_of("rectangle"), 0, 100)
    flat = lambda seed: torch.cat([part.flatten() for part in landscape.random(seed)])  # noqa: E731
    assert torch.equal(flat(1), flat(1))
    cosines = torch.stack([torch.cosine_similarity(flat(k), flat(k + 100), dim=0) for k in range(50)])
    assert cosines.abs().max() < 5 / len(flat(0)) ** 0.5
    network, given = network_of("rectangle"), batches(1)
    assert descent_gains(network, given, 0) == descent_gains(network, given, 0)
    first, second = (descent_gains(network, given, seed) for seed in (0, 1))
    assert all(first[key] == second[key] for key in ALONG)
    assert all(first[key] != second[key] for key in RANDOM)


# --- spiking networks at their ends ---


@method("blind", paper="none")
def blind(x):
    """h(x) = 0."""
    return torch.zeros_like(x)


def test_without_a_surrogate_the_readout_alone_moves():
    network, (given,) = network_of(blind), batches(1)
    found = descent_gains(network, [given], seed=0)
    for key, expected in zip(ALONG, plain_gains(network, *given).values(), strict=True):
        # The step is as long as it is for all weights, though only the readout takes it.
        assert found[key] == pytest.approx(expected, rel=1e-8)
        assert found[key] > 0
    assert -1 <= finite_difference_agreement(network, *given, seed=0) <= 1


def test_a_silent_network_stays_where_it_is():
    network, (given,) = network_of("rectangle", norm="none", threshold=1e6), batches(1)
    assert descent_gains(network, [given], seed=0) == dict.fromkeys([*ALONG, *RANDOM], 0.0)
    assert finite_difference_agreement(network, *given, seed=0) is None


def test_no_loss_to_lose_and_a_loss_that_is_not_finite_have_no_gain():
    network, (x, y) = network_of("ann-relu"), batches(1)[0]
    nothing = dict.fromkeys([*ALONG, *RANDOM])
    assert descent_gains(network, [(x, y), (x * float("nan"), y), (x, y)], seed=0) == nothing
    assert finite_difference_agreement(network, x * float("nan"), y, seed=0) is None
    with torch.no_grad():
        network.body.readout.module.bias[3] = 1e9
    assert descent_gains(network, [(x, torch.full_like(y, 3))], seed=0) == nothing


def test_a_gradient_that_is_not_finite_has_no_gain():
    @method("nan", paper="none")
    def nan(x):
        return x * float("nan")

    found = descent_gains(network_of(nan), batches(1), seed=0)
    assert [found[key] for key in ALONG] == [None, None]
    assert None not in [found[key] for key in RANDOM]


# --- what a method may do ---


def parts(network):
    """Gains over one batch each, and over both: the middle of two numbers is their mean."""
    given = batches(2)
    both = descent_gains(network, given, seed=0)
    each = [descent_gains(network, [batch], seed=0) for batch in given]
    return [(both[key], statistics.mean(one[key] for one in each)) for key in ALONG]


@method("follows", paper="none", width=Param(1.0))
class Follows(Surrogate):
    """Its threshold follows all that passes, and it draws for itself from a generator that all share."""

    shape = staticmethod(shapes.rectangle)

    def bind(self, site):
        super().bind(site)
        self.register_buffer("mean", torch.tensor(0.1))

    def threshold(self, u, t):
        self.mean += 0.3 * u.detach().std()
        return self.mean.clone()

    def spike(self, x, t, params, noise):
        return spike(x + 0.01 * torch.randn(x.shape), type(self).shape, params)


@pytest.mark.parametrize("named", ["asgl", Follows, "msg", "norse/logistic"])
def test_a_batch_finds_the_same_whatever_came_before_it(named):
    network = network_of(named)
    for together, alone in parts(network):
        assert together == pytest.approx(alone, rel=1e-12, abs=0)


def test_noise_and_extra_losses_of_a_method_have_no_part_in_it():
    @method("quiet", paper="none", width=Param(1.0))
    class Quiet(Surrogate):
        shape = staticmethod(shapes.rectangle)

    @method("loud", paper="none", width=Param(1.0))
    class Loud(Quiet):
        def noise(self, shape, like):
            return torch.rand(shape)

        def spike(self, x, t, params, noise):
            return super().spike(x, t, params, None) * (1 if noise is None else noise)

        def penalty(self, statistics):
            return 1e6 * statistics.mean.square().sum()

    given = batches(2)
    quiet, loud = (descent_gains(network_of(each), given, seed=0) for each in (Quiet, Loud))
    assert quiet == loud


@method("draws", paper="none", kind="control")
class Draws(Surrogate):
    """Its derivative depends on numbers of Python and numpy."""

    shape = staticmethod(lambda x, width: (x.abs() < width / 2).to(x.dtype))

    def params(self, u, t):
        return {"width": 1 + random.random() + np.random.random()}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("named", ["asgl", "ds-atgo", "mpd-sgr", "norse/logistic", Follows, Draws])
def test_network_and_generators_are_left_as_they_are(monkeypatch, named, training):
    monkeypatch.setattr(descent, "DIRECTIONS", 4)
    network = network_of(named, neuron="plif").train(training)
    (given,) = batches(1)
    functional.cross_entropy(network(given[0]).mean(0), given[1]).backward()
    gradients = [p.grad.clone() for p in network.parameters() if p.grad is not None]
    state = copy.deepcopy(network.state_dict())
    attributes = [set(vars(module)) for module in network.modules()]
    generator, threads = torch.get_rng_state(), torch.get_num_threads()
    others = random.getstate(), str(np.random.get_state())
    first = descent_gains(network, [given], seed=0), finite_difference_agreement(network, *given, seed=0)
    assert torch.equal(torch.get_rng_state(), generator)
    assert (random.getstate(), str(np.random.get_state())) == others
    assert torch.get_num_threads() == threads
    assert network.training == training
    for name, value in network.state_dict().items():
        assert value == state[name] if isinstance(value, int) else torch.equal(value, state[name]), name
    kept = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(kept, gradients, strict=True))
    assert attributes == [set(vars(module)) for module in network.modules()]
    torch.manual_seed(999)
    again = descent_gains(network, [given], seed=0), finite_difference_agreement(network, *given, seed=0)
    assert first == again


def test_dtype_and_mode_of_the_network_do_not_matter():
    network, given = network_of("rectangle"), batches(1)
    found = descent_gains(network, given, seed=0)
    assert descent_gains(copy.deepcopy(network).double(), given, seed=0) == found
    assert descent_gains(copy.deepcopy(network).eval(), given, seed=0) == found


def test_events_are_looked_at_too():
    network = network_of("rectangle", timesteps=3)
    (x, y) = batches(1)[0]
    film = x[:, None].repeat(1, 3, 1, 1, 1)
    still, moving = (descent_gains(network, [(each, y)], seed=0) for each in (x, film))
    assert moving == pytest.approx(still, rel=1e-9)


@pytest.mark.parametrize("named", INSTALLED)
def test_every_method_has_gains(named):
    network = network_of(named, width=0.03, neuron="plif")
    if "one-step" in (breaks := FOUND.method(named).item.breaks):
        pytest.skip(breaks["one-step"])
    found = descent_gains(network, batches(1, 16), seed=0)
    assert all(isinstance(value, float) for value in found.values())
    assert found[RANDOM[0]] != 0
