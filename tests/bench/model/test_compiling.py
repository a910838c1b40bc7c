"""Compiled training equals eager training, is shared by seeds, and gives way where it cannot be."""

import copy
import shutil

import pytest
import torch
from torch._dynamo.utils import counters

from bench import registry
from bench.errors import BenchError
from bench.model import compiling
from bench.model.backbone import build_network
from bench.model.copying import copied
from bench.model.layers import NeuronOptions
from bench.runner.train import trained_on
from bench.surrogate import Surrogate, method

FOUND = registry.load()
BATCH, TIMESTEPS = 8, 3
CLOSE = 1e-5
"""Of a weight's largest gradient: float32, added up in another order."""

needs_compiler = pytest.mark.skipif(
    bool(compiling.compiler_missing("cpu")), reason="no C++ compiler here to compile with"
)


@pytest.fixture(autouse=True)
def _compiler_as_it_was():
    from torch.fx.experimental import _config as symbols

    torch._dynamo.reset()
    with (
        torch._dynamo.config.patch({}),
        torch._inductor.config.patch({}),
        symbols.patch({}),
    ):
        yield
    torch._dynamo.reset()


@pytest.fixture
def traced_only(monkeypatch):
    """The graph is taken, and no code is made of it: in a second what takes ten with it."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **options: real(f, backend="aot_eager", **options))


def network(name, seed=0, events=False, channels_last=False):
    found = name if not isinstance(name, str) else FOUND.method(name).item
    for neuron in ("lif", "plif"):
        torch.manual_seed(seed)
        try:
            made = build_network(
                FOUND.backbone("convnet").item,
                found,
                {},
                NeuronOptions(neuron=neuron),
                shape=(1, 6, 6),
                classes=10,
                width=0.25,
                timesteps=TIMESTEPS,
                epochs=3,
                seed=seed,
            )
        except BenchError:
            continue
        if channels_last:
            made = made.to(memory_format=torch.channels_last)
        for surrogate in made.surrogates:
            surrogate.on_epoch(0.0)
        return made.train()
    raise AssertionError(f"{name} stands on neither neuron")


def batch(events=False, size=BATCH):
    generator = torch.Generator().manual_seed(size)
    shape = (size, TIMESTEPS, 1, 6, 6) if events else (size, 1, 6, 6)
    return torch.rand(shape, generator=generator), torch.arange(size) % 10


def gradients(network, x, y):
    for parameter in network.parameters():
        parameter.grad = None
    torch.manual_seed(5)
    out = trained_on(network, x, y)
    out.backward()
    return out.detach(), {name: p.grad for name, p in network.named_parameters()}


def assert_same(eager, compiled, events=False, sizes=(BATCH, BATCH, BATCH - 3)):
    for size in sizes:
        (one, theirs), (other, ours) = (gradients(n, *batch(events, size)) for n in (eager, compiled))
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6)
        for name, expected in theirs.items():
            if expected is None:
                assert ours[name] is None
            else:
                assert (ours[name] - expected).abs().max() <= CLOSE * expected.abs().max(), name
    for (name, one), other in zip(eager.named_buffers(), compiled.buffers(), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-6, msg=name)


@needs_compiler
@pytest.mark.parametrize(
    ("name", "mode", "events", "channels_last"),
    [
        ("mpd-agl", "neuron", False, True),
        ("learned-width", "neuron", True, False),
        ("msg", "neuron", False, False),
        ("esg+im", "neuron", False, False),
        ("mpd-agl", "step", True, True),
    ],
)
def test_compiled_training_equals_eager_training(name, mode, events, channels_last):
    eager = network(name, channels_last=channels_last)
    compiled = copy.deepcopy(eager)
    seconds, problem = compiling.prepare(compiled, mode, *batch(events), trained_on)
    assert problem == ""
    assert seconds > 0
    assert_same(eager, compiled, events)


@pytest.mark.parametrize("mode", ["neuron", "step"])
@pytest.mark.parametrize(
    "name", ["rectangle", "asgl", "ds-atgo", "trsg", "mpd-agl:frozen", "dspike", "lsg", "sltt:scaled"]
)
def test_what_is_traced_equals_eager_training(name, mode, traced_only):
    eager = network(name)
    compiled = copy.deepcopy(eager)
    assert compiling.prepare(compiled, mode, *batch(), trained_on)[1] == ""
    assert_same(eager, compiled)


def graphs():
    return counters["stats"]["unique_graphs"]


@pytest.mark.parametrize("mode", ["neuron", "step"])
@pytest.mark.parametrize("name", ["mpd-agl", "learned-width", "esg"])
def test_what_one_seed_has_compiled_serves_the_next_and_all_epochs(name, mode, traced_only):
    first, second = network(name, seed=1), network(name, seed=2)
    x, y = batch()
    before = graphs()
    assert compiling.prepare(first, mode, x, y, trained_on)[1] == ""
    made = graphs() - before
    assert made > 0
    gradients(first, x, y)
    assert compiling.prepare(second, mode, x, y, trained_on)[1] == ""
    for progress in (0.0, 0.5, 1.0):
        for surrogate in second.surrogates:
            surrogate.on_epoch(progress)
        gradients(second, x, y)
    assert graphs() - before == made


def test_one_compilation_serves_layers_of_all_sizes_and_batches_of_all(traced_only):
    def used(backbone):
        torch._dynamo.reset()
        before = graphs()
        torch.manual_seed(0)
        made = build_network(
            FOUND.backbone(backbone).item,
            FOUND.method("rectangle").item,
            {},
            NeuronOptions(),
            shape=(2, 16, 16),
            classes=10,
            width=1 / 16,
            timesteps=2,
        ).train()
        # 8 is a number of channels too, and 16 one of pixels.
        for size in (8, 16, 5):
            x, y = torch.rand(size, 2, 2, 16, 16), torch.arange(size) % 10
            if size == 8:
                assert compiling.prepare(made, "neuron", x, y, trained_on)[1] == ""
            gradients(made, x, y)
        return graphs() - before

    # Pictures and flat layers; and one more where a layer's pixels are a single one.
    assert used("resnet19") <= 3
    assert used("convnet") <= 3


def test_a_batch_of_another_size_is_not_compiled_under_step(traced_only):
    made = network("rectangle")
    x, y = batch()
    compiling.prepare(made, "step", x, y, trained_on)
    before = graphs()
    gradients(made, *batch(size=BATCH - 3))
    assert graphs() == before


def test_preparing_leaves_the_network_as_it_was(traced_only):
    made = network("msg")
    before = copy.deepcopy(made.state_dict())
    assert compiling.prepare(made, "neuron", *batch(), trained_on)[1] == ""
    after = made.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(after[name], value) if isinstance(value, torch.Tensor) else after[name] == value
    assert all(parameter.grad is None for parameter in made.parameters())


def test_evaluation_looks_and_copies_are_eager(traced_only):
    made = network("rectangle")
    compiling.prepare(made, "neuron", *batch(), trained_on)
    compiling.install(made, "step", BATCH)
    used = []
    made.compiled = lambda network, x: used.append("step")
    for neuron in made.neurons:
        neuron.compiled = lambda *_: used.append("neuron")
    made.eval()(batch()[0])
    copied(made).train()(batch()[0])
    with compiling.eager(made):
        made.train()(batch()[0])
    assert used == []
    made.train()(batch()[0])
    assert used == ["step"], "and back again"


def test_an_observed_neuron_is_eager():
    made = network("rectangle")
    seen = []
    for neuron in made.neurons:
        neuron.compiled = pytest.fail
        neuron.observer = seen.append
    made(batch()[0])
    assert len(seen) == 3 * TIMESTEPS


@method("breaks", paper="none")
class Breaks(Surrogate):
    """Looks at a number while it is traced."""

    shape = staticmethod(torch.ones_like)

    def params(self, u, t):
        if u.sum().item() == 1e9:
            raise ValueError
        return {}


def declared(target):
    (found,) = target.declared
    return found


def test_what_cannot_be_traced_stays_eager_and_says_why():
    made = network(declared(Breaks))
    eager = copy.deepcopy(made)
    _, problem = compiling.prepare(made, "neuron", *batch(), trained_on)
    # Versions of torch have said it in either way.
    assert problem.startswith(("UserError: ", "Unsupported: "))
    assert "data-dependent" in problem or "Tensor.item()" in problem
    assert "\n" not in problem
    one, other = gradients(eager, *batch()), gradients(made, *batch())
    assert torch.equal(one[0], other[0])


def test_without_a_compiler_it_stays_eager_and_says_what_to_do(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    made = network("rectangle")
    _, problem = compiling.prepare(made, "neuron", *batch(), trained_on)
    assert problem == "no C++ compiler found: install g++ or clang++, or name one in CXX"
    assert all(neuron.compiled is None for neuron in made.neurons)


def test_relu_has_no_neuron_to_compile():
    made = network("ann-relu")
    assert compiling.install(made, "neuron", BATCH) == ""
    assert all(neuron.compiled is None for neuron in made.neurons)


def test_what_draws_noise_is_compiled_neuron_by_neuron():
    made = network("asgl")
    assert compiling.install(made, "step", BATCH) == ""
    assert made.compiled is None
    assert all(neuron.compiled for neuron in made.neurons)


@needs_compiler
@pytest.mark.parametrize("name", ["rectangle", "mpd-agl"])
def test_no_more_is_kept_for_the_way_back_than_the_currents(name):
    made = network(name)
    neuron = made.neurons[1]
    assert compiling.install(made, "neuron", BATCH) == ""
    current = torch.randn(TIMESTEPS, BATCH, 16, 3, 3, requires_grad=True)
    # Beside them a few numbers: of mpd-agl the gammas.
    assert 0 < kept_by(lambda: neuron(current)) <= current.numel() + 16


def kept_by(forward):
    """How many numbers a pass keeps for the way back."""
    kept = {}

    def keep(tensor):
        kept[tensor.data_ptr(), tensor.numel()] = tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    return sum(kept.values())


@needs_compiler
def test_a_network_compiled_as_a_whole_keeps_no_more_than_relu():
    x, y = batch(events=True)
    kept = {}
    for name in ("ann-relu", "mpd-agl"):
        made = network(name)
        assert compiling.prepare(made, "step", x, y, trained_on)[1] == ""
        kept[name] = kept_by(lambda made=made: made(x))
    # Beside that the gammas, and what the decay is made of.
    assert 0 < kept["mpd-agl"] <= 1.02 * kept["ann-relu"]
