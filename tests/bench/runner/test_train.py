"""The training protocol: paired seeds, the choice of the epoch, hooks, and an untouched test set."""

import copy
import dataclasses
import math
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from bench import loop, registry, shapes
from bench.data import loading
from bench.measures.gradients import RELU
from bench.model import compiling
from bench.model.loss import tet
from bench.records.predictions import of_numbers
from bench.registry import Entry
from bench.runner import train
from bench.suite import Cell
from bench.surrogate import Surrogate, method

TIMES = ("train_seconds", "search_seconds", "compile_seconds", "probe_seconds")


@pytest.fixture
def cell(tiny):
    """cell("mpd-agl", seed=1, epochs=3) -> a cell of the tiny suite; keys of the recipe and profile too."""

    def make(name="rectangle", **changes):
        suite = tiny()
        content = {
            "method": {"name": name},
            "dataset": suite.datasets[0],
            "backbone": suite.backbones[0],
            "timesteps": 2,
            "measure": suite.measure,
            "seed": 0,
        }
        for part in ("recipe", "profile"):
            known = getattr(suite, part)
            own = {key: changes.pop(key) for key in list(changes) if key in type(known).model_fields}
            content[part] = known.model_dump() | own
        return Cell.model_validate(content | changes)

    return make


def found_with(*targets, **datasets):
    """The registry with methods declared in a test, and with other datasets under known names."""
    known = registry.load()
    methods = {m.name: Entry(m, Path(__file__), "") for target in targets for m in vars(target)["declared"]}
    entries = {name: Entry(d, Path(__file__), "") for name, d in datasets.items()}
    return dataclasses.replace(
        known, methods={**known.methods, **methods}, datasets={**known.datasets, **entries}
    )


def run(cell, digits, *targets, found=None):
    return train.train(cell, found or found_with(*targets), digits, lambda *_: None)


def without_times(outcome):
    drop = lambda row: {k: v for k, v in row.items() if k not in TIMES}  # noqa: E731
    return drop(outcome.metrics), [drop(row) for row in outcome.epochs]


@method("greedy", paper="none")
class Greedy(Surrogate):
    """Draws from torch's global generator while it is built, and learns a parameter of its own."""

    shape = staticmethod(lambda x: torch.ones_like(x))

    def bind(self, site):
        super().bind(site)
        self.gain = nn.Parameter(1 + torch.rand(()) / 10)

    def emit(self, s, t):
        return s * self.gain


# --- seeds ---


def test_methods_start_from_the_same_weights(cell, digits):
    found = found_with(Greedy)
    states = {
        name: train.build(cell(name), found, digits).state_dict()
        for name in ("rectangle", "mpd-agl", "ann-relu", "snntorch/atan", "greedy")
    }
    for name, state in states.items():
        shared = {k: v for k, v in state.items() if "gain" not in k}
        assert shared.keys() == states["rectangle"].keys(), name
        assert all(torch.equal(v, states["rectangle"][k]) for k, v in shared.items()), name


def test_another_method_instead_starts_from_the_same_weights_at_its_defaults(cell, digits):
    made = cell(method={"name": "rectangle", "params": {"width": 3.0}})
    network = train.build(made, registry.load(), digits, RELU)
    assert {type(surrogate) for surrogate in network.surrogates} == {RELU.surrogate}
    expected = train.build(made, registry.load(), digits).state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())


def test_what_a_method_draws_while_it_is_built_follows_the_seed_and_the_layer(cell, digits):
    def gains(seed):
        network = train.build(cell("greedy", seed=seed), found_with(Greedy), digits)
        return [surrogate.gain.item() for surrogate in network.surrogates]

    assert gains(0) == gains(0)
    assert len({*gains(0), *gains(1)}) == 4


def test_seeds_start_from_other_weights(cell, digits):
    networks = (train.build(cell(seed=s), registry.load(), digits) for s in (0, 1))
    first, second = (network.body.readout.module.weight for network in networks)
    assert not torch.equal(first, second)


@pytest.fixture
def batches(monkeypatch):
    """Every batch that a step of training takes, as it comes."""
    seen = []
    step = train.step

    def spy(network, optimizers, x, *more):
        seen.append(x.clone())
        return step(network, optimizers, x, *more)

    monkeypatch.setattr(train, "step", spy)
    return seen


