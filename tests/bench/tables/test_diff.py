"""Two tables side by side, each case made by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bench.errors import BenchError
from bench.tables import columns, diff
from bench.tables.accuracy_table import ACCURACY_COLUMNS

NAN = math.nan


def table(*rows: tuple[str, float, float], n: int = 3, kind: str = "fixed", rank: int = 1) -> pd.DataFrame:
    """Rows of (method, mean, sd); the columns that a comparison does not look at are empty."""

    def half(sd: float) -> float:
        return float(stats.t.ppf(0.975, n - 1) * sd / math.sqrt(n)) if n > 1 else NAN

    lines = [
        dict(zip(columns.KEY, ("digits", "convnet", 4, method, "default"), strict=True))
        | dict.fromkeys(columns.DECLARED, kind)
        | {"n_seeds": n, "n_failed": 0, "n_incomplete": 0, "rank": rank}
        | dict(zip(columns.ACCURACIES, (mean, sd, mean - half(sd), mean + half(sd), mean, mean), strict=True))
        for method, mean, sd in rows
    ]
    return pd.DataFrame(lines, columns=list(ACCURACY_COLUMNS))


OLD = ("erf", 98.1, 0.1)


def verdicts(old: pd.DataFrame, new: pd.DataFrame) -> list[str]:
    return [pair.verdict for pair in diff.compare(old, new).pairs]


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        (OLD, "identical"),
        (("erf", 98.10001, 0.1), "identical"),  # the same as printed
        (("erf", 98.1001, 0.1), "within noise"),
        (("erf", 98.2, 0.1), "within noise"),
        (("erf", 98.4, 0.1), "beyond noise"),
        (("erf", 97.2, 0.2), "beyond noise"),
        (("erf", 97.2, 2.0), "within noise"),
        (("erf", 97.2, 0.0), "beyond noise"),  # the spread of one is enough
        (("erf", NAN, NAN), "not judged"),
    ],
)
def test_verdicts(new: tuple[str, float, float], verdict: str) -> None:
    found = diff.compare(table(OLD), table(new))
    assert [pair.verdict for pair in found.pairs] == [verdict]
    assert not found.only_old and not found.only_new


@pytest.mark.parametrize("new", [("erf", 98.3, 0.1), ("erf", 97.0, 0.5), ("erf", 98.1, 0.3)])
def test_a_single_pair_has_scipy_s_welch_test(new: tuple[str, float, float]) -> None:
    (pair,) = diff.compare(table(OLD), table(new)).pairs
    expected = stats.ttest_ind_from_stats(new[1], new[2], 3, OLD[1], OLD[2], 3, equal_var=False)
    assert pair.p_adjusted == pytest.approx(expected.pvalue)
    assert pair.welch.difference == pytest.approx(new[1] - OLD[1])


def test_the_more_rows_are_compared_the_more_a_difference_must_be() -> None:
    moved = ("moved", 98.4, 0.1)
    same = [(f"m{i}", 90.0, 1.0) for i in range(9)]
    assert verdicts(table(("moved", 98.1, 0.1)), table(moved)) == ["beyond noise"]
    among = diff.compare(table(("moved", 98.1, 0.1), *same), table(moved, *same))
    assert among.tested == 10 and among.pairs[0].verdict == "within noise"
    assert among.pairs[0].p_adjusted == pytest.approx(
        10 * stats.ttest_ind_from_stats(98.4, 0.1, 3, 98.1, 0.1, 3, equal_var=False).pvalue
    )


def test_under_the_null_hardly_any_table_shows_a_row_beyond_noise() -> None:
    """Two runs of one suite on other seeds: the rate of any false alarm in a table stays below 5 %."""
    random = np.random.default_rng(0)
    alarms = 0
    for _ in range(200):
        old, new = (
            table(*((f"m{i}", *_mean_and_sd(random.normal(90, 1, 3))) for i in range(8))) for _ in range(2)
        )
        alarms += "beyond noise" in verdicts(old, new)
    assert alarms / 200 <= 0.08


def _mean_and_sd(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1))


def test_accuracies_that_do_not_vary_are_not_judged_unless_they_are_equal() -> None:
    still, other = ("erf", 98.0, 0.0), ("erf", 98.5, 0.0)
    assert verdicts(table(still), table(still)) == ["identical"]
    assert verdicts(table(still), table(other)) == ["not judged"]
    assert verdicts(table(still, n=1), table(other, n=1)) == ["not judged"]


def test_another_kind_of_method_is_not_comparable() -> None:
    found = diff.compare(table(OLD), table(OLD, kind="adaptive"))
    assert [pair.verdict for pair in found.pairs] == ["incomparable"]
    assert "erf default is no longer the same method (adaptive was fixed, " in found.sentences()[1]


def test_counts_belong_to_identity() -> None:
    assert verdicts(table(OLD, n=3), table(OLD, n=5)) == ["within noise"]


def test_columns_about_other_rows_do_not() -> None:
    """Rank, differences and p depend on what else was run."""
    assert verdicts(table(OLD), table(OLD).assign(rank=7, p_adjusted=0.2)) == ["identical"]


def test_rows_are_matched_by_key_not_by_place() -> None:
    a, b, c = ("a", 90.0, 0.5), ("b", 80.0, 0.5), ("c", 70.0, 0.5)
    found = diff.compare(table(a, b), table(c, b))
    assert [pair.old.name for pair in found.of("identical")] == ["digits convnet T=4 b default"]
    assert [row.name for row in found.only_old] == ["digits convnet T=4 a default"]
    assert [row.name for row in found.only_new] == ["digits convnet T=4 c default"]


def test_rows_are_matched_whatever_other_rows_make_them_say() -> None:
    """A row of another torch makes all rows of its task name theirs."""
    old, new = table(OLD, ("arctan", 97.0, 0.1)), table(OLD, ("arctan", 97.0, 0.1), ("mine", 96.0, 0.1))
    new["variant"] = ["torch=2.14", "protocol=1 measure.probe=off torch=2.14", "torch=2.15"]
    found = diff.compare(old, new)
    assert [pair.verdict for pair in found.pairs] == ["identical", "identical"]
    assert ([row.name for row in found.only_old], len(found.only_new)) == ([], 1)


def test_a_row_with_two_candidates_is_matched_with_neither() -> None:
    old, new = table(OLD), table(OLD, OLD)
    new["variant"] = ["torch=2.14", "torch=2.15"]
    found = diff.compare(old, new)
    assert (found.pairs, len(found.only_old), len(found.only_new)) == ([], 1, 2)


def test_sentences() -> None:
    same = [(f"m{i}", 90.0, 0.5) for i in range(20)]
    assert diff.compare(table(*same), table(*same)).sentences() == [
        "20 of 20 rows are identical to the shipped table in every accuracy column."
    ]
    old = table(OLD, ("a", 90.0, 0.5), ("b", 80.0, 0.0), ("gone", 1.0, NAN))
    new = table(("erf", 97.2, 0.1), ("a", 90.5, 0.5), ("b", 80.5, 0.0), ("come", 1.0, NAN))
    assert diff.compare(old, new).sentences() == [
        "0 of 3 rows are identical to the shipped table in every accuracy column.",
        "1 row moved within noise.",
        "1 row moved beyond noise (Welch's t-test, adjusted over 2 rows): "
        "digits convnet T=4 erf default 97.20 ± 0.25 against 98.10 ± 0.25.",
        "1 row cannot be judged without two ok runs on both sides, or without any spread: "
        "digits convnet T=4 b default 80.50 ± 0.00 against 80.00 ± 0.00.",
        "1 row only in the shipped table: digits convnet T=4 gone default.",
        "1 row only in the new table: digits convnet T=4 come default.",
    ]


def test_sentences_name_the_tables_and_stop_somewhere() -> None:
    many = [(f"m{i}", 90.0, 0.5) for i in range(20)]
    said = diff.compare(table(*many), table(OLD)).sentences("old/", "new/")
    assert said[0] == "No row is in both old/ and new/."
    assert said[1].startswith("20 rows only in old/: digits convnet T=4 m0 default, ")
    assert said[1].endswith("m7 default and 12 more.")


def test_a_missing_mean_is_said_in_words() -> None:
    (_, said) = diff.compare(table(OLD), table(("erf", NAN, NAN))).sentences()
    assert said.endswith("erf default no ok run against 98.10 ± 0.25.")


def test_a_table_survives_the_disk(tmp_path: Path) -> None:
    """A method named NA is not a missing value, and an empty cell is one."""
    made = table(OLD, ("NA", 1 / 3, NAN))
    path = tmp_path / "accuracy.csv"
    columns.printed(made).to_csv(path, index=False)
    read = diff.read(path)
    assert read["method"].tolist() == ["erf", "NA"]
    assert read["test_accuracy_ci_low"].isna().tolist() == [False, True]
    assert verdicts(made, read) == verdicts(read, made) == ["identical"] * 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "No columns"),
        (b"a,b\n1,2\n", "lacks dataset"),
        (b"\xff\xfe\x00", "is not an accuracy table"),
        (b'"a\n', "is not an accuracy table"),
        ((",".join(ACCURACY_COLUMNS) + "\n" + ",".join("x" * 23)).encode(), "Unable to parse"),
        (
            (",".join(ACCURACY_COLUMNS) + "\n" + ",".join(["1.5"] * 23)).encode(),
            "is not an accuracy",
        ),
    ],
)
def test_what_is_not_a_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "accuracy.csv"
    path.write_bytes(content)
    with pytest.raises(BenchError, match=message) as caught:
        diff.read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"cannot read .*accuracy\.csv \(No such file"):
        diff.read(tmp_path / "accuracy.csv")


def test_a_key_twice_is_refused() -> None:
    with pytest.raises(BenchError, match="the new table has two rows digits convnet T=4 erf default"):
        diff.compare(table(OLD), table(OLD, OLD))


def test_a_table_without_a_column_is_refused() -> None:
    with pytest.raises(BenchError, match=r"the old table .* lacks n_seeds"):
        diff.compare(table(OLD).drop(columns="n_seeds"), table(OLD))
