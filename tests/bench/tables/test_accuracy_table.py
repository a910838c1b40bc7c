"""Tables made from hand-written records, against scipy and against what METRICS promises."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from written_records import FAIR, GOOD, POOR, Record, matrix, runs

from bench.errors import BenchError
from bench.tables import columns
from bench.tables.all_pairs import AllPairs
from bench.tables.results import COLUMNS, OF_TUNING, Results, save
from bench.tables.text import readable


def table(*groups: list[Record], baseline: str = "rectangle") -> pd.DataFrame:
    """Indexed by method, or by (method, variant) where a method has several."""
    found = Results(itertools.chain(*groups), baseline).table("accuracy")
    return found.set_index("method" if found["method"].is_unique else ["method", "variant"])


def test_columns_are_those_of_metrics() -> None:
    found = Results(runs("rectangle", GOOD)).table("accuracy")
    assert ", ".join(found.columns) == (
        "dataset, backbone, timesteps, method, variant, kind, changes, fidelity, "
        "n_seeds, n_failed, n_incomplete, n_extra, "
        "test_accuracy_mean, test_accuracy_sd, test_accuracy_ci_low, test_accuracy_ci_high, "
        "test_accuracy_last_mean, test_accuracy_best_epoch_mean, test_accuracy_images_ci_low, "
        "test_accuracy_images_ci_high, delta_vs_baseline, delta_ci_low, "
        "delta_ci_high, p_adjusted, p_permutation, delta_to_best, delta_to_best_ci_low, "
        "delta_to_best_ci_high, indistinguishable_from_best, equivalent_to_best, rank, rank_low, rank_high, "
        "detectable, sweep, val_accuracy_mean"
    )
    assert list(Results([]).table("accuracy").columns) == list(found.columns)
    assert Results([]).table("runs").empty


def test_a_table_is_the_same_alone_and_with_all_others() -> None:
    records = [*matrix(), *runs("rectangle", GOOD, configuration="another", task=("digits", "convnet", 4))]
    together = Results(iter(records)).tables
    assert together.keys() == COLUMNS.keys() - {*OF_TUNING}
    for name, table in together.items():
        pd.testing.assert_frame_equal(Results(records).table(name), table)


def test_own_columns_are_scipys() -> None:
    row = table(runs("rectangle", GOOD)).loc["rectangle"]
    interval = stats.ttest_1samp(GOOD, 0).confidence_interval(0.95)
    assert row["test_accuracy_mean"] == pytest.approx(98.32)
    assert row["test_accuracy_sd"] == pytest.approx(np.std(GOOD, ddof=1))
    assert (row["test_accuracy_ci_low"], row["test_accuracy_ci_high"]) == pytest.approx(
        (interval.low, interval.high)
    )
    assert row["test_accuracy_last_mean"] == pytest.approx(97.82)
    assert (row["n_seeds"], row["n_failed"], row["n_incomplete"]) == (5, 0, 0)


def test_the_best_test_epoch_has_a_column_of_its_own_and_is_empty_elsewhere() -> None:
    asked = runs("arctan", FAIR)
    for record in asked:
        record["metrics"]["test_accuracy_best_epoch"] = record["metrics"]["test_accuracy"] + 1
    plain = table(runs("rectangle", GOOD), runs("arctan", FAIR))
    found = table(runs("rectangle", GOOD), asked)
    column = "test_accuracy_best_epoch_mean"
    assert found.loc["arctan", column] == pytest.approx(np.mean(FAIR) + 1)
    assert np.isnan(found.loc["rectangle", column])
    pd.testing.assert_frame_equal(found.drop(columns=column), plain.drop(columns=column))


def test_one_seed_has_no_interval_and_no_test() -> None:
    found = table(runs("rectangle", [98.0]), runs("arctan", [98.5]))
    row = found.loc["arctan"]
    assert (row["test_accuracy_mean"], row["delta_vs_baseline"], row["rank"]) == (98.5, 0.5, 1)
    empty = ["test_accuracy_sd", "test_accuracy_ci_low", "delta_ci_low", "delta_ci_high", "p_adjusted"]
    assert row[empty].isna().all()
    assert list(found["indistinguishable_from_best"]) == ["", ""]


def test_a_row_that_is_not_whole_has_a_difference_and_no_interval() -> None:
    shuffled = runs("arctan", ("oom", *FAIR[1:]))[::-1]
    row = table(runs("rectangle", (*GOOD[:4], "failed")), shuffled).loc["arctan"]
    assert row["delta_vs_baseline"] == pytest.approx(np.mean(np.subtract(FAIR[1:4], GOOD[1:4])))
    assert row[["delta_ci_low", "delta_ci_high", "p_adjusted", "delta_to_best"]].isna().all()


def test_two_rows_are_compared_by_the_paired_t_test() -> None:
    row = table(runs("rectangle", GOOD), runs("arctan", FAIR)).loc["arctan"]
    expected = stats.ttest_rel(FAIR, GOOD)
    interval = expected.confidence_interval(0.95)
    for names in (("delta_ci_low", "delta_ci_high"), ("delta_to_best_ci_low", "delta_to_best_ci_high")):
        assert [row[name] for name in names] == pytest.approx([interval.low, interval.high])
    assert row["p_adjusted"] == pytest.approx(expected.pvalue)


def test_all_pairs_of_one_task_are_one_family_and_the_ceiling_is_shown_without_competing() -> None:
    ceiling = runs("ann-relu", [99.9, 99.8, 99.7, 99.9, 99.6], kind="reference")
    elsewhere = runs("arctan", POOR, task=("digits", "mlp", 4))
    found = Results(
        [*runs("rectangle", GOOD), *runs("arctan", FAIR), *runs("triangle", POOR), *ceiling, *elsewhere]
    ).table("accuracy")
    here = found[found["backbone"] == "convnet"].set_index("method")
    pairs = AllPairs(np.array([GOOD, FAIR, POOR]))
    assert here["p_adjusted"].dropna().to_dict() == pytest.approx(
        {"arctan": pairs.p[1, 0], "triangle": pairs.p[2, 0]}
    )
    assert here.loc["arctan", "delta_ci_low"] == pytest.approx(pairs.differences[1, 0] - pairs.halves[1, 0])
    row = here.loc["ann-relu"]
    assert here.index[-1] == "ann-relu" and row["delta_vs_baseline"] > 0 and pd.isna(row["delta_ci_low"])
    assert pd.isna(row["rank"]) and row["indistinguishable_from_best"] == ""
    assert here.loc["rectangle", ["rank", "indistinguishable_from_best"]].tolist() == [1, "yes"]


def test_equal_runs_have_p_one_and_constant_differences_none() -> None:
    one_more = [round(v * 3.6 + 1) / 3.6 for v in GOOD[:3]]
    quantised = [round(v * 3.6) / 3.6 for v in GOOD[:3]]
    found = table(runs("rectangle", quantised), runs("same", quantised), runs("shifted", one_more))
    assert found.loc["same", "p_adjusted"] == 1
    assert found.loc["same", ["delta_vs_baseline", "delta_ci_low", "delta_ci_high"]].tolist() == [0, 0, 0]
    assert math.isnan(found.loc["shifted", "p_adjusted"])
    assert found.loc["shifted", "delta_vs_baseline"] == pytest.approx(1 / 3.6)
    assert "+0.28 |" in readable.markdown(found.reset_index()), "no interval that has no width"


def test_permutation_only_where_it_could_matter() -> None:
    rng = np.random.default_rng(0)

    def many(n: int, m: int) -> pd.DataFrame:
        base = rng.normal(90, 1, n)
        others = (runs(f"m{i}", list(base + rng.normal(2, 1, n))) for i in range(m))
        return table(runs("rectangle", list(base)), *others)

    assert many(8, 7)["p_permutation"].isna().all()
    found = many(9, 7)["p_permutation"].dropna()
    assert len(found) == 7 and found.min() >= 7 * 2.0**-8


def test_permutation_is_scipys_and_adjusted() -> None:
    rng = np.random.default_rng(1)
    base, near, far = (list(rng.normal(90 + shift, 1, 9)) for shift in (0, 0.8, 3))
    found = table(runs("rectangle", base), runs("near", near), runs("far", far))["p_permutation"]

    def exact(values: Sequence[float]) -> float:
        pairs = (np.array(values), np.array(base))
        test = stats.permutation_test(
            pairs, lambda a, b: np.mean(a - b), permutation_type="samples", n_resamples=np.inf
        )
        return float(test.pvalue)

    assert found["far"] == pytest.approx(2 * exact(far))
    assert found["near"] == pytest.approx(max(2 * exact(far), exact(near)))


def test_no_row_contradicts_itself() -> None:
    """Verdict, interval, range of ranks and p are of one family."""
    found = table(
        runs("rectangle", GOOD), runs("arctan", FAIR), runs("triangle", POOR), runs("erf", GOOD[::-1])
    )
    best = found[found["rank"] == 1].index
    for _, row in found.drop(best[0]).iterrows():
        told = row["delta_to_best_ci_high"] < 0
        assert row["indistinguishable_from_best"] == ("no" if told else "yes")
        assert (row["rank_low"] == 1) == (not told)
        assert row["rank_low"] <= row["rank"] <= row["rank_high"]
    for _, row in found.drop("rectangle").iterrows():
        outside = row["delta_ci_low"] > 0 or row["delta_ci_high"] < 0
        assert (row["p_adjusted"] < 0.05) == outside
    assert found.loc["triangle", ["rank_low", "rank_high"]].tolist() == [4, 4]
    assert found.loc["rectangle", ["rank_low", "rank_high"]].tolist() == [1, 2]


def test_a_method_that_fails_on_some_seeds_is_judged_with_them() -> None:
    """It is no winner by its survivors, nor better than the baseline by them."""
    lucky = runs("lucky", (*GOOD[:3], "diverged", "diverged"))
    found = table(runs("rectangle", FAIR), runs("arctan", GOOD), lucky)
    row = found.loc["lucky"]
    assert row["test_accuracy_mean"] == pytest.approx((sum(GOOD[:3]) + 20) / 5)
    assert row["delta_vs_baseline"] == pytest.approx(row["test_accuracy_mean"] - np.mean(FAIR))
    assert (row["rank"], row["n_seeds"], row["n_failed"]) == (3, 3, 2)
    assert row["p_adjusted"] > 0.05, "an interval that is wide then is the truth"
    bold = [block.bold for block in readable.blocks(found.reset_index())]
    assert bold == [["accuracy", None, None]]


def test_seeds_that_others_do_not_have_judge_nothing() -> None:
    """Nor do those that the suite does not ask for."""
    more = runs("arctan", (*FAIR, 99.9, 99.9, 99.9))
    found = table(runs("rectangle", GOOD), more)
    assert found.loc["arctan", ["rank", "n_seeds", "n_extra"]].tolist() == [2, 5, 3]
    assert found.loc["arctan", "test_accuracy_mean"] == pytest.approx(np.mean(FAIR))
    groups = [*runs("rectangle", (*GOOD, 1.0, 2.0)), *runs("arctan", (*FAIR, 3.0, 4.0))]
    asked = Results(groups, seeds=range(5)).table("accuracy").set_index("method")
    assert asked["n_extra"].tolist() == [2, 2]
    assert asked.loc["rectangle", "test_accuracy_mean"] == pytest.approx(np.mean(GOOD))


def test_as_good_as_the_best_is_claimed_within_a_point_and_not_beyond() -> None:
    close = [value + shift for value, shift in zip(GOOD, (0.1, -0.1, 0.1, -0.1, 0.05), strict=True)]
    found = table(runs("rectangle", GOOD), runs("arctan", close), runs("triangle", POOR))
    assert found["equivalent_to_best"].to_dict() == {"rectangle": "yes", "arctan": "yes", "triangle": "no"}


def test_two_seeds_cannot_be_told_from_the_best() -> None:
    found = table(runs("rectangle", GOOD[:2]), runs("arctan", POOR[:2]))
    assert found["indistinguishable_from_best"].to_dict() == {"rectangle": "", "arctan": ""}


def test_failed_runs_count_as_chance() -> None:
    found = table(
        runs("rectangle", FAIR), runs("arctan", (*GOOD[:4], "diverged")), runs("erf", ["failed"] * 5)
    )
    assert found["rank"].to_dict() == {"rectangle": 1, "arctan": 2, "erf": 3}
    assert found.loc["arctan", "test_accuracy_mean"] == pytest.approx((sum(GOOD[:4]) + 10) / 5)
    assert found["n_failed"].to_dict() == {"rectangle": 0, "arctan": 1, "erf": 5}
    assert found.loc["erf", "test_accuracy_mean"] == 10


def test_chance_is_one_in_classes() -> None:
    """Two classes: one run at chance in two gives 75 %, above 70 %; ten classes give 55 %."""
    for classes, best in ((2, "half"), (10, "rectangle")):
        groups = (
            runs("rectangle", [70.0] * 2, classes=classes),
            runs("half", [100.0, "failed"], classes=classes),
        )
        assert table(*groups)["rank"].idxmin() == best


def test_failures_before_the_data_take_chance_from_the_rest_of_the_task() -> None:
    broken = [record | {"data": {}} for record in runs("broken", ["failed"] * 5)]
    assert table(runs("rectangle", GOOD), broken).loc["broken", "rank"] == 2
    assert pd.isna(table(broken).loc["broken", "rank"]), "no classes known: not ranked rather than guessed"


@pytest.mark.parametrize("status", ["oom", "timeout", "interrupted", "skipped", "some-new-status"])
def test_incomplete_rows_are_shown_not_ranked(status: str) -> None:
    found = table(runs("arctan", (*GOOD[:4], status)), runs("rectangle", POOR))
    assert list(found.index) == ["rectangle", "arctan"]
    row = found.loc["arctan"]
    assert (row["n_seeds"], row["n_failed"], row["n_incomplete"]) == (4, 0, 1)
    assert pd.isna(row["rank"]) and row["indistinguishable_from_best"] == ""
    assert row["test_accuracy_mean"] == pytest.approx(np.mean(GOOD[:4]))


def test_ties_share_a_rank() -> None:
    """Also where only the order of summation tells the means apart."""
    a, b = [97.5, 97.3, 97.4], [97.4, 97.5, 97.3]
    assert np.mean(a) != np.mean(b), "the case no longer tests rounding"
    found = table(runs("rectangle", POOR[:3]), runs("b", b), runs("a", a), runs("c", GOOD[:3]))
    assert found["rank"].to_dict() == {"c": 1, "a": 2, "b": 2, "rectangle": 4}
    assert list(found.index) == ["c", "a", "b", "rectangle"]


def test_configurations_are_never_averaged() -> None:
    groups = runs("erf", [10.0], configuration="ab12" + "0" * 12), runs("erf", [90.0], configuration="cd" * 8)
    found = table(*groups, runs("rectangle", [50.0]))
    assert found["test_accuracy_mean"].to_dict() == {
        ("erf", "default #cdcd"): 90.0,
        ("rectangle", "default"): 50.0,
        ("erf", "default #ab12"): 10.0,
    }
    names = Results(itertools.chain(*groups)).table("runs")["variant"]
    assert list(names) == ["default #ab12", "default #cdcd"]


def test_colliding_prefixes_grow() -> None:
    groups = (runs("erf", [10.0], configuration=f"abcde{i}" + "0" * 10) for i in range(2))
    assert [v for _, v in table(*groups).index] == ["default #abcde0", "default #abcde1"]


def test_baseline_is_the_default_variant_or_the_one_that_is_named() -> None:
    rectangle = runs("rectangle", FAIR), runs("rectangle", GOOD, "area=2"), runs("erf", POOR)
    delta = table(*rectangle)["delta_vs_baseline"]
    assert math.isnan(delta["rectangle", "default"])
    assert delta["erf", "default"] == pytest.approx(np.mean(POOR) - np.mean(FAIR))
    others = runs("rectangle", GOOD, "width=0.5"), runs("rectangle", FAIR, "width=2"), rectangle[2]
    named = table(*others, baseline="rectangle:width=2")["delta_vs_baseline"]
    assert named["erf", "default"] == pytest.approx(np.mean(POOR) - np.mean(FAIR))
    assert table(*others)["delta_vs_baseline"].isna().all(), "none of them stands in for the default"
    assert (
        Results(itertools.chain(*others))
        .notes[0]
        .endswith(
            "No run of rectangle, so nothing is compared with it; there are rectangle:width=0.5, "
            "rectangle:width=2, of which --baseline takes one."
        )
    )


def test_without_a_baseline_there_are_no_differences() -> None:
    found = table(runs("erf", GOOD), runs("arctan", FAIR))
    assert found[["delta_vs_baseline", "delta_ci_low", "p_adjusted"]].isna().all(axis=None)
    assert list(found["rank"]) == [1, 2]
    assert (
        table(runs("erf", GOOD), runs("arctan", FAIR), baseline="erf")["delta_vs_baseline"].notna().sum() == 1
    )


def test_runs_on_different_data_are_not_compared() -> None:
    found = table(runs("rectangle", GOOD), runs("erf", FAIR, "subset=1000", checksum="dec0de"))
    assert found["delta_vs_baseline"].isna().all()
    mixed = runs("erf", FAIR, configuration="e" * 16)
    mixed[0] = mixed[0] | {"data": {"checksum": "dec0de", "classes": 10}}
    with pytest.raises(BenchError, match=r"e{16}.*different data.*c0ffee, dec0de"):
        Results(mixed).table("accuracy")


def test_a_seed_counts_once() -> None:
    with pytest.raises(BenchError, match="two records of seed 1"):
        Results([*runs("erf", GOOD), runs("erf", GOOD)[1]]).table("accuracy")


def test_runs_table_has_every_cell_and_no_clock() -> None:
    found = Results([*runs("erf", (*GOOD[:2], "oom")), *runs("rectangle", ["failed"])]).table("runs")
    assert list(found["status"]) == ["ok", "ok", "oom", "failed"]
    assert list(found["seed"]) == [0, 1, 2, 0]
    assert found["best_epoch"].tolist()[:2] == [7, 7] and found["best_epoch"].isna().sum() == 2
    assert not {"seconds", "started", "ended", "environment", "cpu"} & set(found.columns)


def test_same_records_same_bytes(tmp_path: Path) -> None:
    records = matrix()
    first = save(Results(records).tables, tmp_path / "first")
    random.Random(0).shuffle(records)
    second = save(Results(iter(records)).tables, tmp_path / "second")
    names = [name for name in COLUMNS if name not in OF_TUNING]
    assert [path.name for path in first] == [f"{name}.csv" for name in names]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    elsewhere = {"cpu": "other", "threads": 2, "gpu": None}
    moved = [r | {"seconds": 99, "ended": "later", "environment": elsewhere} for r in matrix()]
    third = save(Results(moved).tables, tmp_path / "third")
    same = [a.name for a, b in zip(first, third, strict=True) if a.read_bytes() == b.read_bytes()]
    assert same == [f"{name}.csv" for name in names if name != "latency"]


def test_bytes_on_disk(tmp_path: Path) -> None:
    runs_csv, accuracy_csv, *_ = save(Results(matrix()).tables, tmp_path)
    lines = runs_csv.read_bytes().decode("utf-8").split("\n")
    assert len(lines) == 1 + 60 + 1 and lines[-1] == "" and "\r" not in "".join(lines)
    assert lines[1].startswith(
        "blobs,mlp,2,arctan,default,fixed,gradient,paper,0,ok,97.1000,96.6000,,99.0000,7,,"
    )
    assert any(",oom,,,,,,,it was oom," in line for line in lines), "an error is one line"
    table = pd.read_csv(accuracy_csv, dtype=str, keep_default_na=False)
    assert table["timesteps"].tolist() == ["2"] * 4 + ["4"] * 4 + ["10"] * 4, "sorted as numbers"
    assert table["method"].tolist()[:4] == ["rectangle", "arctan", "none", "mpd|agl, κ"]
    assert table.loc[0, "test_accuracy_mean"] == "98.3200" and table.loc[3, "rank"] == ""


def test_no_negative_zero() -> None:
    frame = pd.DataFrame({"delta_vs_baseline": [-1e-9, -0.0, -0.5]})
    assert list(columns.printed(frame)["delta_vs_baseline"]) == ["0.0000", "0.0000", "-0.5000"]


def test_a_failed_write_leaves_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(Results(matrix()).tables, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        save(Results(runs("erf", GOOD)).tables, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_design_states_seeds_pairs_what_can_be_seen_and_what_one_point_takes() -> None:
    (note,) = Results([*runs("rectangle", GOOD), *runs("arctan", FAIR), *runs("erf", POOR)]).notes
    pairs = AllPairs(np.array([GOOD, FAIR, POOR]))
    assert note == (
        "digits, convnet, T = 4: n = 5 paired seeds, 3 methods, 3 pairs; with 80 % power this design "
        f"detects a true difference of {pairs.detectable():.2f} percentage points or more; one of 1 would "
        f"take {pairs.seeds_for(1.0)} seeds."
    )


def test_where_all_guess_no_difference_is_praised() -> None:
    guessing = [9.0, 10.5, 11.0, 10.0, 9.5]
    (note,) = Results([*runs("rectangle", guessing), *runs("erf", guessing[::-1])]).notes
    assert note.endswith("No method gets far from guessing (10.00 %): train longer before you compare.")
    (note,) = Results([*runs("rectangle", [15.0, 16.0, 15.5]), *runs("erf", guessing[:3])]).notes
    assert "guessing" not in note


def test_design_where_little_can_be_said() -> None:
    def note(*groups: list[Record]) -> str:
        return Results(itertools.chain(*groups)).notes[0]

    assert "No run of rectangle" in note(runs("erf", GOOD))
    assert "nothing is tested" in note(runs("rectangle", [98.0]), runs("erf", [97.0]))
    assert "do not vary" in note(runs("rectangle", GOOD), runs("erf", GOOD))
    assert "n = 5 paired seeds, 2 methods" in note(
        runs("rectangle", GOOD), runs("a", FAIR), runs("b", FAIR[:3])
    )
    everything = [note(matrix()), note(runs("rectangle", GOOD), runs("erf", GOOD))]
    assert not any("significant" in sentence for sentence in everything)


def in_setting(records: list[Record], code: str = "v1", **options: Any) -> list[Record]:
    """The records as made with these backbone options, and with this version of the method's file."""
    digests = {"method": code, "dataset": "d", "backbone": "b", "harness": "h"}
    return [
        record
        | {"digests": digests}
        | {"cell": record["cell"] | {"backbone": record["cell"]["backbone"] | options}}
        for record in records
    ]


