"""Yin-Yang: points of a disc, split into two interlocked halves and two dots; computed, not read.

A network without a hidden layer gets 63.8 % right, one with 30 hidden units 97.6 % (the authors'
repository): what is above the first was learned by layers that are not the last.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bench.data.loading import Request, Splits, dataset, with_ids

SPLITS = {"train": (5000, 42), "val": (1000, 41), "test": (1000, 40)}
"""Samples and seed of each published split."""
R_BIG, R_SMALL = 0.5, 0.1
"""Radius of the disc, which touches the sides of the unit square, and of each dot."""
DOTS = 2
"""The class of both dots; 0 and 1 are the two halves."""


@dataset(
    "yin-yang",
    shape=(4,),
    classes=3,
    licence="MIT",
    source="Kriener, Göltz and Petrovici, The Yin-Yang dataset, NICE 2022, arXiv 2102.08211, "
    "https://github.com/lkriener/yin_yang_data_set; the published samples, computed anew",
)
def yin_yang(request: Request) -> Splits:
    """The published 5,000, 1,000 and 1,000 samples (x, y, 1 - x, 1 - y), float32 [N, 4] in [0, 1].

    They are static: the network gets the four numbers as currents, the same at every time step.
    ids: training samples, then validation, then test.
    """
    parts, start = [], 0
    for size, seed in SPLITS.values():
        samples, labels = generate(size, seed)
        parts.append(with_ids(samples.astype(np.float32), labels, start))
        start += size
    train, val, test = parts
    return Splits(train=train, val=val, test=test)


def generate(size: int, seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Samples [size, 4] and labels [size], as the authors' generator gives them for this seed.

    Rejection sampling: draw the class, then points until one has it, so that the classes are about
    as frequent although the dots are small. numpy keeps the stream of RandomState as it is for ever
    (NEP 19); nothing but +, -, * and square roots, which every machine rounds alike, follows.
    """
    rng = np.random.RandomState(seed)
    points: list[tuple[float, float, float, float]] = []
    labels: list[int] = []
    while len(points) < size:
        goal = rng.randint(3, dtype=np.int64)
        while True:
            x, y = (2 * R_BIG * rng.random_sample(2)).tolist()
            if _distance(x, y, R_BIG) <= R_BIG and label(x, y) == goal:
                break
        points.append((x, y, 1 - x, 1 - y))
        labels.append(int(goal))
    return np.array(points), np.array(labels)


def label(x: float, y: float) -> int:
    """The class of a point of the disc.

    2: within R_SMALL of the centre of the left or the right dot. 1: the upper half of the disc, without
    the disc of radius R_BIG/2 around the right dot and with the one around the left. 0: the rest. Points
    that lie exactly on a border fall as they do in the authors' code.
    """
    left, right = _distance(x, y, 0.5 * R_BIG), _distance(x, y, 1.5 * R_BIG)
    if left < R_SMALL or right < R_SMALL:
        return DOTS
    around_left = R_SMALL < left <= 0.5 * R_BIG
    upper = y > R_BIG and right > 0.5 * R_BIG
    return int(right == R_SMALL or around_left or upper)


def _distance(x: float, y: float, centre: float) -> float:
    """From (x, y) to (centre, R_BIG)."""
    return math.sqrt((x - centre) * (x - centre) + (y - R_BIG) * (y - R_BIG))
