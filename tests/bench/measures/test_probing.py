"""Which samples are looked at, when, what is left of it, and that the training does not notice."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from bench import registry
from bench.data import loading
from bench.data.loading import Split
from bench.measures import cost, descent, gradients, probing
from bench.measures.probing import probe_rows
from bench.registry import Entry
from bench.runner import train
from bench.suite import Cell
from bench.surrogate import Param, Surrogate, method, spike

NOTHING = {"probe": "off", "descent": False, "finite_differences": False}
EVERYTHING = {"probe": "all", "descent": True, "finite_differences": True}
GAINS = {f"descent_gain_{kind}{step}" for kind in ("", "random_") for step in ("1e-3", "1e-2")}


@pytest.fixture(autouse=True)
def _torch_as_it_was(monkeypatch):
    monkeypatch.setattr(descent, "DIRECTIONS", 3)
    threads = torch.get_num_threads()
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits():
    return loading.prepare(registry.load().dataset("digits").item, loading.Request(Path(), 2), 200)


@pytest.fixture
def cell(tiny):
    """cell("asgl", epochs=3, probe="all") -> a cell of the tiny suite."""

    def make(name="rectangle", seed=0, epochs=2, **measure):
        suite = tiny()
        return Cell(
            method={"name": name},
            dataset=suite.datasets[0],
            backbone=suite.backbones[0],
            timesteps=2,
            recipe=suite.recipe.model_copy(update={"epochs": epochs}),
            profile=suite.profile,
            measure=measure,
            seed=seed,
        )

    return make


def run(cell, digits, *targets):
    known = registry.load()
    declared = {m.name: Entry(m, Path(__file__), "") for target in targets for m in vars(target)["declared"]}
    found = dataclasses.replace(known, methods={**known.methods, **declared})
    return train.train(cell, found, digits, lambda *_: None)


# --- which samples ---


@pytest.mark.parametrize(
    ("samples", "sizes"),
    [
        (1, [1]),
        (143, [143]),
        (255, [255]),
        (256, [256]),
        (300, [256]),
        (512, [256] * 2),
        (256 * 5, [256] * 5),
        (5000, [256] * 5),
    ],
)
def test_probe_batches_are_disjoint_rows_of_the_validation_set(samples, sizes):
    batches = probe_rows(samples)
    assert [len(rows) for rows in batches] == sizes
    rows = torch.cat(batches)
    assert len(rows.unique()) == len(rows)
    assert 0 <= rows.min() <= rows.max() < samples


def test_probe_batches_are_a_sample_and_not_the_beginning():
    (rows,) = probe_rows(511)
    assert rows.min() < 51 and rows.max() >= 460
    assert 200 < rows.float().mean() < 310


@pytest.fixture
def seen(monkeypatch):
    """[(what looked, x, y)] of all probing."""
    found = []

    def spy(module, name, batches_of):
        plain = getattr(module, name)

        def looking(*given):
            found.extend((name, x.clone(), y.clone()) for x, y in batches_of(given))
            return plain(*given)

        monkeypatch.setattr(module, name, looking)

    spy(gradients, "look", lambda given: [given[1:3]])
    spy(descent, "descent_gains", lambda given: given[1])
    spy(descent, "finite_difference_agreement", lambda given: [given[1:3]])
    return found


def test_every_method_and_seed_is_looked_at_with_the_same_samples(cell, digits, seen):
    both = []
    for made in (cell(**EVERYTHING), cell("ann-relu", **EVERYTHING), cell("mpd-agl", seed=3, **EVERYTHING)):
        run(made, digits)
        both.append(seen.copy())
        seen.clear()
    # Before training also the network with ReLU.
    names = ["look", "look", "descent_gains", "finite_difference_agreement"]
    names += ["look", "look", "descent_gains", "finite_difference_agreement"]
    for looked in both:
        assert [name for name, _, _ in looked] == names
        for _, x, y in looked:
            assert torch.equal(x, both[0][0][1]) and torch.equal(y, both[0][0][2])
    (rows,) = probe_rows(len(digits.val))
    assert torch.equal(both[0][0][1], digits.val.x[rows])
    assert torch.equal(both[0][0][2], digits.val.y[rows])


def test_gradients_take_the_first_batch_and_descent_all_normalised(cell, digits, seen, monkeypatch):
    monkeypatch.setattr(probing, "SAMPLES", 7)
    dataset = dataclasses.replace(digits.dataset, normalise=lambda x: x - 3)
    run(cell(**EVERYTHING), dataclasses.replace(digits, dataset=dataset))
    rows = probe_rows(len(digits.val))
    assert [len(each) for each in rows] == [7] * 5
    taken = [x for name, x, _ in seen if name == "descent_gains"][:5]
    for x, each in zip(taken, rows, strict=True):
        assert torch.equal(x, digits.val.x[each] - 3)
    for x in [x for name, x, _ in seen if name != "descent_gains"]:
        assert torch.equal(x, taken[0])


def test_a_large_set_is_not_looked_at_whole(cell, digits, seen):
    count = 256 * 5 + 100
    rows = torch.arange(count) % len(digits.val)
    val = Split(digits.val.x[rows], digits.val.y[rows], torch.arange(count))
    run(cell(epochs=1), dataclasses.replace(digits, val=val))
    assert [len(y) for name, _, y in seen if name == "look"] == [256] * 3
    assert [len(y) for name, _, y in seen if name == "descent_gains"] == [256] * 10


# --- when ---


@pytest.mark.parametrize(("probe", "epochs"), [("all", [0, 1, 2, 3]), ("ends", [0, 3]), ("off", [])])
@pytest.mark.parametrize("steps", [True, False])
def test_when_is_looked(cell, digits, probe, epochs, steps):
    outcome = run(cell(epochs=3, probe=probe, descent=steps, finite_differences=steps), digits)
    assert sorted({row["epoch"] for row in outcome.layers}) == epochs
    assert len(outcome.layers) == len(epochs) * 2 * 2, "two layers, two time steps"
    columns = outcome.metrics.keys()
    assert ("vanishing_slope" in columns) == ("vanishing_slope_ann" in columns) == bool(epochs)
    agreement = "finite_difference_agreement"
    wanted = {*GAINS, agreement} | {f"{name}_before" for name in (*GAINS, agreement)} if steps else set()
    assert {name for name in columns if name.startswith(("descent", "finite"))} == wanted
    assert outcome.metrics["energy_uj"] > 0
    assert outcome.metrics["probe_seconds"] > 0
    assert outcome.unmeasured == {}
    json.dumps(outcome.metrics, allow_nan=False)


def test_before_and_after_are_those_of_the_weights_at_that_time(cell, digits):
    made = cell(**EVERYTHING)
    outcome = run(made, digits)
    fresh = train.build(made, registry.load(), digits)
    (rows,) = probe_rows(len(digits.val))
    x, y = digits.val.x[rows], digits.val.y[rows]
    gains = descent.descent_gains(fresh, [(x, y)], 0)
    for name in ("descent_gain_1e-3", "descent_gain_1e-2"):
        assert outcome.metrics[f"{name}_before"] == gains[name] != outcome.metrics[name]
    first = [row for row in outcome.layers if row["epoch"] == 0]
    expected = gradients.look(fresh, x, y, 0, 0)
    for row, looked_at in zip(first, expected, strict=True):
        assert row["training_gradient_ratio"] > 0, "of the training, and not of the look"
        assert row | {"training_gradient_ratio": None} == looked_at


# --- that the training does not notice ---


@method("coins", paper="none", width=Param(1.0))
class Coins(Surrogate):
    """Draws from torch's global generator and counts what passes, in training and evaluation."""

    shape = staticmethod(torch.ones_like)

    def bind(self, site):
        super().bind(site)
        self.register_buffer("passes", torch.zeros(()))

    def spike(self, x, t, params, noise):
        self.passes += 1
        return spike(x + 0.1 * torch.randn(x.shape) + 0.001 * self.passes, type(self).shape, {})


