"""The tables of tuning, from written records."""

import itertools
import math
import statistics

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from written_records import variation

from bench.tables import columns, table_schemas
from bench.tables.results import COLUMNS, OF_TUNING, Results
from bench.tables.rows import rows
from bench.tables.tuning_tables import best_of, trial_rows, tuned_of, tuning_of

RATE = "recipe.learning_rate"


@given(st.lists(st.floats(0, 100), min_size=1, max_size=7), st.integers(1, 8))
def test_best_of_is_the_mean_over_all_subsets(scores, k):
    subsets = [max(each) for each in itertools.combinations(scores, k)]
    found = best_of(scores, k)
    if subsets:
        assert found == pytest.approx(statistics.fmean(subsets))
    else:
        assert math.isnan(found)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=16))
def test_more_trials_are_never_worse(scores):
    curve = [best_of(scores, k) for k in range(1, len(scores) + 1)]
    assert curve == pytest.approx(sorted(curve))
    assert curve[-1] == max(scores) and curve[0] == pytest.approx(statistics.fmean(scores))


GRID = {(0.01, 1.0): (80, 90), (0.01, 2.0): (60, 70), (0.03, 1.0): ("diverged", 95), (0.03, 2.0): (84, 88)}
"""(learning rate, width): validation accuracies on the tuning seeds."""


def trials(grid=None, method="rectangle", **more):
    found = []
    for (rate, width), scores in (grid or GRID).items():
        own = {} if width is None else {"width": width}
        over = (RATE, *own)
        found += variation(method, scores, by="tuning", over=over, rate=rate, first=1000, **own, **more)
    return found


def ran(method, default, tuned, over=(RATE, "width"), rate=0.01, **params):
    """The suite's own runs: at the defaults, and as tuned."""
    of_default = variation(method, default, by="") if default else []
    of_tuned = variation(method, tuned, by="tuned", over=over, rate=rate, **params) if tuned else []
    return [*of_default, *of_tuned]


def made(of_trials, records=()):
    """Both tables, checked."""
    results = Results(records, trials=of_trials)
    found = {name: results.table(name) for name in OF_TUNING}
    for name, table in found.items():
        table_schemas.check(name, table, COLUMNS[name])
    return found


def test_every_trial_is_a_row_best_first():
    table = made(trials())["tuning"]
    shown = ["variant", "learning_rate", "parameter", "value", "val_accuracy_mean", "n_seeds", "n_failed"]
    assert table[shown].to_numpy().tolist() == [
        ["default", 0.03, "width", 2.0, 86.0, 2, 0],
        ["default", 0.01, "width", 1.0, 85.0, 2, 0],
        ["default", 0.01, "width", 2.0, 65.0, 2, 0],
        ["default", 0.03, "width", 1.0, 52.5, 1, 1],
    ]
    assert table["chosen"].tolist() == ["yes", "no", "no", "no"]
    assert table["seconds"].tolist() == pytest.approx([2 * 6.1 + 1] * 4)


def test_the_table_of_methods_has_the_choice_and_the_spread_of_the_grid():
    (line,) = made(trials())["tuned"].to_dict("records")
    means = [86.0, 85.0, 65.0, 52.5]
    assert (line["method"], line["variant"]) == ("rectangle", "default")
    assert (line["n_trials"], line["n_cells"], line["n_failed"]) == (4, 8, 1)
    assert (line["learning_rate"], line["parameter"], line["value"]) == (0.03, "width", 2.0)
    spread = [line[f"val_accuracy_{what}"] for what in ("best", "median", "sd", "worst")]
    assert spread == pytest.approx([86, statistics.median(means), statistics.stdev(means), 52.5])
    assert line["best_of_1"] == pytest.approx(statistics.fmean(means)) and line["best_of_4"] == 86
    assert math.isnan(line["best_of_8"])
    assert line["seconds"] == pytest.approx(4 * (2 * 6.1 + 1))
    for name in ("default_accuracy_mean", "tuned_accuracy_mean", "gain", "gain_ci_low"):
        assert math.isnan(line[name]), "before the suite has run"
    assert pd.isna(line["n_seeds"])


def test_the_gain_is_paired_by_seed_with_failed_runs_at_chance():
    default, tuned = (70.0, "failed", 74.0, "oom", 60.0), (75.0, 73.0, 74.0, 90.0, "diverged")
    (line,) = made(trials(), ran("rectangle", default, tuned, rate=0.03, width=2.0))["tuned"].to_dict(
        "records"
    )
    pairs = [(70, 75), (10, 73), (74, 74), (60, 10)]
    differences = [after - before for before, after in pairs]
    interval = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    assert line["n_seeds"] == 4
    assert line["gain"] == pytest.approx(statistics.fmean(differences))
    assert (line["gain_ci_low"], line["gain_ci_high"]) == pytest.approx((interval.low, interval.high))
    assert line["default_accuracy_mean"] == pytest.approx(statistics.fmean((70, 10, 74, 60)))
    assert line["tuned_accuracy_mean"] == pytest.approx(statistics.fmean((75, 73, 74, 90, 10)))


