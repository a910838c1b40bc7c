"""Several variants of a method in the tables: the best by validation is compared, the others are listed."""

import itertools
import math
import random

import pandas as pd
import pytest
from written_records import FAIR, GOOD, POOR, runs, variation

from bench.tables import table_schemas
from bench.tables.overall_table import critical_of, runs_by_method
from bench.tables.results import COLUMNS, Results
from bench.tables.rows import BEST, OTHERS, base, rows, settings

RATE = "recipe.learning_rate"


def moved(values, by):
    return [value + by for value in values]


def widths(method="rectangle", scores=None, **more):
    """A sweep over three widths; by validation the second is best, on the test data the first."""
    scores = scores or {0.5: (GOOD, POOR), 1.0: (FAIR, GOOD), 2.0: (POOR, FAIR)}
    return [
        record
        for width, (test, validation) in scores.items()
        for record in variation(method, test, validation, width=width, **more)
    ]


def plain(method, values, **more):
    return variation(method, values, by="", **more)


def tables(*groups, baseline="rectangle"):
    made = Results(itertools.chain(*groups), baseline).tables
    for name, table in made.items():
        table_schemas.check(name, table, COLUMNS[name])
    return made


def lines(table):
    """(method, variant) -> line."""
    return {(line["method"], line["variant"]): line for line in table.to_dict("records")}


def test_the_best_row_by_validation_is_compared_and_not_the_best_on_test_data():
    accuracy = tables(widths(), plain("arctan", POOR))["accuracy"]
    assert [*zip(accuracy["variant"], accuracy["sweep"], strict=True)] == [
        ("width=1", "best"),
        ("width=2", "other"),
        ("width=0.5", "other"),
        ("default", ""),
    ]
    assert accuracy["rank"].tolist() == [1, pd.NA, pd.NA, 2]
    best = lines(accuracy)["rectangle", "width=1"]
    assert best["val_accuracy_mean"] == pytest.approx(sum(GOOD) / 5)
    assert best["test_accuracy_mean"] == pytest.approx(sum(FAIR) / 5)


def test_other_rows_have_no_p_no_rank_and_no_verdict_but_their_numbers():
    accuracy = lines(tables(widths("asgl"), plain("rectangle", POOR))["accuracy"])
    assert accuracy["asgl", "width=1"]["p_adjusted"] < 1
    for variant, values in (("width=0.5", GOOD), ("width=2", POOR)):
        other = accuracy["asgl", variant]
        for name in ("p_adjusted", "p_permutation", "delta_ci_low", "delta_to_best", "detectable"):
            assert math.isnan(other[name]), name
        assert pd.isna(other["rank"]) and other["indistinguishable_from_best"] == ""
        assert other["test_accuracy_mean"] == pytest.approx(sum(values) / 5)
        assert other["delta_vs_baseline"] == pytest.approx((sum(values) - sum(POOR)) / 5)


def test_comparisons_are_those_of_methods_not_of_rows():
    swept = tables(widths(), plain("arctan", POOR), plain("triangle", GOOD))
    alone = tables(
        variation("rectangle", FAIR, GOOD, width=1.0), plain("arctan", POOR), plain("triangle", GOOD)
    )
    assert len(swept["pairs"]) == 3
    assert not {"width=0.5", "width=2"} & {*swept["pairs"]["variant"], *swept["pairs"]["other_variant"]}
    pd.testing.assert_frame_equal(swept["pairs"], alone["pairs"])
    for name in ("p_adjusted", "p_permutation", "rank", "delta_ci_low", "detectable"):
        one, other = (lines(made["accuracy"]) for made in (swept, alone))
        for key in other:
            assert one[key][name] == other[key][name] or (
                pd.isna(one[key][name]) and pd.isna(other[key][name])
            )


def test_the_method_as_baseline_is_its_chosen_row():
    accuracy = lines(tables(widths(), plain("arctan", POOR))["accuracy"])
    assert accuracy["arctan", "default"]["delta_vs_baseline"] == pytest.approx((sum(POOR) - sum(FAIR)) / 5)
    (setting,) = settings(rows([*widths(), *plain("arctan", POOR)]))
    assert base(setting, "rectangle").variant == "width=1"
    assert base(setting, "rectangle:width=2").variant == "width=2"
    assert base(setting, "arctan").sweep == "" and base(setting, "rectangle:width=9") is None


def test_a_baseline_that_is_another_row_of_the_sweep_gives_differences_without_p():
    accuracy = lines(tables(widths(), plain("arctan", POOR), baseline="rectangle:width=2")["accuracy"])
    arctan = accuracy["arctan", "default"]
    assert arctan["delta_vs_baseline"] == pytest.approx(0) and math.isnan(arctan["p_adjusted"])


