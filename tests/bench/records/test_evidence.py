"""Records that contradict themselves, or what lies beside them: named, with both values, whenever read."""

import json
from pathlib import Path

import pytest
import shown_runs
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import BenchError
from bench.records import predictions, reading, record_files, runs, validation_cache
from bench.records.evidence import contradiction
from bench.records.record_files import Damaged, outcome_hash, read_record
from bench.records.store import Store

SAMPLES = {"test_samples": 400, "val_samples": 300}
METRICS = shown_runs.METRICS | SAMPLES


@pytest.fixture
def run(tmp_path):
    """The record.json of a run with all its files."""
    return shown_runs.write(tmp_path, shown_runs.record(metrics=METRICS)) / "record.json"


def edited(file, **changes):
    """The same record with other metrics, and no other hash."""
    record = json.loads(file.read_text())
    record["metrics"] |= changes
    file.write_text(json.dumps(record))


def resealed(file, **changes):
    """The same, by one who can make a hash."""
    edited(file, **changes)
    shown_runs.sealed(file)


def test_a_record_as_it_was_written_is_read(run):
    record = read_record(run)
    assert record["outcome_sha256"] == outcome_hash(record)
    assert set(record["files"]) == {"epochs.parquet", "layers.parquet", "predictions.parquet"}
    assert predictions.of_bytes((run.parent / "predictions.parquet").read_bytes()).accuracy == 97.5


# What the edited number is, and what contradicts it.
LIES = {
    "a sample more": ({"test_accuracy": 97.75}, "test_accuracy is 97.75, and anytime_accuracy gives 97.5"),
    "a whole curve": (
        {"test_accuracy": 97.75, "anytime_accuracy": [90.0, 97.75]},
        "test_accuracy is 97.75, and predictions.parquet gives 97.5",
    ),
    "no whole sample": ({"test_accuracy": 98.6}, "test_accuracy is 98.6 %, which is 394.400 of 400 samples"),
    "a step of the curve": ({"anytime_accuracy": [90.1, 97.5]}, "is 90.1 %, which is 360.400 of 400 samples"),
    "another test set": (
        {"test_samples": 800},
        "test_samples is 800, and predictions.parquet gives 400",
    ),
    "a better validation": ({"val_accuracy": 99.0}, "val_accuracy is 99.0, and epochs.parquet gives 90.6666"),
    "another epoch": ({"best_epoch": 0}, "best_epoch is 0, and epochs.parquet gives 2"),
    "wider windows": ({"available_fraction": 0.9}, "available_fraction is 0.9, and layers.parquet gives 0.3"),
    "a flatter slope": ({"vanishing_slope": 0.0}, "vanishing_slope is 0.0, and layers.parquet gives -1."),
    "fewer steps": ({"timesteps_to_99": 1}, "timesteps_to_99 is 1, and anytime_accuracy gives 2"),
}


@pytest.mark.parametrize("edit", [edited, resealed])
@pytest.mark.parametrize("lie", LIES)
def test_a_number_that_stands_twice_is_named_with_both_values(run, edit, lie):
    changes, why = LIES[lie]
    edit(run, **changes)
    with pytest.raises(Damaged) as raised:
        read_record(run)
    said = str(raised.value)
    assert said.startswith(f"{run} contradicts itself (") and "\n" not in said
    assert said.endswith("it was edited or damaged; remove its folder and run the suite again")
    if edit is resealed or "anytime" in why or "samples)" in why:
        assert why in said


@pytest.mark.parametrize("part", ["seconds", "ended", "error", "variant"])
def test_what_stands_once_breaks_the_hash(run, part):
    record = json.loads(run.read_text())
    run.write_text(json.dumps(record | {part: 1.0 if part == "seconds" else "edited"}))
    with pytest.raises(Damaged, match=r"its outcome_sha256 is [0-9a-f]{12}… and it has [0-9a-f]{12}…"):
        read_record(run)


