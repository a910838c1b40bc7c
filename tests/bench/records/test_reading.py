"""What is read of a suite, and what is told of the files that are not counted."""

import json

import pytest
import shown_runs

from bench.errors import BenchError
from bench.records import reading
from bench.records.store import Store
from bench.suite import RECORD_SCHEMA
from bench.tables import columns
from bench.tables.results import Results

DAMAGED = {
    "cut": '{"schema": 3, "id": "cu',
    "nan": json.dumps(shown_runs.record() | {"id": "nan", "metrics": {"test_accuracy": float("nan")}}),
    "later": json.dumps(shown_runs.record() | {"id": "later", "schema": RECORD_SCHEMA + 1}),
    "lacks": json.dumps({k: v for k, v in shown_runs.record().items() if k != "cell"} | {"id": "lacks"}),
    "copy": json.dumps(shown_runs.record(1)),
}


@pytest.fixture
def store(tmp_path):
    shown_runs.write(tmp_path, shown_runs.record(1))
    store = Store(tmp_path, "hand")
    for name, content in DAMAGED.items():
        store.folder(name).mkdir()
        (store.folder(name) / "record.json").write_text(content)
    return store


def test_each_damaged_record_is_named_and_none_is_counted(store, capsys):
    found = reading.read(store)
    assert [record["id"] for record in found.records] == [shown_runs.record(1)["id"]]
    assert len(found.left_out) == len(DAMAGED)
    for name in DAMAGED:
        assert sum(f"/{name}/record.json" in sentence for sentence in found.left_out) == 1
    reading.tell(found.left_out)
    assert capsys.readouterr().err.count("warning: ") == len(DAMAGED)


def test_two_records_of_a_cell_and_damaged_times_are_named_too(store):
    double = shown_runs.record(2)
    shown_runs.write(store.results, double)
    folder = store.results / "latency" / "hand"
    folder.mkdir(parents=True)
    (folder / "abc.json").write_text("{}")
    with pytest.raises(BenchError, match="no records of the suite hand"):
        reading.read(store)
    shown_runs.write(store.results, shown_runs.record(3, configuration="another"))
    found = reading.read(store)
    assert [record["id"] for record in found.records] == [shown_runs.record(3)["id"]]
    assert sum("has 2 records of seed 0" in sentence for sentence in found.left_out) == 1
    assert sum("abc.json is damaged" in sentence for sentence in found.left_out) == 1


def test_of_very_many_the_first_are_told_and_the_rest_counted(capsys):
    reading.tell([f"file {n} is damaged" for n in range(reading.MOST_TOLD + 5)])
    told = capsys.readouterr().err.splitlines()
    assert len(told) == reading.MOST_TOLD + 1
    assert told[-1] == "warning: and 5 more are left out; `spikegrad report` names all of them"


def test_nothing_there_is_a_sentence_that_says_what_makes_it(tmp_path):
    with pytest.raises(BenchError, match=r"no records of the suite hand .*: `spikegrad run` makes them"):
        reading.read(Store(tmp_path, "hand"))


def targeted(tmp_path, goal, **parts):
    # 90, 90.33 and 90.67 % after epochs 1, 2 and 3.
    folder = shown_runs.write(tmp_path, shown_runs.record(1, **parts))
    found = reading.read(Store(tmp_path, "hand"), {"digits": goal})
    return folder, found


@pytest.mark.parametrize(("goal", "epochs"), [(50.0, 1), (90.3, 2), (90.5, 3), (99.0, None)])
def test_when_a_target_was_reached(tmp_path, goal, epochs):
    _, found = targeted(tmp_path, goal)
    assert [record["metrics"]["epochs_to_target"] for record in found.records] == [epochs]
    assert found.left_out == []
    table = Results(found.records).table("runs")
    assert columns.printed(table)["epochs_to_target"].tolist() == [str(epochs or "")]


def test_a_record_is_not_changed_by_a_target_and_has_none_without(tmp_path):
    targeted(tmp_path, 50.0)
    store = Store(tmp_path, "hand")
    assert "epochs_to_target" not in store.records()[0]["metrics"]
    assert "epochs_to_target" not in reading.read(store, {"digits-events": 1.0}).records[0]["metrics"]


def test_damaged_epochs_are_named_and_leave_the_record_out(tmp_path):
    folder, _ = targeted(tmp_path, 50.0)
    shown_runs.write(tmp_path, shown_runs.record(2, configuration="another"))
    (folder / "epochs.parquet").write_bytes(b"no table")
    found = reading.read(Store(tmp_path, "hand"), {"digits": 50.0})
    (sentence,) = found.left_out
    assert sentence.startswith(f"{folder / 'epochs.parquet'} has the hash ")
    assert [record["id"] for record in found.records] == [shown_runs.record(2)["id"]]


def test_a_failed_run_has_reached_nothing(tmp_path):
    _, found = targeted(tmp_path, 1.0, status="diverged", metrics={})
    assert "epochs_to_target" not in found.records[0]["metrics"]