def test_methods_see_the_same_batches_in_the_same_order(cell, digits, batches):
    for name in ("rectangle", "mpd-agl", "greedy"):
        run(cell(name, measure={}), digits, Greedy)
    third = len(batches) // 3
    assert third == 2 * len(digits.train) // 32
    for a, b, c in zip(batches[:third], batches[third : 2 * third], batches[2 * third :], strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a, c)


def test_an_epoch_shows_each_training_sample_once_in_an_order_of_its_own(cell, digits, batches):
    run(cell(), digits)
    run(cell(seed=1), digits)
    per_epoch = torch.cat(batches).flatten(1).unflatten(0, (4, len(digits.train)))
    everyone = sorted(digits.train.x.flatten(1).tolist())
    assert all(sorted(epoch.tolist()) == everyone for epoch in per_epoch)
    assert not any(torch.equal(per_epoch[i], per_epoch[j]) for i in range(4) for j in range(i))


@pytest.mark.parametrize("name", ["rectangle", "mpd-agl", "ann-relu", "greedy"])
def test_the_same_cell_twice_is_the_same_bit_for_bit(cell, digits, name):
    first, second, other = (run(cell(name, seed=s, measure={}), digits, Greedy) for s in (3, 3, 4))
    assert without_times(first) == without_times(second)
    assert first.layers == second.layers != other.layers
    assert first.metrics["train_loss"] != other.metrics["train_loss"]


@method("draws-elsewhere", paper="none")
class DrawsElsewhere(Surrogate):
    """Draws from numpy's and Python's global generators, as plain functions of a paper's code may."""

    @staticmethod
    def shape(x):
        return torch.from_numpy(np.random.rand(*x.shape)).to(x.dtype) * random.random()


def test_a_seed_is_the_same_alone_and_after_another_whatever_draws(cell, digits):
    np.random.seed(99)
    random.seed(99)
    alone = without_times(run(cell("draws-elsewhere", seed=1), digits, DrawsElsewhere))
    run(cell("draws-elsewhere", seed=0), digits, DrawsElsewhere)
    after = without_times(run(cell("draws-elsewhere", seed=1), digits, DrawsElsewhere))
    assert after == alone


# --- compiled ---


@method("by-number", paper="none")
class ByNumber(Surrogate):
    """Keeps its schedule in a number: it is compiled anew for each."""

    shape = staticmethod(shapes.triangle)

    def on_epoch(self, progress):
        self.width = 2.0 - progress

    def params(self, u, t):
        return {"width": self.width}


def test_a_training_goes_on_eager_where_the_compiler_gives_up(cell, digits, monkeypatch):
    monkeypatch.setattr(compiling, "RECOMPILES", 4)
    monkeypatch.setattr(compiling, "compiler_missing", lambda device: "")
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, **options: real(f, backend="aot_eager", **options))
    torch._dynamo.reset()
    with torch._dynamo.config.patch({}):
        outcome = run(cell("by-number", compile="neuron", epochs=8), digits, ByNumber)
    torch._dynamo.reset()
    said = outcome.unmeasured["compile"]
    assert said.startswith("given up during the training, which went on eager: ")
    assert "recompile" in said.lower() and "\n" not in said
    eager = run(cell("by-number", epochs=8), digits, ByNumber)
    assert outcome.metrics["train_loss"] == pytest.approx(eager.metrics["train_loss"], rel=1e-4)
    assert len(outcome.epochs) == 8


def test_an_error_of_the_method_in_a_compiled_training_comes_through(cell, digits, monkeypatch):
    def broken(neuron, current, noise):
        if neuron.training and calls.append(neuron) is None and len(calls) > 20:
            raise RuntimeError("of the method")
        return neuron.unroll(current, noise)

    calls = []
    monkeypatch.setattr(compiling, "compiler_missing", lambda device: "")
    monkeypatch.setattr(compiling, "compiled_loop", lambda: broken)
    with pytest.raises(RuntimeError, match="of the method"):
        run(cell(compile="neuron", epochs=8), digits)


# --- which epoch, which data ---


class Script:
    """Stands in for `_Trainer.evaluation`: gives the scripted accuracies, notes what it was asked."""

    def __init__(self, monkeypatch, values):
        self.values, self.asked = iter(values), []
        script = self

        def evaluation(trainer, split):
            script.asked.append((split, copy.deepcopy(trainer.network.state_dict())))
            return [0.0, next(script.values)], of_numbers(np.zeros(1), np.zeros(1), 10)

        monkeypatch.setattr(train._Trainer, "evaluation", evaluation)


