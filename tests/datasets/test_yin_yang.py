"""Yin-Yang against the published arrays, their checksums, and the figure drawn in words."""

import hashlib
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from bench.data.loading import Request, prepare

NOWHERE = Path("/nonexistent")
PUBLISHED = {
    "train": "f5a4054d56f2a058f8250fba7ff9720458e1625db7af78a295e45701745b2228",
    "val": "5eac358bdf2122763dce3703a79f3005e56e46a4db25ec329a07333d0f7b8093",
    "test": "7bab3ed668ed4992679cff6339fe21bfe7d0c921ddc6187eaa3bc6ef34b888d7",
}
"""sha256 of the bytes of the authors' files train_samples.npy, ..., without the header."""
PUBLISHED_LABELS = {
    "train": "534d12acda4f9dbc7208a99d3646115a4aa7d74ca31d6d23f822079a568559b7",
    "val": "5a4c2f605814a620f514c1091f10441ce562cd81e902ce701b3cf94ae7576f7d",
    "test": "daa0f8f4e3b37b1ddec2afee22f09afb768f0e575f3f568e7469f1ebc6af73c1",
}
FIRST_OF_TEST = [
    ([0.23409665, 0.40172498, 0.76590335, 0.59827502], 2),
    ([0.75132902, 0.46824252, 0.24867098, 0.53175748], 2),
    ([0.13832531, 0.57095397, 0.86167469, 0.42904603], 1),
]


@pytest.fixture(scope="module")
def module(plugin):
    return plugin("yin_yang")


@pytest.fixture(scope="module")
def declared(module):
    return module.yin_yang.declared[0]


@pytest.fixture(scope="module")
def generated(module):
    return {name: module.generate(*how) for name, how in module.SPLITS.items()}


@pytest.fixture(scope="module")
def prepared(declared):
    return prepare(declared, Request(NOWHERE, timesteps=4))


# --- the published samples ---


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_bytes_are_the_published_ones(generated, name):
    samples, labels = generated[name]
    assert (samples.dtype, labels.dtype) == (np.float64, np.int64)
    assert hashlib.sha256(samples.astype("<f8").tobytes()).hexdigest() == PUBLISHED[name]
    assert hashlib.sha256(labels.astype("<i8").tobytes()).hexdigest() == PUBLISHED_LABELS[name]


def test_first_samples_are_the_published_ones(generated):
    samples, labels = generated["test"]
    np.testing.assert_allclose(samples[:3], [row for row, _ in FIRST_OF_TEST], atol=1e-8)
    assert labels[:3].tolist() == [label for _, label in FIRST_OF_TEST]


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_equals_the_published_arrays(generated, name):
    folder = Path(os.environ.get("SPIKEGRAD_DATA", "/nonexistent")) / "yin_yang"
    if not folder.is_dir():
        pytest.skip("SPIKEGRAD_DATA names no folder that holds yin_yang")
    theirs = "validation" if name == "val" else name
    np.testing.assert_array_equal(generated[name][0], np.load(folder / f"{theirs}_samples.npy"))
    np.testing.assert_array_equal(generated[name][1], np.load(folder / f"{theirs}_labels.npy"))


# --- as the harness gets them ---


def test_sizes_types_and_ids(prepared, generated):
    parts = {"train": prepared.train, "val": prepared.val, "test": prepared.test}
    assert [len(p) for p in parts.values()] == [5000, 1000, 1000]
    for name, part in parts.items():
        assert part.x.dtype == torch.float32 and part.x.shape[1:] == (4,)
        np.testing.assert_array_equal(part.x, generated[name][0].astype(np.float32))
        np.testing.assert_array_equal(part.y, generated[name][1])
    assert torch.cat([p.ids for p in parts.values()]).tolist() == list(range(7000))


def test_bytes_are_those_of_every_other_machine(prepared):
    """A change here changes what every record was measured on."""
    assert prepared.checksum == "49840109ce6d4c07"


def test_subset_keeps_the_test_whole(declared):
    small = prepare(declared, Request(NOWHERE, timesteps=4), subset=60)
    assert (len(small.train), len(small.val), len(small.test)) == (50, 10, 1000)


