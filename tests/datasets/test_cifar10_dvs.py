"""CIFAR10-DVS from tiny recordings, written by the makers of the file format."""

import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from torch.nn import functional

from bench.data.loading import Request, prepare
from bench.errors import BenchError
from bench.randomness import uniform

dv = pytest.importorskip("dv_processing", reason="dv-processing writes the recordings of these tests")
pytest.importorskip("aedat", reason="tonic reads recordings by the package aedat")

T = 3
PER_CLASS = 12
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@pytest.fixture(scope="module")
def module(plugin):
    return plugin("cifar10_dvs")


@pytest.fixture(scope="module")
def declared(module):
    return module.cifar10_dvs.declared[0]


def write_file(file: Path, rows) -> None:
    """Events (t in us, x, y, p)."""
    file.parent.mkdir(parents=True, exist_ok=True)
    store = dv.EventStore()
    for t, x, y, p in rows:
        store.push_back(t, x, y, bool(p))
    camera = dv.io.MonoCameraWriter.EventOnlyConfig("DVS128", (128, 128))
    writer = dv.io.MonoCameraWriter(str(file), camera)
    writer.writeEvents(store)
    del writer  # closes the file


def some_events(seed: int, count: int = 20):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(1, 1_000_000, count))
    places = rng.integers(0, [128, 128, 2], (count, 3))
    return [(int(t), *map(int, place)) for t, place in zip(times, places, strict=True)]


