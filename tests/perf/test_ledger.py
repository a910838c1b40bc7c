import json

import pandas as pd
import pytest
from budgets import Budget
from in_turn import Spread
from ledger import Ledger, Measured
from rich.console import Console

HERE = {"cpu": "Test CPU (model 1)", "gpu": None, "git": {"commit": "abc", "dirty": False}}
SMALL = Budget("a budget", 1.1)


def row(what, value=1.0, budget=SMALL, **about):
    return Measured.under(
        budget, Spread(value, value - 0.1, value + 0.1), what=what, subject="ours", against="theirs", **about
    )


@pytest.mark.parametrize(
    ("sense", "value", "met"),
    [("at most", 1.1, True), ("at most", 1.2, False), ("at least", 1.1, True), ("at least", 1.0, False)],
)
def test_a_limit_is_kept_or_not(sense, value, met):
    assert row("a", value, Budget("b", 1.1, sense)).met is met
    assert Measured.spread(Spread(1.0, None, None), "s", what="a", subject="ours").met is None


def test_a_closed_ledger_takes_nothing():
    ledger = Ledger(open=False)
    ledger.add(row("a"))
    ledger.leave_out("Something.")
    assert (ledger.rows, ledger.left_out) == ([], [])


def test_the_table_says_what_was_met_and_what_was_missed(capsys):
    ledger = Ledger()
    for each in (
        row("a step", 1.0),
        row("another step", 1.3),
        row("a third", 9.0, Budget("other", 10, unit="s")),
    ):
        ledger.add(each)
    ledger.add(Measured.spread(Spread(5.0, None, None), "s", what="no budget", subject="ours"))
    ledger.leave_out("a peer is not installed.")
    ledger.show(Console(width=100))
    out = capsys.readouterr().out
    lines = {line.split("  ")[0]: line for line in out.splitlines()}
    assert lines["a step"].split()[-1] == "yes" and lines["another step"].split()[-1] == "no"
    assert "other: at most 10.00 s" in lines and "1.30 × (1.20–1.40)" in lines["another step"]
    assert "no budget" not in out and "Left out: a peer is not installed." in out
    assert max(map(len, out.splitlines())) <= 100


def test_a_run_of_a_part_keeps_the_rest(tmp_path):
    first, second = Ledger(), Ledger()
    for each in (row("kept"), row("measured again", 1.0), row("measured again", 1.05)):
        first.add(each)
    first.write(tmp_path, HERE)
    file = tmp_path / "test-cpu-model-1.csv"
    earlier = pd.read_csv(file, dtype=str)
    second.add(row("measured again", 2.0))
    there = HERE | {"git": {"commit": "def", "dirty": True}}
    said = second.write(tmp_path, there)
    assert "1 figures of this run, 1 of earlier ones" in said
    table = pd.read_csv(file, dtype=str)
    assert list(table["what"]) == ["kept", "measured again"]
    assert list(table["value"]) == ["1.0", "2.0"]
    assert list(table["commit"]) == ["abc", "def+"]
    assert list(table["met"]) == ["True", "False"]
    # What was kept is as it was, to the letter.
    assert table.iloc[0].equals(earlier.iloc[0])
    assert set(json.loads(file.with_suffix(".json").read_text())) == set(table["measured"])


def test_machines_have_files_of_their_own(tmp_path):
    ledger = Ledger()
    ledger.add(row("a"))
    ledger.write(tmp_path, HERE)
    ledger.write(tmp_path, HERE | {"gpu": {"name": "Some GPU"}})
    assert {f.name for f in tmp_path.iterdir()} == {
        *(f"test-cpu-model-1{end}" for end in (".csv", ".json")),
        *(f"test-cpu-model-1-some-gpu{end}" for end in (".csv", ".json")),
    }
