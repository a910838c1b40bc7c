"""Which trials a tuning has, what they choose, and that no test data is near them."""

import itertools
import json
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench import api, registry
from bench.errors import BenchError
from bench.records.store import Store, trial_store
from bench.runner import plan, trials, worker
from bench.runner.train import build
from bench.suite import BackboneSpec, DatasetSpec, MethodEntry, Tune
from bench.surrogate import Param
from bench.variants import own_words

RATE = "recipe.learning_rate"
TUNE = {"rates": [0.5, 1], "points": 2, "seeds": [7, 8]}
"""Four trials on two seeds."""
PLACE = plan.Place(DatasetSpec(name="digits"), BackboneSpec(name="mlp"), 2)


@pytest.fixture(scope="module")
def shipped():
    return registry.load(())


def tried(planned):
    """The values of a trial: the learning rate, and the method's parameters without those not set."""
    cell = planned.cell
    return (cell.recipe.learning_rate, *(v for v in cell.method.params.values() if v is not None))


# --- values ---


positive = st.floats(0.01, 100)


@given(positive, positive, st.integers(3, 9), st.floats(0, 1), st.booleans())
def test_values_are_spaced_from_end_to_end_around_the_default(one, other, count, where, log):
    low, high = sorted((one, other))
    keep = low + where * (high - low)
    found = trials.spaced(low, high, count, keep, log=log)
    assert len(found) == count and found == sorted(found)
    assert (found[0], found[-1]) == pytest.approx((low, high), rel=1e-3)
    assert any(value == pytest.approx(keep, rel=1e-3) for value in found)
    plain = trials.spaced(low, high, count, None, log=log)
    assert sum(a != b for a, b in zip(found, plain, strict=True)) <= 1, "one value gives way"


def test_values_are_even_on_their_axis_and_short():
    assert trials.spaced(0.01, 10, 4, None, log=True) == [0.01, 0.1, 1.0, 10.0]
    assert trials.spaced(0, 1, 5, None, log=False) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert trials.spaced(1, 2, 4, None, log=False) == [1.0, 1.333, 1.667, 2.0]
    assert trials.spaced(1, 100, 3, 20, log=True) == [1.0, 20.0, 100.0]
    assert trials.spaced(1, 100, 3, 1000, log=True) == [1.0, 10.0, 100.0], "a default outside is not tried"
    assert trials.spaced(1, 100, 4, 1.5, log=True) == [1.0, 1.5, 21.54, 100.0], "both ends stay"


def test_one_value_is_the_default_or_the_middle():
    assert trials.spaced(1, 100, 1, 3, log=True) == [3.0]
    assert trials.spaced(1, 100, 1, None, log=True) == [10.0]
    assert trials.spaced(1, 3, 1, None, log=False) == [2.0]


@pytest.mark.parametrize(("power", "scale"), [(1, 2.0), (-1, 0.5), (0, 1.0)])
def test_values_scale_with_the_threshold_as_their_defaults_do(power, scale):
    param = Param(1.0, search=(0.25, 4.0), per_threshold=power)
    found = trials.values(param, 5, 0.5)
    assert found == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert trials.values(param, 5, 1.0) == [scale * value for value in found]


def test_learning_rates_are_the_suites_own_or_lie_between_them():
    tune = Tune(rates=(1, 0.1, 10), points=3)
    assert trials.rates(tune, 0.02, 3) == [0.02, 0.002, 0.2]
    found = trials.rates(tune, 0.02, 9)
    assert len(found) == 9 and (found[0], found[-1]) == (0.002, 0.2) and 0.02 in found


# --- the trials ---


@pytest.mark.parametrize("tune", [Tune(), Tune(rates=(0.5, 1, 2), points=5), Tune(rates=(1, 2), points=1)])
@pytest.mark.parametrize("threshold", [0.5, 1.0])
def test_every_installed_method_has_the_same_number_of_trials(shipped, tiny, tune, threshold):
    place = PLACE._replace(backbone=BackboneSpec(name="mlp", threshold=threshold))
    recipe = tiny().recipe
    with_one = set()
    for name, entry in shipped.methods.items():
        if registry.missing_packages(entry.item):
            continue
        found = trials.grid(tune, place, MethodEntry(name=name), recipe, shipped)
        values = {(v.recipe.learning_rate, json.dumps(v.method.params)) for v in found}
        assert len(found) == len(values) == tune.trials, name
        assert {v.selection.by for v in found} == {"tuning"} and len({v.selection for v in found}) == 1
        assert found[0].selection.over[0] == RATE
        own = trials.own_parameter(entry.item)
        with_one.add(own is not None)
        if own is not None:
            default = own[1].at(threshold)
            tried = {v.method.params[own[0]] for v in found}
            assert len(tried) == tune.points
            assert any(value == pytest.approx(default, rel=1e-3) for value in tried), name
        assert recipe.learning_rate in {v.recipe.learning_rate for v in found}, name
    assert with_one == {True, False}


