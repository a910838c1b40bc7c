"""Records from elsewhere: the good ones come in as they are, of the others nothing does."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from bench import importing, protocol, registry
from bench.errors import BenchError
from bench.store import Store

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "results"
IDS = sorted(path.name for path in (SHIPPED / "runs" / "quick").iterdir() if path.is_dir())[:3]


@pytest.fixture
def sent(tmp_path):
    """A results folder from elsewhere, with three of the shipped runs and the timings."""
    folder = tmp_path / "sent"
    for name in IDS:
        shutil.copytree(SHIPPED / "runs" / "quick" / name, folder / "runs" / "quick" / name)
    shutil.copytree(SHIPPED / "latency" / "quick", folder / "latency" / "quick")
    return folder


@pytest.fixture
def mine(tmp_path):
    return tmp_path / "mine"


def run(folder, name=IDS[0]):
    return folder / "runs" / "quick" / name


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def edit(file, **changes):
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | changes, indent=1, sort_keys=True) + "\n")


def test_what_is_good_comes_in_byte_for_byte_and_a_second_time_is_there(sent, mine):
    (outcome,) = importing.take_in(sent, mine)
    assert (outcome.suite, outcome.taken, outcome.timings) == ("quick", IDS, 28) and outcome.clean
    taken = {path: content for path, content in files(mine).items() if path.name != ".lock"}
    assert taken == files(sent)
    (again,) = importing.take_in(sent, mine)
    assert (again.taken, again.there, again.timings) == ([], IDS, 0) and again.clean
    assert {record["id"] for record in Store(mine, "quick").records()} == set(IDS)


def test_a_dry_run_writes_nothing(sent, mine):
    (outcome,) = importing.take_in(sent, mine, dry_run=True)
    assert (outcome.taken, outcome.timings) == (IDS, 28)
    assert not mine.exists()


def test_a_folder_of_runs_alone_may_have_any_name(sent, mine, tmp_path):
    renamed = (sent / "runs" / "quick").rename(tmp_path / "from Bob")
    (outcome,) = importing.take_in(renamed, mine)
    assert (outcome.suite, outcome.taken) == ("quick", IDS)
    assert (mine / "runs" / "quick" / IDS[0] / "record.json").is_file()


def test_what_is_here_is_kept_where_the_other_differs(sent, mine):
    importing.take_in(sent, mine)
    before = files(mine)
    edit(run(sent) / "record.json", seconds=1.5)
    (outcome,) = importing.take_in(sent, mine)
    (sentence,) = outcome.conflicts
    assert sentence.startswith(f"{IDS[0]} (") and "is here already, as ok of " in sentence
    assert not outcome.clean and files(mine) == before


def test_a_stopped_run_gives_way_to_a_finished_one_and_not_the_other_way(sent, mine):
    importing.take_in(sent, mine)
    edit(run(mine) / "record.json", status="interrupted")
    (outcome,) = importing.take_in(sent, mine)
    assert outcome.replaced == [IDS[0]] and outcome.clean
    assert files(run(mine)) == files(run(sent))
    edit(run(sent) / "record.json", status="timeout")
    (outcome,) = importing.take_in(sent, mine)
    assert outcome.replaced == [] and len(outcome.conflicts) == 1


def test_what_lies_beside_a_record_and_is_none_of_its_own_stays_behind(sent, mine):
    (run(sent) / "weights.ckpt").write_bytes(b"pickle")
    (run(sent) / "more").mkdir()
    importing.take_in(sent, mine)
    assert sorted(path.name for path in run(mine).iterdir()) == [
        "epochs.parquet",
        "layers.parquet",
        "record.json",
    ]


def _symlink(folder):
    shutil.rmtree(folder)
    folder.symlink_to(SHIPPED / "runs" / "quick" / folder.name)


def _linked_table(folder):
    (folder / "layers.parquet").unlink()
    (folder / "layers.parquet").symlink_to("/etc/hosts")


def _pipe(folder):
    (folder / "record.json").unlink()
    os.mkfifo(folder / "record.json")


def _folder_as_record(folder):
    (folder / "record.json").unlink()
    (folder / "record.json").mkdir()


def _large(folder):
    with (folder / "epochs.parquet").open("ab") as file:
        file.truncate(importing.LARGEST["epochs.parquet"] + 1)


def _nan(folder):
    text = (folder / "record.json").read_text()
    (folder / "record.json").write_text(text.replace('"test_accuracy": ', '"test_accuracy": NaN, "x": '))


def _cell(folder):
    record = json.loads((folder / "record.json").read_text())
    record["cell"]["recipe"]["epochs"] = 1
    (folder / "record.json").write_text(json.dumps(record))


HOSTILE = {
    "a link": (_symlink, "is a link, and links are not followed"),
    "a link as table": (_linked_table, r"layers\.parquet cannot be read \("),
    "a pipe": (_pipe, "is no plain file"),
    "a folder as record": (_folder_as_record, r"cannot be read \(Is a directory\)"),
    "a file too large": (_large, r"epochs\.parquet has 16,777,217 bytes, and a run leaves at most"),
    "no table": (lambda f: (f / "layers.parquet").write_bytes(b"PAR1"), r"layers\.parquet is damaged \("),
    "another table": (
        lambda f: shutil.copy(f / "epochs.parquet", f / "layers.parquet"),
        r"layers\.parquet lacks the column available_fraction",
    ),
    "cut off": (lambda f: (f / "record.json").write_text('{"schema": 3,'), "is damaged"),
    "NaN": (_nan, "is damaged"),
    "another id": (lambda f: edit(f / "record.json", id="0" * 16), "is the record of 0000000000000000"),
    "another configuration": (
        lambda f: edit(f / "record.json", configuration="0" * 16),
        "says that its configuration is 0000000000000000, and what it holds has",
    ),
    "another cell": (_cell, "says that its id is .* it was edited, or made by another version"),
    "no data": (
        lambda f: edit(f / "record.json", data=None),
        r"does not say which data .* \(data\.checksum\)",
    ),
    "another suite": (lambda f: edit(f / "record.json", suite="../up"), r"is of the suite '\.\./up'"),
    "a later schema": (lambda f: edit(f / "record.json", schema=99), "has the record schema 99"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_does_not_hold_is_refused_by_name_and_the_rest_comes_in(sent, mine, what):
    change, why = HOSTILE[what]
    change(run(sent))
    (outcome,) = importing.take_in(sent, mine)
    assert outcome.taken == IDS[1:]
    (sentence,) = outcome.refused
    assert str(run(sent)) in sentence and "\n" not in sentence
    assert re.search(why, sentence)
    assert not run(mine).exists()


def test_a_timing_that_is_not_what_its_name_says_is_refused(sent, mine):
    first, second, *_ = sorted((sent / "latency" / "quick").iterdir())
    edit(first, hardware="A faster machine")
    second.write_text("{}")
    (outcome,) = importing.take_in(sent, mine)
    assert outcome.timings == 26 and len(outcome.refused) == 2
    assert "is not the timing that its name says" in outcome.refused[0] and "is damaged" in outcome.refused[1]


@pytest.mark.parametrize("name", ["../up", "Quick", "a b", ".hidden"])
def test_no_name_of_a_suite_leads_out_of_the_folder(sent, mine, name):
    edit(run(sent) / "record.json", suite=name)
    for other in IDS[1:]:
        shutil.rmtree(run(sent, other))
    with pytest.raises(BenchError, match="holds no records"):
        importing.take_in(sent / "runs" / "quick", mine)
    assert not mine.exists()


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_a_folder_without_records_is_named(tmp_path, mine, place):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchError, match=f"{place} (is no folder|holds no records)"):
        importing.take_in(tmp_path / place, mine)


def test_one_s_own_folder_is_not_imported(sent):
    with pytest.raises(BenchError, match="is the results folder itself"):
        importing.take_in(sent, sent)


def test_other_code_is_told(sent):
    records = [json.loads((run(sent, name) / "record.json").read_text()) for name in IDS]
    # As if they had been made with the code that is here: it may have changed since they were.
    found = registry.load()
    for record in records:
        record["digests"] = {"harness": protocol.harness(), "libraries": protocol.libraries()}
        for what, there in {
            "method": found.methods,
            "dataset": found.datasets,
            "backbone": found.backbones,
        }.items():
            record["digests"][what] = there[record["cell"][what]["name"]].digest
    assert importing.code_notes(records) == []
    records[2]["digests"] |= {"harness": "protocol 0", "libraries": "torch 2.1"}
    records[0]["digests"]["method"] = "other"
    records[1]["cell"]["method"]["name"] = "not-here"
    method = records[0]["cell"]["method"]["name"]
    assert set(importing.code_notes(records)) == {
        f"1 record: {how}; such records stay rows of their own"
        for how in (
            f"the method {method} is another version here",
            f"made with protocol 0, and here is {protocol.harness()}",
            f"made with torch 2.1, and here is {protocol.libraries()}",
            "the method not-here is not installed here",
        )
    }
