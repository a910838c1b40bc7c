"""A2SG: the shape, and a search that takes what a plain loop over the grid takes and changes nothing else."""

import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

import bench
from bench.errors import BenchError
from bench.measures.single_layer import Probe
from bench.model.backbone import build_network
from bench.model.layers import NeuronOptions
from bench.registry import load
from bench.surrogate import SearchContext

FOUND = load()
SEARCHING = ["a2sg", "a2sg:last", "a2sg:earlier", "a2sg:area", "a2sg:triangle"]
every_name = pytest.mark.parametrize("name", SEARCHING)
T = 3


def loss(logits, y):
    return functional.cross_entropy(logits.mean(0), y)


def network_of(name, backbone="mlp", values=None, **options):
    torch.manual_seed(0)
    return (
        build_network(
            FOUND.backbone(backbone).item,
            FOUND.method(name).item,
            values or {},
            NeuronOptions(**options),
            shape=(1, 8, 8),
            classes=10,
            width=0.1,
            timesteps=T,
            epochs=11,
            seed=3,
        )
        .double()
        .train()
    )


def batch(seed=0, size=16):
    random = torch.Generator().manual_seed(seed)
    x = torch.rand(size, 1, 8, 8, generator=random, dtype=torch.float64)
    return x, torch.randint(10, (size,), generator=random)


def search(network, progress=0.5, seed=0, loss=loss, given=1):
    asked = []

    def batches():
        for number in range(given):
            asked.append(number)
            yield batch(seed + number)

    context = SearchContext(network, batches, loss, progress, 5)
    type(network.surrogates[0]).search(network.surrogates, context)
    return [surrogate.half_width.clone() for surrogate in network.surrogates], asked


def height(name, x, b, threshold):
    """h at one potential, as in the authors' code at threshold 1, in units of another threshold."""
    x, b = x / threshold, b / threshold
    if not -b <= x <= b:
        return 0.0
    if name == "a2sg:triangle":
        return (1 - abs(x) / b) / threshold
    if name == "a2sg:area":
        return 1 / (2 * b**2) * (x + b) / threshold
    return (1 / (2 * b) * x + 0.5) / threshold


@pytest.mark.parametrize("name", [*SEARCHING, "a2sg:asymmetric"])
@pytest.mark.parametrize("threshold", [0.5, 1.0])
@pytest.mark.parametrize("share", [1.0, 0.37])
def test_h_is_the_formula_of_the_code(name, threshold, share):
    key = "half_width" if name == "a2sg:asymmetric" else "start"
    probe = Probe(FOUND.method(name).item, {key: share * threshold}, threshold=threshold)
    x = torch.linspace(-1.5 * threshold, 1.5 * threshold, 601, dtype=torch.float64) + 1e-6
    of = "a2sg:area" if name == "a2sg:asymmetric" else name
    expected = [height(of, value, share * threshold, threshold) for value in x.tolist()]
    np.testing.assert_allclose(probe.gradient(x)[:, 0], expected, rtol=1e-6, atol=1e-6)


def test_the_edges_belong_to_the_window():
    probe = Probe(FOUND.method("a2sg").item)
    found = probe.gradient(torch.tensor([-0.5, 0.5, 0.5 + 1e-12], dtype=torch.float64))[:, 0]
    assert found.tolist() == [0, 2, 0]


def assert_best(name, found, steps, old, threshold, points):
    """That no other width of the grid is better than those found, by more than rounding.

    steps: of each step of one layer x and the gradient at the spikes, as lists of numbers.
    """
    grid = [threshold * (0.1 + 0.9 * i / (points - 1)) for i in range(points)]

    def g(t, b):
        return [up * height(name, x, b, threshold) for x, up in zip(*steps[t], strict=True)]

    def score(t, b):
        own = g(t, b)
        if t == len(steps) - 1:
            mean, size = np.mean(own), np.mean(np.abs(own))
            return -np.mean((own - mean) ** 2) / size if size else -math.inf
        later = g(t + 1, old[t + 1])
        sizes = math.sqrt(np.dot(own, own)) * math.sqrt(np.dot(later, later))
        return np.dot(own, later) / sizes if sizes else -math.inf

    for t in range(len(steps)):
        scores = [score(t, b) for b in grid]
        searched = name != "a2sg:earlier" if t == len(steps) - 1 else name != "a2sg:last"
        if not searched or max(scores) == -math.inf:
            assert found[t] == old[t]
            continue
        (place,) = (i for i, b in enumerate(grid) if math.isclose(b, found[t], rel_tol=1e-6))
        # A width in 32 bits can leave out a potential on its edge, so compare the grid's own.
        assert scores[place] == pytest.approx(max(scores), rel=1e-9)


@given(
    name=st.sampled_from(SEARCHING),
    seed=st.integers(0, 10**6),
    threshold=st.sampled_from([0.5, 1.0]),
    points=st.integers(2, 12),
    size=st.integers(1, 20),
)
@settings(max_examples=60, deadline=None)
def test_the_choice_is_the_best_of_the_grid(name, seed, threshold, points, size):
    rule = Probe(
        FOUND.method(name).item, {"points": points}, threshold=threshold, timesteps=T
    ).neuron.surrogate
    random = np.random.default_rng(seed)
    old = threshold * random.uniform(0.1, 1, T)
    rule.half_width.copy_(torch.tensor(old))
    # Some have no gradient at all.
    steps = [
        (threshold * random.normal(0, 0.7, size), random.normal(0, 1, size) * (random.random() < 0.9))
        for _ in range(T)
    ]
    rule.choose([(torch.tensor(x), torch.tensor(up)) for x, up in steps])
    assert_best(name, rule.half_width.tolist(), steps, old.tolist(), threshold, points)


