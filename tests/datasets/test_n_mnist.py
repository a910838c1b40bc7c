"""N-MNIST from tiny files in the official layout, and from the real ones where they are."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data.loading import Request, prepare
from bench.errors import BenchError

T = 4


@pytest.fixture(scope="module")
def module(plugin):
    return plugin("n_mnist")


@pytest.fixture(scope="module")
def declared(module):
    return module.n_mnist.declared[0]


def encode(rows) -> bytes:
    """Events (t in us, x, y, p) in 40 bits each: x, y, polarity and time, the highest bit first."""
    return b"".join((x << 32 | y << 24 | p << 23 | t).to_bytes(5, "big") for t, x, y, p in rows)


def some_events(seed: int, count: int = 30):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, 310_000, count))
    places = rng.integers(0, [34, 34, 2], (count, 3))
    return [(int(t), *map(int, place)) for t, place in zip(times, places, strict=True)]


def write(root: Path, train: int = 20, test: int = 2) -> dict[str, list]:
    """So many training and test recordings a digit; returns their events by part and number."""
    events = {}
    for part, per_digit in (("Train", train), ("Test", test)):
        for number in range(1, 10 * per_digit + 1):
            file = root / "NMNIST" / part / str(number % 10) / f"{number:05d}.bin"
            file.parent.mkdir(parents=True, exist_ok=True)
            events[part, number] = some_events(seed=number + (1000 if part == "Test" else 0))
            file.write_bytes(encode(events[part, number]))
    return events


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data root, and the events in it; not to be changed."""
    root = tmp_path_factory.mktemp("nmnist")
    return root, write(root)


@pytest.fixture
def one(tmp_path):
    """one(content) -> a data root with that as the file of training recording 3."""

    def make(content: bytes) -> Path:
        write(tmp_path, train=1, test=1)
        (tmp_path / "NMNIST/Train/3/00003.bin").write_bytes(content)
        return tmp_path

    return make


def request(declared, root: Path, timesteps: int = T, cache: Path | None = None, **params) -> Request:
    return Request(root, timesteps, declared.settle(params), cache or root / "cache")


def plain_frames(events, timesteps: int, how: str):
    frames = np.zeros((timesteps, 2, 34, 34), dtype=int)
    start, end = events[0][0], events[-1][0]
    for i, (t, x, y, p) in enumerate(events):
        frame = (
            i // (len(events) // timesteps) if how == "count" else (t - start) // ((end - start) // timesteps)
        )
        frames[min(frame, timesteps - 1), p, y, x] += 1
    return frames


# --- loading ---


@pytest.mark.parametrize("how", ["count", "time"])
def test_reads_the_official_layout(declared, data, how):
    root, events = data
    splits = declared.load(request(declared, root, slices=how))
    assert splits.val is None
    for split, part, start, count in ((splits.train, "Train", 0, 200), (splits.test(), "Test", 60_000, 20)):
        assert split.x.shape == (count, T, 2, 34, 34) and split.x.dtype == torch.uint8
        assert split.ids.tolist() == list(range(start + 1, start + count + 1))
        assert split.y.tolist() == [number % 10 for number in range(1, count + 1)]
        frames = split.x[torch.arange(count)]
        for row, number in enumerate(range(1, count + 1)):
            np.testing.assert_array_equal(frames[row], plain_frames(events[part, number], T, how))


def test_events_are_those_of_tonics_dataset(module, data, monkeypatch):
    tonic = pytest.importorskip("tonic")
    monkeypatch.setattr(tonic.datasets.NMNIST, "_check_exists", lambda self: True)
    root, _ = data
    for part, train in (("training", True), ("test", False)):
        theirs = tonic.datasets.NMNIST(str(root), train=train)
        read, files = module._reader(), module._files(root, part)
        by_file = {Path(file): i for i, file in enumerate(theirs.data)}
        assert set(by_file) == set(files)
        for file in files[::7]:
            events, label = theirs[by_file[file]]
            ours = read(file)
            assert label == int(file.parent.name)
            for field in ("t", "x", "y", "p"):
                np.testing.assert_array_equal(ours[field], events[field])


def test_prepares_a_tenth_for_validation(declared, data):
    prepared = prepare(declared, request(declared, data[0]))
    assert (len(prepared.train), len(prepared.val), len(prepared.test)) == (180, 20, 20)
    assert prepared.val.y.bincount().tolist() == [2] * 10
    assert prepared.shape == (2, 34, 34) and prepared.classes == 10
    assert prepared.note == "200 of 60,000 training and 20 of 10,000 test recordings"
    assert prepare(declared, request(declared, data[0])).checksum == prepared.checksum


def test_tuning_does_not_read_test_recordings(declared, tmp_path):
    write(tmp_path)
    for file in (tmp_path / "NMNIST" / "Test").glob("*/*"):
        file.write_bytes(b"")
    tuned = prepare(declared, request(declared, tmp_path), test=False)
    assert (len(tuned.train), len(tuned.val)) == (180, 20)
    with pytest.raises(BenchError, match=r"NMNIST/Test/1/00001\.bin has no events"):
        prepare(declared, request(declared, tmp_path))


