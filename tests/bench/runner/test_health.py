"""What doctor says: each finding true, and with what it means for a run."""

import os
import platform

import pytest
import shown_runs

from bench import registry
from bench.records import protocol
from bench.records.store import CHECKPOINT, Store
from bench.runner import health
from bench.runner.engines.process import NoAnswer

OURS = {"harness": protocol.harness(), "libraries": protocol.libraries()}


def record(seed, digests=OURS, **more):
    return shown_runs.record(seed, cell={"seed": seed}, digests=digests, **more)


def fill(results, *records):
    for each in records:
        shown_runs.write(results, each)


def test_a_folder_without_records_is_no_problem(tmp_path):
    (found,) = health.stored(tmp_path / "none")
    assert (found.state, found.found) == ("good", f"none in {tmp_path / 'none'}")


def test_a_damaged_record_is_bad_and_named(tmp_path):
    fill(tmp_path, record(0), record(1))
    damaged = Store(tmp_path, "hand").folder(record(1)["id"]) / "record.json"
    damaged.write_text(damaged.read_text().replace("97.5", "99.5"))
    (found,) = health.stored(tmp_path)
    assert (found.state, found.found) == ("bad", "1 record, 1 left out")
    assert found.means.startswith(f"{damaged} ") or str(damaged) in found.means


def test_what_a_run_would_repeat_is_counted(tmp_path):
    stopped = record(1, status="timeout", error="took longer than 1 s", metrics={})
    fill(tmp_path, record(0), stopped, record(2, OURS | {"harness": "protocol 0"}))
    (found,) = health.stored(tmp_path)
    assert found.state == "note"
    assert "1 stopped by circumstances" in found.found and "1 of another protocol" in found.found
    assert "repeats those that circumstances stopped" in found.means and "are stale" in found.means


def test_checkpoints_are_counted(tmp_path):
    fill(tmp_path, record(0))
    for name in ("000001", "000002"):
        folder = Store(tmp_path, "hand").folder("half-trained")
        folder.mkdir(exist_ok=True)
        (folder / f"{name}{CHECKPOINT}").write_bytes(bytes(2**20))
    (found,) = health.stored(tmp_path)
    assert found.found == "1 record, checkpoints of 1 training (2 MiB), removed when these are finished"


def test_a_run_at_work_is_seen(tmp_path):
    fill(tmp_path, record(0))
    store = Store(tmp_path, "hand")
    with store.lock():
        (found,) = health.stored(tmp_path)
    assert f"at work on it now: {platform.node()}, process {os.getpid()}" in found.means
    assert "at work" not in next(iter(health.stored(tmp_path))).means


def test_a_place_that_cannot_be_written_is_bad(tmp_path):
    (tmp_path / "file").touch()
    found = {each.topic: each for each in health.disks(tmp_path / "file" / "results")}
    assert found["results"].state == "bad" and "give another folder" in found["results"].means
    before = [*tmp_path.iterdir()]
    assert {each.topic: each for each in health.disks(tmp_path)}["results"].state in ("good", "bad")
    assert [*tmp_path.iterdir()] == before, "nothing is left behind"


def test_little_disk_and_memory_are_bad(tmp_path, monkeypatch):
    monkeypatch.setattr(health, "LITTLE_DISK", float("inf"))
    monkeypatch.setattr(health, "LITTLE_MEMORY", float("inf"))
    monkeypatch.setattr(health, "free_memory", lambda: 2.0**30)
    assert all(each.state == "bad" for each in health.disks(tmp_path))
    assert {each.topic: each.state for each in health.machine()}["memory"] == "bad"


def test_data_that_is_not_there_is_named(tmp_path):
    found = health.data(registry.load(), tmp_path)
    assert found.state == "note" and "digits" in found.found
    assert "cifar10" in found.means.split(";")[0] and "digits" not in found.means.split(": ")[1].split(", ")


@pytest.mark.parametrize(
    ("answer", "state"),
    [("", "good"), ("no C++ compiler found", "note"), (NoAnswer("failed", "ended"), "bad")],
)
def test_the_compiler_is_tried_in_a_process_of_its_own(answer, state, monkeypatch):
    monkeypatch.setattr(health, "ask", lambda *_, **__: iter([answer]))
    assert health.compiler().state == state


def test_a_broken_plugin_is_bad():
    broken = registry.Registry(broken=[registry.Broken("/some/file.py", "ValueError: no")])
    found = [each for each in health.software(broken) if each.topic == "plugin"]
    assert [each.state for each in found] == ["bad"] and "/some/file.py" in found[0].found


def test_the_worst_counts():
    good, note, bad = (health.Finding("a", state, "") for state in ("good", "note", "bad"))
    assert health.worst([good, note]) == "note" and health.worst([bad, good]) == "bad"
    assert health.worst([]) == "good"
