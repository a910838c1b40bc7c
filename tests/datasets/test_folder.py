"""A user's own data in each form, each mistake in it, and real spoken digits where they are."""

import os
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.loading import Request, prepare
from bench.errors import BenchError

CLASSES = ("cat", "dog", "emu")


@pytest.fixture(scope="module")
def module(plugin):
    return plugin("folder")


@pytest.fixture(scope="module")
def still(module):
    return module.folder.declared[0]


@pytest.fixture(scope="module")
def events(module):
    return module.folder_events.declared[0]


@pytest.fixture
def mine(tmp_path) -> Path:
    (tmp_path / "mine").mkdir()
    return tmp_path / "mine"


def request(mine: Path, found, timesteps=4, **params) -> Request:
    return Request(mine.parent, timesteps, found.settle({"path": "mine", **params}), mine.parent / "cache")


def refusal(mine: Path, found, timesteps=4, **params) -> str:
    """What both the loader and its verification say: one sentence, and no frames of the fault are left."""
    asked = request(mine, found, timesteps, **params)
    with pytest.raises(BenchError) as caught:
        prepare(found, asked)
    with pytest.raises(BenchError) as verified:
        found.verify(asked)
    assert str(caught.value) == str(verified.value) and "\n" not in str(caught.value)
    left = {file.stem for file in (mine.parent / "cache").rglob("*.npy")}
    assert left <= {"train", "train.labels", "train.late", "train.speaker"}
    return str(caught.value)


def rows(x) -> torch.Tensor:
    return x[torch.arange(len(x))]


# --- pictures ---


def write_pictures(mine: Path, counts=None, shape=(5, 4, 3)) -> dict[str, list]:
    """Pictures without loss, shape (H, W, 3) or (H, W); returned as they should be read, with labels."""
    rng = np.random.default_rng(0)
    content = {}
    for split, many in (counts or {"train": 5, "test": 2}).items():
        content[split] = []
        for label, name in enumerate(CLASSES):
            (mine / split / name).mkdir(parents=True)
            for i in range(many):
                pixels = rng.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(mine / split / name / f"{i}.{('png', 'bmp')[i % 2]}")
                content[split].append((np.atleast_3d(pixels).transpose(2, 0, 1), label))
    return content


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4)])
def test_pictures_are_read_as_they_are(mine, still, shape):
    counts = {"train": 3, "val": 1, "test": 2}
    content = write_pictures(mine, counts, shape)
    (mine / "train" / "cat" / "notes.txt").write_text("no picture")
    prepared = prepare(still, request(mine, still))
    assert prepared.shape == (1 if len(shape) == 2 else 3, 5, 4) and prepared.classes == 3
    start = 0
    for name in ("train", "val", "test"):
        split = getattr(prepared, name)
        assert split.x.dtype == torch.uint8
        np.testing.assert_array_equal(rows(split.x), np.stack([pixels for pixels, _ in content[name]]))
        assert split.y.tolist() == [label for _, label in content[name]]
        assert split.ids.tolist() == list(range(start, start + len(split)))
        start += len(split)
    assert "train: 9 samples of 3 classes" in still.verify(request(mine, still))


def test_pictures_equal_torchvisions(mine, still):
    from torchvision.datasets import ImageFolder
    from torchvision.transforms.v2.functional import pil_to_tensor, resize

    write_pictures(mine)
    splits = still.load(request(mine, still, side=8))
    for name in ("train", "test"):
        theirs = ImageFolder(mine / name)
        ours = splits.train if name == "train" else splits.test()
        assert [label for _, label in theirs] == ours.y.tolist()
        expected = torch.stack([pil_to_tensor(resize(picture, [8, 8])) for picture, _ in theirs])
        assert torch.equal(rows(ours.x), expected)


def test_without_val_a_fifth_of_train_is_cut_out(mine, still):
    write_pictures(mine)
    prepared = prepare(still, request(mine, still))
    assert (len(prepared.train), len(prepared.val)) == (12, 3)
    assert sorted(prepared.val.y.tolist()) == [0, 1, 2]


