"""What the figures draw, against plain loops over the records."""

import math

import pytest
from written_records import FAIR, GOOD, POOR, runs

from bench.report import figure_rows
from bench.report.tasks import by_key, page_tasks
from bench.tables.results import Results
from bench.tables.rows import rows


def task_of(records):
    (task,) = page_tasks(Results(records).table("accuracy"))
    return task, {(*row.task, row.method, row.variant): row for row in rows(records)}


def test_accuracy_has_intervals_that_end_at_100_and_no_row_for_what_has_none():
    records = runs("rectangle", [99.0, 100.0, 100.0]) + runs("arctan", [97.0])
    task, _ = task_of(records)
    first, second = figure_rows.accuracy(task)
    assert (first["method"], first["seeds"], first["end"]) == ("rectangle", 3, 100.0)
    assert first["high"] > 100 and first["low"] < first["mean"] < 100
    assert (second["method"], second["low"], second["high"], second["end"]) == ("arctan", None, None, None)


ENERGY = "energy of an inference, µJ (estimate)"


def priced(records, prices):
    """The records with an energy of each run; reference rows have no synaptic operations."""
    for record in records:
        energies = prices[record["cell"]["method"]["name"]]
        record["metrics"] |= {"energy_uj": energies[record["cell"]["seed"]], "sops_per_sample": 0.0}
    return records


def test_costs_know_their_front_and_leave_the_reference_out_of_it():
    records = runs("rectangle", GOOD) + runs("arctan", FAIR) + runs("slow", POOR)
    records += runs("ann-relu", [99.9] * 5, kind="reference")
    prices = {"rectangle": 2.0, "arctan": 1.0, "slow": 3.0, "ann-relu": 0.5}
    task, of = task_of(priced(records, {name: [price] * 5 for name, price in prices.items()}))
    found = figure_rows.costs(task, of, {task.entries[0].key: 5.0}, set())
    assert {row["method"]: (row["front"], row["edge"]) for row in found[ENERGY]} == {
        "rectangle": ("yes", "yes"),
        "arctan": ("yes", "yes"),
        "slow": ("no", "no"),
        "ann-relu": ("no", "no"),
    }
    assert [row["x"] for row in found[ENERGY]] == [0.5, 1.0, 2.0, 3.0]
    assert [(r["method"], r["x"]) for r in found["training step, ms"]] == [(task.entries[0].name, 5.0)]
    # No synaptic operations at all are no price.
    assert "synaptic operations of an inference" not in found


def test_only_what_exceeds_noise_takes_a_method_off_the_front():
    """All three are in the order of accuracy and of price: by means the first alone would be on the front."""
    records = runs("first", GOOD) + runs("rectangle", FAIR) + runs("last", POOR)
    noisy = {
        name: [mean, mean + 2, mean - 2, mean + 1, mean - 1]
        for name, mean in (("first", 5.0), ("rectangle", 5.5), ("last", 6.0))
    }
    task, of = task_of(priced(records, noisy))
    keys = [entry.key for entry in task.entries]

    def fronts(told, steps=None):
        found = figure_rows.costs(task, of, steps or {}, told)
        return [row["front"] for row in found["training step, ms" if steps else ENERGY]]

    assert fronts(set()) == ["yes", "yes", "yes"]
    assert fronts({(keys[0], keys[2])}) == ["yes", "yes", "no"]
    assert fronts(set(), dict(zip(keys, (10.0, 10.5, 12.0), strict=True))) == ["yes", "yes", "no"]
    edges = [row["edge"] for row in figure_rows.costs(task, of, {}, set())[ENERGY]]
    assert edges == ["yes", "no", "no"]


def test_accuracy_over_time_is_only_there_where_there_is_more_than_one_step():
    records = runs("rectangle", GOOD[:3])
    task, _ = task_of(records)
    key = task.entries[0].key

    def lines(steps):
        curve = [{"t": t, "anytime_accuracy_mean": 90.0 + t, "anytime_accuracy_sd": math.nan} for t in steps]
        return {key: curve}

    assert figure_rows.anytime(task, lines([1])) == []
    assert [(row["t"], row["accuracy"], row["sd"]) for row in figure_rows.anytime(task, lines([1, 2]))] == [
        (1, 91.0, None),
        (2, 92.0, None),
    ]


