"""Records on disk: what is read, what is not, and who may write."""

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import shown_runs

from bench.errors import BenchError
from bench.records.predictions import of_numbers
from bench.records.record_files import SEAL, read_record
from bench.records.store import FINISHED, INCOMPLETE, Store, apart, writable
from bench.suite import RECORD_SCHEMA
from bench.tables.rows import rows, settings


def record(name="abc", **changes):
    # Of configurations of their own, so that none contradicts another.
    return shown_runs.record() | {"id": name, "configuration": f"of-{name}"} | changes


def said(found):
    """What a record says, without its hashes."""
    return found and {name: value for name, value in found.items() if name not in ("files", SEAL)}


def stopped(name="abc", status="timeout"):
    return record(name, status=status, metrics={}, error="stopped")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results", "tiny")


EPOCH = {"epoch": 0, "train_loss": 1.5, "val_accuracy": 98.0}
METRICS = shown_runs.METRICS | {"best_epoch": 0}


def test_what_is_written_is_read(store):
    assert store.write(record(metrics=METRICS), {"epochs": [EPOCH], "layers": []})
    assert said(store.read("abc")) == said(record(metrics=METRICS))
    epochs = pd.read_parquet(store.folder("abc") / "epochs.parquet")
    assert epochs.to_dict("records") == [EPOCH]
    assert sorted(p.name for p in store.folder("abc").iterdir()) == ["epochs.parquet", "record.json"]


def test_a_record_has_no_tables_of_the_one_before(store):
    store.write(record(), {"epochs": [EPOCH], "layers": [{"epoch": 0}]}, of_numbers([1], [1], 2))
    store.write(record(status="failed", metrics={}), {"epochs": [EPOCH]})
    assert sorted(p.name for p in store.folder("abc").iterdir()) == ["epochs.parquet", "record.json"]
    assert store.read("abc")["status"] == "failed"


@pytest.mark.parametrize("status", INCOMPLETE)
@pytest.mark.parametrize("before", FINISHED)
def test_what_was_stopped_never_takes_the_place_of_what_was_finished(store, status, before):
    metrics = METRICS if before == "ok" else {}
    store.write(record(status=before, metrics=metrics, digests={"method": "older"}), {"epochs": [EPOCH]})
    kept = files(store)
    assert not store.write(stopped(status=status))
    assert files(store) == kept and store.read("abc")["status"] == before


@pytest.mark.parametrize("status", FINISHED)
def test_what_was_finished_takes_the_place_of_all(store, status):
    for before in ("oom", "interrupted", "ok", "failed"):
        store.write(record(before, status=before))
        assert store.write(record(before, status=status, seconds=1.0))
        assert (store.read(before)["status"], store.read(before)["seconds"]) == (status, 1.0)


def test_what_cannot_be_relied_on_keeps_nothing_out(store):
    store.write(record())
    (store.folder("abc") / "record.json").write_text("{")
    assert store.write(stopped())
    assert store.read("abc")["status"] == "timeout"


def test_records_come_by_id_and_other_files_are_no_records(store):
    for cell in ("b", "a", "c"):
        store.write(record(cell))
    (store.runs / "notes.txt").write_text("mine")
    (store.runs / "empty").mkdir()
    assert [r["id"] for r in store.records()] == ["a", "b", "c"]


def test_no_folder_has_no_records(store):
    assert store.records() == []
    assert store.read("abc") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"schema": 4, "id": "ab',
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"schema": 4}',
        json.dumps(record(schema=RECORD_SCHEMA + 1)).encode(),
        json.dumps(record("of-another-cell")).encode(),
    ],
)
def test_a_damaged_or_foreign_record_is_none(store, content):
    store.write(record())
    (store.folder("abc") / "record.json").write_bytes(content)
    assert store.read("abc") is None
    assert store.records() == []


def files(store):
    return {path.name: path.read_bytes() for path in store.folder("abc").iterdir()}