def test_the_best_validation_epoch_is_the_first_of_equals(cell, digits, monkeypatch):
    script = Script(monkeypatch, [50.0, 70.0, 70.0, 60.0, 11.0, 22.0])
    metrics = run(cell(epochs=4), digits).metrics
    assert (metrics["best_epoch"], metrics["val_accuracy"]) == (1, 70.0)
    assert (metrics["test_accuracy_last"], metrics["test_accuracy"]) == (11.0, 22.0)
    states = [state for _, state in script.asked]
    for name, value in states[1].items():
        assert torch.equal(states[5][name], value), "the test saw other weights than the best epoch's"
    assert any(not torch.equal(states[4][name], value) for name, value in states[1].items())


def test_an_epoch_of_zero_accuracy_can_be_the_best(cell, digits, monkeypatch):
    Script(monkeypatch, [0.0] * 4)
    assert run(cell(), digits).metrics["best_epoch"] == 0


def test_test_data_is_looked_at_after_training_only(cell, digits, monkeypatch):
    script = Script(monkeypatch, [1.0] * 6)
    run(cell(epochs=3), digits)
    # The last weights, and the best ones.
    assert [split is digits.test for split, _ in script.asked] == [False, False, False, True, True]
    assert all(split is digits.val for split, _ in script.asked[:3])


def test_weights_that_are_both_last_and_best_are_tested_once(cell, digits, monkeypatch):
    script = Script(monkeypatch, [1.0, 2.0, 33.0])
    metrics = run(cell(epochs=2), digits).metrics
    assert [split is digits.test for split, _ in script.asked] == [False, False, True]
    assert metrics["test_accuracy"] == metrics["test_accuracy_last"] == 33.0


def test_the_best_test_epoch_is_one_more_number_and_chooses_nothing(cell, digits, monkeypatch):
    plain, asked = (run(cell(epochs=3, best_test_epoch=wanted), digits) for wanted in (False, True))
    assert plain.metrics["test_accuracy_best_epoch"] is None
    best = asked.metrics.pop("test_accuracy_best_epoch")
    assert best >= max(asked.metrics["test_accuracy"], asked.metrics["test_accuracy_last"])
    assert without_times(plain)[0] | {"test_accuracy_best_epoch": 0} == without_times(asked)[0] | {
        "test_accuracy_best_epoch": 0
    }
    # val, test of three epochs; then the last and the best epoch's weights.
    Script(monkeypatch, [10.0, 91.0, 30.0, 93.0, 20.0, 92.0, 92.0, 93.0, 93.0])
    metrics = run(cell(epochs=3, best_test_epoch=True), digits).metrics
    assert (metrics["test_accuracy_best_epoch"], metrics["best_epoch"]) == (93.0, 1)


@pytest.mark.parametrize(("bad", "best"), [((1,), 92.0), ((0, 1, 2), None)])
def test_a_best_test_epoch_that_cannot_be_told_decides_no_status(cell, digits, monkeypatch, bad, best):
    asked = []

    def evaluation(self, split):
        epoch = len(asked) // 2
        asked.append(split)
        if len(asked) <= 6 and split is digits.test and epoch in bad:
            raise train.Diverged("the network's output became NaN or infinite in evaluation")
        return [90.0 + epoch] * 2, of_numbers(np.zeros(1), np.zeros(1), 10)

    monkeypatch.setattr(train._Trainer, "evaluation", evaluation)
    metrics = run(cell(epochs=3, best_test_epoch=True), digits).metrics
    assert metrics["test_accuracy_best_epoch"] == best
    assert (metrics["best_epoch"], metrics["test_accuracy"]) == (2, 93.0)


def test_accuracies_are_those_of_a_plain_loop(cell, digits):
    made = cell(timesteps=3)
    network = train.build(made, registry.load(), digits)
    trainer = train._Trainer(made, digits, network)
    trainer.epoch(0)
    found, predictions = trainer.evaluation(digits.test)
    assert trainer.accuracies(digits.test) == found
    network.eval()
    assert predictions.label.tolist() == digits.test.y.tolist()
    assert predictions.predicted.tolist() == [int(network(x[None]).mean(0).argmax()) for x in digits.test.x]
    for steps, accuracy in enumerate(found, 1):
        right = 0
        for x, y in zip(digits.test.x, digits.test.y, strict=True):
            right += int(network(x[None])[:steps].mean(0).argmax() == y)
        assert accuracy == pytest.approx(100 * right / len(digits.test), abs=1e-5)


