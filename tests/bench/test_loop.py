"""Methods in networks and loops of one's own: the numbers are those of the benchmark."""

import copy
import importlib.util
import math

import pytest
import snntorch
import torch
from torch import nn
from torch.nn import functional

import bench
from bench import registry, shapes
from bench.errors import BenchError
from bench.loop import BEYOND_THE_SPIKE, SpikeFunction
from bench.model.backbone import build_network
from bench.model.layers import NeuronOptions, OverTime, SpikeBlock, TdBN
from bench.runner import train
from bench.suite import Recipe
from bench.surrogate import Surrogate, overrides

FOUND = registry.load()
T = 3
USABLE = [
    name
    for name, entry in FOUND.methods.items()
    if not registry.missing_packages(entry.item) and "training" not in entry.item.breaks
]
FOR_LIBRARIES = [
    name
    for name in USABLE
    if not any(overrides(FOUND.method(name).item.surrogate, hook) for hook in BEYOND_THE_SPIKE)
    and FOUND.method(name).item.surrogate.activation is None
    and "deterministic" not in FOUND.method(name).item.breaks
    and name != "lsg"  # needs a decay that is learned
]
NEEDS_SPIKINGJELLY = pytest.mark.skipif(
    importlib.util.find_spec("spikingjelly") is None, reason="SpikingJelly is not installed"
)


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(16, 12, generator=generator), torch.randint(5, (16,), generator=generator)


def block(method, inputs, outputs, **options):
    norm = TdBN(outputs, 0.5, timesteps=T)
    layer = bench.neuron(method, timesteps=T, norm=norm, **options)
    return SpikeBlock(nn.Linear(inputs, outputs, bias=False), norm, layer)


def own_network(method, **options):
    torch.manual_seed(0)
    hidden = [block(method, 12, 20, **options), block(method, 20, 20, **options)]
    return nn.Sequential(*hidden, OverTime(nn.Linear(20, 5)))


def loss_of(network, x, y):
    return functional.cross_entropy(network(x.expand(T, *x.shape)).mean(0), y)


@pytest.mark.parametrize(
    "method", ["rectangle", "mpd-agl", "esg+im", "asgl", "slope-steps", "mpd-agl:frozen", "dspike"]
)
def test_a_loop_with_hooks_trains_as_the_benchmark_does(method):
    torch.manual_seed(0)
    item, options = FOUND.method(method).item, NeuronOptions()
    size = {"shape": (12,), "classes": 5, "width": 0.5, "timesteps": T, "epochs": 4}
    theirs = build_network(FOUND.backbone("mlp").item, item, {}, options, **size)
    ours = copy.deepcopy(theirs)
    recipe = Recipe(epochs=4, batch_size=16, learning_rate=0.1, optimizer="sgd")
    optimizers = train.optimizers(theirs, recipe)
    hooks = bench.MethodHooks(ours, epochs=4)
    optimizer = train._optimizer(recipe, hooks.parameters())
    criterion = lambda z, y: functional.cross_entropy(z.mean(0), y)  # noqa: E731
    for epoch in range(4):
        x, y = batch(epoch)
        for surrogate in theirs.surrogates:
            surrogate.on_epoch(epoch / 3)
        if overrides(item.surrogate, "search"):
            context = bench.loop.search_context(theirs, lambda: [batch(9)], 1, criterion, epoch / 3)
            item.surrogate.search(theirs.surrogates, context)
        train.step(theirs.train(), optimizers, x, y)
        hooks.start_epoch(epoch, batches=[batch(9)], loss=criterion)
        optimizer.zero_grad()
        hooks.zero_grad()
        (criterion(ours.train()(x), y) + hooks.penalty()).backward()
        optimizer.step()
        hooks.step()
    for (name, expected), found in zip(theirs.state_dict().items(), ours.state_dict().values(), strict=True):
        if isinstance(expected, torch.Tensor):
            assert torch.equal(expected, found), name


