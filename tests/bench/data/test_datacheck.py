"""Checks of a dataset: each finds the fault that it is for."""

import os

import numpy as np
import pytest
import torch

from bench import registry
from bench.data import datacheck
from bench.data.frames import Part, frames
from bench.data.holdings import holding
from bench.data.loading import Split, Splits, dataset, with_ids
from bench.errors import BenchError

N, TEST = 60, 20
NAMES = ["files", "sources", "samples", "labels", "frames", "values", "splits", "again"]


def splits(x=None, y=None):
    """60 and 20 samples of 3 numbers, all different, with 4 classes."""
    x = torch.arange((N + TEST) * 3, dtype=torch.float32).view(-1, 3) if x is None else x
    y = torch.arange(N + TEST) % 4 if y is None else y
    return Splits(with_ids(x[:N], y[:N], 0), with_ids(x[N:], y[N:], N))


def declare(load, root, **facts):
    facts = {"shape": (3,), "classes": 4, "licence": "CC0", "source": "here", **facts}
    return holding(dataset("mine", **facts)(lambda request: load(request)).declared[0], root)


def outcomes(found):
    return {each.name: each for each in datacheck.check(found, 4)}


def problems(found):
    return {each.name: each.detail for each in outcomes(found).values() if each.outcome == "problem"}


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """stored() -> a loader whose samples are kept on disk, beside the data."""
    monkeypatch.delenv("SPIKEGRAD_CACHE", raising=False)

    def load(request):
        whole = splits()
        parts = {
            "train": Part(N, lambda i: whole.train.x[i].numpy(), whole.train.y.numpy()),
            "test": Part(TEST, lambda i: whole.test.x[i].numpy(), whole.test.y.numpy()),
        }
        kept = frames(request, "mine", {}, [], (3,), "float32", lambda: parts)
        return Splits(
            with_ids(kept["train"].x, kept["train"].y, 0), with_ids(kept["test"].x, kept["test"].y, N)
        )

    return load


def test_a_sound_set_passes_every_check(tmp_path):
    found = outcomes(declare(lambda request: splits(), tmp_path))
    assert list(found) == NAMES
    nothing = {"files", "sources", "frames"}
    assert {name: each.outcome for name, each in found.items()} == {
        name: "nothing to check" if name in nothing else "ok" for name in NAMES
    }
    assert found["labels"].detail == "4 classes; samples a class: train 12 to 12, val 3 to 3, test 5 to 5"
    assert found["values"].detail == "0 to 239; no sample all zero"
    assert found["splits"].detail == "no id is in two; no exact duplicates between them"


def test_the_values_are_those_of_all_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(datacheck, "BATCH", 7)
    random = np.random.default_rng(0)
    x = random.integers(0, 2, (N + TEST, 3), dtype=np.uint8) * random.integers(
        2, 250, (N + TEST, 1), dtype=np.uint8
    )
    detail = outcomes(declare(lambda request: splits(torch.from_numpy(x)), tmp_path))["values"].detail
    assert detail == f"{x.min()} to {x.max()}; {sum(not row.any() for row in x)} samples all zero"


def test_duplicates_between_splits_are_counted_and_are_no_fault(tmp_path):
    whole = splits()
    for test, train in ((60, 0), (61, 1), (62, 2)):
        whole.test.x[test - N] = whole.train.x[train]
    loaded = declare(lambda request: whole, tmp_path)
    check = outcomes(loaded)["splits"]
    prepared = datacheck.load(loaded, 4)
    rows = {name: {tuple(r.tolist()) for r in getattr(prepared, name).x} for name in ("train", "val", "test")}
    expected = {name: len(rows[name] & rows["test"]) for name in ("train", "val")}
    assert check.outcome == "ok"
    assert sum(expected.values()) == 3
    for name, number in expected.items():
        assert (f"{number} of test also in {name}" in check.detail) == (number > 0)


def test_a_label_that_no_training_sample_has_is_a_problem(tmp_path):
    y = torch.where(torch.arange(N + TEST) % 4 == 2, 1, torch.arange(N + TEST) % 4)
    found = problems(declare(lambda request: splits(y=y), tmp_path))
    assert list(found) == ["labels"]
    assert found["labels"].startswith("no training sample has the label 2, which is one of the 4 classes; ")


def test_a_value_that_is_not_finite_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(datacheck, "BATCH", 3)
    x = splits().test.x.new_ones(N + TEST, 3)
    x[N + 5, 1] = float("nan")
    found = problems(declare(lambda request: splits(x), tmp_path))
    assert found["values"] == f"test split: the sample with id {N + 5} has values that are not finite"