def test_the_last_of_the_anytime_accuracies_is_the_test_accuracy(cell, digits):
    metrics = run(cell(timesteps=3), digits).metrics
    assert len(metrics["anytime_accuracy"]) == 3
    assert metrics["anytime_accuracy"][-1] == metrics["test_accuracy"]


def test_the_predictions_are_those_of_the_best_epoch_in_the_order_of_the_dataset(cell, digits, monkeypatch):
    states, values = [], iter([90.0, 50.0, 40.0])
    really = train._Trainer.accuracies

    def accuracies(trainer, split):
        if split is not digits.val:
            return really(trainer, split)
        states.append(copy.deepcopy(trainer.network.state_dict()))
        return [next(values)]

    monkeypatch.setattr(train._Trainer, "accuracies", accuracies)
    made = cell(epochs=3)
    outcome = run(made, digits)
    network = train.build(made, registry.load(), digits)
    network.load_state_dict(states[0])
    network.eval()
    said = [int(network(x[None]).mean(0).argmax()) for x in digits.test.x]
    assert outcome.predictions.predicted.tolist() == said
    assert outcome.predictions.label.tolist() == digits.test.y.tolist()
    assert outcome.predictions.accuracy == outcome.metrics["test_accuracy"]
    network.load_state_dict(states[2])
    assert [int(network(x[None]).mean(0).argmax()) for x in digits.test.x] != said


def test_an_outcome_has_metrics_and_long_tables(cell, digits):
    outcome = run(cell(timesteps=3, measure={}), digits)
    assert [row["epoch"] for row in outcome.epochs] == [0, 1]
    # Before training and after it, two layers, three time steps.
    places = [(row["epoch"], row["layer"], row["t"]) for row in outcome.layers]
    assert places == [(e, layer, t) for e in (0, 2) for layer in (0, 1) for t in range(3)]
    assert outcome.unmeasured == {}
    anytime = outcome.metrics["anytime_accuracy"]
    assert outcome.metrics["timesteps_to_99"] == 1 + next(
        t for t in range(3) if anytime[t] >= 0.99 * anytime[-1]
    )
    assert outcome.metrics["sops_per_sample"] > 0
    for value in outcome.metrics.values():
        assert value is None or isinstance(value, int | float | list)
        assert not isinstance(value, float) or math.isfinite(value)


def test_evaluation_changes_nothing(cell, digits):
    network = train.build(cell(), registry.load(), digits)
    before = copy.deepcopy(network.state_dict())
    train._Trainer(cell(), digits, network).accuracies(digits.val)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_looking_at_the_test_data_changes_no_training(cell, digits):
    """norse's logistic draws from torch's global generator in evaluation too."""
    plain, looked = (run(cell("norse/logistic", epochs=3, best_test_epoch=w), digits) for w in (False, True))
    assert [r["train_loss"] for r in plain.epochs] == [r["train_loss"] for r in looked.epochs]
    assert plain.metrics["test_accuracy"] == looked.metrics["test_accuracy"]


def test_listeners_hear_of_every_epoch(cell, digits):
    heard = []
    outcome = train.train(cell(epochs=3), registry.load(), digits, lambda *what: heard.append(what))
    assert heard == [(row["epoch"], row["val_accuracy"]) for row in outcome.epochs]
    assert [epoch for epoch, _ in heard] == [0, 1, 2]


@pytest.mark.parametrize("training", [True, False], ids=["in training", "in evaluation only"])
def test_a_loss_that_is_not_finite_is_divergence(cell, digits, training):
    @method("nan", paper="none")
    class Nan(Greedy):
        def emit(self, s, t):
            return s * float("nan") if self.training == training else s

    with pytest.raises(train.Diverged, match=r"NaN|nan"):
        run(cell("nan"), digits, Nan)


def test_a_derivative_that_is_not_finite_is_divergence_though_the_loss_hides_it(cell, digits):
    @method("hidden", paper="none")
    def hidden(x):
        return x * float("nan")

    with pytest.raises(train.Diverged, match=r"weight became NaN or infinite in epoch 1"):
        run(cell("hidden"), digits, hidden)


