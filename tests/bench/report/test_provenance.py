"""How the numbers were made, as the records say it."""

import json
from pathlib import Path

import shown_runs
from written_records import runs

from bench.report import provenance

ROOT = Path(__file__).resolve().parents[3]


def said(records):
    return {heading: lines for heading, lines in provenance.provenance(records)}


def test_the_shipped_suite_says_all_that_a_reviewer_asks():
    records = [
        json.loads(f.read_text()) for f in sorted((ROOT / "results" / "runs" / "quick").glob("*/record.json"))
    ]
    found = said(records)
    assert list(found) == [
        "Trainings",
        "Seeds",
        "Recipe",
        "Network options",
        "Data",
        "Machine",
        "Versions",
        "Code",
    ]
    assert found["Trainings"][0].startswith(f"{len(records)}: {len(records)} ok; ")
    assert found["Seeds"] == ["0, 1, 2, 3, 4"]
    assert len(found["Recipe"]) == 4 and any("epochs 4" in said for said in found["Recipe"])
    assert all("best validation accuracy" in said for said in found["Recipe"])
    assert [line.split(":")[0] for line in found["Data"]] == [
        "digits",
        "digits-events",
        "randman",
        "yin-yang",
    ]
    assert "checksum" in found["Data"][0] and "1,150 / 287 / 360 samples" in found["Data"][0]
    assert "torch" in found["Versions"][0] and "Python" in found["Versions"][0]
    assert found["Code"][0].startswith("commit ") and "uncommitted" not in found["Code"][0]


def test_what_differs_between_records_is_counted_and_nothing_is_left_out():
    first, second, third = runs("rectangle", [98.0, "failed", 97.0])
    second["environment"] = {"cpu": "Another", "threads": 2, "gpu": {"name": "H100"}}
    second["data"] = None
    found = said([first, second, third])
    assert found["Machine"] == [
        "AMD EPYC, 1 thread a training, 2 trainings at a time (2 trainings)",
        "Another, H100, 2 threads a training, 2 trainings at a time (1 training)",
    ]
    assert found["Trainings"][0].startswith("3: 1 failed, 2 ok; ")
    assert found["Code"] == ["no commit is on record"]
    assert "not stated" in found["Data"][0] and "? / ? / ?" in found["Data"][0]


def test_one_training_at_a_time_is_no_trainings():
    record = shown_runs.record() | {"workers": 1}
    assert said([record])["Machine"][0].endswith(", 1 training at a time")


def test_uncommitted_code_and_the_best_test_epoch_are_told():
    record = shown_runs.record()
    record["environment"] = record["environment"] | {"git": {"commit": "abc" * 10, "dirty": True}}
    record["cell"]["recipe"]["best_test_epoch"] = True
    found = said([record])
    assert found["Code"] == ["commit abcabcabcabc with uncommitted changes: 1 training"]
    assert found["Recipe"][0].endswith("best validation accuracy, and the best test epoch noted")


def test_plugins_are_named_with_their_file_their_code_and_their_commit():
    record = shown_runs.record()
    assert "Plugins" not in said([record])
    own = {"file": "mine.py", "identity": "5a0b", "shipped": False, "commit": None, "dirty": None}
    record["sources"] = {
        "method": own | {"commit": "abc" * 10, "dirty": True},
        "dataset": own | {"shipped": True},
        "backbone": own,
    }
    assert said([record])["Plugins"] == [
        "backbone convnet: mine.py, code 5a0b, not under version control (1 training)",
        "method mpd-agl: mine.py, code 5a0b, commit abcabcabcabc with uncommitted changes (1 training)",
    ]