def name(label: int, number: int) -> str:
    return f"CIFAR10DVS/{CLASSES[label]}/cifar10_{CLASSES[label]}_{number}.aedat4"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data root, and its events by class and number; not to be changed."""
    root = tmp_path_factory.mktemp("cifar10dvs")
    events = {(c, n): some_events(100 * c + n) for c in range(10) for n in range(PER_CLASS)}
    for (label, number), rows in events.items():
        write_file(root / name(label, number), rows)
    return root, events


@pytest.fixture(scope="module")
def prepared(declared, data):
    return prepare(declared, request(declared, data[0]))


def request(declared, root: Path, cache: Path | None = None, **params) -> Request:
    return Request(root, T, declared.settle(params), cache or root / "cache")


def everything(prepared):
    """(frames [N, T, 2, 48, 48], labels) in the order of ids."""
    splits = (prepared.train, prepared.val, prepared.test)
    order = torch.cat([split.ids for split in splits]).argsort()
    x = torch.cat([split.x[torch.arange(len(split))] for split in splits])
    return x[order].numpy(), torch.cat([split.y for split in splits])[order].tolist()


# --- loading ---


def counted(rows, timesteps: int, how: str):
    """Frames at full size, [T, 2, 128, 128]."""
    frames = np.zeros((timesteps, 2, 128, 128))
    start, end = rows[0][0], rows[-1][0]
    for i, (t, x, y, p) in enumerate(rows):
        frame = (
            i // (len(rows) // timesteps) if how == "count" else (t - start) // ((end - start) // timesteps)
        )
        frames[min(frame, timesteps - 1), p, y, x] += 1
    return frames


@pytest.mark.parametrize("how", ["count", "time"])
def test_frames_are_those_of_a_plain_loop_and_pillow(declared, data, prepared, how):
    root, events = data
    found = prepared if how == "count" else prepare(declared, request(declared, root, slices="time"))
    x, labels = everything(found)
    assert x.shape == (120, T, 2, 48, 48) and x.dtype == np.float32
    # Files are taken by number, not by name: 2 comes before 10.
    assert labels == [c for c in range(10) for _ in range(PER_CLASS)]
    for row, key in list(enumerate(sorted(events)))[::11]:
        expected = [
            [
                np.asarray(Image.fromarray(plane.astype(np.float32)).resize((48, 48), Image.BILINEAR))
                for plane in frame
            ]
            for frame in counted(events[key], T, how)
        ]
        np.testing.assert_allclose(x[row], expected, atol=1e-6)


def test_cuts_by_count_unless_told(declared):
    assert declared.params["slices"].default == "count"


def test_a_tenth_of_each_class_is_for_testing(prepared):
    assert [len(s) for s in (prepared.train, prepared.val, prepared.test)] == [97, 11, 12]
    assert prepared.test.y.bincount().min() == 1 and prepared.val.y.bincount().min() == 1
    assert prepared.note == "120 of 10,000 recordings"
    assert prepared.shape == (2, 48, 48) and prepared.classes == 10


def test_order_of_the_listing_does_not_matter(declared, data, prepared, monkeypatch, tmp_path):
    plain = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: reversed(list(plain(self, pattern))))
    again = prepare(declared, request(declared, data[0], cache=tmp_path))
    assert again.checksum == prepared.checksum


def test_a_missing_recording_does_not_deal_out_the_others_anew(declared, data, prepared, tmp_path):
    shutil.copytree(data[0] / "CIFAR10DVS", tmp_path / "CIFAR10DVS", copy_function=os.link)
    gone = next(i for i in range(PER_CLASS) if i not in prepared.test.ids)
    (tmp_path / name(0, gone)).unlink()
    fewer = prepare(declared, request(declared, tmp_path))
    before, after = (set(each.test.ids.tolist()) for each in (prepared, fewer))
    assert len(before & after) >= len(before) - 2


def test_no_note_when_complete(module):
    assert module._note([Path("x")] * 10_000) == ""


def test_later_loads_do_without_tonic(declared, data, prepared, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tonic.io", None)
    assert prepare(declared, request(declared, data[0])).checksum == prepared.checksum


def test_verify_reads_everything(declared, data):
    assert declared.verify(request(declared, data[0])) == ["120 of 10,000 recordings", "2,400 events"]


# --- resizing ---

COUNTS = arrays(np.int64, (2, 128, 128), elements=st.integers(0, 1000), fill=st.just(0))


@settings(max_examples=20)
@given(counts=COUNTS)
def test_resizes_as_torch_does(module, counts):
    expected = functional.interpolate(
        torch.from_numpy(counts[None]).double(), (48, 48), mode="bilinear", antialias=True
    )[0]
    found = module.resize(counts, 48)
    assert found.dtype == np.float32 and found.shape == (2, 48, 48)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("value", [0, 1, 7, 30_000])
def test_a_plain_picture_keeps_its_value(module, value):
    """No value is clipped or rounded to 8 bits."""
    assert (module.resize(np.full((3, 2, 128, 128), value), 48) == value).all()


def test_the_same_size_changes_nothing(module):
    counts = np.random.default_rng(0).integers(0, 9, (2, 16, 16))
    np.testing.assert_array_equal(module.resize(counts, 16), counts)


def test_weights_are_whole_numbers(module):
    """So that no order of additions can change a byte: each sum is a fraction of whole numbers."""
    one = np.zeros((128, 128))
    one[64, 64] = 1
    found = module.resize(one, 48).astype(np.float64)
    rows = [max(0, 256 - abs(129 * 48 - (2 * i + 1) * 128)) for i in range(48)]
    totals = [
        sum(max(0, 256 - abs((2 * j + 1) * 48 - (2 * i + 1) * 128)) for j in range(128)) for i in range(48)
    ]
    shares = np.array(rows) / np.array(totals)
    np.testing.assert_allclose(found, np.outer(shares, shares), rtol=1e-6)


# --- augmentation ---


def test_all_frames_of_a_sample_move_alike(declared):
    x = torch.arange(2 * 3 * 2 * 48 * 48, dtype=torch.float32).view(2, 3, 2, 48, 48)
    ids = torch.tensor([5, 77])
    moved = declared.augment["standard"](x, ids, 3, 1)
    assert moved.shape == x.shape and moved.dtype == x.dtype
    mirror, down, right = uniform(1, 3, ids, 3).unbind(1)
    for i in range(2):
        expected = x[i].flip(-1) if mirror[i] < 0.5 else x[i]
        shifts = (int(down[i] * 11) - 5, int(right[i] * 11) - 5)
        assert torch.equal(moved[i], expected.roll(shifts, dims=(-2, -1)))


# --- what is refused ---


@pytest.fixture
def one(tmp_path):
    """one(change) -> a data root with a recording of cats, its bytes changed."""

    def make(change=lambda content: content, rows=None) -> Path:
        file = tmp_path / name(3, 7)
        write_file(file, rows or some_events(1))
        file.write_bytes(change(file.read_bytes()))
        return tmp_path

    return make


def text_broken(content: bytes) -> bytes:
    return content.replace(b"originalModuleName", b"originalModule\xff\xfe\xfd\xfc")


def tag_broken(content: bytes) -> bytes:
    return content.replace(b"</dv>", b"<dv/>")


def packet_broken(content: bytes) -> bytes:
    # Frames of LZ4 start with these four bytes; the last one is that of the table at the end.
    start = content.index(b"\x04\x22\x4d\x18")
    return content[: start + 20] + bytes(30) + content[start + 50 :]


@pytest.mark.parametrize("how", ["load", "verify"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: b"", "does not start with #!AER-DAT4.0 at byte 0"),
        (lambda content: b"#!AER-DAT2.0" + content[12:], "does not start with #!AER-DAT4.0 at byte 0"),
        (lambda content: content[:300], "its header, 804 bytes from byte 18 on, is damaged (cut short)"),
        (text_broken, "its header, 804 bytes from byte 18 on, is damaged ('utf-8' codec can't decode"),
        (tag_broken, "its header, 804 bytes from byte 18 on, is damaged (cut short)"),
        (lambda content: content[:850], "cannot be decoded (failed to fill whole buffer)"),
        (packet_broken, "cannot be decoded (the stream id and"),
    ],
    ids=["empty", "version", "header", "text", "tag", "packet cut", "packet"],
)
def test_damaged_files_are_named(declared, one, how, change, message):
    root = one(change)
    pattern = re.sub("804", r"\\d+", re.escape(message))
    with pytest.raises(BenchError, match=rf"cat/cifar10_cat_7\.aedat4:? {pattern}.*fetch it again") as caught:
        getattr(declared, how)(request(declared, root))
    assert "\n" not in str(caught.value)
    assert not list((root / "cache").glob("cifar10-dvs/*/*"))


def test_events_off_the_sensor_are_named(declared, one):
    root = one(rows=[(1, 0, 0, 0), (2, 127, 127, 1), (3, 128, 0, 0)])
    with pytest.raises(BenchError, match=r"cifar10_cat_7\.aedat4, event 2: x = 128 is not in 0 to 127"):
        declared.verify(request(declared, root))


def test_a_panic_of_the_decoder_is_one_sentence(module, one, monkeypatch):
    """Rust's panics reach Python as an exception that is no Exception."""

    class PanicException(BaseException):
        pass

    def panic(file):
        raise PanicException("range end index 9 out of range")

    monkeypatch.setattr("tonic.io.read_aedat4", panic)
    with pytest.raises(BenchError, match=r"cannot be decoded \(range end index 9"):
        module._reader()(one() / name(3, 7))


