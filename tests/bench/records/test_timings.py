"""Timings on disk, and what decides which of them is whose."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records.timings import (
    TIMING_SCHEMA,
    TIMING_VERSION,
    Timings,
    forward_kind,
    hardware,
    timed,
    timed_code,
    timing_id,
)

CELL = {
    "method": {"name": "arctan", "params": {}},
    "dataset": {"name": "digits"},
    "backbone": {"name": "mlp"},
    "timesteps": 2,
    "recipe": {"epochs": 3},
    "profile": {"threads": 1},
    "measure": {"probe": "ends"},
    "seed": 4,
}


WHOLE = {
    "schema": TIMING_SCHEMA,
    "id": "0",
    "kind": "training",
    "forward": "spiking",
    "data": "c0ffee",
    "cell": CELL,
    "hardware": "Some CPU, 1 thread",
    "digests": {"harness": "1"},
    "status": "ok",
    "error": None,
    "metrics": {"train_step_ms_p50": 1.5},
}


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("fixed", "gradient", "spiking"),
        ("library", "gradient", "own"),
        ("adaptive", "forward", "own"),
        ("adaptive", "network", "own"),
        ("reference", "network", "reference"),
    ],
)
def test_forward_kind(kind, changes, expected):
    assert forward_kind({"kind": kind, "changes": changes}) == expected


@given(st.sampled_from(sorted(CELL)))
def test_what_changes_a_timing(part):
    other = CELL | {part: {"name": "another"}}
    changes = {
        kind: timed(kind, CELL, "spiking", "c0ffee") != timed(kind, other, "spiking", "c0ffee")
        for kind in ("inference", "training")
    }
    assert changes["training"] == (part not in ("seed", "measure"))
    assert changes["inference"] == (part not in ("seed", "measure", "recipe", "method"))
    assert (timed("inference", CELL, "own", "c0ffee") != timed("inference", other, "own", "c0ffee")) == (
        part not in ("seed", "measure", "recipe")
    )


def test_other_data_are_timed_again():
    mine, theirs = (timed("inference", CELL, "spiking", data) for data in ("c0ffee", "decaf"))
    assert timing_id(mine, "one", "torch 2.9") != timing_id(theirs, "one", "torch 2.9")


def test_an_id_has_the_hardware_and_the_libraries_in_it():
    what = timed("training", CELL, "spiking", "c0ffee")
    first = timing_id(what, "one", "torch 2.9")
    assert timing_id(dict(reversed(what.items())), "one", "torch 2.9") == first
    assert len({first, timing_id(what, "two", "torch 2.9"), timing_id(what, "one", "torch 2.10")}) == 3


def test_a_version_of_the_way_to_time_is_part_of_what_is_timed(monkeypatch):
    digests = {"harness": "protocol 1", "method": "m", "libraries": "torch 2.9"}
    before = {of: timed_code(of, digests, "spiking") for of in ("inference", "training")}
    assert "method" not in before["inference"] and before["training"].items() > digests.items()
    monkeypatch.setattr("bench.records.timings.TIMING_VERSION", TIMING_VERSION + 1)
    assert all(timed_code(of, digests, "spiking") != code for of, code in before.items())


def test_hardware():
    assert hardware({"cpu": "Some CPU", "threads": 1, "gpu": None}) == "Some CPU, 1 thread"
    assert hardware({"cpu": "Some CPU", "threads": 2, "gpu": None}) == "Some CPU, 2 threads"
    assert hardware({"cpu": "Some CPU", "threads": 2, "gpu": {"name": "A GPU"}}) == "A GPU"


def test_what_is_written_is_read_and_what_is_damaged_is_not_there(tmp_path):
    kept = Timings(tmp_path, "tiny")
    assert kept.survey()[0] == []
    for name in ("b", "a"):
        kept.write(WHOLE | {"id": name})
    assert [timing["id"] for timing in kept.survey()[0]] == ["a", "b"]
    (kept.folder / "c.json").write_text("{")
    damaged = {"d": WHOLE | {"id": "a"}, "e": WHOLE | {"id": "e", "schema": 0}, "f": []}
    damaged["g"] = {name: value for name, value in WHOLE.items() if name != "digests"} | {"id": "g"}
    damaged["h"] = WHOLE | {"id": "h", "metrics": None}
    damaged["i"] = WHOLE | {"id": "i", "metrics": {"throughput": "fast"}}
    for name, content in damaged.items():
        (kept.folder / f"{name}.json").write_text(json.dumps(content))
    assert [timing["id"] for timing in kept.survey()[0]] == ["a", "b"]
    (kept.folder / "j.json").write_text("[" * 100_000)
    assert [timing["id"] for timing in kept.survey()[0]] == ["a", "b"]
    told = kept.survey()[1]
    named = [sentence.partition(" is damaged")[0] for sentence in told]
    assert named == [str(kept.folder / f"{name}.json") for name in "cdefghij"]
    assert all("it is left out, and what it held is timed again by the next run" in line for line in told)


def test_no_timings_are_no_damage(tmp_path):
    assert Timings(tmp_path, "tiny").survey() == ([], [])
