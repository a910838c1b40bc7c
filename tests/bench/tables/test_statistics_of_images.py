"""Intervals over seeds and images: how often they hold in simulated experiments, what they are made of."""

import math

import numpy as np
import pytest
import shown_runs
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.errors import BenchError
from bench.records.predictions import of_numbers
from bench.records.store import Store
from bench.tables import statistics_of_images as images
from bench.tables.statistics_of_images import Answers

EXPERIMENTS = 1000
DESIGNS = {
    # seeds, images, accuracy, spread of seeds, of images (probits)
    "quick's": (3, 360, 0.98, 0.05, 2.0),
    "five seeds": (5, 360, 0.9, 0.05, 2.0),
    "ten seeds that differ": (10, 1000, 0.8, 0.15, 2.0),
    "seeds that do not differ": (5, 500, 0.9, 0.0, 2.0),
    "many images": (5, 2000, 0.7, 0.15, 2.0),
}


def answers(right, label=None):
    """Of two classes: the label, or the other."""
    right = np.asarray(right)
    label = np.zeros(right.shape[1], np.uint8) if label is None else label
    return Answers((*range(len(right)),), label, np.where(right, label, 1 - label).astype(np.uint8))


def experiment(random, seeds, number, accuracy, seed_spread, image_spread, shared=None):
    """[S, N] right or not, of a true accuracy; shared: effects of images and seeds that two methods share."""
    at = stats.norm.ppf(accuracy) * math.sqrt(1 + seed_spread**2 + image_spread**2)
    by_image, by_seed = shared or (random.standard_normal(number), random.standard_normal(seeds))
    noise = random.standard_normal((seeds, number))
    return at + image_spread * by_image + seed_spread * by_seed[:, None] + noise > 0


@pytest.mark.parametrize("design", DESIGNS)
def test_accuracies_lie_in_their_intervals_in_95_percent(design):
    # A standard error of such a rate is 0.7 points.
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(EXPERIMENTS):
        low, high = images.accuracy_interval(answers(experiment(random, *DESIGNS[design])))
        hits += low <= 100 * DESIGNS[design][2] <= high
    assert 0.935 <= hits / EXPERIMENTS <= 0.97


@pytest.mark.parametrize("design", DESIGNS)
def test_differences_of_equal_methods_are_covered_in_95_percent(design):
    random = np.random.default_rng(1)
    seeds, number, *_ = DESIGNS[design]
    hits = 0
    for _ in range(EXPERIMENTS):
        shared = random.standard_normal(number), random.standard_normal(seeds)
        pair = (answers(experiment(random, *DESIGNS[design], shared)) for _ in range(2))
        low, high = images.difference_interval(*pair)
        hits += low <= 0 <= high
    assert 0.935 <= hits / EXPERIMENTS <= 0.98


def test_seeds_alone_hold_far_less_often_than_they_say_for_other_images():
    random = np.random.default_rng(2)
    hits = 0
    for _ in range(400):
        means = 100 * experiment(random, *DESIGNS["seeds that do not differ"]).mean(1)
        low, high = stats.t.interval(0.95, 4, means.mean(), stats.sem(means))
        hits += low <= 90 <= high
    assert hits / 400 < 0.7


def test_one_seed_is_wilsons_interval_of_the_images():
    right = np.arange(360)[None] >= 6
    low, high = images.accuracy_interval(answers(right))
    expected = stats.binomtest(354, 360).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((100 * expected.low, 100 * expected.high))


def test_equal_seeds_are_no_more_than_one():
    right = np.arange(360) >= 6
    three, one = (images.accuracy_interval(answers(np.stack([right] * n))) for n in (3, 1))
    assert np.allclose(three, one, atol=0.05)


@pytest.mark.parametrize("right", [True, False])
def test_all_right_or_none_has_an_interval_too(right):
    low, high = images.accuracy_interval(answers(np.full((3, 100), right)))
    assert 0 <= low < high <= 100 and high - low == pytest.approx(100 * 1.96**2 / (100 + 1.96**2), rel=1e-3)


@given(st.integers(2, 6), st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_the_mean_squares_add_up_to_the_whole(seeds, number, seed):
    y = np.random.default_rng(seed).normal(size=(seeds, number))
    a, b, c = images.components(y).mean_squares
    whole = (seeds - 1) * a + (number - 1) * b + (seeds - 1) * (number - 1) * c
    assert whole == pytest.approx(((y - y.mean()) ** 2).sum())


def test_the_components_are_those_of_a_large_experiment():
    random = np.random.default_rng(3)
    y = 2 * random.standard_normal((300, 1)) + random.standard_normal((1, 400)) / 2
    found = images.components(y + random.standard_normal((300, 400)) * 3)
    assert (found.seed, found.image, found.both) == pytest.approx((4, 0.25, 9), rel=0.2)


@given(st.integers(1, 5), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_counts_and_agreement_are_those_of_a_plain_loop(seeds, number, seed):
    random = np.random.default_rng(seed)
    label = random.integers(0, 3, number).astype(np.uint8)
    a, b = (
        Answers((*range(seeds),), label, random.integers(0, 3, (seeds, number)).astype(np.uint8))
        for _ in range(2)
    )
    counts, same = [0, 0, 0, 0], 0
    for s in range(seeds):
        for i in range(number):
            mine, theirs = a.predicted[s, i] == label[i], b.predicted[s, i] == label[i]
            counts[2 * (not mine) + (not theirs)] += 1
            same += a.predicted[s, i] == b.predicted[s, i]
    assert list(images.paired_counts(a, b)) == counts
    assert images.agreement(a, b) == pytest.approx(same / (seeds * number))


def test_only_shared_seeds_and_the_same_images_are_paired():
    random = np.random.default_rng(4)
    right = random.random((3, 50)) > 0.2
    whole = answers(right)
    part = Answers((1, 2, 7), whole.label, np.concatenate([whole.predicted[1:], whole.predicted[:1]]))
    assert images.agreement(whole, part) == 1.0
    assert sum(images.paired_counts(whole, part)) == 100
    others = Answers(whole.seeds, 1 - whole.label, whole.predicted)
    assert math.isnan(images.agreement(whole, others))
    assert all(map(math.isnan, images.difference_interval(whole, others)))


def test_answers_are_read_from_the_records_of_a_configuration(tmp_path):
    metrics = shown_runs.METRICS | {"test_samples": 400, "val_samples": 300}
    for seed in (2, 0, 1):
        shown_runs.write(
            tmp_path, shown_runs.record(seed + 1, metrics=metrics, cell={"seed": seed}, digests={"a": "b"})
        )
    store = Store(tmp_path, "hand")
    found = images.answers(store, store.records())
    assert found.seeds == (0, 1, 2) and found.right.shape == (3, 400)
    assert 100 * found.right.mean(1) == pytest.approx([97.5] * 3)
    shown_runs.write(tmp_path, shown_runs.record(9, status="failed", metrics={}), [], [])
    assert images.answers(store, [record for record in store.records() if record["status"] != "ok"]) is None


def test_runs_on_other_labels_are_no_configuration(tmp_path):
    store = Store(tmp_path, "hand")
    for seed in (0, 1):
        metrics = {"test_accuracy": 50.0, "test_accuracy_last": 50.0, "val_accuracy": 50.0, "test_samples": 2}
        found = shown_runs.record(seed, metrics=metrics, cell={"seed": seed})
        store.write(found, predictions=of_numbers(np.array([seed, 0]), np.array([seed, 1]), 2))
    with pytest.raises(BenchError, match="were tested on different labels"):
        images.answers(store, store.records())
