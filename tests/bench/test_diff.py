"""Two tables side by side, each case made by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from bench import columns, diff, leaderboards
from bench.errors import BenchError

NAN = math.nan


def table(*rows: tuple[str, float, float, float], n: int = 3) -> pd.DataFrame:
    """Rows of (method, mean, low, high); the columns that a comparison does not look at are empty."""
    lines = [
        dict(zip(columns.KEY, ("digits", "convnet", 4, method, "default"), strict=True))
        | dict.fromkeys(columns.DECLARED, "fixed")
        | {"n_seeds": n, "n_failed": 0, "n_incomplete": 0}
        | dict(zip(columns.ACCURACIES, (mean, 0.1, low, high, mean, mean), strict=True))
        for method, mean, low, high in rows
    ]
    return pd.DataFrame(lines, columns=list(leaderboards.ACCURACY_COLUMNS))


OLD = ("erf", 98.1, 97.8, 98.4)


@pytest.mark.parametrize(
    ("new", "verdict"),
    [
        (OLD, "identical"),
        (("erf", 98.10001, 97.8, 98.4), "identical"),  # the same as printed
        (("erf", 98.1001, 97.8, 98.4), "within"),
        (("erf", 98.3, NAN, NAN), "within"),  # the old interval alone is enough to be inside of it
        (("erf", 97.2, 96.5, 97.9), "within"),  # they overlap
        (("erf", 97.2, 96.5, 97.8), "within"),  # they touch
        (("erf", 97.2, 96.5, 97.79), "outside"),
        (("erf", 99.2, 98.5, 99.9), "outside"),
        (("erf", 97.2, NAN, NAN), "unjudged"),
        (("erf", NAN, NAN, NAN), "unjudged"),
    ],
)
def test_verdicts(new: tuple[str, float, float, float], verdict: str) -> None:
    found = diff.compare(table(OLD), table(new))
    sizes = {name: len(getattr(found, name)) for name in ("identical", "within", "outside", "unjudged")}
    assert sizes == dict.fromkeys(sizes, 0) | {verdict: 1}
    assert not found.only_old and not found.only_new


def test_counts_belong_to_identity() -> None:
    assert not diff.compare(table(OLD, n=3), table(OLD, n=5)).identical


def test_columns_about_other_rows_do_not() -> None:
    """Rank, differences and p depend on what else was run."""
    assert diff.compare(table(OLD), table(OLD).assign(rank=7, p_adjusted=0.2)).identical


def test_rows_are_matched_by_key_not_by_place() -> None:
    a, b, c = ("a", 90.0, 89.0, 91.0), ("b", 80.0, 79.0, 81.0), ("c", 70.0, 69.0, 71.0)
    found = diff.compare(table(a, b), table(c, b))
    assert [pair.old.name for pair in found.identical] == ["digits convnet T=4 b default"]
    assert [row.name for row in found.only_old] == ["digits convnet T=4 a default"]
    assert [row.name for row in found.only_new] == ["digits convnet T=4 c default"]


def test_sentences() -> None:
    same = [(f"m{i}", 90.0, 89.0, 91.0) for i in range(20)]
    assert diff.compare(table(*same), table(*same)).sentences() == [
        "20 of 20 rows are identical to the shipped table in every accuracy column."
    ]
    old = table(OLD, ("a", 90.0, 89.0, 91.0), ("b", 80.0, NAN, NAN), ("gone", 1.0, NAN, NAN))
    new = table(
        ("erf", 97.2, 97.0, 97.4), ("a", 90.5, 89.0, 92.0), ("b", 80.5, NAN, NAN), ("come", 1.0, NAN, NAN)
    )
    assert diff.compare(old, new).sentences() == [
        "0 of 3 rows are identical to the shipped table in every accuracy column.",
        "1 row moved within their intervals.",
        "1 row outside their intervals: "
        "digits convnet T=4 erf default 97.20 [97.00, 97.40] against 98.10 [97.80, 98.40].",
        "1 row cannot be judged without two ok runs on both sides: "
        "digits convnet T=4 b default 80.50 against 80.00.",
        "1 row only in the shipped table: digits convnet T=4 gone default.",
        "1 row only in the new table: digits convnet T=4 come default.",
    ]


def test_sentences_name_the_tables_and_stop_somewhere() -> None:
    many = [(f"m{i}", 90.0, 89.0, 91.0) for i in range(20)]
    said = diff.compare(table(*many), table(OLD)).sentences("old/", "new/")
    assert said[0] == "No row is in both old/ and new/."
    assert said[1].startswith("20 rows only in old/: digits convnet T=4 m0 default, ")
    assert said[1].endswith("m7 default, and 12 more.")


def test_a_missing_mean_is_said_in_words() -> None:
    (_, said) = diff.compare(table(OLD), table(("erf", NAN, NAN, NAN))).sentences()
    assert said.endswith("erf default no ok run against 98.10 [97.80, 98.40].")


def test_a_table_survives_the_disk(tmp_path: Path) -> None:
    """A method named NA is not a missing value, and an empty cell is one."""
    made = table(OLD, ("NA", 1 / 3, NAN, NAN))
    path = tmp_path / "accuracy.csv"
    columns.printed(made).to_csv(path, index=False)
    read = diff.read(path)
    assert read["method"].tolist() == ["erf", "NA"]
    assert read["test_accuracy_ci_low"].isna().tolist() == [False, True]
    assert len(diff.compare(made, read).identical) == 2
    assert len(diff.compare(read, made).identical) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "No columns"),
        (b"a,b\n1,2\n", "lacks dataset"),
        (b"\xff\xfe\x00", "is not an accuracy table"),
        (b'"a\n', "is not an accuracy table"),
        ((",".join(leaderboards.ACCURACY_COLUMNS) + "\n" + ",".join("x" * 23)).encode(), "Unable to parse"),
        (
            (",".join(leaderboards.ACCURACY_COLUMNS) + "\n" + ",".join(["1.5"] * 23)).encode(),
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