def test_samples_lie_in_the_disc_and_are_mirrored(prepared):
    x, y, x_mirrored, y_mirrored = prepared.train.x.double().T
    assert torch.hypot(x - 0.5, y - 0.5).max() <= 0.5 + 1e-7
    torch.testing.assert_close(x + x_mirrored, torch.ones_like(x), atol=1e-7, rtol=0)
    torch.testing.assert_close(y + y_mirrored, torch.ones_like(y), atol=1e-7, rtol=0)


def test_a_hidden_layer_is_needed(prepared):
    """The authors report 63.8 % without one and 97.6 % with one."""
    x, y = prepared.train.x.numpy(), prepared.train.y
    shallow = LogisticRegression().fit(x, y).score(prepared.test.x, prepared.test.y)
    curved = KNeighborsClassifier(5).fit(x, y).score(prepared.test.x.numpy(), prepared.test.y)
    assert 0.58 < shallow < 0.70 and curved > 0.95


# --- the figure ---

POINT = st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5))
"""Relative to the centre of the disc."""


def borders(u: float, v: float) -> list[float]:
    """Zero where a class ends: circle by circle, and the line between the halves."""
    left, right = math.hypot(u + 0.25, v), math.hypot(u - 0.25, v)
    return [v, left - 0.25, right - 0.25, left - 0.1, right - 0.1]


def drawn(u: float, v: float) -> int:
    """Paint the lower half 0, the upper 1, a disc of 1 on the left, one of 0 on the right, then dots."""
    colour = 1 if v > 0 else 0
    if math.hypot(u + 0.25, v) < 0.25:
        colour = 1
    if math.hypot(u - 0.25, v) < 0.25:
        colour = 0
    if math.hypot(u + 0.25, v) < 0.1 or math.hypot(u - 0.25, v) < 0.1:
        colour = 2
    return colour


@given(point=POINT)
def test_classes_are_painted_regions(module, point):
    u, v = point
    assume(math.hypot(u, v) < 0.5 and min(map(abs, borders(u, v))) > 1e-9)
    assert module.label(0.5 + u, 0.5 + v) == drawn(u, v)


@given(point=POINT)
def test_half_a_turn_swaps_the_halves(module, point):
    u, v = point
    assume(math.hypot(u, v) < 0.5 and min(map(abs, borders(u, v))) > 1e-9)
    assert module.label(0.5 - u, 0.5 - v) == {0: 1, 1: 0, 2: 2}[module.label(0.5 + u, 0.5 + v)]


def test_every_region_is_found(module):
    """The laws above would hold of a constant too, were a region never met."""
    for u, v, expected in ((0, 0.4, 1), (0, -0.4, 0), (-0.25, -0.2, 1), (0.25, 0.2, 0), (0.25, 0, 2)):
        assert module.label(0.5 + u, 0.5 + v) == drawn(u, v) == expected


def test_classes_are_as_frequent_and_points_uniform_in_each(generated):
    """Within four standard errors."""
    samples, labels = generated["train"]
    for label in range(3):
        assert abs((labels == label).mean() - 1 / 3) < 4 * math.sqrt(2 / 9 / 5000)
    u, v = (samples[labels == 1, :2] - 0.5).T
    ring = math.pi * (0.25**2 - 0.1**2)
    whole = (math.pi * 0.5**2 - 2 * math.pi * 0.1**2) / 2
    share, found = ring / whole, (np.hypot(u + 0.25, v) < 0.25).mean()
    assert abs(found - share) < 4 * math.sqrt(share * (1 - share) / len(u))
    left = (samples[labels == 2, 0] < 0.5).mean()
    assert abs(left - 0.5) < 4 * math.sqrt(0.25 / (labels == 2).sum())


def test_another_seed_gives_other_samples_and_a_longer_run_the_same_first(module):
    samples, labels = module.generate(50, 42)
    longer, more = module.generate(80, 42)
    np.testing.assert_array_equal(samples, longer[:50])
    np.testing.assert_array_equal(labels, more[:50])
    assert not np.array_equal(samples, module.generate(50, 7)[0])