@pytest.fixture
def trial_plan(tmp_path):
    """trial_plan(suite) -> the plan of its trials over the results folder tmp_path/results."""

    def make(suite, **options):
        store = Store(tmp_path / "results", suite.name)
        return trials.trial_plan(suite, store, data_root=tmp_path / "data", **options)

    return make


def test_the_budget_is_the_same_to_the_cell(tiny, trial_plan):
    methods = ["rectangle", "mpd-agl", "asgl", "slope-steps", "ann-relu"]
    made = trial_plan(tiny(methods=methods, tune=TUNE, timesteps=[2, 3]))
    found = {}
    for planned in made.cells:
        found.setdefault((planned.cell.method.name, planned.cell.timesteps), []).append(planned)
    assert len(found) == 2 * len(methods)
    for cells in found.values():
        assert len(cells) == 2 * 4
        assert len({planned.configuration for planned in cells}) == 4
    assert made.store.runs == trial_store(Store(made.store.results, "tiny")).runs


def test_a_trial_is_measured_in_nothing_and_runs_on_the_tuning_seeds(tiny, trial_plan):
    made = trial_plan(tiny(tune=TUNE, measure={"probe": "all", "descent": True}, seeds=[0, 1, 2]))
    assert all(p.cell.trial for p in made.cells)
    assert {p.cell.seed for p in made.cells} == {7, 8}
    assert {(p.cell.measure.probe, p.cell.measure.descent) for p in made.cells} == {("off", False)}
    assert {p.cell.selection.over for p in made.cells} == {(RATE, "width")}
    assert {tried(p) for p in made.cells} == {*itertools.product((0.005, 0.01), (1.0, 4.0))}


def test_other_methods_change_no_trial(tiny, trial_plan):
    alone = {p.id for p in trial_plan(tiny(methods=["rectangle"], tune=TUNE)).cells}
    methods = ["mpd-agl", "arctan", "rectangle", {"name": "rectangle", "params": {"width": 1.0}}]
    together = trial_plan(tiny(methods=methods, tune=TUNE)).cells
    own = {p.id for p in together if p.cell.method.name == "rectangle" and "width" in p.cell.selection.over}
    assert own == alone
    assert len(together) == 4 * 8


def test_a_value_that_the_suite_sets_stays(tiny, trial_plan):
    given = {"name": "rectangle", "params": {"width": 2.0}}
    made = trial_plan(tiny(methods=[given, {"name": "arctan", "params": {"height": 3.0}}], tune=TUNE))
    by_name = {}
    for planned in made.cells:
        by_name.setdefault(planned.cell.method.name, []).append(planned)
    assert {p.cell.method.params["width"] for p in by_name["rectangle"]} == {2.0}
    assert {p.cell.selection.over for p in by_name["rectangle"]} == {(RATE,)}
    assert len({p.cell.recipe.learning_rate for p in by_name["rectangle"]}) == 4
    assert {p.cell.method.params["height"] for p in by_name["arctan"]} == {3.0}
    assert {p.cell.selection.over for p in by_name["arctan"]} == {(RATE, "width")}
    assert {len(cells) for cells in by_name.values()} == {8}


def test_the_next_parameter_with_a_range_takes_the_place_of_one_that_is_set(write_plugin, tiny, trial_plan):
    text = """
    @method("two", paper="none", a=Param(1.0, search=(0.5, 2.0)), b=Param(3.0, search=(1.0, 9.0)))
    def two(x, a, b):
        return shapes.rectangle(x, width=a)
    """
    methods = ["two", {"name": "two", "params": {"a": 1.0}}, {"name": "two", "params": {"a": 1.0, "b": 2.0}}]
    made = trial_plan(tiny(methods=methods, tune=TUNE), plugins=[write_plugin(text)])
    cells = [p.cell for p in made.cells if p.cell.method.name == "two"]
    over = [cell.selection.over for cell in cells]
    assert {each: over.count(each) for each in over} == {(RATE, "a"): 8, (RATE, "b"): 8, (RATE,): 8}
    assert {c.method.params["b"] for c in cells if c.selection.over == (RATE, "a")} == {3.0}
    assert {c.method.params["a"] for c in cells if c.selection.over == (RATE, "b")} == {1.0}


