"""Figures over all tasks: profiles from the worst to the best run of all, ranks with their groups."""

import pytest
from written_records import FAIR, GOOD, POOR, runs

from bench.report import over_tasks
from bench.tables.results import Results


def everything(tasks):
    return [
        record
        for number in range(tasks)
        for method, values in (("rectangle", GOOD), ("arctan", FAIR), ("slow", POOR))
        for record in runs(method, [v - number for v in values], task=(f"d{number}", "mlp", 2))
    ]


def test_profiles_fall_from_all_runs_to_none():
    found = over_tasks.profiles(Results(everything(2)))
    by_method = {name: [r for r in found if r["method"] == name] for name in ("rectangle", "arctan", "slow")}
    for rows in by_method.values():
        # From the worst run of all methods to the best of all.
        assert (rows[0]["accuracy"], rows[0]["share"]) == (89.1, 1.0)
        assert rows[-1]["accuracy"] == 98.8
        shares = [row["share"] for row in rows]
        assert shares == sorted(shares, reverse=True)
    assert by_method["slow"][-1]["share"] == 0.0 and by_method["rectangle"][-1]["share"] == pytest.approx(0.1)


def test_of_one_task_there_is_no_profile():
    assert over_tasks.profiles(Results(everything(1))) == []


def test_ranks_stand_best_first_and_each_group_has_a_line():
    assert over_tasks.critical(Results(everything(4))) is None
    found = over_tasks.critical(Results(everything(8)))
    dots = [row for row in found["rows"] if row["group"] is None]
    assert [(row["method"], row["rank"]) for row in dots] == [
        ("rectangle", 1.0),
        ("arctan", 2.0),
        ("slow", 3.0),
    ]
    lines = [(row["method"], row["low"], row["high"]) for row in found["rows"] if row["group"] is not None]
    # With eight tasks the critical difference of three methods is 1.17.
    assert abs(found["difference"] - 1.17) < 0.005
    assert lines == [("rectangle", 1.0, 2.0), ("arctan", 2.0, 3.0)]
