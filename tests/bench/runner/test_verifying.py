"""Trainings once more: the draw, the verdicts, and the yardstick for other machines."""

import copy
import math
from collections import Counter

import numpy as np
import pytest
import shown_runs
from hypothesis import given
from hypothesis import strategies as st

from bench.api import Silent
from bench.records import predictions
from bench.records.store import Store
from bench.runner import plan as planning
from bench.runner import verifying
from bench.runner.engines import local
from bench.runner.verifying import Sample


def ran(tiny, make_plan, **changes):
    """The plan of a suite, run."""
    plan = make_plan(tiny(**changes))
    local.run(plan, jobs=None, timeout=60, listener=Silent())
    return plan


@pytest.fixture(scope="module")
def shared(tiny, tmp_path_factory):
    """Suite, store and data root of a small suite that has been run; not to be written to."""
    root = tmp_path_factory.mktemp("shared")
    suite = tiny(seeds=[0, 1])
    made = planning.make_plan(suite, Store(root, suite.name), data_root=root / "data")
    local.run(made, jobs=None, timeout=60, listener=Silent())
    return suite, made.store, root / "data"


def verified(shared, records):
    suite, store, root = shared
    return verifying.verify(suite, store, records, data_root=root, listener=Silent())


def changed(record, metrics=(), **parts):
    edited = copy.deepcopy(record)
    edited["metrics"] |= dict(metrics)
    return edited | parts


def files(store):
    return {path: path.read_bytes() for path in store.results.rglob("*") if path.is_file()}


def test_the_same_machine_repeats_bit_for_bit_and_nothing_is_touched(shared):
    _, store, _ = shared
    before = files(store)
    found = verified(shared, store.records())
    assert [(each.verdict, each.why) for each in found] == [("bit for bit", "")] * 2
    assert [each.record["id"] for each in found] == [record["id"] for record in store.records()]
    assert files(store) == before


def test_an_edited_number_is_found(shared):
    record = shared[1].records()[0]
    for name, other in (("test_accuracy", 99.9), ("val_accuracy", 1.0), ("train_loss", 0.5)):
        (found,) = verified(shared, [changed(record, {name: other})])
        assert found.verdict == "not reproduced"
        assert found.why == f"on the same machine and versions {name} differ"


def test_how_long_it_took_is_no_number_to_repeat(shared):
    record = shared[1].records()[0]
    (found,) = verified(shared, [changed(record, {"train_seconds": 1e6}, seconds=1e6)])
    assert found.verdict == "bit for bit"


def test_on_another_machine_the_last_bits_may_differ_and_accuracies_not(shared):
    record = shared[1].records()[0]
    elsewhere = record["environment"] | {"cpu": "Another", "packages": {"torch": "1.0"}}
    near = {"train_loss": record["metrics"]["train_loss"] + 1e-7}
    (found,) = verified(shared, [changed(record, near, environment=elsewhere)])
    assert found.verdict == "within tolerance"
    assert found.why.startswith("cpu was Another and is ")
    far = {"test_accuracy": max(0.0, record["metrics"]["test_accuracy"] - 60)}
    if abs(far["test_accuracy"] - record["metrics"]["test_accuracy"]) < 20:
        far["test_accuracy"] = record["metrics"]["test_accuracy"] + 60
    (found,) = verified(shared, [changed(record, far, environment=elsewhere)])
    assert found.verdict == "not reproduced" and "test_accuracy was " in found.why


