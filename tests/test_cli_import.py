"""`spikegrad import`, as a user types it."""

import json
import shutil
from pathlib import Path

import pytest
import shown_runs

from bench.records.store import Store
from bench.runner.code_notes import code_notes

SHIPPED = Path(__file__).resolve().parents[1] / "results"


@pytest.fixture
def sent(tmp_path):
    folder = tmp_path / "sent"
    for what in ("runs", "latency"):
        shutil.copytree(SHIPPED / what / "quick", folder / what / "quick")
    return folder


def test_records_come_in_and_the_tables_are_those_of_who_sent_them(spikegrad, sent, tmp_path):
    timed = len(list((sent / "latency" / "quick").glob("*.json")))
    whole = len(list((sent / "runs" / "quick").glob("*/record.json")))
    checked = spikegrad("import", sent, "--dry-run", cwd=tmp_path)
    assert checked.returncode == 0 and not (tmp_path / "results").exists()
    notes = "".join(f"{note}\n" for note in code_notes(Store(sent, "quick").records()))
    assert checked.stdout == (
        f"quick: {whole} records would be taken in, {timed} timings would be taken in\n{notes}"
    )
    ended = spikegrad("import", sent, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"quick: {whole} records taken in, {timed} timings taken in\n{notes}"
    made = tmp_path / "results" / "local" / "leaderboards" / "quick"
    for table in (SHIPPED / "leaderboards" / "quick").iterdir():
        assert (made / table.name).read_bytes() == table.read_bytes()
    planned = spikegrad("plan", "quick", "--json", cwd=tmp_path)
    assert json.loads(planned.stdout)["counts"]["done"] == whole


def test_what_is_refused_is_named_and_the_exit_code_tells(spikegrad, sent, tmp_path):
    bad = sorted((sent / "runs" / "quick").glob("*/record.json"))[0].parent
    (bad / "record.json").write_text("{")
    ended = spikegrad("import", sent, "--json", cwd=tmp_path)
    (suite,) = json.loads(ended.stdout)["suites"]
    whole = len(list((sent / "runs" / "quick").glob("*/record.json")))
    assert ended.returncode == 1 and len(suite["taken"]) == whole - 1
    assert suite["refused"][0].startswith(f"{bad / 'record.json'} is damaged (")


def test_records_of_a_suite_that_is_not_shipped_come_in_too(spikegrad, sent, tmp_path):
    for record in (sent / "runs" / "quick").glob("*/record.json"):
        shown_runs.sealed(record, suite="ours")
    (sent / "runs" / "quick").rename(sent / "runs" / "ours")
    refused = spikegrad("import", sent, cwd=tmp_path)
    assert (
        refused.returncode == 1 and "suite.json is of the suite quick and lies among those" in refused.stdout
    )
    (sent / "runs" / "ours" / "suite.json").unlink()
    shutil.rmtree(sent / "latency")
    ended = spikegrad("import", sent, cwd=tmp_path)
    assert ended.returncode == 0
    whole = len(list((sent / "runs" / "ours").glob("*/record.json")))
    assert f"ours: {whole} records taken in" in ended.stdout
    assert (tmp_path / "results/local/leaderboards/ours/accuracy.csv").is_file()


def test_nothing_to_import_is_one_sentence(spikegrad, tmp_path):
    ended = spikegrad("import", tmp_path, cwd=tmp_path)
    assert ended.returncode == 2 and ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert "holds no records: give a results folder" in line