def in_recipe(records: list[Record], configuration: str, **recipe: Any) -> list[Record]:
    """The records as of another configuration, made with this recipe."""
    return [
        record | {"configuration": configuration, "cell": record["cell"] | {"recipe": recipe}}
        for record in records
    ]


def test_rows_of_one_name_say_in_words_how_they_were_trained() -> None:
    found = table(
        in_recipe(runs("rectangle", POOR), "a", learning_rate=0.01, epochs=3),
        in_recipe(runs("rectangle", GOOD), "b", learning_rate=0.03, epochs=3),
        in_recipe(runs("arctan", FAIR), "c", learning_rate=0.03, epochs=3),
        in_recipe(runs("rectangle", GOOD, task=("blobs", "mlp", 2)), "d", learning_rate=1.0, epochs=9),
    )
    assert sorted(found.index) == [
        ("arctan", "learning_rate=0.03"),
        ("rectangle", "default"),
        ("rectangle", "learning_rate=0.01"),
        ("rectangle", "learning_rate=0.03"),
    ]
    assert found.loc[("arctan", "learning_rate=0.03"), "rank"] == 2


def test_rows_of_different_names_that_were_trained_differently_say_so() -> None:
    """They are not compared, and a table must not show them as if they were."""
    found = table(
        in_recipe(runs("rectangle", POOR), "a", learning_rate=0.01),
        in_recipe(runs("arctan", GOOD), "b", learning_rate=0.03),
        in_recipe(runs("erf", FAIR), "c", learning_rate=0.03),
    )
    assert found["rank"].to_dict() == {"arctan": 1, "erf": 2, "rectangle": 1}
    assert found["variant"].to_dict() == {
        "arctan": "learning_rate=0.03",
        "erf": "learning_rate=0.03",
        "rectangle": "learning_rate=0.01",
    }
    shown = {block.title: block.bold for block in readable.blocks(found.reset_index())}
    assert [*shown] == [f"digits · convnet · T = 4 · learning_rate={rate}" for rate in ("0.01", "0.03")]


