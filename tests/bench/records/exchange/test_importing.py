"""Records from elsewhere: the good ones come in as they are, of the others nothing does."""

import io
import json
import os
import re
import shutil
import tarfile

import pytest
import shown_runs

from bench import registry
from bench.errors import BenchError
from bench.records import kept_suites, protocol
from bench.records.exchange import bundles, importing
from bench.records.store import Store, apart
from bench.records.timings import TIMING_SCHEMA, Timings, timing_id
from bench.runner.code_notes import code_notes
from bench.tables.rows import rows, settings

SEEDS = (0, 1, 2)
RUNS = [shown_runs.placed(cell={"seed": seed}) for seed in SEEDS]
IDS = sorted(record["id"] for record in RUNS)
OTHERS = {"cpu": "Another CPU (model 7)", "threads": 2, "gpu": None}


def time(results, number):
    what = {"kind": "training", "forward": "spiking", "data": "c0ffee", "cell": {"timesteps": number}}
    rest = {"digests": {}, "status": "ok", "error": None, "metrics": {"train_step_ms_p50": 1.0}}
    found = {"schema": TIMING_SCHEMA, "id": timing_id(what, "Some CPU", ""), "hardware": "Some CPU"}
    Timings(results, "hand").write(found | what | rest)


def fill(folder, **parts):
    for seed in SEEDS:
        shown_runs.write(folder, shown_runs.placed(cell={"seed": seed}, **parts))


@pytest.fixture
def sent(tmp_path):
    """A results folder from elsewhere, with three runs and four times."""
    fill(tmp_path / "sent")
    for number in range(4):
        time(tmp_path / "sent", number)
    return tmp_path / "sent"


@pytest.fixture
def mine(tmp_path):
    return tmp_path / "mine"


def run(folder, name=IDS[0]):
    return folder / "runs" / "hand" / name


def files(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def edit(file, **changes):
    """Change a record, as one who makes its hash anew; or another file, as it is."""
    if file.name == "record.json":
        shown_runs.sealed(file, **changes)
    else:
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_what_is_good_comes_in_byte_for_byte_and_a_second_time_is_there(sent, mine):
    (outcome,) = importing.take_in(sent, mine)
    assert (outcome.suite, outcome.taken, outcome.timings) == ("hand", IDS, 4) and outcome.clean
    taken = {path: content for path, content in files(mine).items() if path.name != ".lock"}
    assert taken == files(sent)
    (again,) = importing.take_in(sent, mine)
    assert (again.taken, again.there, again.timings) == ([], IDS, 0) and again.clean
    assert {record["id"] for record in Store(mine, "hand").records()} == set(IDS)


def test_a_dry_run_writes_nothing(sent, mine):
    (outcome,) = importing.take_in(sent, mine, dry_run=True)
    assert (outcome.taken, outcome.timings) == (IDS, 4)
    assert not mine.exists()


def test_a_folder_of_runs_alone_may_have_any_name(sent, mine, tmp_path):
    renamed = (sent / "runs" / "hand").rename(tmp_path / "from Bob")
    (outcome,) = importing.take_in(renamed, mine)
    assert (outcome.suite, outcome.taken) == ("hand", IDS)
    assert (mine / "runs" / "hand" / IDS[0] / "record.json").is_file()


def test_what_is_here_is_kept_where_the_other_differs(sent, mine):
    importing.take_in(sent, mine)
    before = files(mine)
    edit(run(sent) / "record.json", seconds=1.5)
    (outcome,) = importing.take_in(sent, mine)
    (sentence,) = outcome.conflicts
    assert sentence.startswith(f"{IDS[0]} (mpd-agl on digits, seed ")
    assert (
        "is here already, as ok, 97.50 %, of 2025-03-04T05:06:07+00:00 on Some CPU, 1 thread, and" in sentence
    )
    assert not outcome.clean and files(mine) == before


def test_what_is_kept_of_two_laboratories_is_as_asked(tmp_path, mine):
    fill(mine)
    fill(tmp_path / "sent", environment=OTHERS)
    (shown_runs.write(tmp_path / "sent", shown_runs.placed(cell={"seed": 9}, environment=OTHERS)))
    before, theirs = files(run(mine)), files(run(tmp_path / "sent"))
    beside = [apart(name, OTHERS) for name in IDS]
    (conflict,) = importing.take_in(tmp_path / "sent", mine, dry_run=True)
    assert len(conflict.taken) == 1 and len(conflict.conflicts) == 3 and not conflict.clean
    assert all(sentence.endswith("on Another CPU (model 7), 2 threads") for sentence in conflict.conflicts)
    (ours,) = importing.take_in(tmp_path / "sent", mine, keep="ours", dry_run=True)
    assert len(ours.kept) == 3 and ours.clean
    (both,) = importing.take_in(tmp_path / "sent", mine, keep="both")
    assert both.beside == beside and len(both.taken) == 1 and both.clean
    assert files(run(mine)) == before and files(run(mine, beside[0])) == theirs
    (again,) = importing.take_in(tmp_path / "sent", mine, keep="both")
    assert again.clean and not again.beside and len(again.there) == 4
    # Each laboratory's rows are compared with its own.
    found = rows(Store(mine, "hand").records())
    assert {row.variant: len(row.records) for row in found} == {
        "default": 4,
        "machine=Another-CPU-model-7-2-threads": 3,
    }
    assert len([*settings(found)]) == 2
    (theirs_now,) = importing.take_in(tmp_path / "sent", mine, keep="theirs")
    assert sorted(theirs_now.replaced) == IDS and files(run(mine)) == theirs


def test_a_third_training_of_one_machine_is_a_conflict(tmp_path, mine):
    fill(mine)
    for seconds in (1.0, 2.0):
        fill(tmp_path / "sent", environment=OTHERS, seconds=seconds)
        (outcome,) = importing.take_in(tmp_path / "sent", mine, keep="both")
    assert len(outcome.conflicts) == 3 and not outcome.beside
    assert outcome.conflicts[0].startswith(f"{apart(IDS[0], OTHERS)} (")


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
        "predictions.parquet",
        "record.json",
    ]