def test_an_interrupt_while_decoding_is_one(module, one, monkeypatch):
    def interrupt(file):
        raise KeyboardInterrupt

    monkeypatch.setattr("tonic.io.read_aedat4", interrupt)
    with pytest.raises(KeyboardInterrupt):
        module._reader()(one() / name(3, 7))


def test_missing_folder(declared, tmp_path):
    with pytest.raises(BenchError, match="is not there") as caught:
        declared.load(request(declared, tmp_path))
    root = "name the data root that holds it"
    for part in (str(tmp_path / "CIFAR10DVS"), "SPIKEGRAD_DATA", root, "figshare", "CIFAR10DVS/airplane/"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_aedat_is_one_sentence(declared, one, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BenchError, match="package aedat, which is missing; pip install aedat"):
        declared.load(request(declared, one()))


def test_an_unknown_class_is_named(declared, one):
    root = one()
    write_file(root / "CIFAR10DVS/whale/a_1.aedat4", some_events(1))
    with pytest.raises(BenchError, match=r"whale/a_1\.aedat4: its folder should be a class, one of airplane"):
        declared.load(request(declared, root))


def test_too_few_recordings_are_refused(declared, one):
    with pytest.raises(BenchError, match="test split: 0 of 1 samples leave class 3 with none"):
        declared.load(request(declared, one()))