def test_a_row_is_compared_with_the_baseline_of_its_own_setting() -> None:
    plif = "backbone.neuron=plif"
    found = table(
        in_setting(runs("rectangle", POOR)),
        in_setting(runs("arctan", FAIR)),
        in_setting(runs("rectangle", FAIR, plif), neuron="plif"),
        in_setting(runs("rectangle", GOOD, "height=0.1 backbone.neuron=plif"), neuron="plif"),
        in_setting(runs("arctan", GOOD, plif), neuron="plif"),
    )
    delta = found["delta_vs_baseline"]
    assert delta["arctan", "default"] == pytest.approx(np.mean(np.subtract(FAIR, POOR)))
    assert delta["arctan", plif] == pytest.approx(np.mean(np.subtract(GOOD, FAIR)))
    assert math.isnan(delta["rectangle", plif])
    assert found["rank"].to_dict() == {
        ("arctan", "default"): 1,
        ("rectangle", "default"): 2,
        ("arctan", plif): 1,
        ("rectangle", "height=0.1 backbone.neuron=plif"): 1,
        ("rectangle", plif): 3,
    }


def in_profile(records: list[Record], **options: Any) -> list[Record]:
    """The records as made under this profile."""
    return [record | {"cell": record["cell"] | {"profile": options}} for record in records]


