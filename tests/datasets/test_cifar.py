"""CIFAR from tiny files in the official layout, and CIFAR-10 from the real ones where they are."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st

from bench.data.loading import Request, prepare
from bench.errors import BenchError
from bench.randomness import uniform

BATCHES = {
    "cifar10": [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"],
    "cifar100": ["train", "test"],
}
FOLDER = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
CLASSES = {"cifar10": 10, "cifar100": 100}
PER_BATCH = {"cifar10": 40, "cifar100": 1000}
NAMES = sorted(BATCHES)


@pytest.fixture(scope="module")
def sets(plugin):
    module = plugin("cifar")
    return {name: getattr(module, name).declared[0] for name in NAMES}


@pytest.fixture(scope="module")
def declared(sets):
    return sets["cifar10"]


def write_batches(root: Path, name: str, monkeypatch) -> dict[str, dict]:
    """Official-looking files; torchvision is told to do without their md5."""
    rng = np.random.default_rng(0)
    folder, count = root / FOLDER[name], PER_BATCH[name]
    folder.mkdir()
    key = "labels" if name == "cifar10" else "fine_labels"
    content = {
        batch: {
            "data": rng.integers(0, 256, (count, 3072), dtype=np.uint8),
            key: [i % CLASSES[name] for i in range(count)],
            **({} if name == "cifar10" else {"coarse_labels": [i % 20 for i in range(count)]}),
        }
        for batch in BATCHES[name]
    }
    kind = getattr(torchvision.datasets, name.upper())
    content[kind.meta["filename"]] = {kind.meta["key"]: [str(c) for c in range(CLASSES[name])]}
    for file, batch in content.items():
        (folder / file).write_bytes(pickle.dumps(batch, protocol=2))
    monkeypatch.setattr(kind, "train_list", [[batch, None] for batch in BATCHES[name][:-1]])
    monkeypatch.setattr(kind, "test_list", [[BATCHES[name][-1], None]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": None})
    return content


# --- loading ---


@pytest.mark.parametrize("name", NAMES)
def test_reads_the_official_layout(sets, name, tmp_path, monkeypatch):
    content = write_batches(tmp_path, name, monkeypatch)
    splits = sets[name].load(Request(tmp_path, timesteps=4))
    assert splits.val is None
    *training, test = (content[batch]["data"] for batch in BATCHES[name])
    expected = np.concatenate(training)
    for split, pixels, start in ((splits.train, expected, 0), (splits.test(), test, len(expected))):
        assert split.x.dtype == torch.uint8 and split.x.is_contiguous()
        np.testing.assert_array_equal(split.x, pixels.reshape(-1, 3, 32, 32))
        assert split.y.tolist() == [i % CLASSES[name] for i in range(len(pixels))]
        assert split.ids.tolist() == list(range(start, start + len(pixels)))


@pytest.mark.parametrize("name", NAMES)
def test_prepares_a_tenth_for_validation(sets, name, tmp_path, monkeypatch):
    write_batches(tmp_path, name, monkeypatch)
    prepared = prepare(sets[name], Request(tmp_path, timesteps=4))
    total = PER_BATCH[name] * (len(BATCHES[name]) - 1)
    sizes = (len(prepared.train), len(prepared.val), len(prepared.test))
    assert sizes == (total * 9 // 10, total // 10, PER_BATCH[name])
    assert prepared.val.y.bincount().tolist() == [total // 10 // CLASSES[name]] * CLASSES[name]
    assert prepare(sets[name], Request(tmp_path, timesteps=4)).checksum == prepared.checksum


@pytest.mark.parametrize("name", NAMES)
def test_declares_the_files_that_torchvision_reads(sets, name):
    kind = getattr(torchvision.datasets, name.upper())
    read = [*(file for file, _ in kind.train_list + kind.test_list), kind.meta["filename"]]
    assert list(sets[name].files) == [f"{kind.base_folder}/{file}" for file in read]
    assert kind.url in sets[name].get


@pytest.mark.parametrize("name", NAMES)
def test_download_is_torchvisions(sets, name, tmp_path, monkeypatch):
    fetched = []
    kind = getattr(torchvision.datasets, name.upper())

    def fetch(self):
        fetched.append(str(self.root))
        write_batches(Path(self.root), name, monkeypatch)

    monkeypatch.setattr(kind, "download", fetch)
    sets[name].download(tmp_path)
    assert fetched == [str(tmp_path)]
    assert len(sets[name].load(Request(tmp_path, timesteps=1)).test()) == PER_BATCH[name]


@pytest.mark.parametrize("name", NAMES)
def test_tuning_does_not_read_the_test_file(sets, name, tmp_path, monkeypatch):
    write_batches(tmp_path, name, monkeypatch)
    request = Request(tmp_path, timesteps=4)
    whole = prepare(sets[name], request)
    (tmp_path / FOLDER[name] / BATCHES[name][-1]).unlink()
    tuned = prepare(sets[name], request, test=False)
    assert torch.equal(tuned.train.x, whole.train.x) and torch.equal(tuned.val.ids, whole.val.ids)
    assert f"{BATCHES[name][-1]} is missing" in refused(prepare, sets[name], request)


# --- refusals ---


def refused(call, *arguments) -> str:
    with pytest.raises(BenchError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_missing_folder_is_one_sentence(sets, name, tmp_path):
    for call in (sets[name].load, sets[name].verify):
        told = refused(call, Request(tmp_path, timesteps=4))
        for part in (str(tmp_path / FOLDER[name]), "is not there", "--data-root", "SPIKEGRAD_DATA"):
            assert part in told
        assert f"{name.upper()}('{tmp_path}', download=True)" in told


@pytest.mark.parametrize("name", NAMES)
def test_missing_file_is_named(sets, name, tmp_path, monkeypatch):
    write_batches(tmp_path, name, monkeypatch)
    for file in (sets[name].files[-1], sets[name].files[0]):
        (tmp_path / file).unlink()
        for call in (sets[name].load, sets[name].verify):
            assert f"{tmp_path / file} is missing; remove" in refused(call, Request(tmp_path, timesteps=4))


def test_truncated_batch_is_named_and_never_unpickled(declared, tmp_path, monkeypatch):
    content = write_batches(tmp_path, "cifar10", monkeypatch)
    folder = tmp_path / FOLDER["cifar10"]
    from torchvision.datasets.utils import calculate_md5

    sums = {file: calculate_md5(folder / file) for file in content}
    kind = torchvision.datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [[f, sums[f]] for f in BATCHES["cifar10"][:-1]])
    monkeypatch.setattr(kind, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": sums["batches.meta"]})
    declared.load(Request(tmp_path, timesteps=4))
    assert declared.verify(Request(tmp_path, timesteps=4))[0] == "7 files have the published md5"
    opened = []
    load = pickle.load
    monkeypatch.setattr(
        pickle, "load", lambda file, **more: (opened.append(file.name), load(file, **more))[1]
    )
    for file in ("data_batch_3", "batches.meta"):
        whole = (folder / file).read_bytes()
        (folder / file).write_bytes(whole[:-10])
        opened.clear()
        for call in (declared.load, declared.verify):
            told = refused(call, Request(tmp_path, timesteps=4))
            size = f"{len(whole) - 10:,}"
            assert f"{folder / file} is damaged: its {size} bytes do not have the md5 {sums[file]}" in told
        assert str(folder / file) not in opened
        (folder / file).write_bytes(whole)


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_unreadable_file_is_named(declared, tmp_path, monkeypatch):
    write_batches(tmp_path, "cifar10", monkeypatch)
    file = tmp_path / FOLDER["cifar10"] / "data_batch_2"
    file.chmod(0)
    assert f"{file} is" in refused(declared.load, Request(tmp_path, timesteps=4))


@pytest.mark.parametrize("name", NAMES)
def test_label_beyond_the_classes_is_named_by_file_and_record(sets, name, tmp_path, monkeypatch):
    content = write_batches(tmp_path, name, monkeypatch)
    file = tmp_path / sets[name].files[0]
    batch = content[file.name]
    batch["labels" if name == "cifar10" else "fine_labels"][7] = CLASSES[name]
    file.write_bytes(pickle.dumps(batch, protocol=2))
    told = refused(sets[name].verify, Request(tmp_path, timesteps=4))
    assert f"{file}, record 7: label {CLASSES[name]} is not one of the {CLASSES[name]} classes" in told
    told = refused(prepare, sets[name], Request(tmp_path, timesteps=4))
    assert f"labels run from 0 to {CLASSES[name]}" in told


def test_missing_label_is_named(declared, tmp_path, monkeypatch):
    content = write_batches(tmp_path, "cifar10", monkeypatch)
    file = tmp_path / FOLDER["cifar10"] / "test_batch"
    content["test_batch"]["labels"].pop()
    file.write_bytes(pickle.dumps(content["test_batch"], protocol=2))
    assert f"{file} has 40 images and 39 labels" in refused(declared.verify, Request(tmp_path, timesteps=4))


@pytest.mark.parametrize("name", NAMES)
def test_verify_tells_what_is_there(sets, name, tmp_path, monkeypatch):
    write_batches(tmp_path, name, monkeypatch)
    count = PER_BATCH[name]
    assert sets[name].verify(Request(tmp_path, timesteps=4)) == [
        f"{len(sets[name].files)} files have the published md5",
        f"{count * (len(BATCHES[name]) - 1):,} training and {count:,} test images of 3 x 32 x 32",
        f"labels are from 0 to {CLASSES[name] - 1}",
    ]


def test_missing_torchvision_is_one_sentence(declared, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchvision.datasets", None)
    assert "torchvision" in refused(declared.load, Request(tmp_path, timesteps=4))


def test_real_files(declared):
    root = Path(os.environ.get("SPIKEGRAD_DATA", "/nonexistent"))
    if not (root / "cifar-10-batches-py").is_dir():
        pytest.skip("SPIKEGRAD_DATA names no folder that holds cifar-10-batches-py")
    prepared = prepare(declared, Request(root, timesteps=4))
    assert (len(prepared.train), len(prepared.val), len(prepared.test)) == (45_000, 5_000, 10_000)
    assert prepared.train.x.shape[1:] == (3, 32, 32) and prepared.train.x.dtype == torch.uint8
    assert prepared.test.y.bincount().tolist() == [1000] * 10
    assert prepared.val.y.bincount().tolist() == [500] * 10
    assert prepared.checksum == "a901f265e867fa0f"
    x = declared.normalise(prepared.train.x[torch.arange(5000)].float())
    assert x.mean((0, 2, 3)).abs().max() < 0.05
    assert "50,000 training and 10,000 test images" in declared.verify(Request(root, timesteps=4))[1]


# --- augmentation and normalisation ---


def pictures(count: int) -> torch.Tensor:
    """No two pixels of an image are alike, so that a crop shows where it was taken."""
    rng = np.random.default_rng(1)
    rows = [rng.permutation(3 * 32 * 32) + 1 for _ in range(count)]
    return torch.from_numpy(np.stack(rows).reshape(count, 3, 32, 32).astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_crop_equals_a_plain_loop(sets, name):
    x, ids = pictures(30), torch.arange(100, 130)
    augmented = sets[name].augment["standard"](x, ids, 3, 5)
    assert augmented.dtype == torch.float32 and augmented.shape == x.shape
    draws = uniform(5, 3, ids, draws=3).tolist()
    for image, (a, b, c), after in zip(x.numpy(), draws, augmented, strict=True):
        top, left = int(a * 9), int(b * 9)
        crop = np.pad(image, ((0, 0), (4, 4), (4, 4)))[:, top : top + 32, left : left + 32]
        np.testing.assert_array_equal(after, crop[:, :, ::-1] if c < 0.5 else crop)


def test_auto_is_the_standard_and_then_more(declared):
    """Of the 25 pairs each does something to most pictures, and leaves some as they are."""
    x, ids = pictures(300).remainder(256).to(torch.uint8), torch.arange(300)
    standard, auto = (declared.augment[recipe](x, ids, 0, 0) for recipe in ("standard", "auto"))
    assert auto.dtype == torch.uint8 and auto.shape == x.shape
    same = (auto == standard).flatten(1).all(1).float().mean()
    assert 0.02 < same < 0.5


def test_identical_images_of_a_batch_are_changed_differently(declared):
    x = pictures(1).expand(16, -1, -1, -1)
    augmented = declared.augment["standard"](x, torch.arange(16), 0, 0)
    # 162 changes are possible, so that a few of 16 draws may coincide.
    assert len({image.numpy().tobytes() for image in augmented}) > 10


@given(order=st.permutations(range(8)), size=st.integers(1, 8))
def test_neighbours_in_the_batch_do_not_matter(declared, order, size):
    x, ids = pictures(8), torch.arange(8) * 1000
    part, augment = order[:size], declared.augment["standard"]
    assert torch.equal(augment(x[part], ids[part], 1, 2), augment(x, ids, 1, 2)[part])


def test_every_crop_is_as_likely_and_half_are_mirrored(declared):
    """A marked pixel shows all 81 places and both directions; 4 standard errors of tolerance."""
    count = 8100
    x = torch.zeros(count, 1, 32, 32)
    x[:, 0, 16, 10], x[:, 0, 16, 20] = 1, 2
    after = declared.augment["standard"](x, torch.arange(count), 0, 0).flatten(1)
    one, two = (after == 1).int().argmax(1), (after == 2).int().argmax(1)
    mirrored = (two < one).float().mean()
    assert abs(mirrored - 0.5) < 4 * 0.5 / count**0.5
    top = one // 32
    left = torch.where(two < one, 31 - one % 32, one % 32)
    places = torch.unique((top - 12) * 9 + left - 6, return_counts=True)
    assert places[0].tolist() == list(range(81))
    assert (places[1] - 100).abs().max() < 50


@pytest.mark.parametrize("name", NAMES)
def test_normalise_is_torchvisions(sets, name):
    from torchvision.transforms.v2.functional import normalize

    mean, std = {
        "cifar10": ([0.4914, 0.4822, 0.4465], [0.2023, 0.1994, 0.2010]),
        "cifar100": ([0.5071, 0.4867, 0.4408], [0.2675, 0.2565, 0.2761]),
    }[name]
    x = pictures(2) % 256
    torch.testing.assert_close(sets[name].normalise(x), normalize(x / 255, mean, std))
    assert sets[name].normalise(x.to(torch.uint8)).dtype == torch.float32


@pytest.mark.needs_gpu
def test_augmentation_is_the_same_on_a_gpu(declared):
    x, ids, augment = pictures(16), torch.arange(16), declared.augment["standard"]
    expected = augment(x, ids, 1, 2)
    for where in ("cpu", "cuda"):
        assert torch.equal(augment(x.cuda(), ids.to(where), 1, 2).cpu(), expected)
