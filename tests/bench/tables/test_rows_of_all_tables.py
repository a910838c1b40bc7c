"""What all measured tables share: their rows, what they leave out, and their bytes."""

import io
import itertools
import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from written_records import GOOD, matrix, runs

from bench.cli import render
from bench.tables import columns
from bench.tables.measured_tables import (
    COMPARED,
    COSTS,
    GRADIENTS,
    anytime_of,
    cost_of,
    gradients_of,
)
from bench.tables.results import Results
from bench.tables.rows import rows

SEEDS = 4
TABLES = ("gradients", "cost", "anytime", "latency")
METRICS = [name for name in (*GRADIENTS, *COSTS) if "excess" not in name]
NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda number: number + 0.0)
OUTCOMES = st.sampled_from(["ok", "ok", "ok", "failed", "oom"])


def run(record, value, status="ok"):
    """The record with every number of the measured tables, at `value`."""
    anytime = {"anytime_accuracy": [50.0, 60.0], "timesteps_to_99": 2}
    seconds = dict.fromkeys(("train_seconds", "search_seconds", "probe_seconds"), abs(value))
    numbers = dict.fromkeys(METRICS, value)
    return record | {"status": status, "metrics": {**record["metrics"], **numbers, **anytime, **seconds}}


def method(name, values, **more):
    records = runs(name, [98.0] * len(values), **more)
    return [run(record, value) for record, value in zip(records, values, strict=True)]


def line(table, name):
    (found,) = table[table["method"] == name].to_dict("records")
    return found


COUNT = 3 * SEEDS
RUNS = st.tuples(NUMBERS, OUTCOMES, st.sampled_from([None, *METRICS]))


@settings(max_examples=15)
@given(st.lists(RUNS, min_size=COUNT, max_size=COUNT), st.permutations(range(COUNT)))
def test_the_order_of_records_changes_no_byte_and_no_nan_is_printed(drawn, order):
    """Also where runs failed, or one of their numbers is missing."""
    plain = itertools.chain(*(runs(name, [98.0] * SEEDS) for name in ("rectangle", "a", "b")))
    records = [run(record, value, status) for record, (value, status, _) in zip(plain, drawn, strict=True)]
    for record, (_, _, missing) in zip(records, drawn, strict=True):
        record["metrics"][missing] = None
    shuffled = [records[i] for i in order]
    written = [{n: columns.csv(t) for n, t in Results(r).tables.items()} for r in (records, shuffled)]
    assert written[0] == written[1]
    cells = {
        cell for text in written[0].values() for line in text.splitlines()[1:] for cell in line.split(",")
    }
    assert not cells & {"nan", "NaN", "inf", "-inf", "None", "<NA>", "-0"}


@settings(max_examples=25)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=SEEDS), st.integers(0, SEEDS))
def test_differences_are_scipys_over_the_seeds_of_both(pairs, lost):
    mine, theirs = (np.array(side) for side in zip(*pairs, strict=True))
    records = method("a", mine) + method("rectangle", theirs)
    left = [i for i in range(len(pairs)) if i != lost]
    if lost < len(pairs):
        records[lost]["status"] = "diverged"
    found = line(gradients_of(rows(records), "rectangle"), "a")
    assert found["n_seeds"] == len(left)
    difference = (mine - theirs)[left]
    scale = max(1.0, *np.abs(mine), *np.abs(theirs))
    for metric in COMPARED:
        assert found[f"{metric}_delta"] == pytest.approx(difference.mean(), abs=1e-8 * scale)
        if len(left) < 2:
            assert math.isnan(found[f"{metric}_delta_ci_low"])
        elif np.ptp(difference) > 1e-6 * scale:
            low, high = stats.ttest_1samp(difference, 0).confidence_interval(0.95)
            ends = (found[f"{metric}_delta_ci_low"], found[f"{metric}_delta_ci_high"])
            assert ends == pytest.approx((low, high), rel=1e-6, abs=1e-8 * scale)


def test_the_rows_are_those_of_the_accuracy_table():
    versions = [run(record, 0.5) for seed in "ab" for record in runs("arctan", GOOD, configuration=seed * 16)]
    tables = Results([*(run(record, 0.5) for record in matrix()), *versions]).tables
    key = [*columns.KEY, *columns.DECLARED]
    expected = set(tables["accuracy"][key].itertuples(index=False, name=None))
    assert {variant for *_, variant, _, _, _ in expected} >= {"default #aaaa", "default #bbbb"}
    for name in ("gradients", "cost", "latency", "anytime"):
        assert set(tables[name][key].itertuples(index=False, name=None)) == expected