def test_channels_last_learns_the_same_but_for_rounding(cell, digits):
    losses = []
    for last in (False, True):
        backbone = {"name": "convnet", "width": 0.125}
        made = cell(dtype="float64", channels_last=last, epochs=1, backbone=backbone)
        network = train.build(made, registry.load(), digits)
        (conv, *_) = (m for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.in_channels > 1)
        assert conv.weight.is_contiguous(memory_format=torch.channels_last) == last
        losses.append(run(made, digits).metrics["train_loss"])
    assert losses[1] == pytest.approx(losses[0], rel=1e-9)


# --- hooks ---


@pytest.mark.parametrize(("epochs", "expected"), [(1, [0.0]), (3, [0.0, 0.5, 1.0])])
def test_on_epoch_hears_of_progress_in_every_layer(cell, digits, epochs, expected):
    heard = []

    @method("listens", paper="none")
    class Listens(Greedy):
        def on_epoch(self, progress):
            heard.append((self.site.index, progress))

    run(cell("listens", epochs=epochs), digits, Listens)
    assert heard == [(layer, progress) for progress in expected for layer in (0, 1)]


def one_step(digits, made, *targets):
    """A network before and after one step over all training data."""
    made = made.model_copy(
        update={"recipe": made.recipe.model_copy(update={"batch_size": len(digits.train), "epochs": 1})}
    )
    network = train.build(made, found_with(*targets), digits)
    before = copy.deepcopy(network)
    train._Trainer(made, digits, network).epoch(0)
    return before, network


def test_a_penalty_adds_to_the_gradient(cell, digits):
    @method("pays", paper="none")
    class Pays(Greedy):
        def penalty(self, statistics):
            return 0.5 * statistics.mean.square().sum() + statistics.variance.sum()

    made = cell(
        "pays", optimizer="sgd", momentum=0.0, schedule="constant", learning_rate=0.1, dtype="float64"
    )
    before, after = one_step(digits, made, Pays)
    before.train()
    logits = before(digits.train.x.double())
    paid = [s.neuron.statistics for s in before.sites]
    extra = sum(0.5 * s.mean.square().sum() + s.variance.sum() for s in paid)
    loss = functional.cross_entropy(logits.mean(0), digits.train.y)
    parameters = list(before.parameters())
    gradients = torch.autograd.grad(loss + extra, parameters)
    for parameter, gradient, changed in zip(parameters, gradients, after.parameters(), strict=True):
        torch.testing.assert_close(changed, parameter - 0.1 * gradient)


def test_the_loss_that_is_reported_is_the_tasks_alone(cell, digits):
    @method("pays", paper="none")
    class Pays(Greedy):
        def penalty(self, statistics):
            return 1e6 + 0 * statistics.mean.sum()

    paid, plain = (run(cell(name), digits, Pays, Greedy) for name in ("pays", "greedy"))
    assert paid.metrics["train_loss"] == plain.metrics["train_loss"]


def test_an_optimizer_of_its_own_takes_its_parameters_from_the_recipes(cell, digits):
    @method("owns", paper="none")
    class Owns(Greedy):
        @classmethod
        def optimizers(cls, layers):
            return [torch.optim.SGD([layer.gain for layer in layers], lr=0.0)]

    def change(name):
        before, after = one_step(digits, cell(name, schedule="constant"), Owns, Greedy)
        gains = [(a.gain - b.gain).item() for a, b in zip(before.surrogates, after.surrogates, strict=True)]
        return gains, (before.body.readout.module.weight - after.body.readout.module.weight).abs().sum()

    gains, weight = change("owns")
    assert gains == [0, 0]
    assert weight > 0
    gains, weight = change("greedy")
    assert 0 not in gains
    assert weight > 0


