"""DVS128 Gesture from tiny files in tonic's layout."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data.loading import Request, prepare
from bench.errors import BenchError

T = 3
TRAIN_USERS = (1, 2, 19, 20, 23)
TEST_USERS = (24, 29)
LIGHTS = ("fluorescent", "fluorescent_led")


@pytest.fixture(scope="module")
def module(plugin):
    return plugin("dvs128_gesture")


@pytest.fixture(scope="module")
def declared(module):
    return module.dvs128_gesture.declared[0]


def some_events(seed: int, count: int = 40):
    """[N, 4]: x, y, p and t in ms, as tonic's files have them."""
    rng = np.random.default_rng(seed)
    table = rng.integers(0, [128, 128, 2, 6000], (count, 4))
    return table[np.argsort(table[:, 3])].astype(np.float64)


def write_all(root: Path, train=TRAIN_USERS, test=TEST_USERS, labels=range(11)) -> dict[str, list]:
    """Returns (user, light, label, table) of every file, by part, in the order of ids."""
    written = {"ibmGestureTrain": [], "ibmGestureTest": []}
    for part, users in zip(written, (train, test), strict=True):
        for user in users:
            for light in LIGHTS:
                folder = root / "DVSGesture" / part / f"user{user:02d}_{light}"
                folder.mkdir(parents=True)
                for label in labels:
                    table = some_events(len(written[part]) + 1000 * len(part))
                    np.save(folder / f"{label}.npy", table)
                    written[part].append((user, light, label, table))
    return written


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The data root, and what was written; not to be changed."""
    root = tmp_path_factory.mktemp("gesture")
    return root, write_all(root)


def request(declared, root: Path, cache: Path | None = None, timesteps: int = T, **params) -> Request:
    return Request(root, timesteps, declared.settle(params), cache or root / "cache")


def plain_frames(table, how: str, side: int):
    frames = np.zeros((T, 2, side, side), dtype=int)
    times = [int(row[3]) * 1000 for row in table]
    for i, (x, y, p, _) in enumerate(table.astype(int).tolist()):
        passed = i if how == "count" else times[i] - times[0]
        step = (len(table) if how == "count" else times[-1] - times[0]) // T
        frames[min(passed // step, T - 1), p, y * side // 128, x * side // 128] += 1
    return frames


# --- loading ---


@pytest.mark.parametrize(("how", "side"), [("count", 128), ("time", 64), ("count", 32)])
def test_frames_are_those_of_a_plain_loop(declared, data, how, side):
    root, written = data
    prepared = prepare(declared, request(declared, root, slices=how, side=side))
    assert prepared.shape == (2, side, side) and prepared.classes == 11
    every = [row for part in ("ibmGestureTrain", "ibmGestureTest") for row in written[part]]
    seen = []
    for split in (prepared.train, prepared.val, prepared.test):
        assert split.x.dtype == torch.int16 and split.x.shape[1:] == (T, 2, side, side)
        seen += split.ids.tolist()
        for row in range(0, len(split), 9):
            _, _, label, table = every[int(split.ids[row])]
            assert int(split.y[row]) == label
            np.testing.assert_array_equal(split.x[torch.tensor([row])][0], plain_frames(table, how, side))
    assert sorted(seen) == list(range(len(every)))


def test_a_smaller_side_adds_up(declared, data):
    whole, small = (prepare(declared, request(declared, data[0], side=side)).test for side in (128, 32))
    rows = torch.arange(len(whole))
    blocks = whole.x[rows].view(len(whole), T, 2, 32, 4, 32, 4).sum((4, 6))
    assert torch.equal(blocks, small.x[rows].long())


def test_events_are_those_of_tonics_dataset(module, data, monkeypatch):
    tonic = pytest.importorskip("tonic")
    monkeypatch.setattr(tonic.datasets.DVSGesture, "_check_exists", lambda self: True)
    root, _ = data
    for part, train in (("training", True), ("test", False)):
        theirs = tonic.datasets.DVSGesture(str(root), train=train)
        by_file = {Path(file): i for i, file in enumerate(theirs.data)}
        ours = module._recordings(root, part)
        assert set(by_file) == {recording.file for recording in ours}
        for recording in ours[::7]:
            i = by_file[recording.file]
            events, label = theirs[i]
            assert (recording.label, recording.user, recording.light) == (
                label,
                theirs.users[i],
                theirs.lighting[i],
            )
            found = module.read(recording.file)
            for field in ("t", "x", "y", "p"):
                np.testing.assert_array_equal(found[field], events[field])


def test_validation_is_of_people_not_in_training(declared, data):
    root, written = data
    prepared = prepare(declared, request(declared, root))
    users = torch.tensor([user for user, *_ in written["ibmGestureTrain"]])
    assert set(users[prepared.train.ids].tolist()) == {1, 2, 19}
    assert set(users[prepared.val.ids].tolist()) == {20, 23}
    assert [len(s) for s in (prepared.train, prepared.val, prepared.test)] == [66, 44, 44]
    assert prepared.note == "110 training and 44 test recordings"


@pytest.mark.parametrize("train", [(1, 2, 3), (20, 21, 22)], ids=["nobody held out", "nobody left"])
def test_validation_is_stratified_where_people_do_not_suffice(declared, tmp_path, train):
    write_all(tmp_path, train=train, test=(24,))
    prepared = prepare(declared, request(declared, tmp_path))
    assert prepared.val.y.bincount().min() >= 1 and len(prepared.val) == round(0.2 * 66)
    assert prepared.note.endswith("recordings; validation stratified: users 20, 21, 22, 23 lack gestures")


def test_validation_is_stratified_where_a_gesture_is_missing(declared, tmp_path):
    write_all(tmp_path, train=(1, 2, 3, 20), test=(24,))
    for light in LIGHTS:
        (tmp_path / f"DVSGesture/ibmGestureTrain/user20_{light}/4.npy").unlink()
    prepared = prepare(declared, request(declared, tmp_path))
    assert prepared.val.y.bincount().min() >= 1
    assert "; validation stratified" in prepared.note


def test_tuning_does_not_read_test_recordings(declared, tmp_path):
    write_all(tmp_path)
    for file in (tmp_path / "DVSGesture" / "ibmGestureTest").glob("*/*"):
        file.write_bytes(b"")
    tuned = prepare(declared, request(declared, tmp_path, side=32), test=False)
    assert (len(tuned.train), len(tuned.val)) == (66, 44)
    with pytest.raises(BenchError, match=r"ibmGestureTest/.*\.npy cannot be read"):
        prepare(declared, request(declared, tmp_path, side=32))


def test_order_of_the_listing_does_not_matter(declared, data, monkeypatch, tmp_path):
    before = prepare(declared, request(declared, data[0], side=32)).checksum
    plain = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: reversed(list(plain(self, pattern))))
    assert prepare(declared, request(declared, data[0], side=32, cache=tmp_path)).checksum == before


def test_verify_reads_everything(declared, data):
    facts = declared.verify(request(declared, data[0]))
    assert facts == ["110 training and 44 test recordings", "6,160 events"]


@pytest.mark.parametrize("kind", ["float32", "int64", "uint32"])
def test_any_type_of_number_goes(module, tmp_path, kind):
    table = some_events(1)
    np.save(tmp_path / "a.npy", table.astype(kind))
    np.testing.assert_array_equal(module.read(tmp_path / "a.npy")["t"], table[:, 3] * 1000)


def test_more_events_than_a_byte_holds(declared, tmp_path):
    write_all(tmp_path, train=(1, 2, 20), test=(24,))
    table = np.tile([5.0, 6.0, 1.0, 10.0], (1000, 1))
    np.save(tmp_path / "DVSGesture/ibmGestureTest/user24_fluorescent/0.npy", table)
    x = prepare(declared, request(declared, tmp_path, timesteps=1)).test.x[torch.tensor([0])]
    assert x[0, 0, 1, 6, 5] == 1000 == x.sum()


# --- what is refused ---


def with_row(row, value):
    table = some_events(1)
    table[row] = value
    return table


@pytest.mark.parametrize("how", ["load", "verify"])
@pytest.mark.parametrize(
    ("table", "message"),
    [
        (with_row(7, [0, 0, 0, 99_999]), r", event 8: t = \d+ ms comes after t = 99999 ms"),
        (with_row(0, [128, 0, 0, 0]), r", event 0: x = 128 is not in 0 to 127"),
        (with_row(39, [0, -1, 0, 6000]), r", event 39: y = -1 is not in 0 to 127"),
        (with_row(39, [0, 0, 2, 6000]), r", event 39: p = 2 is not in 0 to 1"),
        (with_row(4, [0, 0, 0.5, 0]), r", event 4: \[0.0, 0.0, 0.5, 0.0\] are not whole numbers"),
        (with_row(4, [0, 0, 0, np.nan]), r", event 4: .*nan\] are not whole numbers"),
        (np.zeros((0, 4)), r" has no events"),
        (np.zeros((5, 3)), r" has an array \[5, 3\] of float64; .* \[events, 4\]: x, y, p, t"),
        (np.array([["a"] * 4]), r" has an array \[1, 4\] of <U1; "),
    ],
    ids=["time", "x", "y", "p", "fraction", "nan", "empty", "columns", "text"],
)
def test_damaged_recordings_are_named(declared, tmp_path, how, table, message):
    write_all(tmp_path, train=(1,), test=(24,), labels=(3,))
    np.save(tmp_path / "DVSGesture/ibmGestureTrain/user01_fluorescent/3.npy", table)
    with pytest.raises(BenchError, match=rf"ibmGestureTrain/user01_fluorescent/3\.npy{message}") as caught:
        getattr(declared, how)(request(declared, tmp_path))
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").glob("dvs128-gesture/*/*"))


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("unpickled"),))


@pytest.mark.parametrize("damage", ["cut", "empty", "objects", "text"])
def test_files_that_are_no_arrays_are_named(module, tmp_path, monkeypatch, damage):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "3.npy"
    np.save(file, some_events(1))
    if damage == "objects":
        np.save(file, np.array([[Bomb()] * 4], dtype=object), allow_pickle=True)
    else:
        file.write_bytes({"cut": file.read_bytes()[:-9], "empty": b"", "text": b"x, y, p, t\n"}[damage])
    with pytest.raises(BenchError, match=r"3\.npy cannot be read as an array .*fetch it again") as caught:
        module.read(file)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("user01_fluorescent/11.npy", "should be a gesture, 0 to 10"),
        ("user01_fluorescent/wave.npy", "should be a gesture, 0 to 10"),
        ("someone/1.npy", "should be named as user01_fluorescent is"),
    ],
)
def test_strange_files_are_named(declared, tmp_path, name, message):
    write_all(tmp_path, train=(1,), test=(24,), labels=(3,))
    file = tmp_path / "DVSGesture/ibmGestureTrain" / name
    file.parent.mkdir(exist_ok=True)
    np.save(file, some_events(1))
    with pytest.raises(BenchError, match=message) as caught:
        declared.load(request(declared, tmp_path))
    assert str(file) in str(caught.value)


def test_missing_folder(declared, tmp_path):
    with pytest.raises(BenchError, match="is not there") as caught:
        declared.load(request(declared, tmp_path))
    for part in ("DVSGesture/ibmGestureTrain", "SPIKEGRAD_DATA", "figshare", "user01_fluorescent/0.npy"):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("side", [33, 100, 127])
def test_sides_in_between_are_refused(declared, tmp_path, side):
    with pytest.raises(BenchError, match=f"side must be 32, 64 or 128, got {side}"):
        declared.load(request(declared, tmp_path, side=side))