def test_the_order_of_records_does_not_matter():
    records = [*widths(), *widths("arctan", height=2.0), *plain("triangle", POOR)]
    expected = tables(records)
    for seed in range(3):
        found = tables(random.Random(seed).sample(records, len(records)))
        for name, table in expected.items():
            pd.testing.assert_frame_equal(found[name], table)


def test_no_test_accuracy_changes_which_row_is_compared():
    records = widths()
    before = {row.variant: row.sweep for row in rows(records)}
    for record in records:
        record["metrics"]["test_accuracy"] = 100 - record["metrics"]["test_accuracy"]
    assert {row.variant: row.sweep for row in rows(records)} == before


def test_the_best_of_a_sweep_with_failed_runs_counts_them_as_chance():
    found = rows(
        [
            *variation("rectangle", ["failed", *GOOD[1:]], GOOD, width=1.0),
            *variation("rectangle", FAIR, POOR, width=2.0),
        ]
    )
    assert {row.variant: row.sweep for row in found} == {"width=1": OTHERS, "width=2": BEST}


def test_variants_that_circumstances_stopped_are_not_chosen_and_come_last():
    stopped = variation("rectangle", ["oom"] * 5, GOOD, width=4.0)
    partly = variation("rectangle", [*GOOD[:4], "timeout"], GOOD, width=8.0)
    accuracy = tables(stopped, partly, widths(), plain("arctan", POOR))["accuracy"]
    assert accuracy["variant"].tolist() == [
        "width=1",
        "width=8",
        "width=2",
        "width=0.5",
        "width=4",
        "default",
    ]
    alone = rows(stopped)
    assert [row.sweep for row in alone] == [OTHERS], "nothing is chosen, so nothing is compared"
    table = tables(stopped, plain("arctan", POOR))["accuracy"]
    assert table["method"].tolist() == ["arctan", "rectangle"] and table["rank"].tolist() == [1, pd.NA]


def rate_sweep(method, scores, **more):
    """scores: learning rate -> (test, validation)."""
    return [
        record
        for rate, (test, validation) in scores.items()
        for record in variation(method, test, validation, over=(RATE,), rate=rate, **more)
    ]


def test_a_sweep_over_the_learning_rate_is_one_setting():
    slow_is_best = rate_sweep("rectangle", {0.01: (GOOD, GOOD), 0.1: (FAIR, FAIR)})
    fast_is_best = rate_sweep("arctan", {0.01: (POOR, POOR), 0.1: (FAIR, FAIR)})
    records = [*slow_is_best, *fast_is_best]
    assert len([*settings(rows(records))]) == 1
    made = tables(records)
    accuracy = made["accuracy"]
    assert [*zip(accuracy["method"], accuracy["variant"], accuracy["rank"], strict=True)] == [
        ("rectangle", f"{RATE}=0.01", 1),
        ("rectangle", f"{RATE}=0.1", pd.NA),
        ("arctan", f"{RATE}=0.1", 2),
        ("arctan", f"{RATE}=0.01", pd.NA),
    ]
    assert len(made["pairs"]) == 1 and made["pairs"]["p_adjusted"].notna().all()


def test_two_recipes_without_a_sweep_are_two_settings():
    records = [*plain("rectangle", GOOD), *plain("arctan", FAIR, rate=0.1)]
    assert len([*settings(rows(records))]) == 2


def test_rows_with_other_fixed_parameters_are_another_sweep():
    higher = {0.5: (POOR, GOOD), 1.0: (moved(POOR, -1), FAIR)}
    found = rows([*widths(), *widths(scores=higher, height=2.0)])
    assert {row.variant: row.sweep for row in found} == {
        "width=0.5": OTHERS,
        "width=1": BEST,
        "width=2": OTHERS,
        "width=0.5 height=2": BEST,
        "width=1 height=2": OTHERS,
    }
    accuracy = tables(widths(), widths(scores=higher, height=2.0), plain("arctan", GOOD))["accuracy"]
    assert accuracy["variant"].tolist() == [
        "default",
        *("width=1", "width=2", "width=0.5"),
        *("width=0.5 height=2", "width=1 height=2"),
    ], "each sweep follows its own best row"