@pytest.fixture
def networks(monkeypatch):
    """Every network that a training builds, its own first."""
    built = []
    plain = train.build

    def build(*given):
        built.append(plain(*given))
        return built[-1]

    monkeypatch.setattr(train, "build", build)
    return built


@pytest.mark.parametrize("name", ["asgl", "coins", "ds-atgo", "dspike", "mpd-agl:frozen", "norse/logistic"])
def test_whatever_is_measured_the_weights_are_the_same(cell, digits, networks, name):
    ends = []
    for measure in (NOTHING, {}, EVERYTHING):
        networks.clear()
        outcome = run(cell(name, epochs=3, **measure), digits, Coins)
        assert outcome.unmeasured == {}
        kept = ("train_loss", "val_accuracy", "learning_rate")
        accuracies = {key: outcome.metrics[key] for key in ("test_accuracy_last", "anytime_accuracy")}
        history = [{key: row[key] for key in kept} for row in outcome.epochs]
        # Also what counts what passed: in evaluation one more pass over the test set.
        state = {k: v for k, v in networks[0].state_dict().items() if "passes" not in k}
        ends.append((state, history, accuracies))
    for state, *numbers in ends[1:]:
        assert numbers == list(ends[0][1:])
        for key, value in state.items():
            before = ends[0][0][key]
            assert torch.equal(value, before) if isinstance(value, torch.Tensor) else value == before, key


