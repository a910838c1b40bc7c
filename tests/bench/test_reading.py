"""What is read of a suite, and what is told of the files that are not counted."""

import json

import pytest
import shown_runs

from bench import reading
from bench.errors import BenchError
from bench.store import Store
from bench.suite import RECORD_SCHEMA

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
    found.warn()
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
    reading.Reading([], [], [], [f"file {n} is damaged" for n in range(reading.MOST_TOLD + 5)]).warn()
    told = capsys.readouterr().err.splitlines()
    assert len(told) == reading.MOST_TOLD + 1
    assert told[-1] == "warning: and 5 more are left out; `spikegrad report` names all of them"


def test_nothing_there_is_a_sentence_that_says_what_makes_it(tmp_path):
    with pytest.raises(BenchError, match=r"no records of the suite hand .*: `spikegrad run hand` makes them"):
        reading.read(Store(tmp_path, "hand"))
