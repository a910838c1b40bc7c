"""MNIST and Fashion-MNIST from tiny idx files, and the latter from the real ones where they are."""

import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision

from bench.data.loading import Request, prepare
from bench.errors import BenchError
from bench.randomness import uniform

KINDS = {"fashion-mnist": "FashionMNIST", "mnist": "MNIST"}
NAMES = sorted(KINDS)
COUNTS = {"train": 240, "t10k": 30}


@pytest.fixture(scope="module")
def sets(plugin):
    module = plugin("mnist")
    return {name: getattr(module, name.replace("-", "_")).declared[0] for name in NAMES}


def write_files(root: Path, name: str) -> dict[str, np.ndarray]:
    """The four files as published, with 240 and 30 images."""
    folder = root / KINDS[name] / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    content = {}
    for part, count in COUNTS.items():
        content[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        content[f"{part}-labels-idx1-ubyte"] = (np.arange(count) % 10).astype(np.uint8)
    for file, values in content.items():
        (folder / file).write_bytes(idx(values))
    return content


def idx(values: np.ndarray) -> bytes:
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def refused(call, root: Path) -> str:
    with pytest.raises(BenchError) as caught:
        call(Request(root, timesteps=4))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- loading ---


@pytest.mark.parametrize("name", NAMES)
def test_reads_what_torchvision_reads(sets, name, tmp_path):
    content = write_files(tmp_path, name)
    splits = sets[name].load(Request(tmp_path, timesteps=4))
    for split, part, start in ((splits.train, "train", 0), (splits.test(), "t10k", 240)):
        theirs = getattr(torchvision.datasets, KINDS[name])(tmp_path, train=part == "train")
        assert split.x.dtype == torch.uint8 and split.x.shape[1:] == (1, 28, 28)
        assert torch.equal(split.x[:, 0], theirs.data) and torch.equal(split.y, theirs.targets)
        np.testing.assert_array_equal(split.x[:, 0], content[f"{part}-images-idx3-ubyte"])
        assert split.ids.tolist() == list(range(start, start + COUNTS[part]))


@pytest.mark.parametrize("name", NAMES)
def test_prepares_a_twelfth_for_validation(sets, name, tmp_path):
    write_files(tmp_path, name)
    prepared = prepare(sets[name], Request(tmp_path, timesteps=4))
    assert (len(prepared.train), len(prepared.val), len(prepared.test)) == (220, 20, 30)
    assert prepared.val.y.bincount().tolist() == [2] * 10


@pytest.mark.parametrize("name", NAMES)
def test_tuning_does_not_read_the_test_files(sets, name, tmp_path):
    write_files(tmp_path, name)
    whole = prepare(sets[name], Request(tmp_path, timesteps=4))
    for file in (tmp_path / KINDS[name] / "raw").glob("t10k*"):
        file.write_bytes(b"")
    tuned = prepare(sets[name], Request(tmp_path, timesteps=4), test=False)
    assert torch.equal(tuned.train.x, whole.train.x) and torch.equal(tuned.val.ids, whole.val.ids)
    with pytest.raises(BenchError, match="t10k-images-idx3-ubyte ends at byte 0"):
        prepare(sets[name], Request(tmp_path, timesteps=4))


@pytest.mark.parametrize("name", NAMES)
def test_files_are_torchvisions(sets, name):
    kind = getattr(torchvision.datasets, KINDS[name])
    expected = {f"{KINDS[name]}/raw/{file.removesuffix('.gz')}" for file, _ in kind.resources}
    assert set(sets[name].files) == expected


def test_remains_of_an_old_torchvision_are_not_read(sets, tmp_path):
    content = write_files(tmp_path, "mnist")
    (tmp_path / "MNIST" / "processed").mkdir()
    for file in ("training.pt", "test.pt"):
        other = (torch.zeros(5, 28, 28, dtype=torch.uint8), torch.zeros(5, dtype=torch.int64))
        torch.save(other, tmp_path / "MNIST" / "processed" / file)
    splits = sets["mnist"].load(Request(tmp_path, timesteps=4))
    np.testing.assert_array_equal(splits.test().x[:, 0], content["t10k-images-idx3-ubyte"])


@pytest.mark.parametrize("name", NAMES)
def test_download_unpacks_the_archives_that_are_there(sets, name, tmp_path, monkeypatch):
    content, kind = write_files(tmp_path, name), getattr(torchvision.datasets, KINDS[name])
    pack(tmp_path, name, content, monkeypatch)
    for file in content:
        (tmp_path / KINDS[name] / "raw" / file).unlink()
    told = refused(sets[name].load, tmp_path)
    assert "train-images-idx3-ubyte is missing; unpack train-images-idx3-ubyte.gz beside it with" in told
    assert f"{KINDS[name]}('{tmp_path}', download=True)" in told
    monkeypatch.setattr(kind, "mirrors", ["http://127.0.0.1:9/"])
    sets[name].download(tmp_path)
    assert len(sets[name].load(Request(tmp_path, timesteps=1)).train) == 240


def pack(root: Path, name: str, content: dict[str, np.ndarray], monkeypatch) -> None:
    """Archives beside the files, and their md5 in place of the published ones."""
    resources = []
    for file, values in content.items():
        packed = gzip.compress(idx(values))
        (root / KINDS[name] / "raw" / f"{file}.gz").write_bytes(packed)
        resources.append((f"{file}.gz", hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(getattr(torchvision.datasets, KINDS[name]), "resources", resources)


# --- refusals ---


@pytest.mark.parametrize("name", NAMES)
def test_missing_folder_or_file_is_named(sets, name, tmp_path):
    told = refused(sets[name].load, tmp_path)
    for part in (str(tmp_path / KINDS[name] / "raw"), "is not there", "--data-root", "SPIKEGRAD_DATA"):
        assert part in told
    write_files(tmp_path, name)
    file = tmp_path / sets[name].files[3]
    file.unlink()
    for call in (sets[name].load, sets[name].verify):
        assert f"{file} is missing; get it with python -c" in refused(call, tmp_path)


# What is done to a file of 16 + 240 * 784 = 188,176 bytes, or to one of 248, and what is told of it.
DAMAGE = [
    ("images", lambda raw: raw[:100_000], "ends at byte 100,000, in record 127; by its header it has 240"),
    ("images", lambda raw: raw[:-1], "ends at byte 188,175, in record 239; .* ends at byte 188,176"),
    ("images", lambda raw: raw + b"\0", "ends at byte 188,177; by its header .* ends at byte 188,176"),
    ("images", lambda raw: raw[:16], "ends at byte 16, in record 0"),
    ("images", lambda raw: raw[:9], "ends at byte 9, in its header of 16"),
    ("images", lambda raw: b"", "ends at byte 0, in its header of 16"),
    ("images", lambda raw: b"\x1f\x8b" + raw[2:], "starts with the bytes 1f 8b 08 03, .* with 00 00 08 03"),
    ("images", lambda raw: raw[:4] + bytes(4) + raw[8:16], "ends at byte 16; .* has 0 records"),
    ("images", lambda raw: raw[:11] + b"\x20" + raw[12:], r"32 x 28 by its header .*expected 28 x 28"),
    ("labels", lambda raw: raw[:-3], "ends at byte 245, in record 237; by its header it has 240"),
    ("labels", lambda raw: raw[:7] + b"\xef" + raw[8:-1], "has 240 images and .* has 239 labels"),
    ("labels", lambda raw: raw[:20] + b"\x0a" + raw[21:], r"record 12 \(byte 20\): label 10 is not one of"),
]


@pytest.mark.parametrize(("what", "damage", "told"), DAMAGE, ids=[told[:24] for *_, told in DAMAGE])
def test_damage_is_named_by_file_and_place(sets, what, damage, told, tmp_path):
    write_files(tmp_path, "mnist")
    file = next((tmp_path / "MNIST" / "raw").glob(f"train-{what}*"))
    file.write_bytes(damage(file.read_bytes()))
    for call in (sets["mnist"].load, sets["mnist"].verify):
        with pytest.raises(BenchError, match=told) as caught:
            call(Request(tmp_path, timesteps=4))
        assert str(file) in str(caught.value) and "MNIST('" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_verify_compares_with_the_archives(sets, tmp_path, monkeypatch):
    content, verify = write_files(tmp_path, "mnist"), sets["mnist"].verify
    facts = ["240 training and 30 test images of 28 x 28", "labels are from 0 to 9"]
    compared = "{} of 4 files compared with their archives, which have the published md5"
    assert verify(Request(tmp_path, timesteps=4)) == [*facts, compared.format(0)]
    pack(tmp_path, "mnist", content, monkeypatch)
    assert verify(Request(tmp_path, timesteps=4)) == [*facts, compared.format(4)]
    file = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    raw = bytearray(file.read_bytes())
    raw[1000] ^= 1
    file.write_bytes(raw)
    assert f"{file} differs from its archive {file.name}.gz at byte 1,000" in refused(verify, tmp_path)
    archive = file.with_name(f"{file.name}.gz")
    archive.write_bytes(archive.read_bytes()[:-5])
    assert f"{archive} is damaged" in refused(verify, tmp_path)


def test_missing_torchvision_is_one_sentence(sets, tmp_path, monkeypatch):
    write_files(tmp_path, "mnist")
    monkeypatch.setitem(__import__("sys").modules, "torchvision.datasets.mnist", None)
    assert "torchvision" in refused(sets["mnist"].load, tmp_path)


def test_real_fashion_mnist(sets):
    root = Path(os.environ.get("SPIKEGRAD_DATA", "/nonexistent"))
    if not (root / "FashionMNIST" / "raw" / "train-images-idx3-ubyte").is_file():
        pytest.skip("SPIKEGRAD_DATA names no folder that holds FashionMNIST/raw, unpacked")
    declared = sets["fashion-mnist"]
    prepared = prepare(declared, Request(root, timesteps=4))
    assert (len(prepared.train), len(prepared.val), len(prepared.test)) == (55_000, 5_000, 10_000)
    assert prepared.test.y.bincount().tolist() == [1000] * 10
    assert prepared.val.y.bincount().tolist() == [500] * 10
    assert prepared.checksum == "00ed73ce56e8768d"
    x = declared.normalise(prepared.train.x[torch.arange(5000)])
    assert abs(x.mean()) < 0.02 and abs(x.std() - 1) < 0.02
    assert "60,000 training and 10,000 test images" in declared.verify(Request(root, timesteps=4))[0]


# --- augmentation and normalisation ---


def test_fashion_is_cropped_and_mirrored_and_digits_are_left_alone(sets):
    assert not sets["mnist"].augment and list(sets["fashion-mnist"].augment) == ["standard"]
    rng = np.random.default_rng(1)
    x, ids = torch.from_numpy(rng.integers(1, 256, (20, 1, 28, 28), dtype=np.uint8)), torch.arange(20)
    augmented = sets["fashion-mnist"].augment["standard"](x, ids, 3, 5)
    assert augmented.dtype == torch.uint8
    draws = uniform(5, 3, ids, draws=3).tolist()
    for image, (a, b, c), after in zip(x.numpy(), draws, augmented, strict=True):
        top, left = int(a * 9), int(b * 9)
        crop = np.pad(image, ((0, 0), (4, 4), (4, 4)))[:, top : top + 28, left : left + 28]
        np.testing.assert_array_equal(after, crop[:, :, ::-1] if c < 0.5 else crop)


@pytest.mark.parametrize(
    ("name", "mean", "std"), [("mnist", 0.1307, 0.3081), ("fashion-mnist", 0.2860, 0.3530)]
)
def test_normalise_is_torchvisions(sets, name, mean, std):
    from torchvision.transforms.v2.functional import normalize

    x = torch.arange(2 * 784, dtype=torch.int64).view(2, 1, 28, 28).remainder(256).to(torch.uint8)
    torch.testing.assert_close(sets[name].normalise(x), normalize(x / 255, [mean], [std]))