def test_ranges_scale_with_the_threshold_of_the_network(tiny, trial_plan):
    methods = ["rectangle", "msg"]
    at = {}
    for threshold in (0.5, 1.0):
        backbones = [{"name": "mlp", "width": 0.125, "threshold": threshold}]
        made = trial_plan(tiny(methods=methods, backbones=backbones, tune=TUNE | {"points": 3}))
        for planned in made.cells:
            own = planned.cell.selection.over[1]
            at.setdefault((planned.cell.method.name, threshold), set()).add(planned.cell.method.params[own])
    assert at["rectangle", 0.5] == {0.25, 1.0, 4.0} and at["rectangle", 1.0] == {0.5, 2.0, 8.0}
    assert at["msg", 0.5] == {0.5, 2.0, 8.0} and at["msg", 1.0] == {0.25, 1.0, 4.0}


# --- the choice ---


def finish(made, score, skip=lambda cell: False, status="ok"):
    """The plan with records: score(cell) is a validation accuracy or a status."""
    cells = []
    for planned in made.cells:
        if skip(planned.cell):
            cells.append(planned)
            continue
        outcome = score(planned.cell)
        metrics = {} if isinstance(outcome, str) else {"val_accuracy": outcome}
        record = {
            "status": outcome if isinstance(outcome, str) else "ok",
            "metrics": metrics,
            "cell": planned.cell.model_dump(mode="json"),
            "data": {"classes": 10},
        }
        finished = record["status"] in ("ok", "failed", "diverged")
        state = {"ok": "done"}.get(record["status"], "failed" if finished else "missing")
        cells.append(replace(planned, record=record, state=state))
    return replace(made, cells=tuple(cells))


def by_rate(cell):
    """Best at the higher rate and the smaller width."""
    return 50 + 100 * cell.recipe.learning_rate - cell.method.params.get("width", 0)


def test_the_best_trial_of_each_method_is_picked(tiny, trial_plan):
    made = trial_plan(tiny(methods=["rectangle", "mpd-agl"], tune=TUNE, timesteps=[2, 3]))
    found, unfinished = trials.picks(finish(made, by_rate))
    assert unfinished == 0 and len(found) == 4
    chosen = {(key.method, key.place.timesteps): cell for key, cell in found.items()}
    for timesteps in (2, 3):
        best = chosen["rectangle", timesteps]
        assert (best.recipe.learning_rate, best.method.params["width"]) == (0.01, 1.0)
        assert chosen["mpd-agl", timesteps].recipe.learning_rate == 0.01


def test_a_method_with_trials_left_has_no_choice_and_they_are_counted(tiny, trial_plan):
    made = trial_plan(tiny(methods=["rectangle", "mpd-agl"], tune=TUNE))
    one = next(p.cell for p in made.cells if p.cell.method.name == "rectangle")
    for change in ({"skip": one.__eq__}, {"score": lambda cell: "oom" if cell == one else by_rate(cell)}):
        found, unfinished = trials.picks(finish(made, **({"score": by_rate} | change)))
        assert unfinished == 1 and [key.method for key in found] == ["mpd-agl"]
    assert trials.picks(made) == ({}, 16)


def test_failed_trials_are_finished_and_lose(tiny, trial_plan):
    made = trial_plan(tiny(methods=["rectangle"], tune=TUNE))
    found, unfinished = trials.picks(
        finish(made, lambda cell: "failed" if cell.recipe.learning_rate > 0.005 else by_rate(cell))
    )
    (best,) = found.values()
    assert unfinished == 0 and best.recipe.learning_rate == 0.005
    found, unfinished = trials.picks(finish(made, lambda cell: "diverged"))
    (best,) = found.values()
    assert unfinished == 0 and tried(replace(made.cells[0], cell=best)) == (0.005, 1.0), (
        "of equals, the least"
    )


def test_a_range_of_a_single_value_is_finished_too(write_plugin, tiny, trial_plan):
    text = """
    @method("narrow", paper="none", a=Param(1.0, search=(1.0, 1.0)))
    def narrow(x, a):
        return shapes.rectangle(x, width=a)
    """
    made = trial_plan(tiny(methods=["narrow"], tune=TUNE), plugins=[write_plugin(text)])
    found, unfinished = trials.picks(finish(made, lambda cell: 50))
    assert unfinished == 0 and {key.method for key in found} == {"narrow"}


