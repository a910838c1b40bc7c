"""The measuring itself: turns, ratios, budgets, and the file they are kept in."""

import io

import pandas as pd
import pytest
from in_turn import Ratio, fastest, in_turn, ratio, seconds
from ledger import Ledger, Measured, number
from rich.console import Console


def test_each_round_calls_each_once_in_the_same_order():
    called = []
    times = in_turn({name: lambda name=name: called.append(name) for name in "abc"}, rounds=3, warm=2)
    assert called == ["a", "a", "b", "b", "c", "c", *"abc" * 3]
    assert {name: len(found) for name, found in times.items()} == {"a": 3, "b": 3, "c": 3}


def test_ratios_are_taken_round_by_round():
    # The machine was ten times slower in the last round.
    times = {"slow": [2.0, 2.2, 20.0], "fast": [1.0, 1.1, 10.0]}
    assert ratio(times, "slow", "fast") == pytest.approx(Ratio(2.0, 2.0, 2.0))
    assert seconds(times, "slow").value == 2.2
    assert fastest(times, ["slow", "fast"]) == "fast"


def measured(value, limit=1.5, **changes):
    given = {"budget": "b", "what": "w", "subject": "s", "against": "a", "unit": "x"} | changes
    return Measured(value=value, limit=limit, **given)


@pytest.mark.parametrize(
    ("value", "limit", "sense", "met"),
    [
        (1.5, 1.5, "at most", True),
        (1.6, 1.5, "at most", False),
        (1.6, 1.5, "at least", True),
        (1, None, "", None),
    ],
)
def test_a_budget_is_met_or_missed(value, limit, sense, met):
    assert measured(value, limit, sense=sense).met is met


def test_the_table_shows_what_has_a_budget():
    kept, text = Ledger(), io.StringIO()
    kept.add(measured(1.7))
    kept.add(measured(0.3, None, subject="free"))
    kept.show(Console(file=text, width=100))
    assert " no" in text.getvalue()
    assert "1.7 x" in text.getvalue()
    assert "free" not in text.getvalue()


def test_a_part_measured_again_takes_the_place_of_the_old_and_leaves_the_rest(tmp_path):
    first, second = Ledger(), Ledger()
    first.add(measured(1.0))
    first.add(measured(2.0, subject="other", limit=None))
    second.add(measured(3.0))
    file = first.save(tmp_path, "cpu")
    assert second.save(tmp_path, "cpu") == file
    kept = pd.read_csv(file).set_index("subject")
    assert kept["value"].to_dict() == {"s": 3.0, "other": 2.0}
    assert kept["limit"].notna().to_dict() == {"s": True, "other": False}
    assert file.with_suffix(".json").exists()
    assert len(list(tmp_path.iterdir())) == 2


def test_figures_are_short():
    assert [number(v, "s") for v in (0.01234, 1.53, 12.34, 869.2)] == [
        "0.0123 s",
        "1.53 s",
        "12.3 s",
        "869 s",
    ]