def test_generators_are_left_where_they_are(cell, digits):
    made, found = cell("norse/logistic", **EVERYTHING), registry.load()
    network = train.build(made, found, digits)
    looked = probing.Looks(made, digits, network, lambda: train.build(made, found, digits, gradients.RELU))
    generator = torch.manual_seed(123).get_state()
    looked.before()
    looked.after(1)
    looked.at_cost(lambda: network.eval()(digits.test.x))
    assert looked.unmeasured == {}
    assert torch.equal(torch.get_rng_state(), generator)


# --- what cannot be looked at ---


def fails(module, name, problem):
    def failing(*_):
        raise problem

    return module, name, failing


@pytest.mark.parametrize(
    ("where", "what"),
    [
        (fails(gradients, "look", MemoryError("too much")), ["gradients of ReLU", "gradients"]),
        (fails(descent, "descent_gains", MemoryError("too much")), ["descent"]),
        (fails(descent, "finite_difference_agreement", MemoryError("too much")), ["finite differences"]),
        (fails(cost, "counting", MemoryError("too much")), ["cost"]),
        (fails(probing, "run_columns", MemoryError("too much")), ["gradients"]),
        (
            fails(probing, "as_input", MemoryError("too much")),
            ["gradients of ReLU", "gradients", "descent", "finite differences"],
        ),
    ],
    ids=["gradients", "descent", "differences", "cost", "columns", "samples"],
)
def test_a_look_that_fails_is_noted_and_the_training_goes_on(cell, digits, monkeypatch, where, what):
    plain = run(cell(**EVERYTHING), digits)
    monkeypatch.setattr(*where)
    outcome = run(cell(**EVERYTHING), digits)
    assert outcome.unmeasured == dict.fromkeys(what, "MemoryError: too much")
    assert outcome.metrics["test_accuracy"] == plain.metrics["test_accuracy"]
    assert outcome.metrics["train_loss"] == plain.metrics["train_loss"]
    lost = plain.metrics.keys() - outcome.metrics.keys()
    assert lost
    columns = ("vanishing_slope", "descent_gain_1e-2", "finite_difference_agreement", "energy_uj")
    for name, column in zip(("gradients", "descent", "finite differences", "cost"), columns, strict=True):
        assert (column in lost) == (name in what)


