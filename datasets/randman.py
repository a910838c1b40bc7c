"""Randman: classes are smooth random manifolds of spike times; every unit spikes exactly once.

Counts of spikes say nothing here, only when they come. Nothing is read from disk.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from bench.data.frames import Part, frames
from bench.data.loading import Request, Setting, Splits, dataset, with_ids
from bench.errors import BenchError
from bench.randomness import uniform

PRECISION = 1000
"""Terms of the series whose weight would be less than about 1/1000 are left out."""
MOST_TERMS = 1000
MOST_BYTES = 10**9

MANIFOLDS, POINTS = 0, 1
"""Two streams of random numbers: what the manifolds are, and where on them the samples lie."""
STRIDE = 2**20
"""More than there are units, dimensions or samples a class: so each has a number of its own."""

Array = npt.NDArray[np.float64]


@dataset(
    "randman",
    shape=None,
    classes=None,
    licence="none needed: computed from a formula",
    source="Zenke and Vogels, The Remarkable Robustness of Surrogate Gradient Learning for Instilling "
    "Complex Function in Spiking Neural Networks, Neural Computation 33(4), 2021, "
    "doi 10.1162/neco_a_01367, https://github.com/fzenke/randman; other random numbers",
    events=True,
    val_fraction=1 / 9,  # with the tenth for the test: 80, 10 and 10 %
    params={
        "classes": Setting(10, low=2, high=100, help="number of classes, one manifold each"),
        "units": Setting(20, low=1, high=1000, help="input units; each spikes once"),
        "dimension": Setting(1, low=1, high=10, help="dimension of the manifolds"),
        "alpha": Setting(2.0, low=0.5, high=10, help="smoothness of the manifolds"),
        "samples": Setting(1000, low=10, high=10_000, help="samples a class, test samples included"),
        "seed": Setting(0, low=0, high=10**9, help="which manifolds; it is not the seed of a cell"),
    },
)
def randman(request: Request) -> Splits:
    """Spikes, uint8 [N, T, units] of 0 and 1; the last tenth of each class's samples are the test.

    Defaults: 10 classes of 1,000 samples and alpha = 2 as in the authors' code; 20 units, dimension 1
    and the 80, 10 and 10 % as in an example of stork, their group's library, which takes alpha = 1. That
    is much harder, and takes seconds to make.

    A spike time t in [0, 1] falls into step floor(t·T), t = 1 into the last one.
    ids: sample · classes + class, so that samples of all classes alternate.
    Raises BenchError for a single time step, which would hold no times, and for too many samples.
    """
    p, steps = request.params, request.timesteps
    classes, units, samples = int(p["classes"]), int(p["units"]), int(p["samples"])
    if steps < 2:
        raise BenchError(
            f"dataset randman: timesteps = {steps} leaves no spike times to tell classes by; take 2 or more"
        )
    if (size := classes * samples * steps * units) > MOST_BYTES:
        raise BenchError(
            f"dataset randman: {classes} classes, {samples} samples, {steps} time steps and {units} units "
            f"take {size / 1e9:.1f} GB, and at most {MOST_BYTES / 1e9:.0f} GB are allowed; lower one of them"
        )
    labels = np.tile(np.arange(classes), samples)

    def make() -> dict[str, Part]:
        times = np.stack(
            [
                spike_times(c, units, int(p["dimension"]), float(p["alpha"]), samples, int(p["seed"]))
                for c in range(classes)
            ],
            axis=1,
        ).reshape(samples * classes, units)
        step = np.minimum((times * steps).astype(np.int64), steps - 1)
        inside = np.arange(steps)[:, None]
        return {"all": Part(len(times), lambda i: (step[i] == inside).astype(np.uint8), labels)}

    # Rough manifolds take many seconds, which each process that trains would spend anew.
    kept = frames(request, "randman", {"timesteps": steps, **p}, [], (steps, units), "uint8", make)["all"]
    every = with_ids(kept.x[torch.arange(len(kept.x))], kept.y, start=0)
    rows = torch.arange(len(every))
    first = classes * (samples - samples // 10)
    return Splits(every.take(rows[:first]), every.take(rows[first:]), shape=(units,), classes=classes)


def spike_times(label: int, units: int, dimension: int, alpha: float, samples: int, seed: int) -> Array:
    """Spike times of one class, [samples, units]; each unit's first is 0 and last 1 among the samples.

    Sample points are uniform on the manifold, [0, 1)^dimension. The numbers are a hash of what they
    are for: fewer units, samples or classes give the first ones of more.
    """
    numbers = label * STRIDE + torch.arange(samples)
    points = uniform(seed, POINTS, numbers, draws=dimension).numpy().astype(np.float64)
    y = embed(points, coefficients(label, units, dimension, terms(alpha), seed), alpha)
    low, high = y.min(0), y.max(0)
    # A unit whose amplitudes are all 0 does not move; it then spikes at 0.
    times: Array = (y - low) / np.maximum(high - low, np.finfo(np.float64).tiny)
    return times


def embed(points: Array, theta: Array, alpha: float) -> Array:
    """The manifold at points [N, D], before its times are scaled: [N, units].

        y_u(x) = prod_d sum_k  A·sin(2π·(k·x_d·B + C)) / ((k + 1)^alpha + 1),   k = 1, 2, ..., n - 1

    A, B, C: theta [units, D, n - 1, 3], for each unit u, dimension d and frequency k. This is the
    default backend of the authors' code (`TorchRandman`), whose constant term k = 0 has no amplitude.
    """
    y = np.ones((len(points), len(theta)))
    for d in range(theta.shape[1]):
        # In this order on every machine: a sum's rounding follows from the order of its terms.
        series = np.zeros_like(y)
        for k in range(1, theta.shape[2] + 1):
            a, b, c = theta[:, d, k - 1].T
            turns = k * points[:, d, None] * b + c
            # Whole turns are taken off, which is exact: of a small angle the sine takes half the time.
            series += a * np.sin(2 * np.pi * (turns - np.floor(turns))) / ((k + 1.0) ** alpha + 1)
        y *= series
    return y


def coefficients(label: int, units: int, dimension: int, n: int, seed: int) -> Array:
    """Amplitudes, frequencies and phases of one class, uniform in [0, 1): [units, dimension, n - 1, 3]."""
    unit, d = torch.arange(units)[:, None], torch.arange(dimension)
    numbers = ((label * STRIDE + unit) * STRIDE + d).flatten()
    draws = uniform(seed, MANIFOLDS, numbers, draws=3 * (n - 1)).numpy()
    return draws.reshape(units, dimension, n - 1, 3).astype(np.float64)


def terms(alpha: float) -> int:
    """The length of the series, constant term included: the least n with n^alpha >= 1000, at most 1000."""
    # By powers, not by a root: that of 1000 at alpha = 3 may come out above 10.
    return next((n for n in range(2, MOST_TERMS) if float(n) ** alpha >= PRECISION), MOST_TERMS)
