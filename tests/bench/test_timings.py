"""Timings on disk, and what decides which of them is whose."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.timings import NEEDED, TIMING_SCHEMA, Timings, forward_kind, hardware, timed, timing_id

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


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("fixed", "gradient", "spiking"),
        ("library", "gradient", "spiking"),
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
        kind: timed(kind, CELL, "spiking") != timed(kind, other, "spiking")
        for kind in ("inference", "training")
    }
    assert changes["training"] == (part not in ("seed", "measure"))
    assert changes["inference"] == (part not in ("seed", "measure", "recipe", "method"))
    assert (timed("inference", CELL, "own") != timed("inference", other, "own")) == (
        part not in ("seed", "measure", "recipe")
    )


def test_an_id_has_the_hardware_in_it():
    what = timed("training", CELL, "spiking")
    assert timing_id(what, "one") == timing_id(dict(reversed(what.items())), "one") != timing_id(what, "two")


def test_hardware():
    assert hardware({"cpu": "Some CPU", "threads": 1, "gpu": None}) == "Some CPU, 1 thread"
    assert hardware({"cpu": "Some CPU", "threads": 2, "gpu": None}) == "Some CPU, 2 threads"
    assert hardware({"cpu": "Some CPU", "threads": 2, "gpu": {"name": "A GPU"}}) == "A GPU"


def test_what_is_written_is_read_and_what_is_damaged_is_not_there(tmp_path):
    kept = Timings(tmp_path, "tiny")
    assert kept.all() == []
    for name in ("b", "a"):
        kept.write(dict.fromkeys(NEEDED) | {"schema": TIMING_SCHEMA, "id": name})
    assert [timing["id"] for timing in kept.all()] == ["a", "b"]
    (kept.folder / "c.json").write_text("{")
    whole = dict.fromkeys(NEEDED) | {"schema": TIMING_SCHEMA}
    damaged = {"d": whole | {"id": "a"}, "e": whole | {"id": "e", "schema": 0}, "f": []}
    damaged["g"] = {name: whole.get(name) for name in NEEDED - {"digests"}} | {"id": "g"}
    for name, content in damaged.items():
        (kept.folder / f"{name}.json").write_text(json.dumps(content))
    assert [timing["id"] for timing in kept.all()] == ["a", "b"]