DAMAGE = {
    "no metrics": ({"metrics": ...}, "metrics: Field required"),
    "an accuracy in words": ({"metrics": {"test_accuracy": "ninety"}}, "metrics.test_accuracy"),
    "no cell": ({"cell": ...}, "cell: Field required"),
    "another status": ({"status": "weird"}, "status: Input should be 'ok'"),
    "no machine": ({"environment": {}}, "environment.cpu: Field required"),
    "no method": ({"method": None}, "method: Input should be"),
    "digests in a list": ({"digests": []}, "digests: Input should be"),
    "no schema": ({"schema": ...}, "schema: Field required"),
    "more than all right": (
        {"metrics": {**shown_runs.METRICS, "test_accuracy": 100.5}},
        "test_accuracy is 100.5, which is not an accuracy in percent",
    ),
    "no accuracy of a good run": (
        {"metrics": {k: v for k, v in shown_runs.METRICS.items() if k != "test_accuracy"}},
        "test_accuracy is missing, though the run ended well",
    ),
    "a short curve": ({"metrics": {**shown_runs.METRICS, "anytime_accuracy": [9.0]}}, "has 1 steps, not 2"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_record_of_another_form_is_named_and_left_out(store, what):
    changes, why = DAMAGE[what]
    store.write(record("good"))
    kept = {name: value for name, value in record(**changes).items() if value is not ...}
    file = store.folder("abc") / "record.json"
    file.parent.mkdir()
    file.write_text(json.dumps(kept))
    found, damaged = store.survey()
    assert [r["id"] for r in found] == ["good"]
    (sentence,) = damaged
    assert sentence.startswith(f"{file} is damaged (") and why in sentence
    assert sentence.endswith(": remove its folder and run the suite again")
    assert store.read("abc") is None


@pytest.mark.parametrize("content", ["[" * 100_000, '{"metrics": {"test_accuracy": NaN}}'])
def test_what_no_reader_takes_is_damaged_too(store, content):
    file = store.folder("abc") / "record.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    found, (sentence,) = store.survey()
    assert found == [] and sentence.startswith(f"{file} is damaged (")


def test_a_record_of_a_later_version_says_so(store):
    store.write(record(schema=RECORD_SCHEMA + 1))
    _, (sentence,) = store.survey()
    assert f"has the record schema {RECORD_SCHEMA + 1} and this version reads {RECORD_SCHEMA}" in sentence
    assert sentence.endswith("a later version of spikegrad-bench wrote it, install that one")


def test_two_records_of_one_seed_are_both_left_out_and_named(store):
    for name in ("abc", "def", "good"):
        store.write(record(name, configuration="good" if name == "good" else "same"))
    found, (sentence,) = store.survey()
    assert [r["id"] for r in found] == ["good"]
    assert sentence.startswith("configuration same (")
    assert "has 2 records of seed 0 (abc, def): all of them are left out" in sentence


def test_a_copy_under_another_name_is_not_counted_twice_and_named(store):
    store.write(record())
    shutil.copytree(store.folder("abc"), store.folder("copy"))
    found, damaged = store.survey()
    assert len(found) == 1
    assert damaged == [
        f"{store.folder('copy') / 'record.json'} is the record of abc: a folder bears the id of its run"
    ]


def test_a_record_from_another_machine_is_a_row_of_its_own(store):
    store.write(record())
    there = {"cpu": "AMD EPYC 7763 / 2", "threads": 2, "gpu": None}
    other = record(environment=there, variant="width=2")
    name = apart("abc", there)
    assert name == "abc@AMD-EPYC-7763-2-2-threads"
    Store(store.results, "elsewhere").write(other)
    store.runs.joinpath(name).mkdir()
    shutil.copy(store.results / "runs/elsewhere/abc/record.json", store.runs / name)
    (mine, theirs), told = store.survey()
    assert told == [] and mine["id"] == "abc"
    assert (theirs["id"], theirs["variant"]) == (name, "width=2 machine=AMD-EPYC-7763-2-2-threads")
    assert len(rows([mine, theirs])) == len([*settings(rows([mine, theirs]))]) == 2
    # Under the name of a third machine it would count as a run of that one.
    (store.runs / name).rename(store.runs / "abc@Another")
    assert len(store.records()) == 1


def test_what_may_not_be_read_is_not_taken_for_missing(store, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    store.write(record())
    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(BenchError, match=r"record\.json cannot be read: Permission denied$"):
        store.read("abc")
    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(BenchError, match=r"runs/tiny cannot be read: Permission denied$"):
        store.survey()


def test_a_folder_in_place_of_the_record_is_not_read(store):
    (store.folder("abc") / "record.json").mkdir(parents=True)
    assert store.records() == []
    with pytest.raises(BenchError, match="cannot be read: Is a directory"):
        store.read("abc")


def test_a_record_is_read_again_only_where_its_file_has_changed(store, monkeypatch):
    opened = []
    monkeypatch.setattr(
        "bench.records.store.read_record", lambda file: opened.append(file) or read_record(file)
    )
    monkeypatch.setattr("bench.records.store.SETTLED", -1.0)
    for name in ("abc", "def"):
        store.write(record(name))
    for _ in range(3):
        assert [said(found) for found in store.records()] == [said(record("abc")), said(record("def"))]
        assert said(store.read("abc")) == said(record("abc"))
    assert len(opened) == 2
    Store(store.results, store.suite).write(record("abc", status="failed"))
    assert said(store.read("abc")) == said(record("abc", status="failed"))
    assert len(opened) == 3
    shutil.rmtree(store.folder("abc"))
    assert store.read("abc") is None
    assert [said(found) for found in store.records()] == [said(record("def"))]
    (store.folder("def") / "record.json").write_text("{}")
    assert store.records() == []


def test_a_record_just_written_is_read_again_since_its_time_may_not_show_a_change(store, monkeypatch):
    opened = []
    monkeypatch.setattr(
        "bench.records.store.read_record", lambda file: opened.append(file) or read_record(file)
    )
    monkeypatch.setattr("bench.records.store.SETTLED", 3600.0)
    store.write(record())
    assert store.read("abc") == store.read("abc")
    assert len(opened) == 2


def test_a_record_is_read_again_where_a_file_beside_it_has_changed(store, monkeypatch):
    monkeypatch.setattr("bench.records.store.SETTLED", -1.0)
    store.write(record(metrics=METRICS), {"epochs": [EPOCH]})
    assert store.read("abc") is not None
    file = store.folder("abc") / "epochs.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    assert store.read("abc") is None


@pytest.mark.parametrize("text", ["Ünïcode ≥ κ", "half \ud800 of a pair", "a\nline\t\x00", "1e999"])
def test_any_text_that_json_holds_is_read_as_written(store, text):
    store.write(record(variant=text, data={"note": text, "huge": 10**40, "small": 5e-324, "third": 1 / 3}))
    assert store.read("abc")["data"] == {"note": text, "huge": 10**40, "small": 5e-324, "third": 1 / 3}


def test_a_full_disk_leaves_the_old_record(store, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    store.write(record())
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write(record(status="failed"), {"epochs": [{"epoch": 0}]})
    assert said(store.read("abc")) == said(record())
    assert [p.name for p in store.folder("abc").iterdir()] == ["record.json"]


def test_nan_is_never_written(store):
    with pytest.raises(ValueError, match="JSON"):
        store.write(record(metrics={"loss": float("nan")}))
    assert store.read("abc") is None


def test_one_holder_at_a_time(store):
    with (
        store.lock(),
        pytest.raises(BenchError, match=r"another run of tiny is at work in .*results"),
        Store(store.results, "tiny").lock(),
    ):
        pass
    with store.lock(), Store(store.results, "another-suite").lock():
        pass


def test_the_lock_is_free_when_its_holder_was_killed(store):
    code = "import sys, time; from pathlib import Path; from bench.records.store import Store\n"
    code += "with Store(Path(sys.argv[1]), 'tiny').lock(): print('held', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, str(store.results)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BenchError, match="another run"), store.lock():
            pass
        holder.kill()
        holder.wait()
    with store.lock():
        pass


def test_what_a_killed_run_was_writing_is_cleared_away(store):
    store.write(record())
    half = [store.folder("abc") / ".record.json.x.tmp", store.leaderboards / ".runs.csv.y.tmp"]
    store.leaderboards.mkdir(parents=True)
    for path in half:
        path.touch()
    with store.lock():
        assert not [path for path in half if path.exists()]
    assert said(store.read("abc")) == said(record())


def test_a_lock_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="cannot write results to"), Store(tmp_path / "file", "tiny").lock():
        pass


def test_whether_a_folder_could_be_written_is_known_without_making_it(tmp_path):
    writable(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for below in ("file", "file/sub"):
        with pytest.raises(BenchError, match=r"file is not a folder; give another --results"):
            writable(tmp_path / below)
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    with pytest.raises(BenchError, match="link is not a folder"):
        writable(tmp_path / "link")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(BenchError, match="no permission in"):
        writable(tmp_path / "sub")
