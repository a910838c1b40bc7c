"""Digits, and the event camera against a plain loop over pixels and time."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from bench.data.loading import Request, Split, prepare
from bench.errors import BenchError

NOWHERE = Path("/nonexistent")
IMAGES = arrays(np.int16, (2, 8, 8), elements=st.integers(0, 16))


@pytest.fixture(scope="module")
def module(plugin):
    return plugin("digits")


@pytest.fixture(scope="module")
def still(module):
    return prepare(module.digits.declared[0], Request(NOWHERE, timesteps=4))


@pytest.fixture(scope="module")
def moving(module):
    return prepare(module.digits_events.declared[0], Request(NOWHERE, timesteps=4))


def all_splits(prepared) -> list[Split]:
    return [prepared.train, prepared.val, prepared.test]


def test_sizes_shapes_and_types(still, moving):
    assert [len(s) for s in all_splits(still)] == [len(s) for s in all_splits(moving)] == [1150, 287, 360]
    for split in all_splits(still):
        assert split.x.shape[1:] == (1, 8, 8) and split.x.dtype == torch.float32
        assert split.x.min() == 0 and split.x.max() == 1
    for split in all_splits(moving):
        assert split.x.shape[1:] == (4, 2, 10, 10) and split.x.dtype == torch.uint8


def test_ids_are_rows_of_load_digits(still):
    images, labels = load_digits(return_X_y=True)
    for split in all_splits(still):
        np.testing.assert_array_equal(split.x.flatten(1) * 16, images[split.ids])
        np.testing.assert_array_equal(split.y, labels[split.ids])
    assert torch.cat([s.ids for s in all_splits(still)]).sort().values.tolist() == list(range(1797))


def test_events_have_the_split_of_the_images(still, moving):
    for a, b in zip(all_splits(still), all_splits(moving), strict=True):
        assert torch.equal(a.ids, b.ids) and torch.equal(a.y, b.y)


def test_loading_twice_gives_the_same_bytes(module, still, moving):
    for before in (still, moving):
        assert prepare(before.dataset, Request(NOWHERE, timesteps=4)).checksum == before.checksum


def test_bytes_are_those_of_every_other_machine(still, moving):
    """A change here changes what every record was measured on."""
    assert (still.checksum, moving.checksum) == ("4a67b99ce1cc4d4f", "d8af323ec7394ebf")


def test_split_is_as_hard_as_usual(still):
    """Logistic regression is known to get about 96 % on this set."""
    x = torch.cat([still.train.x, still.val.x]).flatten(1)
    model = LogisticRegression(max_iter=1000).fit(x, torch.cat([still.train.y, still.val.y]))
    assert 0.955 <= model.score(still.test.x.flatten(1), still.test.y) <= 0.975


def test_missing_table_falls_back_on_sklearn(module, monkeypatch, still):
    monkeypatch.setattr(Path, "is_file", lambda self: False)
    assert prepare(still.dataset, Request(NOWHERE, timesteps=4)).checksum == still.checksum


def test_missing_sklearn_is_one_sentence(module, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BenchError, match="scikit-learn"):
        module.digits(Request(NOWHERE, timesteps=4))


# --- the camera ---


def bilinear(image, x: float, y: float) -> float:
    """Grey value of the plane at (x, y); black outside the image."""

    def grey(row, column):
        return float(image[row][column]) if 0 <= row < 8 and 0 <= column < 8 else 0.0

    column, row = math.floor(x), math.floor(y)
    right, down = x - column, y - row
    upper = (1 - right) * grey(row, column) + right * grey(row, column + 1)
    lower = (1 - right) * grey(row + 1, column) + right * grey(row + 1, column + 1)
    return (1 - down) * upper + down * lower


def slow_camera(image, timesteps: int):
    """One pixel and one moment at a time, in floats; written from the docstring of `record`."""
    corners = [(-1.0, 1.0), (0.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]
    gazes = [corners[0]]
    for start, end in itertools.pairwise(corners):
        for k in range(1, 9):
            gazes.append(tuple(a + (b - a) * k / 8 for a, b in zip(start, end, strict=True)))
    frames = np.zeros((timesteps, 2, 10, 10), dtype=int)
    for row in range(10):
        for column in range(10):
            levels = [
                round(math.log(bilinear(image, column - 1 + x, row - 1 + y) + 2.0), 3) for x, y in gazes
            ]
            reference = levels[0]
            for step, level in enumerate(levels[1:]):
                frame = frames[min(t for t in range(timesteps) if step < (t + 1) * 24 / timesteps)]
                while level - reference >= 0.5 - 1e-6:
                    frame[0, row, column] += 1
                    reference += 0.5
                while reference - level >= 0.5 - 1e-6:
                    frame[1, row, column] += 1
                    reference -= 0.5
    return frames


@pytest.mark.parametrize("timesteps", [1, 4, 5])
def test_camera_equals_a_plain_loop(module, timesteps):
    images = load_digits().images.astype(np.int16)[[0, 7, 500, 1796]]
    fast = module.record(images, timesteps)
    for image, frames in zip(images, fast, strict=True):
        np.testing.assert_array_equal(frames, slow_camera(image, timesteps))


def test_no_rounding_of_a_logarithm_is_near_a_tie(module):
    """So that a libm that is off in the last bit gives the same table."""
    exact = [1000 * math.log(i / 64 + 2) for i in range(16 * 64 + 1)]
    assert min(abs(value % 1 - 0.5) for value in exact) > 1e-6
    np.testing.assert_array_equal(module.LOG, np.round(exact))


@given(images=IMAGES, timesteps=st.integers(1, 24))
def test_total_does_not_depend_on_the_number_of_frames(module, images, timesteps):
    frames = module.record(images, timesteps)
    assert frames.shape == (2, timesteps, 2, 10, 10) and frames.dtype == np.uint8
    np.testing.assert_array_equal(frames.sum(1), module.record(images, 1).sum(1))


@given(images=IMAGES)
def test_every_pixel_sends_as_many_on_as_off(module, images):
    """The camera ends where it began, so each reference level moves less than C away: not at all."""
    on, off = module.record(images, 1)[:, 0].swapaxes(0, 1).astype(int)
    np.testing.assert_array_equal(on, off)


@given(images=IMAGES)
def test_references_follow_the_light(module, images):
    """After any step the events so far explain the change of log intensity to within C."""
    frames = module.record(images, 24).astype(int)
    start = module.LOG[module._view(images, module.gazes()[0])].astype(int)
    for step, gaze in enumerate(module.gazes()[1:], start=1):
        moved = 500 * (frames[:, :step, 0].sum(1) - frames[:, :step, 1].sum(1))
        assert np.abs(module.LOG[module._view(images, gaze)] - start - moved).max() < 500


@given(level=st.integers(0, 16))
def test_light_without_edges_sends_events_only_at_the_border(module, level):
    frames = module.record(np.full((1, 8, 8), level, np.int16), 3)
    assert frames[..., 3:7, 3:7].sum() == 0


def test_a_bright_dot_crosses_a_pixel_as_on_then_off(module):
    """In the third saccade the camera looks from right to left, so a dot moves right."""
    image = np.zeros((1, 8, 8), np.int16)
    image[0, 4, 4] = 16
    third = module.record(image, 24)[0, 16:].astype(int)
    row = 5 - 1  # the sensor's margin is one pixel; the camera looks one pixel down
    times = np.arange(8)[:, None] * np.ones(10)
    on, off = third[:, 0, row], third[:, 1, row]
    mean_on = [np.average(times[:, c], weights=on[:, c]) if on[:, c].any() else None for c in range(10)]
    assert mean_on[5] is not None and mean_on[6] is not None and mean_on[5] < mean_on[6]
    mean_off = np.average(times[:, 5], weights=off[:, 5])
    assert mean_off > mean_on[5]


def test_saccades_see_different_edges(module):
    """A horizontal bar moves along itself in the third saccade: only its ends change."""
    bar, post = np.zeros((2, 8, 8), np.int16)
    bar[3:5, :] = 16
    post[:, 3:5] = 16
    seen = module.record(np.stack([bar, post]), 3).astype(int).sum((2, 3, 4))
    assert seen[0, 2] < seen[0, 0] and seen[0, 2] < seen[0, 1]
    assert seen[1, 2] > seen[0, 2]


def test_saccades_of_a_digit_differ(moving, module):
    three = prepare(moving.dataset, Request(NOWHERE, timesteps=3)).train.x
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert (three[:, a] != three[:, b]).flatten(1).any(1).all()


def test_events_are_sparse_but_present(moving):
    x = moving.train.x.float()
    assert 0.3 < x.mean() < 0.7 and 0.1 < (x > 0).float().mean() < 0.3
    assert (x.sum((2, 3, 4)) > 0).all()


@pytest.mark.parametrize("timesteps", [0, 25])
def test_too_many_time_steps(module, timesteps):
    with pytest.raises(BenchError, match=rf"{timesteps} time steps.*24"):
        module.digits_events(Request(NOWHERE, timesteps))
