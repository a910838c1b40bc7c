"""CIFAR-10 from tiny files in the official layout, and from the real ones where they are."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.datasets import CIFAR10

from bench.data import Request, prepare
from bench.errors import BenchError
from bench.randomness import uniform

PER_BATCH = 40


@pytest.fixture(scope="module")
def module(plugin):
    return plugin("cifar10")


@pytest.fixture(scope="module")
def declared(module):
    return module.cifar10.declared[0]


def write_batches(root: Path, monkeypatch) -> dict[str, dict]:
    """Six official-looking files of 40 images; torchvision is told to do without their md5."""
    rng = np.random.default_rng(0)
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    content = {
        name: {
            "data": rng.integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8),
            "labels": [i % 10 for i in range(PER_BATCH)],
        }
        for name in names
    }
    for name, batch in content.items():
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))
    meta = {"label_names": [str(c) for c in range(10)]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    monkeypatch.setattr(CIFAR10, "train_list", [[name, None] for name in names[:-1]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", None]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": None})
    return content


# --- loading ---


def test_reads_the_official_layout(declared, tmp_path, monkeypatch):
    content = write_batches(tmp_path, monkeypatch)
    splits = declared.load(Request(tmp_path, timesteps=4))
    assert splits.val is None
    expected = np.concatenate([content[f"data_batch_{i}"]["data"] for i in range(1, 6)])
    for split, pixels, start in (
        (splits.train, expected, 0),
        (splits.test, content["test_batch"]["data"], 200),
    ):
        assert split.x.dtype == torch.uint8 and split.x.is_contiguous()
        np.testing.assert_array_equal(split.x, pixels.reshape(-1, 3, 32, 32))
        assert split.y.tolist() == [i % 10 for i in range(PER_BATCH)] * (len(pixels) // PER_BATCH)
        assert split.ids.tolist() == list(range(start, start + len(pixels)))


def test_prepares_a_tenth_for_validation(declared, tmp_path, monkeypatch):
    write_batches(tmp_path, monkeypatch)
    prepared = prepare(declared, Request(tmp_path, timesteps=4))
    assert (len(prepared.train), len(prepared.val), len(prepared.test)) == (180, 20, 40)
    assert prepared.val.y.bincount().tolist() == [2] * 10
    assert prepare(declared, Request(tmp_path, timesteps=4)).checksum == prepared.checksum


def test_missing_folder_is_one_sentence(declared, tmp_path):
    with pytest.raises(BenchError, match="is not there") as caught:
        declared.load(Request(tmp_path, timesteps=4))
    for part in (str(tmp_path / "cifar-10-batches-py"), "--data-root", "SPIKEGRAD_DATA", "download=True"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_file_with_a_wrong_md5_is_named_damaged(declared, tmp_path, monkeypatch):
    with monkeypatch.context() as tiny:
        write_batches(tmp_path, tiny)
    with pytest.raises(BenchError, match="missing or damaged") as caught:
        declared.load(Request(tmp_path, timesteps=4))
    assert str(tmp_path / "cifar-10-batches-py") in str(caught.value)


def test_missing_torchvision_is_one_sentence(declared, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchvision.datasets", None)
    with pytest.raises(BenchError, match="torchvision"):
        declared.load(Request(tmp_path, timesteps=4))


def test_real_files(declared):
    root = Path(os.environ.get("SPIKEGRAD_DATA", "/nonexistent"))
    if not (root / "cifar-10-batches-py").is_dir():
        pytest.skip("SPIKEGRAD_DATA names no folder that holds cifar-10-batches-py")
    prepared = prepare(declared, Request(root, timesteps=4))
    assert (len(prepared.train), len(prepared.val), len(prepared.test)) == (45_000, 5_000, 10_000)
    assert prepared.train.x.shape[1:] == (3, 32, 32) and prepared.train.x.dtype == torch.uint8
    assert prepared.test.y.bincount().tolist() == [1000] * 10
    assert prepared.val.y.bincount().tolist() == [500] * 10
    assert prepared.checksum == "2795efc95ed21d81"
    x = declared.normalise(prepared.train.x[:5000].float())
    assert x.mean((0, 2, 3)).abs().max() < 0.05


# --- augmentation and normalisation ---


def pictures(count: int) -> torch.Tensor:
    """No two pixels of an image are alike, so that a crop shows where it was taken."""
    rng = np.random.default_rng(1)
    rows = [rng.permutation(3 * 32 * 32) + 1 for _ in range(count)]
    return torch.from_numpy(np.stack(rows).reshape(count, 3, 32, 32).astype(np.float32))


def test_crop_equals_a_plain_loop(declared):
    x, ids = pictures(30), torch.arange(100, 130)
    augmented = declared.augment(x, ids, 3, 5)
    assert augmented.dtype == torch.float32 and augmented.shape == x.shape
    draws = uniform(5, 3, ids, draws=3).tolist()
    for image, (a, b, c), after in zip(x.numpy(), draws, augmented, strict=True):
        top, left = int(a * 9), int(b * 9)
        crop = np.pad(image, ((0, 0), (4, 4), (4, 4)))[:, top : top + 32, left : left + 32]
        np.testing.assert_array_equal(after, crop[:, :, ::-1] if c < 0.5 else crop)


def test_identical_images_of_a_batch_are_changed_differently(declared):
    x = pictures(1).expand(16, -1, -1, -1)
    augmented = declared.augment(x, torch.arange(16), 0, 0)
    # 162 changes are possible, so that a few of 16 draws may coincide.
    assert len({image.numpy().tobytes() for image in augmented}) > 10


@given(order=st.permutations(range(8)), size=st.integers(1, 8))
def test_neighbours_in_the_batch_do_not_matter(declared, order, size):
    x, ids = pictures(8), torch.arange(8) * 1000
    part = order[:size]
    assert torch.equal(declared.augment(x[part], ids[part], 1, 2), declared.augment(x, ids, 1, 2)[part])


def test_epoch_and_seed_and_id_each_matter(declared):
    x, ids = pictures(8), torch.arange(8)
    first = declared.augment(x, ids, 0, 0)
    assert torch.equal(first, declared.augment(x, ids, 0, 0))
    for other in ((ids, 1, 0), (ids, 0, 1), (ids + 8, 0, 0)):
        assert not torch.equal(first, declared.augment(x, *other))


def test_every_crop_is_as_likely_and_half_are_mirrored(declared):
    """A marked pixel shows all 81 places and both directions; 4 standard errors of tolerance."""
    count = 8100
    x = torch.zeros(count, 1, 32, 32)
    x[:, 0, 16, 10], x[:, 0, 16, 20] = 1, 2
    after = declared.augment(x, torch.arange(count), 0, 0).flatten(1)
    one, two = (after == 1).int().argmax(1), (after == 2).int().argmax(1)
    mirrored = (two < one).float().mean()
    assert abs(mirrored - 0.5) < 4 * 0.5 / count**0.5
    top = one // 32
    left = torch.where(two < one, 31 - one % 32, one % 32)
    places = torch.unique((top - 12) * 9 + left - 6, return_counts=True)
    assert places[0].tolist() == list(range(81))
    assert (places[1] - 100).abs().max() < 50


def test_augmentation_leaves_its_input_alone(declared):
    x = pictures(4)
    before = x.clone()
    declared.augment(x, torch.arange(4), 0, 0)
    assert torch.equal(x, before)


def test_normalise_is_torchvisions(declared):
    from torchvision.transforms.v2.functional import normalize

    x = pictures(2) % 256
    expected = normalize(x / 255, mean=[0.4914, 0.4822, 0.4465], std=[0.2023, 0.1994, 0.2010])
    torch.testing.assert_close(declared.normalise(x), expected)
    assert declared.normalise(x.to(torch.uint8)).dtype == torch.float32


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_augmentation_is_the_same_on_a_gpu(declared):
    x, ids = pictures(16), torch.arange(16)
    expected = declared.augment(x, ids, 1, 2)
    for where in ("cpu", "cuda"):
        assert torch.equal(declared.augment(x.cuda(), ids.to(where), 1, 2).cpu(), expected)
