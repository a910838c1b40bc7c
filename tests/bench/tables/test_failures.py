from written_records import runs

from bench.tables.failures import Ending, failures, unmeasured


def test_runs_that_ended_alike_stand_together_and_those_that_worked_do_not():
    records = runs("rectangle", [98.0, "failed", "oom", "failed"]) + runs("arctan", ["failed"])
    found = failures(records)
    assert [(each.ending.status, each.ending.method, each.seeds) for each in found] == [
        ("failed", "arctan", (0,)),
        ("failed", "rectangle", (1, 3)),
        ("oom", "rectangle", (2,)),
    ]
    # One line, whatever a method wrote.
    assert found[1].ending == Ending(
        "failed", "rectangle", "digits", "convnet", 4, "default", "it was failed"
    )


def test_what_was_not_measured_is_counted_by_reason():
    first, second, third = runs("rectangle", [98.0, 97.0, 96.0])
    first["unmeasured"] = {"cost": "no\nroom", "compile": "no compiler"}
    second["unmeasured"] = {"cost": "no room"}
    third["unmeasured"] = {"cost": "another"}
    assert [(each.what, each.why, each.runs) for each in unmeasured([first, second, third])] == [
        ("compile", "no compiler", 1),
        ("cost", "another", 1),
        ("cost", "no room", 2),
    ]


def test_what_was_not_measured_is_told_apart_by_variant():
    records = runs("rectangle", [98.0]) + runs("rectangle", [98.0, 97.0], "width=0.5")
    for record in records:
        record["unmeasured"] = {"cost": "no room"}
    assert [*map(str, unmeasured(records))] == [
        "rectangle on digits, 1 run: no room",
        "rectangle (width=0.5) on digits, 2 runs: no room",
    ]