def test_what_a_failed_run_left_is_in_no_mean():
    records = method("rectangle", [1.0, 1.0, 7.0])
    records[2]["status"] = "diverged"
    records[2]["metrics"]["anytime_accuracy"] = [0.0, 0.0]
    tables = Results(records).tables
    assert tables["gradients"].loc[0, ["n_seeds", "gain_mean"]].tolist() == [2, 1]
    assert tables["cost"].loc[0, ["n_seeds", "energy_uj_mean"]].tolist() == [2, 1]
    assert tables["latency"].loc[0, ["n_seeds", "train_seconds_mean"]].tolist() == [2, 1]
    assert tables["anytime"]["anytime_accuracy_mean"].tolist() == [50, 60]
    assert tables["anytime"]["n_seeds"].tolist() == [2, 2]
    assert tables["accuracy"].loc[0, "n_failed"] == 1


def test_without_a_look_it_is_unknown_whether_anything_vanished():
    records = runs("rectangle", [98.0, 97.0])
    for record in records:
        record["metrics"] |= {"descent_gain_1e-2": 0.5, "vanish_onset_epoch": None}
    found = line(gradients_of(rows(records), "rectangle"), "rectangle")
    assert pd.isna(found["n_vanished"])
    assert (found["n_seeds"], found["descent_gain_1e-2_mean"]) == (2, 0.5)
    looked = line(gradients_of(rows(method("rectangle", [0.0])), "rectangle"), "rectangle")
    assert (looked["n_vanished"], looked["vanish_onset_epoch_mean"]) == (1, 0)


@pytest.mark.parametrize(
    ("what", "counted"), [("gradients", 1), ("descent", 1), ("finite differences", 1), ("cost", 0)]
)
def test_what_could_not_be_measured_is_counted_where_it_would_stand(what, counted):
    records = method("rectangle", [1.0, 2.0])
    records[0]["unmeasured"] = {what: "RuntimeError: no"}
    assert line(gradients_of(rows(records), "rectangle"), "rectangle")["n_unmeasured"] == counted


def test_slopes_are_compared_with_relu_run_by_run():
    records = method("rectangle", [0.0, 0.0, 0.0])
    for record, slope, relu in zip(records, (1.0, 2.0, 3.0), (0.5, 2.5, None), strict=True):
        record["metrics"] |= {"vanishing_slope": slope, "vanishing_slope_ann": relu}
    found = line(gradients_of(rows(records), "rectangle"), "rectangle")
    assert found["vanishing_slope_mean"] == 2
    assert found["vanishing_slope_excess_mean"] == pytest.approx(0)
    assert found["vanishing_slope_excess_sd"] == pytest.approx(np.std([0.5, -0.5], ddof=1))


def test_the_reference_stands_in_every_table():
    records = method("rectangle", [0.5]) + method("ann-relu", [0.25], kind="reference")
    for name in TABLES:
        assert "reference" in set(Results(records).tables[name]["kind"])
    assert line(cost_of(rows(records)), "ann-relu")["energy_uj_mean"] == 0.25


def test_a_run_without_a_curve_is_in_no_row_of_the_curve():
    records = method("rectangle", [0.5, 0.5])
    records[1]["metrics"]["anytime_accuracy"] = None
    assert anytime_of(rows(records))["n_seeds"].tolist() == [1, 1]


def test_small_gains_are_not_printed_as_nothing():
    table = gradients_of(rows(method("rectangle", [1.25e-9, 1.25e-9])), "rectangle")
    assert ",1.25e-09,0," in columns.csv(table), "and equal gains do not vary"
    (found,) = json.loads(json.dumps(render.table_as_json(table)))
    assert found["descent_gain_1e-3_mean"] == pytest.approx(1.25e-9)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_reads_back_from_its_file(name):
    table = Results([run(record, 0.123456789) for record in matrix()]).tables[name]
    # Words that look like numbers, as those of the workers, would be read as such.
    words = dict.fromkeys(columns.TEXTS, str) | {"timesteps": int}
    read = pd.read_csv(io.StringIO(columns.csv(table)), keep_default_na=False, na_values=[""], dtype=words)
    assert list(read.columns) == list(table.columns)
    for column in table.columns:
        if column in columns.TEXTS and column not in columns.WHOLE:
            assert read[column].fillna("").tolist() == table[column].tolist()
        else:
            expected = table[column].to_numpy(float, na_value=math.nan)
            assert read[column].to_numpy(float) == pytest.approx(expected, rel=1e-5, nan_ok=True)


@pytest.mark.parametrize("name", TABLES)
def test_no_records_are_a_table_without_rows(name):
    table = Results([]).tables[name]
    assert table.empty and columns.csv(table).count("\n") == 1
