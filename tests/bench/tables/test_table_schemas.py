"""Tables are checked on the way out: what is wrong is named, and nothing is written."""

import math

import pytest
from written_records import matrix

from bench.errors import BenchError
from bench.tables import table_schemas
from bench.tables.results import COLUMNS, OF_TUNING, Results, save


def check(name, table):
    table_schemas.check(name, table, COLUMNS[name])


@pytest.fixture
def tables():
    return Results(matrix()).tables


def test_every_table_has_a_schema_and_keeps_it(tables):
    assert {*tables, *OF_TUNING} == set(table_schemas.KEYS) == set(COLUMNS)
    for name, table in tables.items():
        check(name, table)


def test_tables_without_rows_are_tables():
    for name, table in Results([]).tables.items():
        check(name, table)


FIRST = "in the row blobs mlp 2 rectangle default, and must"
WRONG = {
    (
        "accuracy",
        "test_accuracy_mean",
        100.5,
    ): rf"test_accuracy_mean is 100\.5 {FIRST} lie between 0 and 100$",
    ("accuracy", "kind", "marvellous"): rf"kind is marvellous {FIRST} be one of adaptive, control, fixed",
    ("accuracy", "n_failed", -1): f"n_failed is -1 {FIRST} be 0 or more$",
    ("accuracy", "p_adjusted", 1.5): rf"p_adjusted is 1\.5 {FIRST} lie between 0 and 1$",
    ("accuracy", "rank", 0): f"rank is 0 {FIRST} be 1 or more$",
    ("accuracy", "test_accuracy_sd", -0.5): rf"test_accuracy_sd is -0\.5 {FIRST} be 0 or more$",
    ("accuracy", "variant", None): "variant is .* and must not_nullable",
    ("runs", "status", "fine"): "status is fine in the row blobs mlp 2 .*, and must be one of ok, failed",
    ("overall", "share_ok", 2.0): r"share_ok is 2\.0 in the row .*, and must lie between 0 and 1$",
    ("accuracy", "test_accuracy_ci_low", 99.9): "test_accuracy_mean of .* lies outside its interval",
}


@pytest.mark.parametrize("where", WRONG)
def test_what_is_out_of_range_is_named_and_nothing_is_written(tables, tmp_path, where):
    name, column, value = where
    table = tables[name]
    if value is None:
        table[column] = table[column].astype(object)
    table.loc[table.index[0], column] = value
    with pytest.raises(BenchError, match=f"the table {name} was not written: .*{WRONG[where]}"):
        save(tables, tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_two_rows_of_one_key_are_refused(tables):
    table = tables["accuracy"]
    table.loc[table.index[1]] = table.loc[table.index[0]]
    with pytest.raises(BenchError, match=r"was not written: it has two of the rows blobs mlp 2 \S+ default"):
        check("accuracy", table)


def test_other_columns_or_another_order_are_refused(tables):
    accuracy = tables["accuracy"]
    for wrong in (accuracy.assign(more=1.0), accuracy[accuracy.columns[::-1]]):
        with pytest.raises(BenchError, match="the table accuracy was not written"):
            check("accuracy", wrong)


def test_a_number_of_another_type_is_refused(tables):
    table = tables["accuracy"]
    with pytest.raises(BenchError, match="test_accuracy_mean"):
        check("accuracy", table.assign(test_accuracy_mean="ninety"))


def test_an_interval_may_reach_above_100(tables):
    table = tables["accuracy"]
    table.loc[table.index[0], "test_accuracy_ci_high"] = 101.5
    check("accuracy", table)
    table.loc[table.index[0], "test_accuracy_ci_high"] = math.nan
    check("accuracy", table)