def test_overall_has_one_row_for_a_swept_method_whatever_is_best_where():
    records = []
    for task, best in ((("digits", "convnet", 4), 1.0), (("digits", "mlp", 2), 2.0)):
        scores = {width: (GOOD, GOOD) if width == best else (GOOD, POOR) for width in (1.0, 2.0)}
        records += [*widths(scores=scores, task=task), *plain("arctan", FAIR, task=task)]
    overall = tables(records)["overall"]
    assert [*zip(overall["method"], overall["variant"], overall["average_rank"], strict=True)] == [
        ("rectangle", "swept", 1.0),
        ("arctan", "default", 2.0),
    ]
    assert overall["n_tasks"].tolist() == [2, 2] and overall["n_runs"].tolist() == [10, 10]
    assert overall["iqm"][0] == pytest.approx(98.4, abs=0.3)
    assert overall["probability_of_improvement"].notna().tolist() == [False, True]
    assert {*runs_by_method(rows(records), "rectangle")} == {"rectangle (swept)", "arctan"}
    assert critical_of(rows(records), "rectangle")[0] == ["arctan", "rectangle (swept)"]


def test_two_sweeps_of_a_method_are_two_rows_over_all_tasks():
    records = []
    for task in (("digits", "convnet", 4), ("digits", "mlp", 2)):
        higher = {0.5: (POOR, GOOD), 1.0: (FAIR, FAIR)}
        records += [*widths(task=task), *widths(scores=higher, height=2.0, task=task)]
    overall = tables(records)["overall"]
    assert [*zip(overall["variant"], overall["average_rank"], strict=True)] == [
        ("swept", 1.0),
        ("swept height=2", 2.0),
    ]


def tuned(method, default, as_tuned, **more):
    """A method at its defaults, and as tuned."""
    return [
        *variation(method, default, by="", width=1.0, **more),
        *variation(method, as_tuned, by="tuned", over=(RATE, "width"), rate=0.03, width=2.0, **more),
    ]


def drop_default_words(records):
    """width=1 is the default, which no variant says."""
    for record in records:
        record["variant"] = record["variant"].replace("width=1", "default")
    return records


def test_tuned_rows_are_ranked_apart_from_the_defaults_with_their_own_baseline():
    records = drop_default_words([*tuned("rectangle", POOR, GOOD), *tuned("arctan", FAIR, FAIR)])
    made = tables(records)
    assert [len(each) for each in settings(rows(records))] == [2, 2]
    for each in settings(rows(records)):
        assert base(each, "rectangle").method == "rectangle"
        assert len({row.tuned for row in each}) == 1
    found = lines(made["accuracy"])
    assert {key: line["rank"] for key, line in found.items()} == {
        ("arctan", "default"): 1,
        ("rectangle", "default"): 2,
        ("rectangle", "tuned"): 1,
        ("arctan", "tuned"): 2,
    }
    assert found["arctan", "tuned"]["delta_vs_baseline"] == pytest.approx((sum(FAIR) - sum(GOOD)) / 5)
    assert found["arctan", "default"]["delta_vs_baseline"] == pytest.approx((sum(FAIR) - sum(POOR)) / 5)
    assert {line["sweep"] for line in found.values()} == {""}
    pairs = made["pairs"]
    assert (pairs["variant"] == pairs["other_variant"]).all() and len(pairs) == 2


def test_tuned_rows_are_ranked_apart_over_all_tasks_too():
    tasks = (("digits", "convnet", 4), ("digits", "mlp", 2))
    records = drop_default_words(
        [
            r
            for task in tasks
            for r in (*tuned("rectangle", POOR, GOOD, task=task), *tuned("arctan", FAIR, FAIR, task=task))
        ]
    )
    overall = lines(tables(records)["overall"])
    assert {
        key: (line["average_rank"], line["n_tasks"], line["n_tasks_missing"]) for key, line in overall.items()
    } == {
        ("arctan", "default"): (1, 2, 0),
        ("rectangle", "default"): (2, 2, 0),
        ("rectangle", "tuned"): (1, 2, 0),
        ("arctan", "tuned"): (2, 2, 0),
    }
    assert overall["arctan", "tuned"]["probability_of_improvement"] < 0.5
    assert overall["arctan", "default"]["probability_of_improvement"] == 1


def test_values_that_differ_between_tuned_methods_do_not_part_them():
    one = variation("rectangle", GOOD, by="tuned", over=(RATE, "width"), rate=0.03, width=2.0)
    other = variation("mpd-agl", FAIR, by="tuned", over=(RATE,), rate=0.001)
    assert len([*settings(rows([*one, *other]))]) == 1


def test_a_default_beside_a_sweep_stays_the_baseline():
    """A suite may list a method plainly as well; then its name means its defaults."""
    records = [*widths(), *runs("arctan", FAIR)]
    for record in records:
        record["cell"].setdefault("recipe", {"epochs": 2, "batch_size": 32, "learning_rate": 0.01})
    default = variation("rectangle", POOR, by="")
    (setting,) = settings(rows([*records, *default]))
    assert base(setting, "rectangle").variant == "default"