@pytest.mark.parametrize(("default", "tuned"), [((70.0, 71.0), ()), ((), (70.0, 71.0))])
def test_without_one_of_both_there_is_no_gain(default, tuned):
    (line,) = made(trials(), ran("rectangle", default, tuned, rate=0.03, width=2.0))["tuned"].to_dict(
        "records"
    )
    assert math.isnan(line["gain"])
    assert math.isnan(line["default_accuracy_mean"]) == (not default)
    assert math.isnan(line["tuned_accuracy_mean"]) == (not tuned)


def test_one_seed_gives_a_gain_without_an_interval():
    (line,) = made(trials(), ran("rectangle", [70.0], [72.0], rate=0.03, width=2.0))["tuned"].to_dict(
        "records"
    )
    assert (line["gain"], line["n_seeds"]) == (2.0, 1) and math.isnan(line["gain_ci_low"])


def test_a_method_without_a_parameter_has_rates_alone():
    grid = {(rate, None): (score, score) for rate, score in ((0.01, 50), (0.02, 70), (0.04, 60))}
    records = ran("mpd-agl", (50.0, 51.0), (55.0, 57.0), over=(RATE,), rate=0.02)
    found = made([*trials(), *trials(grid, "mpd-agl", kind="adaptive")], records)
    own = found["tuning"][found["tuning"]["method"] == "mpd-agl"]
    assert own["learning_rate"].tolist() == [0.02, 0.04, 0.01]
    assert own["parameter"].tolist() == [""] * 3 and own["value"].isna().all()
    line = found["tuned"].set_index("method").loc["mpd-agl"]
    assert (line["learning_rate"], line["parameter"], line["n_trials"]) == (0.02, "", 3)
    assert math.isnan(line["value"]) and line["gain"] == pytest.approx(5.5)
    assert "mpd-agl" in columns.csv(found["tuning"]) and found["tuned"]["method"].tolist() == [
        "mpd-agl",
        "rectangle",
    ]


def test_a_method_with_a_parameter_that_the_suite_sets_is_a_row_of_its_own():
    fixed = {(rate, 3.0): (90, rate) for rate in (0.01, 0.02)}
    of_fixed = [
        record
        for (rate, width), scores in fixed.items()
        for record in variation("rectangle", scores, by="tuning", over=(RATE,), rate=rate, width=width)
    ]
    records = [
        *ran("rectangle", (70.0, 70.0), (80.0, 81.0), rate=0.03, width=2.0),
        *variation("rectangle", (60.0, 61.0), by="", width=3.0),
        *variation("rectangle", (90.0, 92.0), by="tuned", over=(RATE,), rate=0.02, width=3.0),
    ]
    table = made([*trials(), *of_fixed], records)["tuned"].set_index("variant")
    assert table.index.tolist() == ["default", "width=3"]
    assert table["gain"].tolist() == pytest.approx([10.5, 30.5])
    assert table["n_trials"].tolist() == [4, 2] and table["learning_rate"].tolist() == [0.03, 0.02]


def test_trials_that_circumstances_stopped_are_listed_last_and_not_chosen():
    grid = {(0.01, 1.0): (50, 60), (0.03, 1.0): ("oom", 99), (0.1, 1.0): ("oom", "timeout")}
    found = made(trials(grid))
    table = found["tuning"]
    assert table["learning_rate"].tolist() == [0.03, 0.01, 0.1]
    assert table["chosen"].tolist() == ["no", "yes", "no"]
    assert found["tuned"]["learning_rate"].tolist() == [0.01]
    nothing = made(trials({(0.01, 1.0): ("oom", "oom")}))
    (line,) = nothing["tuned"].to_dict("records")
    assert math.isnan(line["learning_rate"]) and line["n_trials"] == 1


def test_each_task_has_a_choice_of_its_own():
    other = {key: tuple(reversed((90, key[0] * 100))) for key in GRID}
    tasks = (("digits", "convnet", 4), ("digits", "mlp", 2))
    found = made([*trials(task=tasks[0]), *trials(other, task=tasks[1])])
    assert found["tuned"][["backbone", "learning_rate", "value"]].to_numpy().tolist() == [
        ["convnet", 0.03, 2.0],
        ["mlp", 0.03, 1.0],
    ]
    assert len(found["tuning"]) == 8


def test_without_trials_there_are_no_tables():
    assert trial_rows(ran("rectangle", (70.0,), ())) == []
    assert not {"tuning", "tuned"} & Results(ran("rectangle", (70.0,), ())).tables.keys()


def test_they_are_among_all_tables_where_there_are_trials():
    records = ran("rectangle", (70.0, 71.0), (75.0, 77.0), rate=0.03, width=2.0)
    every = Results(records, trials=trials()).tables
    assert [*every][-2:] == ["tuning", "tuned"]
    alone = made(trials(), records)
    for name, table in alone.items():
        pd.testing.assert_frame_equal(every[name], table)
    pd.testing.assert_frame_equal(alone["tuning"], tuning_of(trial_rows(trials())))
    pd.testing.assert_frame_equal(alone["tuned"], tuned_of(trial_rows(trials()), rows(records)))


def test_the_order_of_records_does_not_matter():
    records = ran("rectangle", (70.0, 71.0), (75.0, 77.0), rate=0.03, width=2.0)
    one, other = made(trials(), records), made(trials()[::-1], records[::-1])
    for name, table in one.items():
        pd.testing.assert_frame_equal(other[name], table)