def by_hand(spike, current, decay, reset):
    """A loop over time around a spike function, as another library has it."""
    v, out = torch.zeros_like(current[0]), []
    for step in current:
        u = decay * v + step
        s = spike(u - 1.0)
        v = u - s if reset == "subtract" else u * (1 - s)
        out.append(s)
    return torch.stack(out)


@pytest.mark.parametrize("method", FOR_LIBRARIES)
def test_a_method_is_the_same_in_a_loop_of_another_library(method):
    """Two sequences, so that the count of steps starts anew and noise goes on."""
    torch.manual_seed(0)
    norm = TdBN(6, 1.0)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.8, 1.3, 6))
    torch.manual_seed(1)
    own = bench.neuron(method, timesteps=T, norm=norm, threshold=1.0, decay=0.5, reset="subtract")
    torch.manual_seed(1)
    theirs = bench.loop._spike_function(method, bench.loop._Host(1.0, 0.5, "subtract"), norm, T, (), {})
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        currents = [torch.randn(T, 8, 6, generator=generator).requires_grad_() for _ in range(2)]
        currents[1].data.copy_(currents[0].data)
        weight = torch.randn(T, 8, 6, generator=generator)
        torch.manual_seed(2)
        expected = own(currents[0])
        torch.manual_seed(2)
        found = by_hand(theirs, currents[1], 0.5, "subtract")
        assert torch.equal(expected, found)
        if not expected.requires_grad:
            assert not found.requires_grad
            continue
        (expected_gradient,) = torch.autograd.grad((expected * weight).sum(), currents[0])
        (gradient,) = torch.autograd.grad((found * weight).sum(), currents[1])
        torch.testing.assert_close(gradient, expected_gradient, equal_nan=True)
        if overrides(type(own.surrogate), "penalty"):
            torch.testing.assert_close(theirs.host.statistics.variance, own.statistics.variance)


@pytest.mark.parametrize("method", USABLE)
def test_every_method_trains_in_a_network_of_ones_own(method):
    network = own_network(method, neuron="plif")
    hooks = bench.MethodHooks(network, epochs=2)
    optimizer = torch.optim.SGD(hooks.parameters(), lr=0.01)
    x, y = batch()
    batches = [(x.expand(T, *x.shape), y)]
    for epoch in range(2):
        hooks.start_epoch(epoch, batches=batches, loss=lambda z, y: functional.cross_entropy(z.mean(0), y))
        optimizer.zero_grad()
        hooks.zero_grad()
        (loss_of(network, x, y) + hooks.penalty()).backward()
        optimizer.step()
        hooks.step()
    assert network(x.expand(T, *x.shape)).shape == (T, 16, 5)


def test_all_methods_leave_the_same_initial_weights():
    states = [own_network(method)[2].module.weight for method in ("rectangle", "mpd-agl", "asgl", "msg")]
    assert all(torch.equal(states[0], state) for state in states)


def test_layers_have_random_numbers_of_their_own():
    network = own_network("msg")
    first, second = (m for m in network.modules() if isinstance(m, Surrogate))
    assert first.stream.seed != second.stream.seed


def test_places_in_the_network_are_known():
    network = own_network("esg")
    bench.MethodHooks(network, epochs=7)
    sites = [m.site for m in network.modules() if isinstance(m, Surrogate)]
    assert [(s.index, s.depth, s.layers, s.epochs) for s in sites] == [(0, 1, 2, 7), (1, 0, 2, 7)]