@pytest.mark.parametrize(("batch_size", "limit", "budget"), [(8, 200, 2), (8, 1, 1), (200, 200, 1)])
def test_a_search_gets_a_budget_of_training_batches(cell, digits, monkeypatch, batch_size, limit, budget):
    seen = []
    monkeypatch.setattr(loop, "SEARCH_BUDGET", limit)

    @method("searches", paper="none")
    class Searches(Greedy):
        @classmethod
        def search(cls, layers, context):
            got = list(context.batches())
            loss = [context.loss(context.network(x), y) for x, y in got]
            assert all(value.ndim == 0 and value.isfinite() for value in loss)
            seen.append((got, context.budget, context.progress, context.network.training))
            for layer in layers:
                layer.gain.data.fill_(2.0)

    outcome = run(cell("searches", batch_size=batch_size), digits, Searches)
    plain = run(cell("greedy", batch_size=batch_size), digits, Greedy)
    assert outcome.metrics["train_loss"] != plain.metrics["train_loss"]
    assert outcome.metrics["train_seconds"] > outcome.metrics["search_seconds"] > 0
    training = {tuple(x) for x in digits.train.x.flatten(1).tolist()}
    assert [(b, p, mode) for _, b, p, mode in seen] == [(budget, 0.0, True), (budget, 1.0, True)]
    for got, *_ in seen:
        assert len(got) == budget
        assert {tuple(row) for x, _ in got for row in x.flatten(1).tolist()} <= training
    assert not torch.equal(seen[0][0][0][0], seen[1][0][0][0])


# --- data ---


@pytest.mark.parametrize("recipe", ["none", "standard", "auto"])
def test_augmentation_is_for_training_only_and_normalisation_comes_after(cell, digits, recipe):
    wanted = recipe == "standard"
    augmented, normalised = [], []

    def augment(x, ids, epoch, seed):
        augmented.append((ids, epoch, seed))
        return x + 100

    def normalise(x):
        normalised.append(bool((x >= 100).all()))
        return x

    dataset = dataclasses.replace(digits.dataset, augment={"standard": augment}, normalise=normalise)
    changed = dataclasses.replace(digits, dataset=dataset)
    outcome = run(cell(augment=recipe, seed=5), changed, found=registry.load())
    steps = -(-len(digits.train) // 32)
    assert sum(normalised) == (2 * steps if wanted else 0)
    # The test set for the last weights and for the best, once if they are the same.
    passes = 1 + (outcome.metrics["best_epoch"] == 0)
    assert len(normalised) == 2 * steps + 2 + passes * -(-len(digits.test) // (4 * 32))
    assert [(e, s) for _, e, s in augmented] == [(e, 5) for e in (0, 1) for _ in range(steps)] * wanted
    for e in range(2 * wanted):
        ids = torch.cat([ids for ids, epoch, _ in augmented if epoch == e])
        assert torch.equal(ids.sort().values, digits.train.ids.sort().values)


def test_events_are_trained_on(cell):
    found = registry.load()
    events = loading.prepare(found.dataset("digits-events").item, loading.Request(Path(), 3), 200)
    outcome = run(cell(dataset={"name": "digits-events"}, timesteps=3), events)
    assert outcome.epochs[1]["train_loss"] < outcome.epochs[0]["train_loss"]


def test_a_network_learns(cell, digits):
    outcome = run(cell(epochs=12), digits)
    assert outcome.metrics["test_accuracy"] > 60
    assert outcome.epochs[-1]["train_loss"] < 0.5 * outcome.epochs[0]["train_loss"]


# --- recipe ---


@pytest.mark.parametrize(
    "recipe",
    [
        {"loss": "tet", "label_smoothing": 0.1},
        {"mixup": 0.5},
        {"cutmix": 1.0, "mixup": 0.5, "erasing": 0.25, "loss": "tet"},
    ],
)
def test_a_network_learns_with_every_loss_and_mixture(cell, digits, recipe):
    outcome = run(cell(epochs=12, **recipe), digits)
    assert outcome.metrics["test_accuracy"] > 50
    assert outcome.epochs[-1]["train_loss"] < 0.9 * outcome.epochs[0]["train_loss"]


def test_a_recipe_decides_the_loss_that_is_trained_on(cell, digits):
    made = cell(loss="tet", tet_weight=0.3, label_smoothing=0.1, mixup=1.0, epochs=1)
    trainer = train._Trainer(made, digits, train.build(made, registry.load(), digits))
    x, y = next(trainer._batches(0, "order"))
    assert y.shape == (len(x), digits.classes)
    network = trainer.network.train()
    expected = tet(network(x), y, label_smoothing=0.1, weight=0.3)
    assert float(train.step(network, trainer.optimizers, x, y, loss=trainer.loss)) == float(expected.detach())


def test_a_search_uses_the_recipes_loss(cell, digits):
    seen = []

    @method("searches", paper="none", kind="control")
    class Searches(Greedy):
        @classmethod
        def search(cls, layers, context):
            x, y = next(iter(context.batches()))
            seen.append((context.network(x), y, context.loss))

    run(cell("searches", epochs=1, loss="tet", mixup=0.5), digits, Searches)
    logits, y, loss = seen[0]
    assert y.ndim == 2
    assert torch.equal(loss(logits, y), tet(logits, y))


def rates(made, digits):
    """The learning rate at every step, and after the last."""
    trainer = train._Trainer(made, digits, train.build(made, registry.load(), digits))
    seen, main = [], trainer.optimizers[0]
    main.register_step_pre_hook(lambda o, *_: seen.append(o.param_groups[0]["lr"]))
    for epoch in range(made.recipe.epochs):
        trainer.epoch(epoch)
    return seen, main.param_groups[0]["lr"]


def test_schedules(cell, digits):
    steps = 3 * -(-len(digits.train) // 32)
    seen, _ = rates(cell(schedule="constant", epochs=3), digits)
    assert seen == [0.01] * steps
    seen, last = rates(cell(schedule="cosine", epochs=3), digits)
    assert seen[0] == 0.01
    assert seen == sorted(set(seen), reverse=True)
    assert (len(seen), last) == (steps, pytest.approx(0, abs=1e-12))
    seen, last = rates(cell(schedule="cosine-epochs", epochs=3), digits)
    each = steps // 3
    assert seen == pytest.approx(each * [0.01] + each * [0.0075] + each * [0.0025])
    assert last == pytest.approx(0, abs=1e-12)
    seen, last = rates(cell(schedule="one-cycle", epochs=3), digits)
    assert len(seen) == len(set(seen)) == steps
    assert seen[0] == pytest.approx(0.01 / 25)
    assert max(seen) == pytest.approx(0.01, rel=0.05)
    assert seen[-1] < seen[0]


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "cosine-epochs", "constant"])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
def test_no_schedule_changes_the_momentum(cell, digits, schedule, momentum):
    """Nor AdamW's, which is torch's own: a recipe has a momentum for SGD alone."""
    for optimizer in ("sgd", "adamw"):
        made = cell(schedule=schedule, optimizer=optimizer, momentum=momentum, epochs=2)
        trainer = train._Trainer(made, digits, train.build(made, registry.load(), digits))
        seen, main = set(), trainer.optimizers[0]

        def look(of, *_, seen=seen):
            (group,) = of.param_groups
            seen.add(group["momentum"] if "momentum" in group else group["betas"])

        main.register_step_pre_hook(look)
        for epoch in range(made.recipe.epochs):
            trainer.epoch(epoch)
        assert seen == {momentum if optimizer == "sgd" else (0.9, 0.999)}


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "cosine-epochs", "constant"])
def test_one_single_step_is_enough_for_every_schedule(cell, digits, schedule):
    assert run(cell(epochs=1, batch_size=1000, schedule=schedule), digits).metrics["best_epoch"] == 0