def with_recipe(records, params, rate):
    for record in records:
        record["cell"] = record["cell"] | {
            "method": record["cell"]["method"] | {"params": params},
            "recipe": {"learning_rate": rate},
        }
    return records


def test_what_is_swept_is_drawn_over_its_values_and_nothing_else_is():
    records = with_recipe(runs("arctan", FAIR[:2]), {}, 0.1)
    for width, accuracy in ((0.5, 90.0), (1.0, 95.0), (2.0, 92.0)):
        records += with_recipe(
            runs("rectangle", [accuracy, accuracy + 1], f"width={width}"), {"width": width}, 0.1
        )
    tasks = page_tasks(Results(records).table("accuracy"))
    of = {(*row.task, row.method, row.variant): row for row in rows(records)}
    (task,) = tasks
    found = figure_rows.swept(task, of)
    assert [(r["method"], r["parameter"], r["value"], r["accuracy"]) for r in found] == [
        ("rectangle", "width", 0.5, 90.5),
        ("rectangle", "width", 1.0, 95.5),
        ("rectangle", "width", 2.0, 92.5),
    ]


def test_a_sweep_of_the_recipe_too_is_a_line_for_each_of_its_values():
    records = []
    for rate in (0.1, 0.2):
        for width in (1, 2):
            variant = f"width={width} recipe.learning_rate={rate}"
            records += with_recipe(runs("rectangle", GOOD[:2], variant), {"width": width}, rate)
    for record in records:
        record["cell"]["selection"] = {"by": "sweep", "over": ["recipe.learning_rate", "width"]}
    (task,) = page_tasks(Results(records).table("accuracy"))
    found = figure_rows.swept(task, {(*row.task, row.method, row.variant): row for row in rows(records)})
    assert [(r["method"], r["value"], r["entry"]) for r in found] == [
        (f"rectangle (learning_rate={rate})", width, f"rectangle (width={width} learning_rate={rate})")
        for rate in (0.1, 0.2)
        for width in (1, 2)
    ]


def test_one_parameter_alone_has_the_axis_and_methods_that_vary_another_are_left_out():
    records = []
    for method, parameter in (("rectangle", "width"), ("triangle", "width"), ("mpd-agl", "scale")):
        for value in (0.5, 2.0):
            records += with_recipe(runs(method, GOOD[:3], f"{parameter}={value}"), {parameter: value}, 0.1)
    (task,) = page_tasks(Results(records).table("accuracy"))
    of = {(*row.task, row.method, row.variant): row for row in rows(records)}
    found = figure_rows.swept(task, of)
    assert {(r["method"], r["parameter"]) for r in found} == {("rectangle", "width"), ("triangle", "width")}
    assert figure_rows.swept(page_tasks(Results(runs("a", GOOD)).table("accuracy"))[0], of) == []


def test_slopes_stand_in_the_order_of_the_table():
    records = runs("rectangle", GOOD[:3]) + runs("arctan", FAIR[:3])
    task, _ = task_of(records)
    line = {
        "vanishing_slope_mean": -0.5,
        "vanishing_slope_sd": 0.1,
        "vanishing_slope_before_mean": math.nan,
        "vanishing_slope_ann_mean": 0.25,
    }
    found = figure_rows.slopes(task, {task.entries[0].key: [line], task.entries[1].key: []})
    (row,) = found
    assert row["method"] == task.entries[0].name
    assert (row["low"], row["high"], row["before"], row["ann"]) == pytest.approx((-0.6, -0.4, None, 0.25))


def test_other_tables_are_found_by_the_key_of_the_leaderboard():
    records = runs("rectangle", GOOD[:2]) + runs("rectangle", FAIR[:2], "width=2")
    table = Results(records).table("runs")
    found = by_key(table)
    assert sorted(len(lines) for lines in found.values()) == [2, 2]
    assert {key[-1] for key in found} == {"default", "width=2"}