def test_order_of_the_listing_does_not_matter(declared, data, monkeypatch, tmp_path):
    before = prepare(declared, request(declared, data[0])).checksum
    plain = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: reversed(list(plain(self, pattern))))
    assert prepare(declared, request(declared, data[0], cache=tmp_path)).checksum == before


def test_later_loads_do_without_tonic(declared, data, monkeypatch):
    root, _ = data
    first = prepare(declared, request(declared, root)).checksum
    monkeypatch.setitem(__import__("sys").modules, "tonic.io", None)
    assert prepare(declared, request(declared, root)).checksum == first
    with pytest.raises(BenchError, match=r"tonic .* pip install tonic"):
        prepare(declared, request(declared, root, timesteps=T + 1))


def test_no_note_when_complete(module):
    complete = {part: [Path("x")] * total for part, (_, total) in module.FOLDERS.items()}
    assert module._note(complete) == ""
    assert module._note(complete | {"test": [Path("x")]}) == (
        "60,000 of 60,000 training and 1 of 10,000 test recordings"
    )


def test_verify_reads_everything(declared, data):
    facts = declared.verify(request(declared, data[0]))
    assert facts == ["200 of 60,000 training and 20 of 10,000 test recordings", "6,600 events"]


# --- what is refused ---


def test_missing_folder(declared, tmp_path):
    with pytest.raises(BenchError, match="is not there") as caught:
        declared.load(request(declared, tmp_path))
    for part in (str(tmp_path / "NMNIST" / "Train"), "SPIKEGRAD_DATA", "train.zip", "NMNIST/Train/0/"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


GOOD = some_events(seed=3)


@pytest.mark.parametrize("how", ["load", "verify"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (encode(GOOD)[:-2], r"has 148 bytes, and its event at byte 145 is cut short.*fetch it again"),
        (encode(GOOD) + b"x", r"has 151 bytes, and its event at byte 150 is cut short"),
        (b"", "has no events"),
        (encode([*GOOD, (5, 1, 1, 0)]), r", event 30: t = 5 us comes after t = \d+ us"),
        (encode([(0, 34, 0, 0), *GOOD]), r", event 0: x = 34 is not in 0 to 33"),
        (encode([(0, 0, 0, 0), (0, 0, 99, 1)]), r", event 1: y = 99 is not in 0 to 33"),
    ],
    ids=["short", "long", "empty", "backward", "x", "y"],
)
def test_damaged_files_are_named(declared, one, how, content, message):
    root = one(content)
    with pytest.raises(
        BenchError, match=rf"NMNIST/Train/3/00003\.bin{message}|00003\.bin {message}"
    ) as caught:
        getattr(declared, how)(request(declared, root))
    assert "\n" not in str(caught.value)
    assert not list((root / "cache").glob("n-mnist/*/*"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Train/3/60001.bin", "from 1 to 60000"),
        ("Train/3/0.bin", "from 1 to 60000"),
        ("Train/3/three.bin", "from 1 to 60000"),
        ("Test/3/10001.bin", "from 1 to 10000"),
        ("Train/three/00999.bin", "should be a digit"),
        ("Train/4/00003.bin", "have the same number"),
        ("Train/3/3.bin", "have the same number"),
    ],
)
def test_strange_files_are_named(declared, one, name, message):
    root = one(encode(GOOD))
    file = root / "NMNIST" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(encode(GOOD))
    with pytest.raises(BenchError, match=message) as caught:
        declared.load(request(declared, root))
    assert str(file) in str(caught.value)


def test_a_folder_in_place_of_a_file(declared, one):
    root = one(encode(GOOD))
    (root / "NMNIST/Train/3/00995.bin").mkdir()
    for how in (declared.load, declared.verify):
        with pytest.raises(BenchError, match=r"00995\.bin (cannot be read \(Is a directory\)|has \d+ bytes)"):
            how(request(declared, root))


def test_too_many_events_a_pixel(declared, one):
    root = one(encode([(t, 1, 2, 1) for t in range(300)]))
    with pytest.raises(
        BenchError, match=r"training split, sample 2: .*do not fit uint8; use more time steps"
    ):
        declared.load(request(declared, root, timesteps=1))
    declared.load(request(declared, root, timesteps=2))


# --- the real recordings ---


def test_real_files(declared, tmp_path):
    root = Path(os.environ.get("SPIKEGRAD_DATA", "/nonexistent"))
    if not (root / "NMNIST" / "Train").is_dir():
        pytest.skip("SPIKEGRAD_DATA names no folder that holds NMNIST")
    if len(list((root / "NMNIST" / "Train").glob("*/*.bin"))) > 5_000:
        pytest.skip("NMNIST is more than a sample; frames of all of it take minutes")
    prepared = prepare(declared, request(declared, root, timesteps=10, cache=tmp_path))
    x = prepared.test.x[torch.arange(len(prepared.test))].float()
    assert x.shape[1:] == (10, 2, 34, 34)
    # About 4,000 events a recording, and three saccades of a third of the time each.
    assert 2_500 < x.flatten(1).sum(1).mean() < 6_000
    assert (x.sum((2, 3, 4)) > 0).all()