@every_name
@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("kind", ["lif", "plif"])
def test_what_it_searches_with_are_the_gradients_of_training(name, reset, kind):
    """The whole search, written out: gradients kept at the spikes, the grid as a plain loop."""
    network = network_of(name, values={"points": 9}, reset=reset, neuron=kind)
    found, _ = search(copy.deepcopy(network))
    seen = {surrogate: [] for surrogate in network.surrogates}
    for surrogate, neuron in zip(network.surrogates, network.neurons, strict=True):

        def observe(moment, own=seen[surrogate]):
            moment.s.retain_grad()
            own.append(moment)

        neuron.observer = observe
    x, y = batch()
    loss(network(x), y).backward()
    for widths, (surrogate, moments) in zip(found, seen.items(), strict=True):
        steps = [((m.u - 0.5).flatten().tolist(), m.s.grad.flatten().tolist()) for m in moments]
        assert_best(name, widths.tolist(), steps, surrogate.half_width.tolist(), 0.5, 9)


@every_name
@pytest.mark.parametrize("backbone", ["mlp", "convnet"])
def test_a_search_changes_the_widths_and_nothing_else(name, backbone):
    network = network_of(name, backbone, {"start": 0.333}, neuron="plif")
    before = copy.deepcopy(network.state_dict())
    random = torch.random.get_rng_state()
    found, _ = search(network)
    assert any(((widths - 0.333).abs() > 1e-6).any() for widths in found)
    for key, value in network.state_dict().items():
        if not key.endswith("half_width"):
            assert torch.equal(value, before[key]), key
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all("spike" not in vars(surrogate) for surrogate in network.surrogates)
    assert torch.equal(random, torch.random.get_rng_state())
    assert network.training


def test_which_steps_a_part_searches():
    for name, moves in (("a2sg:last", [False, False, True]), ("a2sg:earlier", [True, True, False])):
        found = torch.stack(search(network_of(name, values={"start": 0.333}))[0])
        assert ((found - 0.333).abs() > 1e-6).any(0).tolist() == moves


def test_a_search_is_repeatable_and_is_saved():
    one, other = network_of("a2sg"), network_of("a2sg")
    found, _ = search(one)
    for first, second in zip(found, search(other)[0], strict=True):
        assert torch.equal(first, second)
    third = network_of("a2sg")
    third.load_state_dict(one.state_dict())
    x, _ = batch()
    one(x).sum().backward()
    third(x).sum().backward()
    for p, q in zip(one.parameters(), third.parameters(), strict=True):
        assert torch.equal(p.grad, q.grad)


def test_it_takes_one_batch_and_one_pass_and_never_before_the_first_epoch():
    passes = []

    def counted(logits, y):
        passes.append(1)
        return loss(logits, y)

    network = network_of("a2sg")
    found, asked = search(network, progress=0.0, loss=counted, given=5)
    assert passes == []
    assert all((widths == 0.5).all() for widths in found)
    _, asked = search(network, loss=counted, given=5)
    assert (asked, passes) == ([0], [1])


def test_a_search_that_fails_leaves_the_network_as_it_was():
    def wrong(logits, y):
        raise RuntimeError("no loss")

    network = network_of("a2sg")
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(RuntimeError, match="no loss"):
        search(network, loss=wrong)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all("spike" not in vars(surrogate) for surrogate in network.surrogates)


def test_it_searches_in_a_network_of_another_library_too():
    """Which has neither blocks nor an observer: it needs the spike function alone."""

    class Theirs(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(6, 5)
            self.spike = bench.spike_grad("a2sg", timesteps=T)

        def forward(self, x):
            out, v = [], 0.0
            for step in x:
                v = 0.5 * v + self.fc(step)
                # Twice a step, as snntorch does.
                self.spike(v - 1.0)
                out.append(self.spike(v - 1.0))
            return torch.stack(out)

    torch.manual_seed(0)
    network = Theirs()
    hooks = bench.MethodHooks(network, epochs=3)
    x, y = 3 * torch.rand(T, 16, 6), torch.randint(5, (16,))
    for epoch, moved in ((0, False), (1, True)):
        hooks.start_epoch(epoch, batches=[(x, y)], loss=loss)
        assert bool((network.spike.surrogate.half_width != 1.0).any()) == moved


@pytest.mark.parametrize("points", [1, 2.5, 0])
def test_a_grid_needs_points(points):
    with pytest.raises(BenchError, match=f"points = {points:g}: the grid of a2sg needs a whole number"):
        network_of("a2sg", values={"points": points})


def test_what_they_declare(plugin):
    found = plugin("a2sg")
    assert found.keys() == {*SEARCHING, "a2sg:asymmetric"}
    for name, method in found.items():
        fidelity = "official-code" if name == "a2sg" else "reconstructed"
        assert (method.changes, method.fidelity, method.breaks) == ("gradient", fidelity, {})
        assert 1.0 in method.defaults(1.0).values()