def test_a_loader_that_gives_other_data_each_time_is_found(tmp_path):
    calls = []

    def load(request):
        calls.append(request)
        return splits(torch.full((N + TEST, 3), float(len(calls))))

    assert list(problems(declare(load, tmp_path))) == ["again"]


def test_a_set_that_breaks_its_declaration_ends_with_the_sentence(tmp_path):
    found = outcomes(declare(lambda request: splits(), tmp_path, classes=3))
    assert list(found) == ["files", "sources", "samples"]
    assert found["samples"].outcome == "problem"
    assert "the first wrong one is 3, of the sample with id 3" in found["samples"].detail


def test_ids_in_two_splits_are_a_problem(tmp_path):
    def load(request):
        whole = splits()
        return Splits(whole.train, Split(whole.test.x, whole.test.y, whole.test.ids - N))

    assert "both in" in problems(declare(load, tmp_path))["samples"]


def test_the_code_of_a_set_may_fail_in_one_sentence(tmp_path):
    def load(request):
        raise ValueError("no\nluck")

    assert problems(declare(load, tmp_path))["samples"].startswith("dataset mine: ValueError: no luck (line ")


def test_what_verify_says_is_shown(tmp_path):
    (tmp_path / "a").write_bytes(b"12")
    found = declare(
        lambda r: splits(), tmp_path, files=["a"], verify=lambda r: ["2 bytes", f"T = {r.timesteps}"]
    )
    assert outcomes(found)["sources"].detail == "2 bytes; T = 4"
    assert outcomes(found)["files"].detail.startswith("1 there, 0.0 MB in ")


def test_a_fault_of_the_sources_is_a_problem_and_the_rest_goes_on(tmp_path):
    def verify(request):
        raise BenchError("dataset mine: a: record 7 is cut off")

    found = outcomes(declare(lambda request: splits(), tmp_path, verify=verify))
    assert (found["sources"].outcome, found["sources"].detail) == (
        "problem",
        "dataset mine: a: record 7 is cut off",
    )
    assert list(found) == NAMES


def test_missing_files_start_nothing(tmp_path):
    with pytest.raises(BenchError, match="a file missing from the data root"):
        next(datacheck.check(declare(lambda request: splits(), tmp_path, files=["a"]), 4))


@pytest.mark.parametrize("where", ["load", "verify"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_missing_package_starts_nothing(tmp_path, where, wrapped):
    def need(request):
        error = ModuleNotFoundError("No module named 'aedat'", name="aedat")
        if wrapped:
            raise BenchError("dataset mine: pip install aedat") from error
        raise error

    mine = declare(need, tmp_path) if where == "load" else declare(lambda r: splits(), tmp_path, verify=need)
    with pytest.raises(BenchError, match=r"dataset mine: .*pip install aedat"):
        list(datacheck.check(mine, 4))


def test_frames_that_were_changed_on_disk_are_found(tmp_path, stored):
    mine = declare(stored, tmp_path)
    check = outcomes(mine)["frames"]
    (file,) = tmp_path.rglob("train.npy")
    assert check.outcome == "ok"
    assert check.detail.endswith(f"intact, in {file.parent}")
    content, seen = bytearray(file.read_bytes()), file.stat()
    content[-1] ^= 1
    file.write_bytes(content)
    # As a disk that rots: where the time has changed too, frames are made anew.
    os.utime(file, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    found = problems(mine)
    assert found == {
        "frames": f"{file} has changed since it was written; delete the folder {file.parent}, "
        "and its frames are regenerated"
    }


def test_a_report_counts_what_was_loaded(tmp_path, stored):
    report = datacheck.prepare(declare(stored, tmp_path), 4)
    assert report.samples == {"train": 48, "val": 12, "test": 20}
    assert (report.shape, report.classes, report.dtype, report.note) == ([3], 4, "float32", "")
    assert {file: size for file, size in report.frames.items()} == {
        str(file): file.stat().st_size for file in tmp_path.rglob("t*.npy") if "labels" not in file.name
    }
    lines = dict(datacheck.report_lines(report))
    assert lines["samples"] == "48 train, 12 val, 20 test"
    assert "note" not in lines


def test_a_shipped_set_passes(tmp_path):
    for name in ("digits", "digits-events"):
        found = holding(registry.load().dataset(name).item, tmp_path)
        assert problems(found) == {}