def test_what_was_chosen_runs_beside_the_defaults_on_the_suites_own_seeds(tiny, trial_plan, make_plan):
    methods = ["rectangle", {"name": "arctan", "params": {"width": 2.0}}, "mpd-agl"]
    suite = tiny(methods=methods, tune=TUNE, seeds=[0, 1], measure={"probe": "ends"})
    made = trial_plan(suite)
    one = next(p.cell for p in made.cells if p.cell.method.name == "mpd-agl")
    found, _ = trials.picks(finish(made, by_rate, skip=one.__eq__))
    whole = make_plan(suite, variations=trials.tuned(found))
    listed = [
        (
            p.cell.method.name,
            own_words(p.variant),
            p.cell.recipe.learning_rate,
            p.cell.method.params.get("width"),
        )
        for p in whole.cells
        if p.cell.seed == 0
    ]
    assert listed == [
        ("rectangle", "default", 0.01, 1.0),
        ("rectangle", "tuned", 0.01, 1.0),
        ("arctan", "width=2", 0.01, 2.0),
        ("arctan", "tuned width=2", 0.01, 2.0),
        ("mpd-agl", "default", 0.01, None),
    ]
    assert {p.cell.seed for p in whole.cells} == {0, 1} and not any(p.cell.trial for p in whole.cells)
    assert {p.cell.measure.probe for p in whole.cells} == {"ends"}


@pytest.mark.parametrize("method", ["rectangle", "mpd-agl", "learned-width"])
def test_tuned_and_default_networks_of_a_seed_start_from_the_same_weights(
    tiny, trial_plan, make_plan, method
):
    suite = tiny(methods=[method], tune=TUNE, seeds=[3])
    found, _ = trials.picks(finish(trial_plan(suite), lambda cell: 60 - 1000 * cell.recipe.learning_rate))
    default, tuned = make_plan(suite, variations=trials.tuned(found)).cells
    assert tuned.variant.startswith("tuned ") and tuned.cell.recipe != default.cell.recipe
    shipped = registry.load(())
    one, other = (build(p.cell, shipped, p.known) for p in (default, tuned))
    own = {id(p) for surrogate in one.surrogates for p in surrogate.parameters()}
    weights = dict(one.named_parameters())
    theirs = dict(other.named_parameters())
    assert weights.keys() == theirs.keys()
    compared = [name for name, weight in weights.items() if id(weight) not in own]
    assert compared and all(torch.equal(weights[name], theirs[name]) for name in compared)


# --- no test data ---


GUARDED = """
import torch
from bench.data.loading import Splits, dataset, with_ids

def test():
    raise AssertionError("the test data was loaded")

@dataset("guarded", shape=(4,), classes=2, licence="none", source="made up")
def guarded(request):
    y = torch.arange(60) % 2
    x = torch.rand(60, 4, generator=torch.Generator().manual_seed(0)) + y[:, None]
    return Splits(with_ids(x, y, 0), test)
"""


@pytest.fixture
def guarded(tiny):
    """A tuned suite over data whose test set cannot be loaded."""
    return tiny(
        datasets=["guarded"],
        tune={"rates": [1, 2], "points": 1, "seeds": [7]},
        recipe={"epochs": 2, "batch_size": 16, "learning_rate": 0.01, "best_test_epoch": True},
    )


def test_neither_plan_nor_run_of_a_trial_loads_test_data(guarded, trial_plan, make_plan, write_plugin):
    plugin = write_plugin(GUARDED)
    made = trial_plan(guarded, plugins=[plugin])
    planned = made.cells[0]
    job = worker.Job(
        planned.cell, planned.known, made.store.results, made.store.suite, made.plugins, made.data_root
    )
    outcome = worker.attempt(planned.cell, job, made.registry, lambda *_: None)
    assert (outcome["status"], outcome["error"]) == ("ok", None)
    assert outcome["metrics"]["val_accuracy"] >= 0
    assert not [name for name in outcome["metrics"] if name.startswith(("test_", "anytime_"))]
    assert outcome["predictions"] is None
    # The same cell as a run of its own loads them, and fails.
    with pytest.raises(BenchError, match="AssertionError: the test data was loaded"):
        make_plan(guarded, plugins=[plugin])