def test_optimizers(cell, digits):
    def main(**recipe):
        made = cell(**recipe)
        return train._Trainer(made, digits, train.build(made, registry.load(), digits)).optimizers

    (adamw,) = main(weight_decay=0.3)
    assert isinstance(adamw, torch.optim.AdamW)
    assert adamw.defaults["weight_decay"] == 0.3
    (sgd,) = main(optimizer="sgd", momentum=0.5, weight_decay=0.1)
    assert isinstance(sgd, torch.optim.SGD)
    assert (sgd.defaults["momentum"], sgd.defaults["weight_decay"]) == (0.5, 0.1)


def test_the_profile_acts(cell, digits):
    made = cell(dtype="float64", deterministic=False)
    assert {p.dtype for p in train.build(made, registry.load(), digits).parameters()} == {torch.float64}
    run(made, digits)
    assert torch.get_num_threads() == 1
    assert not torch.are_deterministic_algorithms_enabled()
    run(cell(), digits)
    assert torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(("samples", "sizes"), [(9, [4, 5]), (10, [4, 4, 2]), (8, [4, 4]), (1, [1])])
def test_no_batch_is_left_with_a_single_sample(samples, sizes):
    order = torch.randperm(samples)
    batches = train._chunks(order, 4)
    assert [len(batch) for batch in batches] == sizes
    assert torch.equal(torch.cat(batches), order)