def test_second_load_does_without_torchvision(mine, still, monkeypatch):
    write_pictures(mine)
    first = prepare(still, request(mine, still)).checksum
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    assert prepare(still, request(mine, still)).checksum == first
    Image.new("RGB", (4, 5)).save(mine / "train" / "cat" / "0.png")
    with pytest.raises(ImportError):
        still.load(request(mine, still))


def test_absolute_path_needs_no_root(mine, still, tmp_path):
    write_pictures(mine)
    asked = Request(Path("/nowhere"), 4, still.settle({"path": str(mine)}), tmp_path / "cache")
    assert len(still.load(asked).train) == 15


def test_pictures_that_differ_are_named(mine, still):
    write_pictures(mine)
    odd = mine / "test" / "dog" / "1.bmp"
    Image.new("RGB", (9, 5)).save(odd)
    said = refusal(mine, still)
    assert str(odd) in said and "9 x 5 RGB" in said and "4 x 5 RGB" in said and "side" in said
    Image.new("L", (4, 5)).save(odd)
    assert "4 x 5 greyscale" in refusal(mine, still)
    odd.unlink()
    Image.new("RGBA", (4, 5)).save(odd.with_suffix(".png"))
    assert "its mode is RGBA" in refusal(mine, still)


def test_side_makes_one_size_of_many(mine, still):
    write_pictures(mine)
    Image.new("RGB", (9, 5)).save(mine / "test" / "dog" / "1.bmp")
    assert still.load(request(mine, still, side=6)).shape == (3, 6, 6)