class Fixed(torch.autograd.Function):
    """A surrogate as users of snntorch write it."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x >= 0).float()

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * shapes.triangle(x, 2.0)


def through_snntorch(spike_grad):
    torch.manual_seed(0)
    current = (2 * torch.rand(T, 8, 6)).requires_grad_()
    leaky = snntorch.Leaky(beta=0.5, spike_grad=spike_grad)
    mem, out = leaky.reset_mem(), []
    for step in current:
        spikes, mem = leaky(step, mem)
        out.append(spikes)
    found = torch.stack(out)
    (gradient,) = torch.autograd.grad((found * torch.rand(T, 8, 6)).sum(), current)
    return found, gradient


def test_snntorch_takes_a_method_as_spike_grad():
    expected = through_snntorch(Fixed.apply)
    found = through_snntorch(bench.spike_grad("triangle", timesteps=T, width=2.0))
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])


def test_snntorch_calls_twice_a_step_and_steps_are_counted_once():
    norm = nn.BatchNorm1d(6)
    function = bench.spike_grad("mpd-agl", timesteps=T, norm=norm, beta=0.5)
    seen, params = [], function.surrogate.params
    function.surrogate.params = lambda u, t: seen.append((t, float(params(u, t)["width"]))) or params(u, t)
    through_snntorch(function)
    through_snntorch(function)
    # gamma = 1 in a norm without a scale: the standard deviation of the input is 1.
    once = [(0, 2.0), *((t, pytest.approx(2 * math.sqrt(1.25))) for t in range(1, T))]
    assert seen == once * 2


@NEEDS_SPIKINGJELLY
@pytest.mark.parametrize("mode", ["s", "m"])
def test_spikingjelly_takes_a_method_as_surrogate_function(mode):
    from spikingjelly.activation_based import functional as sj
    from spikingjelly.activation_based import neuron

    def through(function):
        torch.manual_seed(0)
        current = (4 * torch.rand(T, 8, 6)).requires_grad_()
        node = neuron.LIFNode(surrogate_function=function, step_mode=mode)
        found = node(current) if mode == "m" else torch.stack([node(step) for step in current])
        sj.reset_net(node)
        (gradient,) = torch.autograd.grad((found * torch.rand(T, 8, 6)).sum(), current)
        return found, gradient

    class Apply(nn.Module):
        def forward(self, x):
            return Fixed.apply(x)

    function = bench.surrogate_function("triangle", timesteps=T, width=2.0)
    for found, expected in zip(through(function), through(Apply()), strict=True):
        torch.testing.assert_close(found, expected)


def test_a_neurons_factor_for_its_input_counts():
    """SpikingJelly's LIF divides its input by tau: gamma = 3 gives a standard deviation of 1.5."""
    norm = nn.BatchNorm1d(6)
    nn.init.constant_(norm.weight, 3.0)
    widths = [
        float(bench.surrogate_function("mpd-agl", timesteps=T, norm=norm, **kind).surrogate.kappa(0))
        for kind in ({}, {"decay_input": False}, {"v_threshold": 0.5})
    ]
    assert widths == pytest.approx([3.0, 6.0, 3.0])


