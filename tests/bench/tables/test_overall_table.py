"""All tasks together, against plain loops and scipy over the records."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from written_records import FAIR, GOOD, POOR, runs

from bench.tables.latency_table import latency_of
from bench.tables.overall_table import critical_of, overall_of, runs_by_method
from bench.tables.results import Results
from bench.tables.rows import rows

TASKS = [("digits", "convnet", 4), ("digits", "convnet", 10), ("blobs", "mlp", 2)]
OUTCOMES = {"rectangle": GOOD, "arctan": FAIR, "slow": POOR}
CHANCE = 10.0


def overall(records, latency=None):
    timed = latency_of(rows(records)) if latency is None else latency
    return overall_of(rows(records), "rectangle", timed)


def line(table, method, variant="default"):
    (found,) = table[(table["method"] == method) & (table["variant"] == variant)].to_dict("records")
    return found


def everything(outcomes=OUTCOMES, tasks=TASKS):
    """Accuracies fall by 5 points from task to task."""
    found = []
    for number, task in enumerate(tasks):
        for method, values in outcomes.items():
            moved = [v if isinstance(v, str) else v - 5 * number for v in values]
            found += runs(method, moved, task=task)
    return found


def test_ranks_means_and_improvement_are_those_of_plain_loops():
    records = everything()
    table = overall(records)
    assert table["method"].tolist() == ["rectangle", "arctan", "slow"]
    for method, values in OUTCOMES.items():
        every = [v - 5 * n for n in range(3) for v in values]
        found = line(table, method)
        assert found["iqm"] == pytest.approx(stats.trim_mean(every, 0.25))
        assert found["iqm_ci_low"] <= found["iqm"] <= found["iqm_ci_high"]
        assert (found["n_tasks"], found["n_tasks_missing"], found["n_runs"], found["share_ok"]) == (
            3,
            0,
            15,
            1.0,
        )
        assert found["average_rank"] == 1 + sum(
            np.mean(other) > np.mean(values) for other in OUTCOMES.values()
        )
    pairs = [(a > b) + 0.5 * (a == b) for a, b in itertools.product(FAIR, GOOD)]
    assert line(table, "arctan")["probability_of_improvement"] == pytest.approx(np.mean(pairs))
    assert math.isnan(line(table, "rectangle")["probability_of_improvement"])


def test_failed_runs_are_chance_and_stay_counted():
    outcomes = {**OUTCOMES, "arctan": ("failed", *FAIR[1:])}
    found = line(overall(everything(outcomes)), "arctan")
    every = [v for n in range(3) for v in (CHANCE, *(f - 5 * n for f in FAIR[1:]))]
    assert found["iqm"] == pytest.approx(stats.trim_mean(every, 0.25))
    assert found["share_ok"] == pytest.approx(0.8) and found["n_runs"] == 15


@pytest.mark.parametrize("lost", ["oom", "a seed", "a task"])
def test_what_is_not_whole_in_every_task_is_shown_and_not_ranked(lost):
    records = everything()
    first = next(r for r in records if r["cell"]["method"]["name"] == "arctan")
    if lost == "oom":
        first["status"] = "oom"
    elif lost == "a seed":
        records.remove(first)
    else:
        records = [r for r in records if r["configuration"] != first["configuration"]]
    table = overall(records)
    found = line(table, "arctan")
    assert (found["n_tasks"], found["n_tasks_missing"]) == (2, 1)
    assert found["n_runs"] > 0
    assert all(math.isnan(found[name]) for name in ("iqm", "average_rank", "probability_of_improvement"))
    assert table["method"].tolist() == ["rectangle", "slow", "arctan"]
    assert line(table, "slow")["average_rank"] == 2.0


def test_runs_that_circumstances_stopped_are_counted():
    outcomes = {**OUTCOMES, "arctan": ("oom", *FAIR[1:])}
    found = line(overall(everything(outcomes)), "arctan")
    assert (found["n_runs"], found["share_ok"], found["n_tasks"]) == (15, pytest.approx(0.8), 0)


def test_recipes_and_autocast_do_not_split_a_method():
    records = []
    for number, variant in enumerate(("default #aaaa", "autocast=bfloat16 #bbbb")):
        for method, values in (("rectangle", GOOD), ("arctan", FAIR)):
            of = runs(method, values, variant, configuration=f"{method[:3]}{number}" * 3)
            for record in of:
                record["cell"]["recipe"] = {"epochs": number + 1}
            records += of
    table = overall(records)
    assert [*zip(table["method"], table["variant"], table["n_tasks"], strict=True)] == [
        ("rectangle", "default", 2),
        ("arctan", "default", 2),
    ]


def test_a_setting_of_references_alone_is_no_task():
    records = everything() + runs("ann-relu", [99.0] * 5, task=("more", "mlp", 2), kind="reference")
    assert line(overall(records), "arctan")["average_rank"] == 2.0


def test_versions_of_a_method_are_not_averaged():
    records = everything()
    for record in records:
        if record["cell"]["method"]["name"] == "arctan":
            record["digests"] = {"method": "aaaa" if record["cell"]["dataset"]["name"] == "blobs" else "bbbb"}
    table = overall(records)
    assert sorted(table["variant"]) == ["default", "default", "default #aaaa", "default #bbbb"]
    assert table[table["method"] == "arctan"]["average_rank"].isna().all()


def test_rows_of_other_data_are_not_ranked_with_the_baseline_s():
    records = everything()
    for record in records:
        if record["cell"]["method"]["name"] == "arctan" and record["cell"]["dataset"]["name"] == "blobs":
            record["data"]["checksum"] = "other"
    found = line(overall(records), "arctan")
    assert (found["n_tasks"], found["n_tasks_missing"]) == (2, 1)


def test_a_reference_is_shown_with_its_mean_and_not_ranked():
    records = everything()
    for number, task in enumerate(TASKS):
        records += runs("ann-relu", [99.0 - 5 * number] * 5, task=task, kind="reference")
    table = overall(records)
    found = line(table, "ann-relu")
    assert math.isnan(found["average_rank"]) and found["iqm"] == 94.0 and found["pareto_optimal"] == ""
    assert table["method"].tolist()[-1] == "ann-relu" and line(table, "rectangle")["average_rank"] == 1.0


def test_parameters_tell_rows_apart_and_options_of_the_network_do_not():
    records = []
    for task, width in (("digits", "backbone.width=0.5"), ("blobs", "backbone.neuron=plif")):
        where = {"task": (task, "convnet", 4)}
        records += runs("rectangle", GOOD, width, **where) + runs("arctan", FAIR, width, **where)
        records += runs("arctan", POOR, f"width=2 {width}", **where)
    table = overall(records)
    assert [*zip(table["method"], table["variant"], table["n_tasks"], strict=True)] == [
        ("rectangle", "default", 2),
        ("arctan", "default", 2),
        ("arctan", "width=2", 2),
    ]


def priced(records, prices):
    """The records with an energy by method, and the table of their training steps."""
    for record in records:
        energy, _ = prices[record["cell"]["method"]["name"]]
        record["metrics"]["energy_uj"] = energy
    steps = latency_of(rows(records))
    steps["train_step_ms_p50"] = [prices[method][1] for method in steps["method"]]
    return records, steps


def test_optimal_is_what_nothing_dominates():
    prices = {"rectangle": (1.0, 9.0), "arctan": (2.0, 3.0), "slow": (2.0, 4.0)}
    table = overall(*priced(everything(), prices))
    # arctan is better than slow in accuracy and step, and equal in energy.
    assert {m: line(table, m)["pareto_optimal"] for m in prices} == {
        "rectangle": "yes",
        "arctan": "yes",
        "slow": "no",
    }


def test_noise_puts_nobody_on_the_front_and_takes_nobody_off():
    """near is lower in all, by less than noise; slow in accuracy by more, and cheaper and faster by less."""
    outcomes = {"rectangle": GOOD, "near": [v - 0.1 * (i % 3) for i, v in enumerate(GOOD)], "slow": POOR}
    records, steps = priced(everything(outcomes), {m: (1.0, 9.0) for m in outcomes})
    for record in records:
        name, seed = record["cell"]["method"]["name"], record["cell"]["seed"]
        record["metrics"]["energy_uj"] = 10 + seed + {"near": 0.1, "slow": -0.1}.get(name, 0)
    steps["train_step_ms_p50"] += steps["method"].map({"near": 0.3, "slow": -0.3}).fillna(0)

    def optimal():
        table = overall(records, steps)
        return {m: line(table, m)["pareto_optimal"] for m in outcomes}

    assert optimal() == {"rectangle": "yes", "near": "yes", "slow": "no"}
    steps["train_step_ms_p50"] -= 2.0 * (steps["method"] == "slow")
    assert optimal()["slow"] == "yes"


@pytest.mark.parametrize("why", ["no energy", "no step", "two machines"])
def test_where_a_price_is_unknown_nothing_is_called_optimal(why):
    prices = dict.fromkeys(OUTCOMES, (1.0, 1.0))
    records, steps = priced(everything(), prices)
    if why == "no energy":
        for record in records:
            del record["metrics"]["energy_uj"]
    elif why == "no step":
        steps["train_step_ms_p50"] = math.nan
    else:
        steps.loc[0, "hardware"] = "another"
    assert set(overall(records, steps)["pareto_optimal"]) == {""}


def test_the_order_of_records_changes_nothing():
    records = everything()
    pd.testing.assert_frame_equal(overall(records), overall(records[::-1]))


def test_runs_by_method_are_those_that_are_ranked_and_references():
    outcomes = {**OUTCOMES, "lost": ("oom", *FAIR[1:])}
    records = everything(outcomes) + [
        r for task in TASKS for r in runs("ann-relu", [99.0] * 5, task=task, kind="reference")
    ]
    found = runs_by_method(rows(records), "rectangle")
    assert set(found) == {"rectangle", "arctan", "slow", "ann-relu"}
    assert sorted(np.concatenate(found["slow"])) == pytest.approx(
        sorted(v - 5 * n for n in range(3) for v in POOR)
    )


def test_a_critical_difference_needs_five_tasks():
    names, critical = critical_of(
        rows(everything(tasks=[(f"d{n}", "mlp", 2) for n in range(6)])), "rectangle"
    )
    assert critical is not None and sorted(names) == sorted(OUTCOMES)
    assert dict(zip(names, critical.ranks, strict=True)) == {"rectangle": 1.0, "arctan": 2.0, "slow": 3.0}
    assert critical_of(rows(everything()), "rectangle")[1] is None
    assert critical_of(rows([]), "rectangle") == ([], None)


def test_it_is_one_of_the_tables():
    tables = Results(everything()).tables
    assert list(tables)[:4] == ["runs", "accuracy", "pairs", "overall"] and len(tables["overall"]) == 3