REFUSED = {
    "another method": ({"method": {"name": "not-here", "params": {}}}, {}, "not-here"),
    "changed code": ({}, {"digests": {"method": "old"}}, "the code of the method "),
    "other data": ({}, {"data": {"checksum": "0" * 16}}, "its data has the checksum 0000000000000000"),
    "a GPU": ({"profile": {"device": "cuda"}}, {}, "it was trained on a GPU, and there is none here"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_repeated_here_says_why_and_the_rest_is(shared, what, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    cell, parts, why = REFUSED[what]
    good, bad = shared[1].records()
    edited = changed(bad)
    for part, values in cell.items():
        edited["cell"][part] |= values
    for part, values in parts.items():
        edited[part] = edited[part] | values
    found = verified(shared, [edited, good])
    assert [each.verdict for each in found] == ["not verified", "bit for bit"]
    assert why in found[0].why and found[0].again is None


def test_a_training_that_fails_now_is_not_reproduced(tiny, make_plan, write_plugin, tmp_path):
    mood = tmp_path / "bad"
    plugin = write_plugin(
        f"""
        import os

        @method("moody", paper="yours", width=Param(1.0))
        def moody(x, width):
            "h(x) = width, on good days."
            if os.path.exists({str(mood)!r}):
                raise RuntimeError("not today")
            return x * 0 + width
        """
    )
    made = make_plan(tiny(methods=["moody"], baseline="moody"), plugins=[plugin])
    local.run(made, jobs=None, timeout=60, listener=Silent())
    (record,) = made.store.records()
    assert record["status"] == "ok"
    mood.touch()
    (found,) = verifying.verify(
        made.suite, made.store, [record], plugins=[plugin], data_root=tmp_path, listener=Silent()
    )
    assert found.verdict == "not reproduced"
    assert found.why.startswith("it ended as failed: RuntimeError: not today")


def records(configurations, seeds):
    return [
        shown_runs.record(
            10 * c + s + 1, configuration=f"c{c}", status="ok" if (c, s) != (0, 0) else "failed"
        )
        for c in range(configurations)
        for s in range(seeds)
    ]


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 30), st.integers(0, 5))
def test_the_draw_takes_every_configuration_before_a_second_of_any(configurations, seeds, number, seed):
    there = records(configurations, seeds)
    good = [record for record in there if record["status"] == "ok"]
    drawn = verifying.chosen(there, Sample(number, seed))
    assert len(drawn) == min(number, len(good))
    assert len({record["id"] for record in drawn}) == len(drawn)
    assert all(record["status"] == "ok" for record in drawn)
    counts = [sum(r["configuration"] == f"c{c}" for r in drawn) for c in range(configurations)]
    possible = [sum(r["configuration"] == f"c{c}" for r in good) for c in range(configurations)]
    assert all(
        counts[a] >= min(possible[a], counts[b] - 1)
        for a in range(configurations)
        for b in range(configurations)
    )
    assert verifying.chosen(there[::-1], Sample(number, seed)) == drawn


def test_another_seed_draws_others_and_none_takes_all():
    there = records(5, 4)
    draws = {tuple(r["id"] for r in verifying.chosen(there, Sample(3, seed))) for seed in range(10)}
    assert len(draws) > 5
    assert len(verifying.chosen(there, Sample(None, 0))) == 19


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(1, 20))
def test_the_chance_to_find_an_edit_is_that_of_the_record_that_is_drawn_least(sizes, number):
    there = [
        shown_runs.record(10 * c + s + 1, configuration=f"c{c}")
        for c, size in enumerate(sizes)
        for s in range(size)
    ]
    draws = 400
    taken = Counter(
        record["id"] for seed in range(draws) for record in verifying.chosen(there, Sample(number, seed))
    )
    told = verifying.chance_to_find(there, number)
    least = min(taken[record["id"]] for record in there) / draws
    # The least of up to twenty counts lies below its mean.
    assert told - 0.11 <= least <= told + 0.06
    assert told == (1.0 if number >= len(there) else pytest.approx(told)) and told <= number


@pytest.mark.parametrize(("number", "expected"), [(1, 1 / 60), (6, 0.1), (20, 1 / 3), (30, 0.5), (60, 1.0)])
def test_of_equal_configurations_it_is_the_share_that_is_drawn(number, expected):
    there = [shown_runs.record(c + s * 20 + 1, configuration=f"c{c}") for c in range(20) for s in range(3)]
    assert verifying.chance_to_find(there, number) == pytest.approx(expected)


def test_predictions_are_compared_sample_by_sample(shared):
    store = shared[1]
    record = store.records()[0]
    file = store.folder(record["id"]) / "predictions.parquet"
    before = file.read_bytes()
    kept = predictions.of_bytes(before)
    others = kept.predicted.copy()
    others[:9] = (others[:9] + 1) % 10
    try:
        file.write_bytes(predictions.to_bytes(predictions.Predictions(kept.label, others)))
        (found,) = verified(shared, [record])
        assert found.verdict == "not reproduced"
        assert found.why == "on the same machine and versions what it predicts differ"
        assert found.agreement == pytest.approx(1 - 9 / len(others))
        file.write_bytes(predictions.to_bytes(predictions.Predictions((kept.label + 1) % 10, others)))
        (found,) = verified(shared, [record])
        assert found.why == "the labels in its predictions are not those of the test set"
    finally:
        file.write_bytes(before)
    (found,) = verified(shared, [record])
    assert (found.verdict, found.agreement, found.tolerance) == ("bit for bit", 1.0, 0.0)


@pytest.mark.parametrize("name", sorted(verifying.CHECKED))
def test_no_accuracy_beyond_its_tolerance_is_called_reproduced(shared, name):
    record = shared[1].records()[0]
    elsewhere = record["environment"] | {"cpu": "Another"}
    was = record["metrics"][name]
    samples = record["metrics"][verifying.CHECKED[name]]
    last = was[-1] if isinstance(was, list) else was
    limit = verifying.tolerance(last, last, samples)
    for points, verdict in ((0.2 * limit, "within tolerance"), (2.5 * limit, "not reproduced")):
        moved = last - points if last > 50 else last + points
        edited = {name: [*was[:-1], moved] if isinstance(was, list) else moved}
        (found,) = verified(shared, [changed(record, edited, environment=elsewhere)])
        assert found.verdict == verdict
        assert (f"{name} was {moved:.2f} and is {last:.2f}, more than" in found.why) == (
            verdict != "within tolerance"
        )
        assert found.tolerance > 0


def test_two_networks_of_one_accuracy_rarely_differ_by_more_than_the_tolerance():
    random = np.random.default_rng(0)
    for share in (0.5, 0.9, 0.99):
        pairs = 100 * random.binomial(360, share, size=(4000, 2)) / 360
        beyond = [abs(a - b) > verifying.tolerance(a, b, 360) for a, b in pairs]
        assert np.mean(beyond) < 0.006


def test_the_tolerance_shrinks_with_the_samples_and_is_never_none():
    assert verifying.tolerance(90.0, 90.0, 10_000) == pytest.approx(
        3 * 100 * math.sqrt(2 * 0.09 / 10_000), rel=1e-3
    )
    assert 0 < verifying.tolerance(100.0, 100.0, 360) < 1
    assert verifying.tolerance(90.0, 91.0, None) == 0.0
