"""MNIST and Fashion-MNIST, in the files and by the functions of torchvision.

Nothing but sizes and values can be checked in them: no checksum of the unpacked files is published.
"""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import numpy as np

from bench.data.augment import compose, crop, flip
from bench.data.loading import Request, Split, Splits, dataset, with_ids
from bench.data.pictures import how_to_get, normaliser, torchvision_for
from bench.errors import BenchError

SIDE = 28
CLASSES = 10
KINDS = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST"}
"""torchvision's classes; its files lie in <data root>/<class>/raw."""
FILES = tuple(f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1"))
UNSIGNED_BYTE = 8
"""The type of the values, as the third byte of an idx file names it."""


def download_mnist(root: Path) -> None:
    """Put MNIST/raw under the data root; archives that are there already are unpacked."""
    torchvision_for("mnist").MNIST(root, download=True)


def download_fashion_mnist(root: Path) -> None:
    """Put FashionMNIST/raw under the data root; archives that are there already are unpacked."""
    torchvision_for("fashion-mnist").FashionMNIST(root, download=True)


def verify_mnist(request: Request) -> list[str]:
    """What `_verify` finds in MNIST."""
    return _verify("mnist", request.root)


def verify_fashion_mnist(request: Request) -> list[str]:
    """What `_verify` finds in Fashion-MNIST."""
    return _verify("fashion-mnist", request.root)


@dataset(
    "mnist",
    shape=(1, SIDE, SIDE),
    classes=CLASSES,
    licence="none stated by its authors",
    source="LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to document recognition, "
    "Proc. IEEE 1998",
    val_fraction=1 / 12,  # 55,000 and 5,000
    # No augmentation, as is usual for spiking networks: a mirrored digit is none.
    normalise=normaliser((0.1307,), (0.3081,)),
    files=[f"MNIST/raw/{name}" for name in FILES],
    get="https://ossci-datasets.s3.amazonaws.com/mnist/, unpacked to MNIST/raw",
    size="12 MB, unpacked 55 MB",
    download=download_mnist,
    verify=verify_mnist,
)
def mnist(request: Request) -> Splits:
    """The 60,000 and 10,000 images, uint8 [N, 1, 28, 28]; ids: training images, then test images."""
    return _load("mnist", request.root)


@dataset(
    "fashion-mnist",
    shape=(1, SIDE, SIDE),
    classes=CLASSES,
    licence="MIT",
    source="Xiao, Rasul and Vollgraf, Fashion-MNIST: a novel image dataset for benchmarking machine "
    "learning algorithms, 2017, https://github.com/zalandoresearch/fashion-mnist",
    val_fraction=1 / 12,
    augment={"standard": compose(crop(4), flip())},
    normalise=normaliser((0.2860,), (0.3530,)),
    files=[f"FashionMNIST/raw/{name}" for name in FILES],
    get="https://github.com/zalandoresearch/fashion-mnist, unpacked to FashionMNIST/raw",
    size="31 MB, unpacked 55 MB",
    download=download_fashion_mnist,
    verify=verify_fashion_mnist,
)
def fashion_mnist(request: Request) -> Splits:
    """The 60,000 and 10,000 images, uint8 [N, 1, 28, 28]; ids: training images, then test images."""
    return _load("fashion-mnist", request.root)


def _load(name: str, root: Path) -> Splits:
    folder = _folder(name, root)
    train = _read(name, root, folder, "train", start=0)
    return Splits(train=train, test=lambda: _read(name, root, folder, "t10k", start=len(train)))


def _read(name: str, root: Path, folder: Path, part: str, start: int) -> Split:
    """One part, after checking the sizes of its files and its labels."""
    images, labels = (folder / file for file in FILES if file.startswith(part))
    counts = [_check_size(name, root, file) for file in (images, labels)]
    if counts[0] != counts[1]:
        raise BenchError(
            f"dataset {name}: {images} has {counts[0]:,} images and {labels} has {counts[1]:,} labels; "
            f"{_again(name, root)}"
        )
    # torchvision's class would read a folder "processed" instead, where an old version of it left one.
    read = torchvision_for(name, "torchvision.datasets.mnist")
    y = read.read_label_file(str(labels))
    wrong = (y >= CLASSES).nonzero().flatten().tolist()
    if wrong:
        raise BenchError(
            f"dataset {name}: {labels}, record {wrong[0]} (byte {8 + wrong[0]}): label {y[wrong[0]]} is "
            f"not one of the {CLASSES} classes from 0; {_again(name, root)}"
        )
    return with_ids(read.read_image_file(str(images))[:, None], y, start)


def _folder(name: str, root: Path) -> Path:
    """The folder of the four files. Raises BenchError, with the one that is missing."""
    folder = root / KINDS[name] / "raw"
    if not folder.is_dir():
        raise BenchError(
            f"dataset {name}: {folder} is not there; let --data-root or SPIKEGRAD_DATA name the folder that "
            f"holds {KINDS[name]}/raw, or download it with {how_to_get(root, KINDS[name])}"
        )
    for file in FILES:
        if not (folder / file).is_file():
            packed = (folder / f"{file}.gz").is_file()
            todo = f"unpack {file}.gz beside it" if packed else "get it"
            raise BenchError(
                f"dataset {name}: {folder / file} is missing; {todo} with {how_to_get(root, KINDS[name])}"
            )
    return folder


def _check_size(name: str, root: Path, file: Path) -> int:
    """The number of records in an idx file; raises BenchError unless it ends where its header says.

    The header: two zeros, the type, the number of dimensions, and each of them in 4 bytes, the
    highest first (http://yann.lecun.com/exdb/mnist/).
    """
    dimensions = 3 if "idx3" in file.name else 1
    header = 4 + 4 * dimensions
    try:
        size = file.stat().st_size
        with file.open("rb") as content:
            start = content.read(header)
    except OSError as problem:
        raise BenchError(f"dataset {name}: {file} cannot be read ({problem.strerror})") from problem
    magic = bytes((0, 0, UNSIGNED_BYTE, dimensions))
    if not start.startswith(magic[: len(start)]):
        raise BenchError(
            f"dataset {name}: {file} starts with the bytes {start[:4].hex(' ')}, a file of unsigned bytes in "
            f"{dimensions} dimensions with {magic.hex(' ')}; {_again(name, root)}"
        )
    if size < header:
        raise BenchError(
            f"dataset {name}: {file} ends at byte {size}, in its header of {header}; {_again(name, root)}"
        )
    count, *sides = (int.from_bytes(start[i : i + 4], "big") for i in range(4, header, 4))
    if sides not in ([], [SIDE, SIDE]):
        raise BenchError(
            f"dataset {name}: {file} has images of {' x '.join(map(str, sides))} by its header (bytes 8 to "
            f"15), expected {SIDE} x {SIDE}; {_again(name, root)}"
        )
    record = SIDE * SIDE if sides else 1
    expected = header + count * record
    if count == 0 or size != expected:
        where = f", in record {(size - header) // record}" if size < expected else ""
        raise BenchError(
            f"dataset {name}: {file} ends at byte {size:,}{where}; by its header it has {count:,} records "
            f"and ends at byte {expected:,}; {_again(name, root)}"
        )
    return count


def _again(name: str, root: Path) -> str:
    return f"remove it and get it again with {how_to_get(root, KINDS[name])}"


def _verify(name: str, root: Path) -> list[str]:
    """Read every file: sizes and labels, and the contents where their archives lie beside them."""
    folder = _folder(name, root)
    train, test = (_read(name, root, folder, part, start=0) for part in ("train", "t10k"))
    published = dict(getattr(torchvision_for(name), KINDS[name]).resources)
    compared = [file for file in FILES if (folder / f"{file}.gz").is_file()]
    for file in compared:
        _compare(name, root, folder / file, published[f"{file}.gz"])
    return [
        f"{len(train):,} training and {len(test):,} test images of {SIDE} x {SIDE}",
        f"labels are from 0 to {CLASSES - 1}",
        f"{len(compared)} of {len(FILES)} files compared with their archives, which have the published md5",
    ]


def _compare(name: str, root: Path, file: Path, md5: str) -> None:
    """Raises BenchError unless a file is what its archive beside it holds."""
    archive = file.with_name(f"{file.name}.gz")
    with archive.open("rb") as content:
        if hashlib.file_digest(content, "md5").hexdigest() != md5:
            raise BenchError(
                f"dataset {name}: {archive} is damaged: its {archive.stat().st_size:,} bytes do not have the "
                f"md5 {md5}; remove it, or get it again with {how_to_get(root, KINDS[name])}"
            )
    with gzip.open(archive) as content:
        packed = np.frombuffer(content.read(), dtype=np.uint8)
    unpacked = np.fromfile(file, dtype=np.uint8)
    common = min(len(packed), len(unpacked))
    differ = np.flatnonzero(packed[:common] != unpacked[:common])
    if len(differ) or len(packed) != len(unpacked):
        byte = int(differ[0]) if len(differ) else common
        raise BenchError(
            f"dataset {name}: {file} differs from its archive {archive.name} at byte {byte:,}; "
            f"{_again(name, root)}"
        )
