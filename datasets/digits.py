"""Handwritten digits that come with scikit-learn: as images, and as an event camera sees them.

Nothing is downloaded, and both load in well under a second.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from bench.data.loading import Request, Splits, dataset, stratified, with_ids
from bench.errors import BenchError

SOURCE = (
    "Optical Recognition of Handwritten Digits, Alpaydin and Kaynak 1998, "
    "https://archive.ics.uci.edu/dataset/80; the 1,797 images of sklearn.datasets.load_digits"
)
TEST_SAMPLES = 360
WHITE = 16
"""Grey values of the images run from 0 to this."""

Whole = npt.NDArray[np.int16]


@dataset("digits", shape=(1, 8, 8), classes=10, licence="CC BY 4.0", source=SOURCE)
def digits(request: Request) -> Splits:
    """The images, float32 [N, 1, 8, 8] in [0, 1]; ids are rows of load_digits.

    Test samples are a fifth of the set, stratified, the same in `digits` and `digits-events`.
    """
    images, labels = _table()
    return _split(images[:, None].astype(np.float32) / WHITE, labels)


@dataset(
    "digits-events",
    shape=(2, 10, 10),
    classes=10,
    licence="CC BY 4.0",
    source=f"{SOURCE}; events simulated as in datasets/digits.py",
    events=True,
)
def digits_events(request: Request) -> Splits:
    """The images under a moving event camera (see `record`), uint8 [N, T, 2, 10, 10]."""
    images, labels = _table()
    return _split(record(images, request.timesteps), labels)


def _table() -> tuple[Whole, Whole]:
    """Images [N, 8, 8] with values 0..16, and labels [N]."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        raise BenchError("dataset digits: scikit-learn brings its images and is not installed; install it")
    # Each worker process loads the set anew: its table takes 5 ms to read, importing sklearn 1.5 s.
    packaged = Path(spec.origin).with_name("datasets") / "data" / "digits.csv.gz"
    if packaged.is_file():
        table = np.loadtxt(packaged, delimiter=",", dtype=np.int16)
        pixels, labels = table[:, :-1], table[:, -1]
    else:
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
    return pixels.reshape(-1, 8, 8).astype(np.int16), labels.astype(np.int16)


def _split(x: npt.NDArray[np.generic], labels: Whole) -> Splits:
    every = with_ids(x, labels, start=0)
    test = stratified(every.y, TEST_SAMPLES, "digits")
    train = torch.ones(len(every), dtype=torch.bool)
    train[test] = False
    return Splits(train=every.take(train.nonzero().flatten()), test=every.take(test))


# --- the camera ---
# Times are steps of the path, lengths eighths of a pixel, log intensities thousandths. All are
# whole numbers, so that no machine's rounding can move an event.

EIGHTHS = 8
SENSOR = 10
"""Pixels a side: all that an 8 x 8 image can reach with a gaze one pixel off its centre."""
CORNERS = ((-8, 8), (0, -8), (8, 8), (-8, 8))
"""Gaze (x, y) at the ends of the saccades, x to the right and y down, from the centred image."""
STEPS = 8
"""Steps a saccade."""
CONTRAST = 500
"""The change of log intensity that makes one event."""
DARK = 2
"""What a black pixel still measures, in grey values: it keeps the logarithm finite."""

INTENSITY_UNITS = EIGHTHS * EIGHTHS
LOG = np.array(
    [round(1000 * math.log(i / INTENSITY_UNITS + DARK)) for i in range(WHITE * INTENSITY_UNITS + 1)],
    dtype=np.int16,
)
"""Log intensity of i/64 grey values."""


def record(images: Whole, timesteps: int) -> npt.NDArray[np.uint8]:
    """Events of images [N, 8, 8] (values 0..16), counted: [N, T, 2, 10, 10], ON before OFF.

    As for N-MNIST (Orchard et al., "Converting static image datasets to spiking neuromorphic
    datasets using saccades", Front. Neurosci. 2015) the camera looks at a still image and makes
    three saccades along a triangle: by (1, -2), (1, 2) and (-2, 0) pixels, 8 steps each.

    A pixel is the ideal sensor of Lichtsteiner et al. 2008 (Gallego et al., "Event-based vision: a
    survey", TPAMI 2022, eq. 1-2; ESIM, Rebecq et al. 2018): it remembers a reference level of
    L = log(I + I_dark), and where L moves away from it by k thresholds C it sends k events and moves
    the reference by k·C. Here C = 0.5, I_dark is an eighth of white, I is the bilinear image;
    the first view sets the reference; no noise, no refractory time.

    The T frames share out the 24 steps as evenly as they can; their sum does not depend on T.
    """
    path = gazes()
    if not 1 <= timesteps < len(path):
        raise BenchError(
            f"dataset digits-events: {timesteps} time steps; the camera makes {len(path) - 1} moves, "
            f"so ask for 1 to {len(path) - 1}"
        )
    frames = np.zeros((len(images), timesteps, 2, SENSOR, SENSOR), dtype=np.uint8)
    reference = LOG[_view(images, path[0])]
    for step, gaze in enumerate(path[1:]):
        change = LOG[_view(images, gaze)] - reference
        on, off = np.maximum(change, 0) // CONTRAST, np.maximum(-change, 0) // CONTRAST
        reference += (on - off) * CONTRAST
        frame = frames[:, step * timesteps // (len(path) - 1)]
        frame[:, 0] += on.astype(np.uint8)
        frame[:, 1] += off.astype(np.uint8)
    return frames


def gazes() -> list[tuple[int, int]]:
    """Where the camera looks before the first step and after each, (x, y) in eighths of a pixel."""
    path = [CORNERS[0]]
    for (x0, y0), (x1, y1) in itertools.pairwise(CORNERS):
        path += [(x0 + (x1 - x0) * k // STEPS, y0 + (y1 - y0) * k // STEPS) for k in range(1, STEPS + 1)]
    return path


def _view(images: Whole, gaze: tuple[int, int]) -> Whole:
    """What the sensor sees, [N, 10, 10], in 64ths of a grey value: bilinear between four pixels."""
    margin = (SENSOR - images.shape[-1]) // 2
    beyond = 2  # a gaze goes up to one pixel out, and bilinear reads the next
    scene = np.pad(images, ((0, 0), (margin + beyond, margin + beyond), (margin + beyond, margin + beyond)))

    def window(x: int, y: int) -> Whole:
        return scene[:, beyond + y : beyond + y + SENSOR, beyond + x : beyond + x + SENSOR]

    (x, right), (y, down) = (divmod(g, EIGHTHS) for g in gaze)
    upper = (EIGHTHS - right) * window(x, y) + right * window(x + 1, y)
    lower = (EIGHTHS - right) * window(x, y + 1) + right * window(x + 1, y + 1)
    return (EIGHTHS - down) * upper + down * lower