def test_how_training_was_compiled_keeps_no_rows_apart_and_precision_does() -> None:
    found = table(
        in_profile(runs("rectangle", POOR), compile="off", autocast="off"),
        in_profile(runs("arctan", FAIR), compile="step", autocast="off"),
        in_profile(runs("sigmoid", GOOD), compile="off", autocast="bfloat16"),
    )
    delta = found["delta_vs_baseline"]
    assert delta["arctan"] == pytest.approx(np.mean(np.subtract(FAIR, POOR)))
    assert math.isnan(delta["sigmoid"])


def test_records_of_two_versions_of_a_method_are_never_averaged() -> None:
    old, new = in_setting(runs("arctan", GOOD), "v1"), in_setting(runs("arctan", POOR), "v2")
    found = Results([*new[:1], *old[1:]]).table("accuracy")
    assert sorted(found["n_seeds"]) == [1, 4]
    assert found["variant"].str.fullmatch(r"default #[0-9a-f]{4,}").all()


def test_a_row_without_a_seed_of_the_baseline_is_not_ranked() -> None:
    found = table(runs("rectangle", GOOD), runs("arctan", [99.9]), runs("erf", [*FAIR, 97.0]))
    assert (found.loc["rectangle", "rank"], found.loc["erf", "rank"]) == (1, 2)
    assert pd.isna(found.loc["arctan", "rank"])
