"""SHD and SSC from tiny files in the real layout, beside tonic's reader of the same files."""

import re
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from bench.data.loading import Request, prepare
from bench.errors import BenchError

CLASSES = {"shd": 20, "ssc": 35}
SPLITS = {"shd": ("train", "test"), "ssc": ("train", "valid", "test")}


@pytest.fixture(scope="module")
def module(plugin):
    return plugin("audio")


@pytest.fixture(scope="module")
def declared(module):
    return {name: getattr(module, name).declared[0] for name in CLASSES}


def write(root: Path, name: str) -> dict[str, list]:
    """One recording a class and speaker: 0, 2, 3 and 7 train SHD, 0 and 1 are in every other file."""
    folder = root / name.upper()
    folder.mkdir()
    rng = np.random.default_rng(0)
    content = {}
    for split in SPLITS[name]:
        speakers = [0, 2, 3, 7] if (name, split) == ("shd", "train") else [0, 1]
        who = [(label, speaker) for speaker in speakers for label in range(CLASSES[name])]
        rng.shuffle(who)
        content[split] = []
        with h5py.File(folder / f"{name}_{split}.h5", "w") as file:
            times = file.create_dataset("spikes/times", (len(who),), h5py.vlen_dtype(np.dtype("float16")))
            units = file.create_dataset("spikes/units", (len(who),), h5py.vlen_dtype(np.dtype("uint16")))
            for i, (label, speaker) in enumerate(who):
                many = int(rng.integers(1, 20))
                times[i] = np.append(0, np.sort(rng.random(many - 1) * 1.37)).astype(np.float16)
                units[i] = rng.integers(0, 700, many).astype(np.uint16)
                content[split].append((times[i], units[i], label, speaker))
            file["labels"] = np.array([label for label, _ in who], dtype=np.uint16)
            file["extra/speaker"] = np.array([speaker for _, speaker in who], dtype=np.uint16)
            file["extra/keys"] = [str(c) for c in range(CLASSES[name])]
        # tonic looks for the archive too, and is content with an empty one.
        (folder / f"{name}_{split}.h5.zip").touch()
    return content


def request(root: Path, found, timesteps=10, **params) -> Request:
    return Request(root, timesteps, found.settle(params), root / "cache")


