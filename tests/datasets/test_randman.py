"""Random manifolds against plain loops, and by what makes them manifolds: smoothness and dimension."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from bench.data.loading import Request, Split, prepare
from bench.errors import BenchError
from bench.randomness import uniform

NOWHERE = Path("/nonexistent")
SMALL = {"classes": 3, "units": 4, "samples": 30}


@pytest.fixture(scope="module")
def module(plugin):
    return plugin("randman")


@pytest.fixture(scope="module")
def declared(module):
    return module.randman.declared[0]


@pytest.fixture(scope="module")
def usual(declared):
    return prepare(declared, Request(NOWHERE, 10, declared.settle({})))


def made(declared, timesteps: int = 10, **chosen):
    return prepare(declared, Request(NOWHERE, timesteps, declared.settle({**SMALL, **chosen})))


def all_splits(prepared) -> list[Split]:
    return [prepared.train, prepared.val, prepared.test]


def by_id(prepared) -> torch.Tensor:
    """All samples in the order of their ids."""
    ids = torch.cat([s.ids for s in all_splits(prepared)])
    return torch.cat([s.x for s in all_splits(prepared)])[ids.argsort()]


# --- samples ---


def test_sizes_types_and_classes(usual):
    assert [len(s) for s in all_splits(usual)] == [8000, 1000, 1000]
    assert (usual.shape, usual.classes) == ((20,), 10)
    for split in all_splits(usual):
        assert split.x.shape[1:] == (10, 20) and split.x.dtype == torch.uint8
        assert split.y.bincount().tolist() == [len(split) // 10] * 10
        assert torch.equal(split.y, split.ids % 10)
    assert torch.cat([s.ids for s in all_splits(usual)]).sort().values.tolist() == list(range(10_000))
    assert usual.test.ids.min() == 9000


@given(
    timesteps=st.integers(2, 40),
    units=st.integers(1, 5),
    dimension=st.integers(1, 3),
    alpha=st.floats(1.5, 10),
    seed=st.integers(0, 10**9),
)
@settings(max_examples=25)
def test_every_unit_spikes_exactly_once(declared, timesteps, units, dimension, alpha, seed):
    prepared = made(declared, timesteps, units=units, dimension=dimension, alpha=alpha, seed=seed)
    x = by_id(prepared)
    assert x.shape == (90, timesteps, units) and x.max() == 1
    assert (x.sum(1, dtype=torch.int64) == 1).all()
    # Each unit of each class spikes at some time in the first step, and at some time in the last.
    assert x[:, [0, -1]].view(30, 3, 2, units).any(0).all()


def test_steps_are_the_times_scaled(module, declared):
    x = by_id(made(declared, 7)).view(30, 3, 7, 4)
    for label in range(3):
        times = module.spike_times(label, 4, 1, 2.0, 30, 0)
        for sample in range(30):
            for unit in range(4):
                step = x[sample, label, :, unit].tolist().index(1)
                assert step == min(math.floor(times[sample, unit] * 7), 6)


def test_more_time_steps_show_the_same_manifolds_more_finely(declared):
    coarse, fine = (by_id(made(declared, steps)).int().argmax(1) for steps in (5, 20))
    assert torch.equal(fine // 4, coarse)


def test_fewer_units_classes_or_samples_are_the_first_ones(module):
    whole = module.coefficients(2, 8, 3, 10, seed=5)
    np.testing.assert_array_equal(module.coefficients(2, 3, 2, 6, seed=5), whole[:3, :2, :5])
    times = module.spike_times(2, 8, 2, 2.0, 50, seed=5)
    np.testing.assert_array_equal(module.spike_times(2, 3, 2, 2.0, 50, seed=5), times[:, :3])


def test_classes_are_the_same_whatever_their_number(declared):
    few, many = by_id(made(declared, classes=2)), by_id(made(declared, classes=5))
    assert torch.equal(few.view(30, 2, 10, 4), many.view(30, 5, 10, 4)[:, :2])


def test_every_parameter_matters(declared):
    seen = {made(declared).checksum}
    for change in (
        {"classes": 4},
        {"units": 5},
        {"dimension": 2},
        {"alpha": 3},
        {"samples": 40},
        {"seed": 1},
    ):
        seen.add(made(declared, **change).checksum)
    assert len(seen) == 7
    assert made(declared).checksum in seen


# --- the same everywhere ---


def test_bytes_are_those_of_every_other_machine(usual, declared):
    """A change here changes what every record was measured on."""
    assert usual.checksum == "ca7b9507d32d5519"
    assert made(declared, dimension=2, alpha=1.5, seed=3).checksum == "a1a18d8e6e3ec507"


@pytest.mark.parametrize("timesteps", [4, 10, 100])
def test_no_spike_is_near_the_border_of_two_steps(module, timesteps):
    """So that a sine that is off in the last bit moves none; 0 and 1 are exact on every machine."""
    times = np.stack([module.spike_times(c, 20, 1, 2.0, 1000, 0) for c in range(10)])
    scaled = times[(times > 0) & (times < 1)] * timesteps
    assert len(scaled) == 10 * 20 * 998
    assert np.abs(scaled - np.round(scaled)).min() > 1e-10


# --- manifolds ---


@pytest.mark.parametrize(("dimension", "alpha"), [(1, 2.0), (3, 1.5)])
def test_spike_times_equal_a_plain_loop(module, dimension, alpha):
    """Written from the docstrings, one number at a time."""
    label, units, samples, seed = 4, 3, 6, 11
    n = math.ceil(1000 ** (1 / alpha))
    expected = np.empty((samples, units))
    for unit in range(units):
        number = (label * 2**20 + unit) * 2**20
        draws = uniform(seed, 0, number + torch.arange(dimension), draws=3 * (n - 1)).tolist()
        for sample in range(samples):
            point = uniform(seed, 1, torch.tensor([label * 2**20 + sample]), draws=dimension)[0].tolist()
            value = 1.0
            for d in range(dimension):
                total = 0.0
                for k in range(1, n):
                    a, b, c = draws[d][3 * (k - 1) : 3 * k]
                    total += a * math.sin(2 * math.pi * (k * point[d] * b + c)) / ((k + 1) ** alpha + 1)
                value *= total
            expected[sample, unit] = value
    low, high = expected.min(0), expected.max(0)
    found = module.spike_times(label, units, dimension, alpha, samples, seed)
    np.testing.assert_allclose(found, (expected - low) / (high - low), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("alpha", "n"), [(0.5, 1000), (1, 1000), (1.5, 100), (2, 32), (3, 10), (10, 2)])
def test_number_of_terms(module, alpha, n):
    assert module.terms(alpha) == n


def test_coefficients_are_uniform_and_all_different(module):
    theta = np.stack([module.coefficients(c, 20, 2, 32, seed=0) for c in range(3)]).reshape(-1, 3)
    count = len(theta)
    assert abs(theta.mean(0) - 0.5).max() < 4 * math.sqrt(1 / 12 / count)
    assert abs(theta.var(0) - 1 / 12).max() < 4 * math.sqrt(1 / 180 / count)
    assert abs(np.corrcoef(theta.T) - np.eye(3)).max() < 4 / math.sqrt(count)
    assert len(np.unique(theta[:, 0])) == count


def test_manifolds_become_smoother_as_alpha_grows(module):
    """Neighbours on one line through the manifolds, with the same random numbers throughout."""
    line = np.linspace(0, 1, 301)[:, None]
    jumps = []
    for alpha in (1.2, 1.5, 2.0, 3.0, 5.0):
        theta = np.concatenate([module.coefficients(c, 10, 1, module.terms(alpha), 0) for c in range(3)])
        y = module.embed(line, theta, alpha)
        times = (y - y.min(0)) / (y.max(0) - y.min(0))
        jumps.append(np.square(np.diff(times, axis=0)).mean())
    assert jumps == sorted(jumps, reverse=True)
    assert jumps[0] > 10 * jumps[-1]


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_samples_lie_on_a_manifold_of_that_dimension(module, dimension):
    """Local principal components: D of them explain a neighbourhood, D - 1 do not."""
    times = module.spike_times(0, 20, dimension, 5.0, 3000, seed=0)
    near = NearestNeighbors(n_neighbors=12).fit(times).kneighbors(times[:300], return_distance=False)
    local = times[near] - times[near].mean(1, keepdims=True)
    variance = np.square(np.linalg.svd(local, compute_uv=False)).cumsum(1)
    explained = np.median(variance / variance[:, -1:], axis=0)
    assert explained[dimension - 1] > 0.95
    assert dimension == 1 or explained[dimension - 2] < 0.93


def test_a_unit_without_amplitude_spikes_first(module, monkeypatch):
    monkeypatch.setattr(module, "embed", lambda points, theta, alpha: np.zeros((len(points), len(theta))))
    assert (module.spike_times(0, 2, 1, 2.0, 10, seed=0) == 0).all()


def test_spike_times_tell_the_classes_apart_and_counts_do_not(usual):
    x, held_out = (s.x.int().argmax(1).numpy() for s in (usual.train, usual.test))
    near = KNeighborsClassifier(5).fit(x[:2000], usual.train.y[:2000]).score(held_out, usual.test.y)
    linear = LogisticRegression(max_iter=200).fit(x[:2000] / 10, usual.train.y[:2000])
    assert near > 0.9
    assert 0.4 < linear.score(held_out / 10, usual.test.y) < 0.8
    assert len(torch.unique(usual.train.x.sum(1), dim=0)) == 1


# --- refusals ---


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("classes", 1),
        ("units", 0),
        ("dimension", 11),
        ("alpha", 0.4),
        ("samples", 9),
        ("seed", -1),
        ("classes", 2.5),
        ("beta", 1),
    ],
)
def test_bad_parameters_are_refused(declared, name, value):
    with pytest.raises(BenchError, match=f"randman.*{name}"):
        declared.settle({name: value})


@pytest.mark.parametrize("timesteps", [0, 1])
def test_times_need_time_steps(declared, timesteps):
    with pytest.raises(BenchError, match=f"timesteps = {timesteps} .*2 or more"):
        made(declared, timesteps)


def test_too_much_data_is_refused_before_it_is_made(declared):
    with pytest.raises(BenchError, match=r"100 classes.*10\.0 GB"):
        made(declared, 100, classes=100, samples=1000, units=1000)
