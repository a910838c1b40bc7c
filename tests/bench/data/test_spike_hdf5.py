"""Spike recordings: every event counted once, and each fault of a file told by file and record."""

from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.data.loading import Request
from bench.data.spike_hdf5 import SpikeFile, check_labels, count, held_out, late_note, load, verify
from bench.errors import BenchError

UNITS = 6
TIMES = [[0.0, 0.5, 0.5, 1.25], [0.25, 1.0], []]
EVENT_UNITS = [[0, 5, 5, 2], [1, 3], []]
LABELS = [0, 1, 2]


def write(path: Path, times=TIMES, units=EVENT_UNITS, labels=LABELS, speakers=None, dtype="float16") -> Path:
    """A file in SHD's layout."""
    with h5py.File(path, "w") as file:
        for key, values, kind in (("times", times, dtype), ("units", units, "uint16")):
            made = file.create_dataset(f"spikes/{key}", (len(values),), h5py.vlen_dtype(np.dtype(kind)))
            for i, one in enumerate(values):
                made[i] = np.array(one, dtype=kind)
        file["labels"] = np.asarray(labels)
        if speakers is not None:
            file["extra/speaker"] = np.array(speakers, dtype=np.uint16)
    return path


def refusal(call, *arguments) -> str:
    """The one sentence that a call refuses with."""
    with pytest.raises(BenchError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read_whole(path: Path, classes=3) -> None:
    with SpikeFile(path, UNITS, classes) as file:
        for i in range(len(file)):
            file.events(i)


def request(tmp_path, timesteps=4, duration=1.4, pool=1) -> Request:
    return Request(tmp_path, timesteps, {"duration": duration, "pool": pool}, tmp_path / "cache")


# --- binning ---


@st.composite
def recordings(draw):
    """Times that float16 or float32 can hold, as the files have them, and units."""
    width = draw(st.sampled_from([16, 32]))
    times = draw(st.lists(st.floats(0, 4, width=width), max_size=30))
    units = draw(st.lists(st.integers(0, 11), min_size=len(times), max_size=len(times)))
    return np.array(sorted(times)), np.array(units, dtype=np.int64)


@given(
    recording=recordings(),
    timesteps=st.integers(1, 50),
    duration=st.sampled_from([0.001, 0.3, 1.0, 1.1, 1.4, 3.5]),
    pool=st.sampled_from([1, 2, 3, 12]),
)
def test_counts_equal_a_plain_loop_and_no_event_is_lost(recording, timesteps, duration, pool):
    times, units = recording
    counts, late = count(times, units, timesteps, duration, 12, pool)
    expected = np.zeros((timesteps, 12 // pool), dtype=int)
    too_late = 0
    for time, unit in zip(times, units, strict=True):
        # Exact arithmetic from the docstring: whole microseconds, then equal slices.
        at, end = Fraction(round(Fraction(time) * 10**6)), Fraction(str(duration)) * 10**6
        slices = [k for k in range(timesteps) if k * end <= at * timesteps < (k + 1) * end]
        if slices:
            expected[slices[0], unit // pool] += 1
        else:
            too_late += 1
    np.testing.assert_array_equal(counts, expected)
    assert late == too_late and counts.sum() + late == len(times)


@given(recording=recordings())
def test_finer_slices_and_units_add_up_to_coarser_ones(recording):
    fine, late = count(*recording, 12, 1.2, 12)
    coarse, same = count(*recording, 4, 1.2, 12, 3)
    np.testing.assert_array_equal(fine.reshape(4, 3, 4, 3).sum((1, 3)), coarse)
    assert late == same


def test_boundaries_belong_to_the_later_slice():
    """As decimals they are exact, which the quotient 0.25 · 110 / 1.1 of doubles (24.99...) is not."""
    counts, late = count(np.array([0.25, 1.1]), np.array([0, 0]), 110, 1.1, 1)
    assert counts[25, 0] == 1 and late == 1


def test_times_beyond_any_range_are_late():
    assert count(np.array([1e300]), np.array([0]), 4, 1.4, 1)[1] == 1


# --- reading ---


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_reads_back_what_was_written(tmp_path, dtype):
    path = write(tmp_path / "a.h5", dtype=dtype, speakers=[3, 3, 4])
    with SpikeFile(path, UNITS, 3) as file:
        assert len(file) == 3 and file.labels.tolist() == LABELS and file.speakers.tolist() == [3, 3, 4]
        for i in range(3):
            times, units = file.events(i)
            assert times.tolist() == TIMES[i] and units.tolist() == EVENT_UNITS[i]
            assert times.dtype == np.float64 and units.dtype == np.int64


def test_recordings_of_one_length_may_be_rows(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["spikes/times"] = np.array([[0.5, 1], [0, 0.25]], dtype=np.float16)
        file["spikes/units"] = np.array([[1, 2], [3, 4]], dtype=np.uint16)
        file["labels"] = [0, 1]
    with SpikeFile(tmp_path / "a.h5", UNITS) as file:
        assert [x.tolist() for x in file.events(1)] == [[0, 0.25], [3, 4]]
        assert file.speakers is None and file.classes == 2


@pytest.mark.parametrize("key", ["labels", "spikes/times", "spikes/units"])
def test_missing_array_is_named(tmp_path, key):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file[key]
    said = refusal(read_whole, path)
    assert str(path) in said and f"no array {key}" in said


def test_arrays_of_different_length_are_refused(tmp_path):
    for i, change in enumerate(({"times": TIMES[:2]}, {"units": EVENT_UNITS[:1]}, {"labels": [0, 1, 2, 0]})):
        said = refusal(read_whole, write(tmp_path / f"{i}.h5", **change))
        assert f"{i}.h5" in said and "spikes/times" in said and "labels" in said
    assert "extra/speaker 1" in refusal(read_whole, write(tmp_path / "s.h5", speakers=[0]))
    assert "labels 0" in refusal(read_whole, write(tmp_path / "e.h5", [], [], np.zeros(0, int)))


FAULTS = {
    "more times than units": ({"units": [[0, 5, 5], [1, 3], []]}, "record 0: it has 4 times and 3 units"),
    "unit out of range": (
        {"units": [[0, 5, 5, 2], [1, 6], []]},
        "record 1, event 1: unit 6 is not one of the 6",
    ),
    "backwards": (
        {"times": [[0, 0.5, 0.25, 1], [0, 1], []]},
        "record 0, event 2: 0.25 s comes after a later one",
    ),
    "not a number": ({"times": [[0, 1, 2, 3], [0, np.nan], []]}, "record 1, event 1: nan s is no time"),
    "infinite": ({"times": [[0, 1, 2, 3], [0, np.inf], []]}, "record 1, event 1: inf s is no time"),
    "negative": ({"times": [[-0.5, 1, 2, 3], [0, 1], []]}, "record 0, event 0: -0.5 s lies before the start"),
    "label too large": ({"labels": [0, 3, 2]}, "record 1: label 3 is not one of the 3 classes 0 to 2"),
    "label negative": ({"labels": [0, 1, -1]}, "record 2: label -1"),
    "label not whole": ({"labels": [0.0, 1.0, 2.0]}, "labels is float64"),
    "times whole": ({"dtype": "int32", "times": [[0, 1, 2, 3], [0, 1], []]}, "spikes/times is int32"),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_fault_is_told_by_file_and_record(tmp_path, fault):
    change, expected = FAULTS[fault]
    path = write(tmp_path / "a.h5", **change)
    said = refusal(read_whole, path)
    assert str(path) in said and expected in said


def test_numbers_in_place_of_lists_are_refused(tmp_path):
    path = write(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file["spikes/times"]
        file["spikes/times"] = [0.0, 1.0, 2.0]
    assert "spikes/times is float64, 1-dimensional" in refusal(read_whole, path)


def test_what_is_not_hdf5_or_cut_short_is_refused(tmp_path):
    whole = write(tmp_path / "a.h5").read_bytes()
    for name, content in (("text.h5", b"no spikes\n" * 99), ("cut.h5", whole[:-200]), ("empty.h5", b"")):
        (tmp_path / name).write_bytes(content)
        said = refusal(read_whole, tmp_path / name)
        assert str(tmp_path / name) in said and "no whole HDF5 file" in said


def test_missing_h5py_is_one_sentence(tmp_path, monkeypatch):
    path = write(tmp_path / "a.h5")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    assert "h5py" in refusal(read_whole, path)


def test_classes_from_labels_need_each_of_them():
    assert check_labels(Path("f"), np.array([2, 0, 1, 0]), None) == 3
    assert "class 1 has no sample" in refusal(check_labels, Path("f"), np.array([0, 2]), None)
    assert "class 2 has no sample" in refusal(check_labels, Path("f"), np.array([0, 1, 2**60]), None)
    assert "record 1: label -1" in refusal(check_labels, Path("f"), np.array([0, -1]), None)


# --- frames ---


def test_frames_labels_and_late_events(tmp_path):
    files = {"train": write(tmp_path / "a.h5", speakers=[7, 7, 8]), "test": write(tmp_path / "b.h5")}
    kept = load(request(tmp_path, timesteps=2, duration=1.0), "set", files, UNITS, 3)
    x = kept["train"].x[torch.arange(3)]
    assert x.shape == (3, 2, UNITS) and x.dtype == torch.uint8
    assert x[0].tolist() == [[1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 2]]
    assert x[1].tolist() == [[0, 1, 0, 0, 0, 0], [0] * 6] and x[2].sum() == 0
    assert kept["train"].y.tolist() == LABELS
    assert kept["train"].extra["speaker"].tolist() == [7, 7, 8] and "speaker" not in kept["test"].extra
    # Also when they come from the cache.
    again = load(request(tmp_path, timesteps=2, duration=1.0), "set", files, UNITS, 3)
    for each in (kept, again):
        assert each["train"].extra["late"].tolist() == each["test"].extra["late"].tolist() == [1, 1, 0]
        assert late_note(each, 1.0) == (
            "events after 1 s are left out: 2 in 2 train recordings, 2 in 2 test recordings"
        )
    assert late_note(load(request(tmp_path), "set", files, UNITS, 3), 1.4) == ""


def test_pooled_counts_may_exceed_a_byte(tmp_path):
    path = write(tmp_path / "a.h5", [[0.5] * 600], [[0, 1, 2] * 200], [0])
    kept = load(request(tmp_path, timesteps=1, pool=3), "set", {"train": path}, UNITS, None)
    assert kept["train"].x[torch.tensor([0])].tolist() == [[[600, 0]]]


def test_settings_and_contents_make_frames_anew(tmp_path):
    path = write(tmp_path / "a.h5")
    seen = set()
    for changed in ({}, {"timesteps": 5}, {"duration": 1.5}, {"pool": 2}):
        seen.add(load(request(tmp_path, **changed), "set", {"train": path}, UNITS, 3)["train"].x.file)
    write(path, times=[[0.0, 0.5, 0.5, 0.75], [0.25, 1.0], []])
    seen.add(load(request(tmp_path), "set", {"train": path}, UNITS, 3)["train"].x.file)
    assert len(seen) == 5


def test_what_cannot_be_loaded_is_refused(tmp_path):
    path = write(tmp_path / "a.h5")
    assert "pool = 4 does not divide the 6 units" in refusal(
        load, request(tmp_path, pool=4), "set", {"train": path}, UNITS, 3
    )
    assert f"{tmp_path / 'b.h5'} is not there" in refusal(
        load, request(tmp_path), "set", {"train": path, "test": tmp_path / "b.h5"}, UNITS, 3
    )
    assert "no array extra/speaker" in refusal(
        load, request(tmp_path), "set", {"train": path}, UNITS, 3, True
    )
    late = write(tmp_path / "late.h5", times=[[0, 500, 500, 1250], [250, 1000], []])
    said = refusal(load, request(tmp_path), "set", {"train": late}, UNITS, 3)
    assert f"{late}, record 1: all its 2 events come after duration = 1.4 s, the first at 250" in said
    assert not list((tmp_path / "cache").rglob("meta.json"))


def test_test_labels_are_held_against_those_of_training(tmp_path):
    files = {"train": write(tmp_path / "a.h5", labels=[0, 1, 1]), "test": write(tmp_path / "b.h5")}
    said = refusal(load, request(tmp_path), "set", files, UNITS, None)
    assert "b.h5, record 2: label 2 is not one of the 2 classes" in said
    assert said == refusal(verify, "set", files, UNITS, None)


def test_verify_tells_what_is_there(tmp_path):
    files = {"train": write(tmp_path / "a.h5", speakers=[7, 7, 8]), "test": write(tmp_path / "b.h5")}
    assert verify("set", files, UNITS, 3) == [
        "a.h5: 3 recordings of 2 speakers, 3 classes, 6 events, the last at 1.250 s",
        "b.h5: 3 recordings, 3 classes, 6 events, the last at 1.250 s",
    ]
    write(tmp_path / "b.h5", **FAULTS["backwards"][0])
    assert "b.h5, record 0, event 2" in refusal(verify, "set", files, UNITS, 3)
    assert "c.h5 is not there" in refusal(verify, "set", {"train": tmp_path / "c.h5"}, UNITS, 3)


# --- speakers ---


@given(
    who=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=40),
    fraction=st.sampled_from([0.1, 0.2, 0.5]),
)
def test_held_out_speakers_are_the_nearest_last_few(who, fraction):
    speakers, labels = (np.array(column) for column in zip(*who, strict=True))
    known = sorted(set(speakers.tolist()))
    options = []
    for many in range(1, len(known)):
        rows = [i for i, s in enumerate(speakers) if s in known[-many:]]
        rest = [i for i in range(len(speakers)) if i not in rows]
        if {*labels[rows]} == {*labels[rest]} == {*labels}:
            options.append((abs(len(rows) - fraction * len(labels)), many, rows))
    if not options:
        assert f"{len(known)} speakers" in refusal(held_out, speakers, labels, fraction, "set")
        return
    _, many, rows = min(options)
    chosen, names = held_out(speakers, labels, fraction, "set")
    assert chosen.nonzero().flatten().tolist() == rows and names == known[-many:]