def test_the_hash_is_of_what_is_said_and_not_of_how_it_is_written(run):
    record = json.loads(run.read_text())
    run.write_text(json.dumps(dict(reversed(record.items())), indent=4))
    assert read_record(run) == record


@pytest.mark.parametrize("name", ["epochs.parquet", "layers.parquet", "predictions.parquet"])
def test_a_file_beside_it_that_is_another_or_gone_is_named(run, name):
    file = run.parent / name
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"?")
    with pytest.raises(Damaged, match=rf"{name} has the hash [0-9a-f]{{12}}… and its record says"):
        read_record(run)
    file.unlink()
    with pytest.raises(Damaged, match=rf"{name} is not there, and its record names it"):
        read_record(run)
    file.write_bytes(content)
    read_record(run)


def test_a_file_that_no_record_names_is_named(run):
    record = json.loads(run.read_text())
    del record["files"]["layers.parquet"]
    record.pop("outcome_sha256")
    run.write_text(json.dumps(record | {"outcome_sha256": outcome_hash(record)}))
    with pytest.raises(Damaged, match=r"layers\.parquet is none of the files that its record names"):
        read_record(run)


def test_a_damaged_file_of_a_good_hash_is_named(run):
    (run.parent / "predictions.parquet").write_bytes(b"PAR1")
    shown_runs.sealed(run)
    with pytest.raises(Damaged, match=r"contradicts itself \(a file beside it is damaged, "):
        read_record(run)


@pytest.mark.parametrize("name", ["../up.parquet", "record.json", "/etc/hosts"])
def test_no_other_file_is_read(run, name):
    record = json.loads(run.read_text())
    run.write_text(json.dumps(record | {"files": {name: "0" * 64}}))
    with pytest.raises(Damaged, match="is damaged \\(files"):
        read_record(run)


@given(st.integers(1, 100_000), st.data())
def test_every_number_of_samples_is_whole_and_half_a_sample_is_not(samples, data):
    right = data.draw(st.integers(0, samples))
    for more, good in ((0.0, True), (0.5, False), (0.001, False)):
        metrics = {"test_accuracy": 100 * (right + more) / samples, "test_samples": samples}
        assert (contradiction({"metrics": metrics}) == "") == good


def test_it_is_left_out_of_tables_and_told_and_no_run_counts_it_as_done(run, tmp_path):
    shown_runs.write(tmp_path, shown_runs.record(2, metrics=METRICS, configuration="another"))
    edited(run, test_accuracy=98.6)
    store = Store(tmp_path, "hand")
    found = reading.read(store)
    assert len(found.records) == 1 and len(found.left_out) == 1 and store.left_out == found.left_out
    assert store.read(run.parent.name) is None
    with pytest.raises(BenchError, match="contradicts itself"):
        runs.find(run.parent.name, tmp_path)


def test_what_was_compared_once_is_not_compared_again_unless_it_has_changed(run, monkeypatch):
    compared = []
    real = record_files.contradiction_beside

    def counted(record, contents):
        compared.append(record["id"])
        return real(record, contents)

    monkeypatch.setattr(record_files, "contradiction_beside", counted)
    read_record(run)
    assert compared == [], "it was compared when it was written"
    resealed(run, train_seconds=9.0)
    for _ in range(3):
        read_record(run)
    assert len(compared) == 1
    resealed(run, test_accuracy=97.75)
    for _ in range(3):
        with pytest.raises(Damaged):
            read_record(run)


def test_a_cache_that_cannot_be_used_is_none(run, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPIKEGRAD_CACHE", str(tmp_path / "file"))
    for cached in (validation_cache._known, validation_cache._file):
        cached.cache_clear()
    try:
        resealed(run, train_seconds=8.0)
        assert read_record(run)
        validation_cache.keep()
        assert Path(tmp_path / "file").read_bytes() == b""
    finally:
        for cached in (validation_cache._known, validation_cache._file):
            cached.cache_clear()