def test_a_sequence_that_ended_early_is_noticed_or_restarted():
    network = nn.Sequential(bench.surrogate_function("rectangle", timesteps=T))
    network(torch.rand(8, 6))
    with pytest.raises(BenchError, match=r"step 2 of 3 has the shape \(4, 6\).*restart"):
        network(torch.rand(4, 6))
    bench.MethodHooks(network, epochs=1).restart()
    network(torch.rand(4, 6))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: neuron("rectangel"), "unknown method 'rectangel': did you mean 'rectangle'"),
        (lambda: neuron("rectangle", witdh=1.0), "no parameter 'witdh': it has width, height"),
        (lambda: neuron("rectangle", width=-1.0), "width = -1 cannot be: it must be above 0"),
        (lambda: neuron("rectangle", width="a"), "width = 'a' cannot be: it must be a number"),
        (lambda: neuron("rectangle", timesteps=0), "timesteps = 0"),
        (lambda: neuron("rectangle", timesteps="4"), "timesteps = '4'"),
        (lambda: neuron("rectangle", timesteps=2.5), "timesteps = 2.5"),
        (lambda: neuron("rectangle", threshold="a"), "threshold = 'a' cannot be: it must be a number"),
        (lambda: neuron("rectangle", decay=None), "decay = None cannot be: it must be a number"),
        (lambda: bench.surrogate_function("rectangle", timesteps=T, tau="2"), "tau = '2' cannot be"),
        (lambda: bench.surrogate_function("rectangle", timesteps=T, v_threshold=None), "threshold = None"),
        (
            lambda: neuron("rectangle", neuron="alif"),
            "neuron = 'alif' cannot be: it must be one of lif",
        ),
        (lambda: neuron("rectangle", reset="none"), "reset = 'none' cannot be: it must be one of zero, subt"),
        (
            lambda: neuron("rectangle", threshold=0.0),
            "threshold = 0.0 cannot be: it must be a number",
        ),
        (lambda: neuron("rectangle", threshold=math.nan), "threshold = nan cannot be"),
        (lambda: neuron("rectangle", decay=2.0), "decay = 2.0 cannot be: it must lie from 0 to 1"),
        (lambda: neuron("rectangle", neuron="plif", decay=1.0), "decay = 1.0 cannot be: it must lie between"),
        (lambda: bench.spike_grad("rectangle", timesteps=T, beta=-1.0), "beta = -1.0 cannot be"),
        (lambda: bench.spike_grad("rectangle", timesteps=T, reset_mechanism="x"), "reset_mechanism = 'x'"),
        (lambda: bench.surrogate_function("rectangle", timesteps=T, tau=0.5), "tau = 0.5 cannot be"),
        (lambda: bench.MethodHooks(own_network("rectangle"), epochs=0), "epochs = 0"),
        (
            lambda: hooks_of("rectangle").start_epoch(1),
            "epoch 1 of a training of 1: epochs are",
        ),
        (lambda: neuron(None), "method = None: give the name of a method"),
        (lambda: neuron("MPD-AGL"), "did you mean 'mpd-agl'"),
        (
            lambda: neuron("rectangle")(torch.rand(T + 1, 2, 3)),
            r"\(4, 2, 3\) have 4 time steps.* = 3",
        ),
        (
            lambda: neuron("mpd-agl", norm=nn.BatchNorm1d(5))(torch.rand(T, 2, 3)),
            r"has 5 channels, and its layer is \(3,\) without the batch",
        ),
        (
            lambda: through_snntorch(bench.spike_grad("mpd-agl", timesteps=T, norm=nn.BatchNorm1d(5))),
            r"has 5 channels, and its layer is \(6,\) without the batch",
        ),
        (lambda: neuron("rectangle", plugins=["nowhere.py"]), "nowhere.py does not exist"),
        (lambda: neuron("rectangle", plugins="mine.py"), r"as in plugins=\['mine.py'\]"),
        (
            lambda: neuron("mpd-agl"),
            "reads the batch normalisation before its layer: give norm=MODULE, the one in your network, or "
            "choose mpd-agl:measured, which needs none$",
        ),
        (lambda: neuron("mpd-agl", norm="tdbn"), "norm = 'tdbn' has no weight and bias"),
        (lambda: neuron("mpd-agl", norm=nn.Linear(2, 2)), "no weight and bias for each channel"),
        (lambda: neuron("mpd-agl", norm=nn.BatchNorm1d(2, affine=False)), "affine=True"),
        (lambda: neuron("lsg"), "set neuron = 'plif'"),
        (lambda: bench.spike_grad("ds-atgo", timesteps=T), r"its threshold.*use bench\.neuron"),
        (lambda: bench.spike_grad("sltt", timesteps=T), r"its carry.*use bench\.neuron"),
        (lambda: bench.surrogate_function("ann-relu", timesteps=T), r"its activation.*use bench\.neuron"),
        (lambda: bench.MethodHooks(nn.Linear(2, 2), epochs=1), "no layer of this network has a method"),
        (lambda: hooks_of("dspike").start_epoch(0), "Dspike searches.*batches=loader"),
    ],
)
def test_mistakes_are_sentences(make, sentence):
    with pytest.raises(bench.BenchError, match=sentence):
        make()


def neuron(method, **options):
    return bench.neuron(method, **{"timesteps": T, **options})


def hooks_of(method):
    return bench.MethodHooks(own_network(method), epochs=1)