def _symlink(folder):
    shutil.rmtree(folder)
    folder.symlink_to("/etc")


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


def _without(name):
    def change(folder):
        record = json.loads((folder / "record.json").read_text())
        if name.endswith(".parquet"):
            (folder / name).unlink()
        else:
            del record["metrics"][name]
        shown_runs.sealed(folder / "record.json", metrics=record["metrics"])

    return change


def _edited(folder):
    record = json.loads((folder / "record.json").read_text())
    record["metrics"]["test_accuracy"] += 1
    (folder / "record.json").write_text(json.dumps(record))


HOSTILE = {
    "an edited number": (
        _edited,
        "contradicts itself \\(test_accuracy is 98.5, and anytime_accuracy gives 97.5",
    ),
    "no predictions": (_without("predictions.parquet"), "has no predictions.parquet: what ended well"),
    "no epochs": (_without("epochs.parquet"), "has no epochs.parquet: what ended well is taken in with"),
    "no number of samples": (_without("test_samples"), "has no test_samples: what ended well"),
    "another table by its hash": (
        lambda f: (f / "layers.parquet").write_bytes((f / "layers.parquet").read_bytes() + b" "),
        r"layers\.parquet (has the hash|is damaged)",
    ),
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
    "cut off": (lambda f: (f / "record.json").write_text('{"schema": 4,'), "is damaged"),
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
    first, second, *_ = sorted((sent / "latency" / "hand").iterdir())
    edit(first, hardware="A faster machine")
    second.write_text("{}")
    (outcome,) = importing.take_in(sent, mine)
    assert outcome.timings == 2 and len(outcome.refused) == 2
    assert "is not the timing that its name says" in outcome.refused[0] and "is damaged" in outcome.refused[1]


@pytest.mark.parametrize("name", ["../up", "Hand", "a b", ".hidden"])
def test_no_name_of_a_suite_leads_out_of_the_folder(sent, mine, name):
    edit(run(sent) / "record.json", suite=name)
    for other in IDS[1:]:
        shutil.rmtree(run(sent, other))
    with pytest.raises(BenchError, match="holds no records"):
        importing.take_in(sent / "runs" / "hand", mine)
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
    assert code_notes(records) == []
    records[2]["digests"] |= {"harness": "protocol 0", "libraries": "torch 2.1"}
    records[0]["digests"]["method"] = "other"
    records[1]["cell"]["method"]["name"] = "not-here"
    method = records[0]["cell"]["method"]["name"]
    assert set(code_notes(records)) == {
        f"1 record: {how}; such records stay rows of their own"
        for how in (
            f"the method {method} is another version here",
            f"made with protocol 0, and here is {protocol.harness()}",
            f"made with torch 2.1, and here is {protocol.libraries()}",
            "the method not-here is not installed here",
        )
    }


# --- bundles ---


def exported(results, to):
    return bundles.export(Store(results, "hand"), to)


@pytest.mark.parametrize("name", ["sent.tar.gz", "sent.tgz", "folder"])
def test_what_is_exported_comes_in_as_it_is(sent, mine, tiny, tmp_path, name):
    store = Store(sent, "hand")
    kept_suites.keep(store, tiny(name="hand", seeds=SEEDS))
    plugin = store.runs / "plugins/0123456789abcdef/inner/_mine.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("print('run')")
    made = exported(sent, tmp_path / name)
    assert (made.records, made.timings, made.left_out) == (3, 4, [])
    folder = tmp_path / name
    if folder.is_file():
        folder = tmp_path / "unpacked"
        bundles.unpack(tmp_path / name, folder)
        assert {path.parts[0] for path in files(folder)} == {"runs", "latency"}
    else:
        about = json.loads((folder / "bundle.json").read_text())
        assert about["records"] == 3 and about["environments"] == [RUNS[0]["environment"]]
    (outcome,) = importing.take_in(folder, mine)
    assert (outcome.taken, outcome.timings) == (IDS, 4) and outcome.clean
    assert {path: content for path, content in files(mine).items() if path.name != ".lock"} == files(sent)
    assert kept_suites.kept(Store(mine, "hand")) == tiny(name="hand", seeds=SEEDS)


def test_records_of_another_suite_of_the_name_are_refused(sent, mine, tiny):
    kept_suites.keep(Store(sent, "hand"), tiny(name="hand", seeds=SEEDS))
    kept_suites.keep(Store(mine, "hand"), tiny(name="hand", seeds=SEEDS, timesteps=[7]))
    before = files(mine)
    (outcome,) = importing.take_in(sent, mine)
    assert outcome.taken == [] and not outcome.clean
    assert "holds another suite of the name hand: its timesteps had 7" in outcome.refused[0]
    assert {path: text for path, text in files(mine).items() if path.name != ".lock"} == before


def test_the_same_results_are_the_same_bundle_and_what_is_edited_is_not_in_it(sent, tmp_path):
    for name in ("a.tar.gz", "b.tar.gz"):
        exported(sent, tmp_path / name)
    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    _edited(run(sent))
    made = exported(sent, tmp_path / "c.tar.gz")
    assert made.records == 2 and "contradicts itself" in made.left_out[0]
    with pytest.raises(BenchError, match="is there already"):
        exported(sent, tmp_path)
    with pytest.raises(BenchError, match="there is nothing to export"):
        bundles.export(Store(sent, "nothing"), tmp_path / "d.tar.gz")


def member(name, **parts):
    about = tarfile.TarInfo(name)
    for part, value in parts.items():
        setattr(about, part, value)
    return about


GOOD = f"runs/hand/{IDS[0]}/record.json"
BAD_MEMBERS = {
    "up": (member("runs/hand/../../../evil/record.json"), "leads out of the bundle"),
    "absolute": (member("/runs/hand/a/record.json"), "leads out of the bundle"),
    "a link": (member(GOOD, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is no plain file"),
    "a folder's link": (member("runs/hand", type=tarfile.SYMTYPE, linkname="/tmp"), "is no plain file"),
    "a hard link": (member(GOOD, type=tarfile.LNKTYPE, linkname="/etc/passwd"), "is no plain file"),
    "a device": (member(GOOD, type=tarfile.CHRTYPE), "is no plain file"),
    "too large": (member(GOOD, size=5 * 2**20), "has 5,242,880 bytes, and at most 4,194,304"),
    "a control character": (member("plugins/\x1b[2J.py"), "is no name of a file"),
}


@pytest.mark.parametrize("what", BAD_MEMBERS)
def test_nothing_in_a_bundle_leads_out_of_it(sent, tmp_path, what):
    bad, why = BAD_MEMBERS[what]
    with tarfile.open(tmp_path / "bad.tar.gz", "w:gz") as tar:
        tar.addfile(bad, io.BytesIO(bytes(bad.size)) if bad.size else None)
    before = files(tmp_path)
    (tmp_path / "into").mkdir()
    with pytest.raises(BenchError, match=f"bad.tar.gz: .*{why}.*: nothing of it was taken in") as raised:
        bundles.unpack(tmp_path / "bad.tar.gz", tmp_path / "into")
    assert "\n" not in str(raised.value) and "\x1b" not in str(raised.value)
    assert files(tmp_path) == before


@pytest.mark.parametrize("cut", [0, 10, 100, 2000])
def test_half_a_bundle_is_one_sentence(sent, tmp_path, cut):
    exported(sent, tmp_path / "a.tar.gz")
    content = (tmp_path / "a.tar.gz").read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(content[:cut] if cut else b"no archive")
    with pytest.raises(BenchError, match=r"a\.tar\.gz is no whole \.tar\.gz \("):
        bundles.unpack(tmp_path / "a.tar.gz", tmp_path / "into")