@pytest.mark.parametrize("place", ["train/cat/0.png", "test/emu/1.bmp"])
def test_damaged_picture_is_named(mine, still, place):
    write_pictures(mine)
    content = (mine / place).read_bytes()
    for damaged in (content[: len(content) // 2], b"no picture at all"):
        (mine / place).write_bytes(damaged)
        said = refusal(mine, still)
        assert str(mine / place) in said and "cannot be read as a picture" in said


def test_classes_that_do_not_fit_are_named(mine, still):
    write_pictures(mine)
    (mine / "test" / "yak").mkdir()
    Image.new("RGB", (4, 5)).save(mine / "test" / "yak" / "0.png")
    assert f"{mine / 'test' / 'yak'} is a class, but not one of" in refusal(mine, still)
    (mine / "train" / "yak").mkdir()
    said = refusal(mine, still)
    assert str(mine / "train") in said and "yak" in said


def test_test_may_lack_a_class(mine, still):
    write_pictures(mine)
    for file in (mine / "test" / "cat").iterdir():
        file.unlink()
    (mine / "test" / "cat").rmdir()
    assert still.load(request(mine, still)).test().y.tolist() == [1, 1, 2, 2]


def test_missing_folders_tell_what_was_looked_for(mine, still, events):
    assert "looked for train or train.npz in" in refusal(mine, still)
    assert "looked for train.npz or train.h5 or shd_train.h5 in" in refusal(mine, events)
    (mine / "train").mkdir()
    said = refusal(mine, still)
    assert f"{mine / 'test'} is not" in said
    (mine / "test").mkdir()
    assert "has no pictures" in refusal(mine, still)
    (mine / "train.npz").touch()
    assert "it has 2 of them" in refusal(mine, still)
    assert f"{mine.parent / 'other'} is no folder" in refusal(mine, still, path="other")
    for found in (still, events):
        assert "path = " in refusal(mine, found, path="")


# --- arrays ---


def test_a_picture_that_would_be_left_out_is_refused(mine, still):
    write_pictures(mine)
    Image.new("RGB", (4, 5)).save(mine / "train" / "dog" / "9.gif")
    with pytest.raises(
        BenchError, match=r"train/dog/9\.gif is no picture that can be used.*\.png.*convert it"
    ):
        still.load(request(mine, still))


def test_links_that_lead_nowhere_or_round_in_a_circle_are_named(mine, still):
    write_pictures(mine)
    link = mine / "train" / "cat" / "link.png"
    link.symlink_to("/nowhere/at/all.png")
    with pytest.raises(BenchError, match=r"train/cat/link\.png is a link to nothing; remove it"):
        still.load(request(mine, still))
    link.unlink()
    (mine / "train" / "cat" / "loop").symlink_to(mine / "train")
    with pytest.raises(BenchError, match=r"train/cat/loop is a link to a folder that it lies in; remove it"):
        still.load(request(mine, still))


def test_a_link_to_pictures_elsewhere_is_followed(mine, still, tmp_path):
    write_pictures(mine)
    (mine / "train" / "cat").rename(tmp_path / "cats")
    (mine / "train" / "cat").symlink_to(tmp_path / "cats")
    assert len(still.load(request(mine, still)).train) == 15


def write_arrays(mine: Path, shape, dtype="float32", counts=None, **changed) -> dict[str, dict]:
    rng = np.random.default_rng(1)
    content = {}
    for split, many in (counts or {"train": 10, "test": 4}).items():
        x = rng.integers(0, 100, (many, *shape)).astype(dtype)
        content[split] = {"x": x, "y": np.arange(many) % 2} | changed.get(split, {})
        np.savez(mine / f"{split}.npz", **content[split])
    return content


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
@pytest.mark.parametrize("shape", [(7,), (2, 3, 5)])
def test_arrays_come_back_as_they_are(mine, still, events, shape, dtype):
    for found, form in ((still, shape), (events, (4, *shape))):
        content = write_arrays(mine, form, dtype, {"train": 6, "val": 2, "test": 4})
        prepared = prepare(found, request(mine, found))
        assert prepared.shape == shape and prepared.classes == 2
        for name in ("train", "val", "test"):
            split = getattr(prepared, name)
            assert str(split.x.dtype) == f"torch.{dtype}"
            np.testing.assert_array_equal(rows(split.x), content[name]["x"])
            np.testing.assert_array_equal(split.y, content[name]["y"])
        assert torch.cat([prepared.train.ids, prepared.val.ids, prepared.test.ids]).tolist() == list(
            range(12)
        )
        assert found.verify(request(mine, found))[:2] == [
            "train: 6 samples of 2 classes",
            "val: 2 samples of 2 classes",
        ]


def test_compressed_arrays_are_read_too(mine, still):
    for split in ("train", "test"):
        x = np.arange(30, dtype=np.uint8).reshape(10, 3)
        np.savez_compressed(mine / f"{split}.npz", x=x, y=np.arange(10) % 2)
    assert rows(still.load(request(mine, still)).test().x).tolist() == x.tolist()


def test_frames_need_the_time_steps_asked_for(mine, events):
    write_arrays(mine, (6, 7))
    said = refusal(mine, events, timesteps=4)
    assert str(mine / "train.npz") in said and "6 time steps" in said and "4 are asked for" in said
    assert events.load(request(mine, events, timesteps=6)).shape == (7,)


@pytest.mark.parametrize("name", ["folder", "folder-events"])
def test_wrong_dimensions_are_refused(mine, still, events, name):
    found, shape = (still, (4, 7)) if name == "folder" else (events, (7,))
    write_arrays(mine, shape)
    said = refusal(mine, found)
    assert f"{mine / 'train.npz'}: x has shape {[10, *shape]}; it must be [N, " in said
    write_arrays(mine, (4, 0))
    assert "[10, 4, 0]" in refusal(mine, events)


X = np.ones((4, 7), dtype=np.float32)
FAULTS = {
    "float64": ({"x": X.astype(float)}, "x is float64; save it as float32"),
    "int64": ({"x": X.astype(int)}, "x is int64"),
    "big-endian": ({"x": X.astype(">f4")}, "x is >f4"),
    "bool": ({"x": X > 0}, "x is bool"),
    "other dtype than train": ({"x": X.astype(np.uint8)}, "uint8 [7] and those of train.npz float32 [7]"),
    "other shape than train": ({"x": X[:, :5]}, "float32 [5] and those of train.npz float32 [7]"),
    "not a number": (
        {"x": np.where(np.arange(4)[:, None] == 2, np.nan, X)},
        "record 2: x has values that are not",
    ),
    "infinite": (
        {"x": np.where(np.arange(4)[:, None] == 1, np.inf, X)},
        "record 1: x has values that are not",
    ),
    "objects": ({"x": np.array([[None]], dtype=object)}, "x is object"),
    "objects as labels": ({"y": np.array([None] * 4, dtype=object)}, "y cannot be read"),
    "label of no class": (
        {"y": np.array([0, 1, 2, 0])},
        "record 2: label 2 is not one of the 2 classes 0 to 1",
    ),
    "negative label": ({"y": np.array([0, 1, 0, -1])}, "record 3: label -1"),
    "labels not whole": ({"y": np.array([0.0, 1, 0, 1])}, "y is float64"),
    "labels one-hot": ({"y": np.eye(4, dtype=int)}, "y is int64 of shape [4, 4]"),
    "too few labels": ({"y": np.array([0, 1])}, "of the 4 samples"),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_fault_is_told_by_file_and_record(mine, still, fault):
    change, expected = FAULTS[fault]
    if "x" in change and change["x"].dtype == float and fault != "float64":
        change = {"x": change["x"].astype(np.float32)}
    write_arrays(mine, (7,), counts={"train": 10, "test": 4}, test=change)
    said = refusal(mine, still)
    assert str(mine / "test.npz") in said and expected in said


def test_class_without_training_samples_is_named(mine, still):
    write_arrays(mine, (7,), train={"y": np.array([0, 2] * 5)})
    assert f"{mine / 'train.npz'}: its labels go up to 2 and class 1 has no sample" in refusal(mine, still)


def test_missing_array_and_files_that_are_none(mine, still):
    write_arrays(mine, (7,))
    whole = (mine / "test.npz").read_bytes()
    np.savez(mine / "test.npz", images=X, y=np.arange(4))
    assert "it has no array x but images, y" in refusal(mine, still)
    np.save(mine / "plain.npy", X)
    for content in (whole[:-30], b"", b"text" * 50, (mine / "plain.npy").read_bytes(), damaged(whole)):
        (mine / "test.npz").write_bytes(content)
        said = refusal(mine, still)
        assert str(mine / "test.npz") in said and "cannot be read" in said


def damaged(archive: bytes) -> bytes:
    """A byte of the first array changed: the archive's own checksum tells."""
    place = archive.index(b"\x93NUMPY") + 140
    return archive[:place] + bytes([archive[place] ^ 255]) + archive[place + 1 :]


def test_settings_of_another_form_are_refused(mine, still, events):
    write_arrays(mine, (4, 7))
    assert "pool = 5 has no meaning for" in refusal(mine, events, pool=5)
    write_arrays(mine, (7,))
    assert "side = 8 has no meaning for" in refusal(mine, still, side=8)


# --- recordings ---


def write_recordings(mine: Path, prefix="", speakers=(0, 1, 2, 3, 4), splits=("train", "test")) -> None:
    """Three classes, two recordings a class and speaker; each has one event, whose unit is its number."""
    for split in splits:
        who = [(label, speaker) for speaker in speakers or (0,) for label in range(3) for _ in range(2)]
        with h5py.File(mine / f"{prefix}{split}.h5", "w") as file:
            times = file.create_dataset("spikes/times", (len(who),), h5py.vlen_dtype(np.dtype("float16")))
            units = file.create_dataset("spikes/units", (len(who),), h5py.vlen_dtype(np.dtype("uint16")))
            for i in range(len(who)):
                times[i], units[i] = np.array([1.0], np.float16), np.array([i], np.uint16)
            file["labels"] = np.array([label for label, _ in who])
            if speakers:
                file["extra/speaker"] = np.array([speaker for _, speaker in who])


@pytest.mark.parametrize("prefix", ["", "shd_"])
def test_recordings_are_binned_and_the_last_speaker_held_out(mine, events, prefix):
    write_recordings(mine, prefix)
    prepared = prepare(events, request(mine, events, units=40, pool=2, duration=1.2))
    assert prepared.shape == (20,) and prepared.classes == 3
    assert prepared.val.ids.tolist() == list(range(24, 30)) and len(prepared.train) == 24
    assert prepared.note == "validation: training speakers 4"
    for split in (prepared.train, prepared.val, prepared.test):
        x = rows(split.x)
        assert x.sum((1, 2)).tolist() == [1] * len(split) and x[:, 3].sum() == len(split)
        assert x[:, 3].argmax(1).tolist() == [i % 30 // 2 for i in split.ids.tolist()]


def test_own_val_file_goes_before_speakers(mine, events):
    write_recordings(mine, splits=("train", "val", "test"))
    splits = events.load(request(mine, events))
    test = splits.test()
    assert len(splits.train) == len(splits.val) == len(test) == 30 and splits.note() == ""
    assert test.ids.tolist() == list(range(60, 90))


@pytest.mark.parametrize("speakers", [(), (3,)])
def test_without_several_speakers_a_fifth_is_cut_out(mine, events, speakers):
    write_recordings(mine, speakers=speakers)
    splits = events.load(request(mine, events))
    assert splits.val is None and len(splits.train) == 6


@pytest.mark.parametrize("form", ["pictures", "arrays", "frames", "recordings"])
def test_tuning_does_not_read_test_files(mine, still, events, form):
    found = still if form in ("pictures", "arrays") else events
    if form == "pictures":
        write_pictures(mine)
    elif form == "recordings":
        write_recordings(mine)
    else:
        write_arrays(mine, (7,) if form == "arrays" else (4, 7))
    whole = prepare(found, request(mine, found))
    for file in mine.rglob("*"):
        if file.is_file() and "test" in str(file.relative_to(mine)):
            file.write_bytes(b"no data")
    tuned = prepare(found, request(mine, found), test=False)
    assert tuned.train.x.checksum == whole.train.x.checksum
    assert torch.equal(tuned.val.ids, whole.val.ids)
    with pytest.raises(BenchError, match=r"/test.*(cannot be read|no whole HDF5 file)"):
        prepare(found, request(mine, found))


def test_faults_of_recordings_are_told(mine, events):
    write_recordings(mine)
    said = refusal(mine, events, units=20)
    assert f"{mine / 'train.h5'}, record 20, event 0: unit 20 is not one of the 20 units" in said
    with h5py.File(mine / "test.h5", "a") as file:
        file["labels"][4] = 3
    assert f"{mine / 'test.h5'}, record 4: label 3" in refusal(mine, events)
    (mine / "test.h5").write_bytes(b"text" * 300)
    assert f"{mine / 'test.h5'} is no whole HDF5 file" in refusal(mine, events)
    (mine / "test.h5").unlink()
    assert f"{mine / 'test.h5'} is not" in refusal(mine, events)


def test_real_spoken_digits(events, tmp_path):
    """Real speech in this layout; logistic regression gets somewhat over 90 % from 5 x 35 counts."""
    root = Path(os.environ.get("SPIKEGRAD_DATA", "/nonexistent"))
    if not (root / "fsdd").is_dir():
        pytest.skip("SPIKEGRAD_DATA names no folder that holds fsdd")
    from sklearn.linear_model import LogisticRegression

    asked = Request(root, 5, events.settle({"path": "fsdd", "pool": 20, "duration": 0.7}), tmp_path)
    splits = prepare(events, asked)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (2250, 450, 300)
    train, val, test = (
        (rows(split.x).flatten(1).double().sqrt().numpy(), split.y.numpy())
        for split in (splits.train, splits.val, splits.test)
    )
    x, y = (np.concatenate(both) for both in zip(train, val, strict=True))
    score = LogisticRegression(max_iter=500, tol=1e-3).fit(x, y).score(*test)
    assert 0.88 <= score <= 0.96