def test_a_search_without_blocks_is_warned_of(capsys):
    bench.MethodHooks(nn.Sequential(bench.neuron("dspike", timesteps=T)), epochs=1)
    assert "the search of Dspike looks for the weights" in capsys.readouterr().err
    bench.MethodHooks(nn.Sequential(bench.neuron("a2sg", timesteps=T)), epochs=1)
    bench.MethodHooks(own_network("dspike"), epochs=1)
    assert capsys.readouterr().err == ""


def test_a_method_from_a_file_of_ones_own(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from bench.surrogate import method\n\n\n@method('mine', paper='unpublished')\n"
        "def mine(x):\n    return (1 - x.abs()).clamp(min=0)\n"
    )
    layer = bench.neuron("mine", timesteps=1, threshold=1.0, plugins=[file])
    current = torch.tensor([[[0.5, 1.5, 3.0]]], requires_grad=True)
    layer(current).sum().backward()
    assert current.grad.flatten().tolist() == [0.5, 0.5, 0.0]


def test_a_saved_network_goes_on_with_the_same_numbers():
    network = own_network("asgl")
    twin = own_network("asgl")
    x, y = batch()
    loss_of(network, x, y)
    twin.load_state_dict(network.state_dict())
    assert torch.equal(loss_of(network, x, y), loss_of(twin, x, y))


def test_spike_functions_are_modules():
    function = bench.spike_grad("asgl", timesteps=T)
    assert isinstance(function, SpikeFunction)
    leaky = snntorch.Leaky(beta=0.5, spike_grad=function)
    assert any(name.endswith("log_a") for name, _ in leaky.named_parameters())


@pytest.mark.parametrize("method", ["rectangle", "esg+im", "mpd-sgr", "asgl", "msg"])
def test_a_network_can_be_copied_after_a_training_step(method):
    network = own_network(method)
    x, y = batch()
    hooks = bench.MethodHooks(network, epochs=1)
    (loss_of(network, x, y) + hooks.penalty()).backward()
    twin = copy.deepcopy(network)
    assert all(torch.equal(p, q) for p, q in zip(network.parameters(), twin.parameters(), strict=True))
    # The copy's layers read the copy's norms.
    sites = [m.site for m in twin.modules() if isinstance(m, Surrogate)]
    assert [site.norm for site in sites] == [m for m in twin.modules() if isinstance(m, TdBN)]


def test_a_spike_function_can_be_copied_after_a_training_step():
    function = bench.spike_grad("esg+im", timesteps=T)
    through_snntorch(function)
    assert copy.deepcopy(function).host.potentials == []


def test_layers_cannot_share_a_method():
    function = bench.spike_grad("rectangle", timesteps=T)
    network = nn.Sequential(*(snntorch.Leaky(beta=0.5, spike_grad=function) for _ in range(2)))
    with pytest.raises(BenchError, match=r"serves two layers of the network, 0\..* and 1\..*each layer"):
        bench.MethodHooks(network, epochs=1)


def test_a_layer_that_its_method_was_not_made_for_is_warned_of(capsys):
    leaky = snntorch.Leaky(beta=0.9, threshold=2.0, spike_grad=bench.spike_grad("rectangle", timesteps=T))
    bench.MethodHooks(nn.Sequential(leaky), epochs=1)
    told = capsys.readouterr().err
    assert "the layer 0 has beta = 0.9, and its method was made for 0.5" in told
    assert "the layer 0 has threshold = 2.0, and its method was made for 1.0" in told
    function = bench.spike_grad("rectangle", timesteps=T, beta=0.9, threshold=2.0)
    bench.MethodHooks(snntorch.Leaky(beta=0.9, threshold=2.0, spike_grad=function), epochs=1)
    assert capsys.readouterr().err == ""


def test_sequences_of_another_length_are_warned_of_once(capsys):
    network = nn.Sequential(bench.surrogate_function("rectangle", timesteps=T))
    hooks = bench.MethodHooks(network, epochs=1)
    for _ in range(2):
        network(torch.rand(4, 6))
        hooks.step()
    assert capsys.readouterr().err.count("a sequence ended before its 3 time steps") == 1
    hooks.restart()
    for _ in range(T):
        network(torch.rand(4, 6))
    hooks.step()
    assert capsys.readouterr().err == ""