def test_records_of_a_whole_tuning_have_no_test_data(guarded, tmp_path, write_plugin):
    file = tmp_path / "tiny.toml"
    tune = "rates = [1, 2]\npoints = 1\nseeds = [7]"
    file.write_text(
        'name = "tiny"\nmethods = ["rectangle"]\ndatasets = ["guarded"]\ntimesteps = [2]\nseeds = [0]\n'
        'backbones = [{ name = "mlp", width = 0.125 }]\n'
        "[recipe]\nepochs = 1\nbatch_size = 16\nlearning_rate = 0.01\n"
        f'[profile]\ndevice = "cpu"\ncompile = "off"\n[tune]\n{tune}\n'
    )
    options = {"results": tmp_path / "r", "data_root": tmp_path, "plugins": [write_plugin(GUARDED)]}
    made = api.tune(
        api.make_trial_plan(str(file), **options),
        jobs=1,
        listener=api.Silent(),
        again=lambda: api.make_trial_plan(str(file), **options),
    )
    records = made.store.records()
    assert [r["status"] for r in records] == ["ok", "ok"] and not made.pending
    for record in records:
        assert not [name for name in record["metrics"] if name.startswith(("test_", "anytime_"))]
        assert "predictions.parquet" not in record["files"]
        assert record["cell"]["selection"]["by"] == "tuning"
    tables = api.write_tuning_tables(made)
    assert len(tables["tuning"]) == 2 and len(tables["tuned"]) == 1


def test_a_suite_without_trials_is_not_tuned(tmp_path):
    with pytest.raises(BenchError, match="the suite smoke is not tuned: it has no table \\[tune\\]"):
        api.make_trial_plan("smoke", results=tmp_path / "r")


# --- tpe ---


def test_without_optuna_tpe_is_refused_in_one_sentence(tiny, trial_plan, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(BenchError, match=r'tune\.sampler = "tpe" needs Optuna, which is missing') as caught:
        trial_plan(tiny(tune=TUNE | {"sampler": "tpe"}))
    assert "\n" not in str(caught.value)


class Finishing(dict):
    """Records of trials by cell id, kept in memory; every trial that is planned ends."""

    def __init__(self, score, most=1000):
        super().__init__()
        self.score, self.most = score, most

    def planned(self, cell, *rest, **alike):
        planned = really_planned(cell, *rest, **alike)
        if planned.id not in self and len(self) < self.most:
            self[planned.id] = {
                "status": "ok",
                "metrics": {"val_accuracy": self.score(cell)},
                "cell": cell.model_dump(mode="json"),
                "data": {"classes": 10},
                "digests": planned.digests,
            }
        record = self.get(planned.id)
        return replace(planned, record=record, state="done" if record else "missing")


really_planned = plan._planned


@pytest.fixture
def tpe(tiny, trial_plan, monkeypatch):
    """tpe(methods=[...]) -> (plan of the trials that Optuna chooses, the records)."""
    pytest.importorskip("optuna")

    def make(records=None, most=1000, tune=(), **changes):
        records = Finishing(by_rate, most) if records is None else records
        records.most = most
        monkeypatch.setattr(plan, "_planned", records.planned)
        suite = tiny(tune=TUNE | {"points": 3, "sampler": "tpe"} | dict(tune), **changes)
        return trial_plan(suite), records

    return make


def test_tpe_has_as_many_trials_inside_the_ranges(tpe):
    made, _ = tpe(methods=["rectangle", "mpd-agl"])
    for name in ("rectangle", "mpd-agl"):
        own = [p for p in made.cells if p.cell.method.name == name]
        assert len(own) == 6 * 2 and len({tried(p) for p in own}) == 6
    assert all(0.005 <= p.cell.recipe.learning_rate <= 0.01 for p in made.cells)
    widths = [p.cell.method.params["width"] for p in made.cells if p.cell.method.params]
    assert all(0.25 <= width <= 4 for width in widths)
    found, unfinished = trials.picks(made)
    assert unfinished == 0 and {key.method for key in found} == {"rectangle", "mpd-agl"}


def test_tpe_searches_below_the_default_too(tpe):
    made, _ = tpe(tune={"points": 20})
    widths = [p.cell.method.params["width"] for p in made.cells]
    assert min(widths) < 1 < max(widths)


def test_tpe_resumes_where_it_stopped_and_chooses_the_same(tpe):
    whole = [p.id for p in tpe()[0].cells]
    part, records = tpe(most=4)
    assert 0 < len(part.cells) < len(whole) and part.pending
    found, unfinished = trials.picks(part)
    assert found == {} and unfinished == len(whole) - 4
    assert [p.id for p in part.cells] == whole[: len(part.cells)]
    assert [p.id for p in tpe(records)[0].cells] == whole
    assert [p.id for p in tpe()[0].cells] == whole
    beside = [
        p.id for p in tpe(methods=["arctan", "rectangle"])[0].cells if p.cell.method.name == "rectangle"
    ]
    assert beside == whole