@pytest.mark.parametrize("name", ["ann-relu", "rectangle"])
def test_what_would_take_longer_than_the_training_is_left_out(cell, digits, monkeypatch, name):
    plain = run(cell(name, **EVERYTHING), digits)
    assert plain.unmeasured == {}, "a small network is looked at whatever it is trained for"
    monkeypatch.setattr(descent, "FREE", 0)
    outcome = run(cell(name, **EVERYTHING), digits)
    assert list(outcome.unmeasured) == ["descent", "finite differences"]
    assert outcome.unmeasured["descent"] == (
        "LeftOut: 560 passes of a sample in float64 would take 1.2 times as long as the training, by "
        "estimate; up to 0.5 times is measured"
    )
    lost = plain.metrics.keys() - outcome.metrics.keys()
    agreement = "finite_difference_agreement"
    assert lost == {f"{name}{suffix}" for name in (*GAINS, agreement) for suffix in ("", "_before")}
    assert outcome.metrics["train_loss"] == plain.metrics["train_loss"]
    assert outcome.layers == plain.layers


def test_on_a_gpu_memory_is_handed_back_after_steps_along_the_gradient(cell, digits, monkeypatch):
    made, found = cell(**NOTHING), registry.load()
    looked = probing.Looks(made, digits, train.build(made, found, digits), lambda: None)
    handed = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: handed.append(True))
    looked.after(1)
    assert handed == []
    looked._device = torch.device("cuda")
    looked.after(1)
    assert handed == [True]


def test_a_method_that_cannot_be_looked_at_still_trains(cell, digits):
    @method("shy", paper="none")
    class Shy(Surrogate):
        shape = staticmethod(torch.ones_like)

        def spike(self, x, t, params, noise):
            if self.site.neuron.observer is not None or x.dtype == torch.float64:
                raise RuntimeError("somebody is looking")
            return super().spike(x, t, params, noise)

    outcome = run(cell("shy", **EVERYTHING), digits, Shy)
    reason = "RuntimeError: somebody is looking"
    kinds = ("gradients", "descent", "finite differences", "cost")
    assert outcome.unmeasured == dict.fromkeys(kinds, reason)
    assert outcome.layers == []
    assert outcome.metrics["test_accuracy"] > 0
    assert outcome.metrics["probe_seconds"] > 0


def test_the_first_look_is_at_what_the_first_epoch_finds(cell, digits):
    told = []

    @method("opens", paper="none")
    class Opens(Surrogate):
        """Its width is that of the epoch: it has none before it is told of one."""

        shape = staticmethod(lambda x, width: (x.abs() < width / 2).to(x.dtype))

        def on_epoch(self, progress):
            self.width = 2.0 - progress
            self.told = [*vars(self).get("told", ()), progress]
            told[:] = self.told

        def params(self, u, t):
            return {"width": self.width}

    outcome = run(cell("opens", **EVERYTHING), digits, Opens)
    assert outcome.unmeasured == {}
    assert {row["width"] for row in outcome.layers if row["epoch"] == 0} == {2.0}
    # Looking told the network itself of no epoch.
    assert told == [0.0, 1.0]


def test_a_reference_is_there_though_the_first_look_failed(cell, digits):
    @method("late", paper="none")
    class Late(Surrogate):
        """It cannot be looked at before it has been trained."""

        shape = staticmethod(torch.ones_like)
        steps = 0

        def params(self, u, t):
            if self.site.neuron.observer is not None and self.steps == 0:
                raise RuntimeError("not yet")
            self.steps += 1
            return {}

    metrics = run(cell("late", probe="ends", descent=False), digits, Late)
    assert metrics.unmeasured == {"gradients": "RuntimeError: not yet"}
    assert metrics.metrics["vanishing_slope_ann"] is not None
    assert metrics.metrics["vanishing_slope"] is not None
    assert metrics.metrics["vanishing_slope_before"] is None


def test_a_failed_look_leaves_no_observer_behind(cell, digits, networks, monkeypatch):
    def failing(*_):
        raise ValueError("no")

    monkeypatch.setattr(cost, "_observe", failing)
    outcome = run(cell(), digits)
    assert outcome.unmeasured == {"cost": "ValueError: no"}
    assert all(neuron.observer is None for neuron in networks[0].neurons)


def test_an_interruption_comes_through(cell, digits, monkeypatch):
    monkeypatch.setattr(*fails(gradients, "look", KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        run(cell(), digits)