def refusal(found, asked) -> str:
    with pytest.raises(BenchError) as caught:
        prepare(found, asked)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_events_are_those_that_tonic_reads(tmp_path, module, name):
    import tonic

    from bench.data.spike_hdf5 import SpikeFile

    content = write(tmp_path, name)
    for split in SPLITS[name]:
        chosen = {"train": split == "train"} if name == "shd" else {"split": split}
        theirs = getattr(tonic.datasets, name.upper())(str(tmp_path), **chosen)
        with SpikeFile(tmp_path / name.upper() / f"{name}_{split}.h5", 700, CLASSES[name]) as ours:
            assert len(theirs) == len(ours) == len(content[split])
            np.testing.assert_array_equal(theirs._speaker, ours.speakers)
            for i in range(len(ours)):
                events, label = theirs[i]
                times, units = ours.events(i)
                # tonic keeps whole microseconds.
                np.testing.assert_array_equal((times * 1e6).astype(int), events["t"])
                np.testing.assert_array_equal(units, events["x"])
                assert label == ours.labels[i]


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_frames_hold_every_event_and_splits_every_recording(tmp_path, declared, name):
    content = write(tmp_path, name)
    found = declared[name]
    prepared = prepare(found, request(tmp_path, found, pool=5))
    assert prepared.shape == (140,) and prepared.classes == CLASSES[name]
    everything = [recording for split in SPLITS[name] for recording in content[split]]
    ids = []
    for split in (prepared.train, prepared.val, prepared.test):
        assert split.x.shape[1:] == (10, 140)
        x = split.x[torch.arange(len(split))]
        for frames, label, i in zip(x, split.y.tolist(), split.ids.tolist(), strict=True):
            times, units, expected, _ = everything[i]
            assert label == expected
            assert frames.sum(0).tolist() == np.bincount(units // 5, minlength=140).tolist()
            slices = np.bincount((times.astype(float) * 10 / 1.4).astype(int), minlength=10)
            assert frames.sum(1).tolist() == slices.tolist()
        ids += split.ids.tolist()
    assert sorted(ids) == list(range(len(everything)))
    assert prepare(found, request(tmp_path, found, pool=5)).checksum == prepared.checksum


def test_shd_validates_with_the_last_training_speakers(tmp_path, declared):
    content = write(tmp_path, "shd")["train"]
    splits = declared["shd"].load(request(tmp_path, declared["shd"]))
    assert {content[i][3] for i in splits.val.ids.tolist()} == {7}
    assert {content[i][3] for i in splits.train.ids.tolist()} == {0, 2, 3}
    assert len(splits.val) == 20 and len(splits.train) == 60
    assert prepare(declared["shd"], request(tmp_path, declared["shd"])).note == (
        "80 of 8,156 train recordings; 40 of 2,264 test recordings; validation: training speakers 7"
    )


def test_ssc_validates_with_its_own_file(tmp_path, declared):
    write(tmp_path, "ssc")
    splits = declared["ssc"].load(request(tmp_path, declared["ssc"]))
    assert [len(s) for s in (splits.train, splits.val, splits.test())] == [70, 70, 70]
    assert splits.val.ids.tolist() == list(range(70, 140))
    assert splits.test().ids.tolist() == list(range(140, 210))
    note = prepare(declared["ssc"], request(tmp_path, declared["ssc"])).note
    assert "70 of 9,981 valid recordings" in note and "speaker" not in note


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_tuning_does_not_read_the_test_file(tmp_path, declared, name):
    write(tmp_path, name)
    (tmp_path / name.upper() / f"{name}_test.h5").unlink()
    asked = request(tmp_path, declared[name], pool=5, duration=1.0)
    tuned = prepare(declared[name], asked, test=False)
    assert (len(tuned.train), len(tuned.val)) == ((60, 20) if name == "shd" else (70, 70))
    assert "train recordings" in tuned.note and "test" not in tuned.note
    assert f"{name}_test.h5 is not there" in refusal(declared[name], asked)


def test_complete_sets_have_nothing_to_note(tmp_path, module, monkeypatch):
    write(tmp_path, "ssc")
    monkeypatch.setitem(module.OFFICIAL, "ssc", {"train": 70, "valid": 70, "test": 70})
    found = module.ssc.declared[0]
    assert prepare(found, request(tmp_path, found)).note == ""
    note = prepare(found, request(tmp_path, found, duration=0.5)).note
    assert re.fullmatch(
        r"events after 0\.5 s are left out: \d+ in \d+ train recordings, \d+ in \d+ valid recordings, "
        r"\d+ in \d+ test recordings",
        note,
    )


def test_shd_without_speakers_is_refused(tmp_path, declared):
    write(tmp_path, "shd")
    path = tmp_path / "SHD" / "shd_train.h5"
    with h5py.File(path, "a") as file:
        del file["extra/speaker"]
    said = refusal(declared["shd"], request(tmp_path, declared["shd"]))
    assert str(path) in said and "extra/speaker" in said


def test_faults_are_told_by_file_and_record(tmp_path, declared):
    for name, wrong in (("shd", 20), ("ssc", 35)):
        write(tmp_path, name)
        path = tmp_path / name.upper() / f"{name}_test.h5"
        with h5py.File(path, "a") as file:
            file["labels"][3] = wrong
        asked = request(tmp_path, declared[name])
        said = refusal(declared[name], asked)
        assert f"{path}, record 3: label {wrong}" in said
        with pytest.raises(BenchError, match="record 3"):
            declared[name].verify(asked)


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_missing_file_is_named(tmp_path, declared, name):
    said = refusal(declared[name], request(tmp_path, declared[name]))
    assert str(tmp_path / name.upper() / f"{name}_train.h5") in said and "SPIKEGRAD_DATA" in said
    assert [f"{name.upper()}/{name}_{split}.h5" for split in SPLITS[name]] == list(declared[name].files)


def test_verify_tells_each_file(tmp_path, declared):
    write(tmp_path, "ssc")
    facts = declared["ssc"].verify(request(tmp_path, declared["ssc"]))
    assert [fact.split(",")[0] for fact in facts] == [
        "ssc_train.h5: 70 recordings of 2 speakers",
        "ssc_valid.h5: 70 recordings of 2 speakers",
        "ssc_test.h5: 70 recordings of 2 speakers",
    ]


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_download_is_tonics_for_every_split(tmp_path, declared, name, monkeypatch):
    import tonic

    asked = []
    monkeypatch.setattr(tonic.datasets, name.upper(), lambda root, **chosen: asked.append((root, chosen)))
    declared[name].download(tmp_path)
    expected = [{"train": True}, {"train": False}] if name == "shd" else [{"split": s} for s in SPLITS["ssc"]]
    assert asked == [(str(tmp_path), chosen) for chosen in expected]


def test_second_load_does_without_h5py_and_tonic(tmp_path, declared, monkeypatch):
    write(tmp_path, "shd")
    first = prepare(declared["shd"], request(tmp_path, declared["shd"]))
    for absent in ("h5py", "tonic"):
        monkeypatch.setitem(sys.modules, absent, None)
    again = prepare(declared["shd"], request(tmp_path, declared["shd"]))
    for split in ("train", "val", "test"):
        assert getattr(again, split).x.checksum == getattr(first, split).x.checksum
        assert torch.equal(getattr(again, split).y, getattr(first, split).y)
    assert again.note == first.note and again.shape == first.shape == (700,)