def test_a_layer_says_what_it_is():
    assert "lif, threshold=0.5, decay=0.2, reset=zero" in str(neuron("rectangle"))
    assert "width=1.0" in str(neuron("rectangle"))


@pytest.mark.parametrize("method", ["nsnn", "asgl", "norse/logistic"])
def test_a_layer_of_snntorch_is_reset_by_what_its_method_emitted(method):
    torch.manual_seed(0)
    function = bench.spike_grad(method, timesteps=6, beta=0.9)
    leaky, emitted = snntorch.Leaky(beta=0.9, spike_grad=function), []
    mem = leaky.reset_mem()
    for _ in range(6):
        spikes, mem = leaky(0.5 * torch.rand(50, 20), mem)
        if emitted:
            assert torch.equal(leaky.reset, emitted[-1])
        emitted.append(spikes.detach())
    # Otherwise the test would show nothing.
    assert any(not torch.equal(s, (s >= 0.5).float()) for s in emitted) or method != "asgl"


@pytest.mark.parametrize(
    ("layer", "method", "sentence"),
    [
        (snntorch.LeakyParallel, "rectangle", "calls its spike function once for all time steps"),
        (lambda **k: snntorch.Leaky(beta=0.5, reset_delay=False, **k), "nsnn", "resets without a delay"),
    ],
)
def test_layers_that_cannot_take_a_method_are_refused(layer, method, sentence):
    options = {"input_size": 3, "hidden_size": 4} if layer is snntorch.LeakyParallel else {}
    network = nn.Sequential(layer(spike_grad=bench.spike_grad(method, timesteps=T), **options))
    with pytest.raises(BenchError, match=sentence):
        bench.MethodHooks(network, epochs=1)


def test_a_layer_without_what_its_method_was_told_is_warned_of(capsys):
    """As SpikingJelly's: an IFNode has no tau, and another reset or input is seen."""

    def layer(**has):
        made = nn.Module()
        made.function = bench.surrogate_function("rectangle", timesteps=T)
        vars(made).update({"v_threshold": 1.0, "v_reset": 0.0} | has)
        return made

    told = {}
    for name, has in {
        "IFNode": {},
        "plain": {"tau": 2.0, "decay_input": True},
        "input": {"tau": 2.0, "decay_input": False},
        "soft": {"tau": 2.0, "decay_input": True, "v_reset": None},
    }.items():
        bench.MethodHooks(nn.Sequential(layer(**has)), epochs=1)
        told[name] = capsys.readouterr().err
    assert "tau = inf, and its method was made for 2.0" in told["IFNode"]
    assert told["plain"] == ""
    assert "decay_input = False, and its method was made for True" in told["input"]
    assert "v_reset = None, and its method was made for 0.0" in told["soft"]


class OverSteps(nn.Module):
    """A network that keeps its potentials, called once a step."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return sum(self.network(x) for _ in range(T))


@pytest.mark.parametrize("library", ["snntorch", "spikingjelly"])
def test_a_search_leaves_no_state_behind(library):
    """The loop forgets the state after each pass, as the guide does: the next one must begin afresh."""
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    torch.manual_seed(0)
    if library == "snntorch":
        spiking = snntorch.Leaky(beta=0.5, init_hidden=True, spike_grad=bench.spike_grad("a2sg", timesteps=T))
        forget = spiking.reset_mem
    else:
        from spikingjelly.activation_based import neuron as sj

        spiking = sj.LIFNode(surrogate_function=bench.surrogate_function("a2sg", timesteps=T))
        forget = spiking.reset
    whole = OverSteps(nn.Sequential(nn.Linear(12, 20), spiking, nn.Linear(20, 5)))
    hooks = bench.MethodHooks(whole, epochs=3)
    x, y = batch()
    for epoch in range(3):
        hooks.start_epoch(epoch, batches=[(x, y)] * 2, loss=functional.cross_entropy)
        for _ in range(2):
            loss = functional.cross_entropy(whole(x), y)
            forget()
            loss.backward()
