"""Spoken words as spikes of a modelled inner ear: the Heidelberg spiking datasets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from bench.data.frames import Kept
from bench.data.loading import Request, Split, Splits, dataset, with_ids
from bench.data.spike_hdf5 import PARAMS, held_out, late_note, load
from bench.data.spike_hdf5 import verify as read_all

UNITS = 700
CLASSES = {"shd": 20, "ssc": 35}
VAL_FRACTION = 0.2
SOURCE = (
    "Cramer, Stradmann, Schemmel and Zenke, The Heidelberg Spiking Data Sets for the Systematic Evaluation "
    "of Spiking Neural Networks, TNNLS 2022, https://doi.org/10.1109/TNNLS.2020.3044364"
)
GET = "https://zenkelab.org/datasets/, the files {}; unzip them into the data root's folder {}"
OFFICIAL = {
    "shd": {"train": 8156, "test": 2264},
    "ssc": {"train": 75466, "valid": 9981, "test": 20382},
}


def fetch_shd(root: Path) -> None:
    """Fetch both files of SHD into root/SHD, by tonic."""
    from tonic.datasets import SHD

    for train in (True, False):
        SHD(str(root), train=train)


def fetch_ssc(root: Path) -> None:
    """Fetch the three files of SSC into root/SSC, by tonic."""
    from tonic.datasets import SSC

    for split in ("train", "valid", "test"):
        SSC(str(root), split=split)


def verify_shd(request: Request) -> list[str]:
    """What is in both files; raises BenchError at the first fault."""
    return read_all("shd", _files(request, "shd"), UNITS, CLASSES["shd"])


def verify_ssc(request: Request) -> list[str]:
    """What is in the three files; raises BenchError at the first fault."""
    return read_all("ssc", _files(request, "ssc"), UNITS, CLASSES["ssc"])


@dataset(
    "shd",
    shape=None,
    classes=CLASSES["shd"],
    licence="CC BY 4.0",
    source=SOURCE,
    events=True,
    val_fraction=VAL_FRACTION,
    params=PARAMS,
    files=("SHD/shd_train.h5", "SHD/shd_test.h5"),
    get=GET.format("shd_*.h5.zip", "SHD"),
    download=fetch_shd,
    verify=verify_shd,
)
def shd(request: Request) -> Splits:
    """Spiking Heidelberg Digits, 0 to 9 in German and English: counts [N, T, 700 / pool].

    Read from <data root>/SHD, where tonic keeps it. For validation the training speakers of the
    highest numbers are held out, nearest to a fifth of the recordings (`bench.data.spike_hdf5.held_out`):
    two speakers of the test set are in no training recording, so that unknown voices are what it
    asks for. ids: training recordings in the order of their file, then those of the test.
    """
    kept = _kept(request, "shd", "train")
    train = with_ids(kept["train"].x, kept["train"].y, start=0)
    total = len(train)

    def test() -> Split:
        kept.update(_kept(request, "shd", "test"))
        return with_ids(kept["test"].x, kept["test"].y, start=total)

    chosen, speakers = held_out(kept["train"].extra["speaker"], train.y.numpy(), VAL_FRACTION, "shd")
    said = f"validation: training speakers {', '.join(map(str, speakers))}"
    return Splits(
        train=train.take((~chosen).nonzero().flatten()),
        val=train.take(chosen.nonzero().flatten()),
        test=test,
        shape=tuple(train.x.shape[2:]),
        note=lambda: _note(request, "shd", kept, said),
    )


@dataset(
    "ssc",
    shape=None,
    classes=CLASSES["ssc"],
    licence="CC BY 4.0",
    source=SOURCE,
    events=True,
    params=PARAMS,
    files=("SSC/ssc_train.h5", "SSC/ssc_valid.h5", "SSC/ssc_test.h5"),
    get=GET.format("ssc_*.h5.zip", "SSC"),
    download=fetch_ssc,
    verify=verify_ssc,
)
def ssc(request: Request) -> Splits:
    """Spiking Speech Commands, 35 English words: counts [N, T, 700 / pool].

    Read from <data root>/SSC, where tonic keeps it; the validation set is the authors'. ids count
    the recordings of the training, validation and test file, in this order.
    """
    kept = _kept(request, "ssc", "train", "valid")
    train = with_ids(kept["train"].x, kept["train"].y, start=0)
    val = with_ids(kept["valid"].x, kept["valid"].y, start=len(train))

    def test() -> Split:
        kept.update(_kept(request, "ssc", "test"))
        return with_ids(kept["test"].x, kept["test"].y, start=len(train) + len(val))

    return Splits(train, test, val, tuple(train.x.shape[2:]), note=lambda: _note(request, "ssc", kept))


def _files(request: Request, name: str) -> dict[str, Path]:
    folder = request.root / name.upper()
    return {part: folder / f"{name}_{part}.h5" for part in OFFICIAL[name]}


def _kept(request: Request, name: str, *parts: str) -> dict[str, Kept]:
    """The frames of these parts; no other file is read."""
    files = _files(request, name)
    chosen = {part: files[part] for part in parts}
    return load(request, name, chosen, UNITS, CLASSES[name], need_speakers=name == "shd")


def _note(request: Request, name: str, kept: Mapping[str, Kept], *said: str) -> str:
    missing = [
        f"{len(found.y):,} of {whole:,} {part} recordings"
        for part, found in kept.items()
        if len(found.y) < (whole := OFFICIAL[name][part])
    ]
    late = late_note(kept, float(request.params["duration"]))
    return "; ".join(filter(None, [*missing, *said, late]))
