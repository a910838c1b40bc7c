"""The choice among variants of one method: by validation accuracy, and by nothing else."""

import math
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records import choosing

CLASSES = 4


def variant(*outcomes, rate=0.01, seeds=None, classes=CLASSES, **params):
    """Records of one variant: an outcome is a validation accuracy, or the status of a run without one."""
    return [
        {
            "status": outcome if isinstance(outcome, str) else "ok",
            "metrics": {} if isinstance(outcome, str) else {"val_accuracy": outcome, "test_accuracy": 50.0},
            "data": {"classes": classes} if classes else None,
            "cell": {
                "seed": seed,
                "method": {"name": "rectangle", "params": params},
                "recipe": {"learning_rate": rate, "epochs": 2, "optimizer": "adamw"},
            },
        }
        for seed, outcome in zip(seeds or range(len(outcomes)), outcomes, strict=True)
    ]


def test_the_best_mean_is_chosen_not_the_best_run():
    assert choosing.best([variant(60, 60), variant(99, 20), variant(50, 71)]) == 2
    assert choosing.best([variant(60)]) == 0


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_a_failed_run_counts_as_chance(status):
    half = variant(75.0, status)
    assert choosing.validation(half) == 50.0
    assert choosing.best([half, variant(49, 49)]) == 0
    assert choosing.best([half, variant(51, 51)]) == 1
    assert choosing.validation(variant(status, 75.0, classes=None)) == 37.5, "without data, chance is 0"
    assert choosing.best([variant(status, status), variant(20, 20)]) == 0


@pytest.mark.parametrize("status", ["oom", "timeout", "interrupted", "skipped"])
def test_what_circumstances_stopped_is_left_out(status):
    stopped = variant(99, status)
    assert choosing.best([stopped, variant(30, 30)]) == 1
    assert choosing.best([stopped, variant(status)]) is None
    assert choosing.validation(stopped) == 99.0
    assert math.isnan(choosing.validation(variant(status, status)))


def test_nothing_is_chosen_from_nothing():
    assert choosing.best([]) is None


def test_of_equals_the_smallest_values_are_chosen_as_numbers():
    low, high = variant(50, 60, rate=0.01), variant(60, 50, rate=0.1)
    assert choosing.best([high, low]) == 1 and choosing.best([low, high]) == 0
    two, ten, tiny = (variant(50, width=width) for width in (2.0, 10.0, 1e-05))
    assert choosing.best([ten, two]) == 1, "10 is more than 2"
    assert choosing.best([two, ten, tiny]) == 2
    assert choosing.best([variant(50, rate=0.1, width=1.0), variant(50, rate=0.01, width=2.0)]) == 1
    assert choosing.best([variant(50, height=None, width=2.0), variant(50, height=None, width=1.0)]) == 1


def test_of_equals_the_smallest_values_of_the_recipe_are_chosen_too():
    few, many = variant(50), variant(50)
    for epochs, records in ((2, few), (10, many)):
        records[0]["cell"]["recipe"]["epochs"] = epochs
    assert choosing.best([many, few]) == 1


def test_sums_in_another_order_do_not_break_a_tie():
    scores = (98.6, 97.9, 98.3, 98.8, 0.1)
    first, second = variant(*scores, rate=0.1), variant(*reversed(scores), rate=0.01)
    assert choosing.best([first, second]) == 1


def test_only_the_seeds_that_all_have_count():
    long, short = variant(50, 50, 99, seeds=(0, 1, 2)), variant(60, 60, seeds=(0, 1))
    assert choosing.best([long, short]) == 1
    assert choosing.best([variant(50, 99, seeds=(3, 1)), variant(60, 10, seeds=(3, 2))]) == 1
    stopped = variant("oom", seeds=(9,))
    assert choosing.best([long, short, stopped]) == 1, "the seeds of what is left out do not count"
    assert choosing.best([variant(60, seeds=(1,)), variant(50, seeds=(2,))]) == 0, "they share none"


outcomes = st.one_of(
    st.integers(0, 20).map(lambda n: 5.0 * n), st.sampled_from(["failed", "diverged", "oom"])
)
variants = st.lists(
    st.tuples(
        st.sampled_from([0.01, 0.1]), st.sampled_from([1.0, 2.0]), st.lists(outcomes, min_size=3, max_size=3)
    ),
    min_size=1,
    max_size=4,
).map(lambda all_: [variant(*runs, rate=rate, width=width) for rate, width, runs in all_])


@given(variants, st.data())
def test_no_test_accuracy_changes_the_choice(found, data):
    changed = deepcopy(found)
    for record in (record for records in changed for record in records):
        accuracy = data.draw(st.one_of(st.none(), st.floats(0, 100)))
        for name in ("test_accuracy", "test_accuracy_last", "test_accuracy_best_epoch"):
            record["metrics"].pop(name, None)
            if accuracy is not None:
                record["metrics"][name] = accuracy
    assert choosing.best(changed) == choosing.best(found)


@given(variants)
def test_the_choice_is_that_of_plain_loops(found):
    means = {}
    for i, records in enumerate(found):
        scores = [
            record["metrics"].get("val_accuracy", 100 / CLASSES)
            for record in records
            if record["status"] in ("ok", "failed", "diverged")
        ]
        if len(scores) == 3:
            means[i] = sum(scores) / 3
    chosen = choosing.best(found)
    assert (chosen is None) == (not means)
    if chosen is not None:
        assert means[chosen] == pytest.approx(max(means.values()))


@given(variants, st.randoms(use_true_random=False))
def test_the_order_of_variants_and_records_does_not_matter(found, random):
    order = [*range(len(found))]
    random.shuffle(order)
    moved = [random.sample(found[i], 3) for i in order]
    chosen, again = choosing.best(found), choosing.best(moved)
    assert (chosen is None) == (again is None)
    if chosen is not None and again is not None:
        one, other = found[chosen][0]["cell"], moved[again][0]["cell"]
        assert (one["recipe"], one["method"]) == (other["recipe"], other["method"])
