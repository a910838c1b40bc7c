"""What widths cost, from records made by hand."""

import pandas as pd
import pytest

from bench.errors import BenchError
from bench.records import protocol
from bench.tables.widths import (
    BEST_RATE,
    COLUMNS,
    ONE_RATE,
    at,
    by_loss,
    nearest,
    read,
    widths,
    within_noise,
)


def record(
    method, width, seed, val, test=None, *, layers=3, t=2, backbone="convnet", rate=0.01, epochs=2, **changes
):
    return {
        "id": f"{method} {width} {seed} {layers} {t} {backbone} {rate} {epochs} {changes}",
        "status": "ok",
        "digests": {"harness": protocol.harness()},
        "data": {"classes": 10},
        "cell": {
            "method": {
                "name": method,
                "params": {"width": width, "height": None} | changes.pop("params", {}),
            },
            "dataset": {"name": "digits"},
            "backbone": {"name": backbone, "width": 1.0, "threshold": 0.5, "detach_reset": False}
            | changes.pop("options", {}),
            "timesteps": t,
            "recipe": {"learning_rate": rate, "epochs": epochs},
            "profile": {"dtype": "float32", "autocast": "off"},
            "seed": seed,
        },
        "metrics": {
            "val_accuracy": val,
            "test_accuracy": test,
            "spiking_layers": layers,
            "train_samples": 90,
        },
    } | changes


def three(method="triangle", **options):
    """Widths of 1/2, 1 and 2 thresholds; the second is best in validation, the third on the test set."""
    return [
        record(method, width, seed, val + seed, test + seed * slope, **options)
        for width, val, test, slope in ((0.25, 70, 71, 1), (0.5, 80, 79, 1), (1.0, 78, 82, 2))
        for seed in range(3)
    ]


def test_validation_chooses_and_the_test_set_is_reported():
    found = widths(three())
    assert list(found.columns) == [*COLUMNS]
    assert found["width"].tolist() == [0.5, 1.0, 2.0]
    assert found["accuracy"].tolist() == [72.0, 80.0, 84.0]
    assert found["val_loss"].tolist() == [10.0, 0.0, 2.0]
    assert found["loss"].tolist() == [8.0, 0.0, -4.0]
    assert set(found["measure"]) == {ONE_RATE}
    # Differences of 3, 4 and 5 points: 4.303 standard errors of 1/sqrt(3).
    assert found["loss_ci_low"].iloc[2] == pytest.approx(-4 - 4.30265 / 3**0.5, abs=1e-4)
    assert found["loss_ci_low"].isna().tolist() == [False, True, False]


def test_trials_count_at_the_best_learning_rate_of_each_width():
    trials = [
        record("triangle", width, seed, val, rate=rate)
        for seed in range(2)
        for width, rate, val in (
            (0.25, 0.1, 60),
            (0.25, 0.01, 65),
            (0.5, 0.1, 70),
            (1.0, 0.01, 69),
            (1.0, 0.1, 10),
        )
    ]
    found = widths([], trials)
    assert found["accuracy"].tolist() == [65.0, 70.0, 69.0]
    assert set(found["measure"]) == {BEST_RATE}
    assert found["n"].tolist() == [2, 2, 2]
    assert found["loss_ci_low"].isna().all()


def test_what_says_nothing_about_widths_is_left_out():
    others = [
        record("mpd-agl", 1.0, 0, 99, 99),
        record("triangle", 4.0, 0, 99, 99, params={"height": 2.0}),
        record("triangle", 4.0, 0, 99, 99, status="interrupted"),
        *[record("arctan", width, 0, 99, 99, t=9) for width in (0.5, 1.0)],
    ]
    pd.testing.assert_frame_equal(widths([*three(), *others]), widths(three()))


def test_other_networks_and_recipes_are_other_settings():
    """And those with a single width say nothing: a long training of a large network is no reference."""
    long = [record("triangle", 0.5, seed, 99, 99, options={"width": 2.0}) for seed in range(3)]
    wide = three(options={"width": 0.5})
    again = three(epochs=15)
    found = widths([*three(), *long, *wide, *again])
    assert found["setting"].unique().tolist() == [
        "digits on convnet, T = 2",
        "digits on convnet (width 0.5), T = 2",
        "digits on convnet, T = 2 (2)",
    ]
    assert found["epochs"].unique().tolist() == [2, 15]
    assert found["val_loss"].max() == 10.0


def test_failed_and_diverged_runs_count_as_chance():
    bad = [
        record("triangle", 1.0, seed, None, status=status)
        for seed, status in ((1, "failed"), (2, "diverged"))
    ]
    found = widths([*three()[:6], record("triangle", 1.0, 0, 99, 99), *bad])
    assert found["n"].tolist() == [3, 3, 3]
    assert found["val_accuracy"].iloc[2] == pytest.approx((99 + 10 + 10) / 3, abs=1e-4)
    assert by_loss(found)["width"].iloc[0] == 1.0


def test_trials_of_a_suite_that_was_also_run_are_a_setting_of_their_own():
    found = widths(three(), three())
    assert found["setting"].unique().tolist() == ["digits on convnet, T = 2", "digits on convnet, T = 2 (2)"]
    assert set(found["measure"]) == {ONE_RATE, BEST_RATE}


def test_cells_that_two_suites_share_count_once_and_old_ones_not_at_all():
    old = [made | {"id": f"{made['id']} old", "digests": {"harness": "protocol 0"}} for made in three()]
    pd.testing.assert_frame_equal(widths([*three(), *three(), *old]), widths(three()))


def test_a_width_that_all_settings_have_stays_what_it_is():
    found = widths(three())
    assert by_loss(found.assign(width=found["width"] * 1.42))["width"].tolist() == [1.42, 2.84, 0.71]


def test_shapes_within_noise_are_counted():
    other = [
        record("arctan", width, seed, 75 + seed, 79 + (seed - 1) * spread)
        for width, spread in ((0.25, 2), (0.5, 2), (1.0, 2))
        for seed in range(3)
    ]
    assert within_noise(widths([*three(), *other])) == (1, 1)
    worse = [
        record("arctan", width, seed, 60 + seed, 60 + seed) for width in (0.25, 0.5, 1.0) for seed in range(3)
    ]
    assert within_noise(widths([*three(), *worse])) == (0, 1)
    assert within_noise(widths([], three())) == (0, 0)


def test_only_what_all_settings_have_is_ranked():
    found = widths([*three(), *three(t=6), *three("arctan", t=6)])
    ranked = by_loss(found)
    assert ranked[["method", "width"]].values.tolist() == [
        ["triangle", 1.0],
        ["triangle", 2.0],
        ["triangle", 0.5],
    ]
    assert ranked["mean"].tolist() == [0.0, 2.0, 10.0]
    assert by_loss(found.assign(setting=found["setting"] + found["method"])).empty


def test_widths_within_a_factor_count_as_one():
    found = widths([*three(), *three(t=6)])
    shifted = found["width"].where(found["timesteps"] == 2, found["width"] * 1.26)
    assert by_loss(found.assign(width=shifted))["width"].tolist() == [1.0, 2.0, 0.5]
    found = found[found["timesteps"] == 2]
    assert at(found, "triangle", 1.4)["width"] == 1.0
    assert at(found, "triangle", 16.0) is None
    assert at(found, "arctan", 1.0) is None


def test_depth_counts_more_than_time():
    deep = three(backbone="resnet19", layers=20)
    recurrent = three(backbone="rsnn", layers=2, t=12)
    found = widths([*three(), *deep, *recurrent])
    assert nearest(found, 16, 8)["layers"].unique() == [20]
    assert nearest(found, 2, 8)["layers"].unique() == [3]
    assert nearest(found, 20, 2, recurrent=True)["setting"].unique() == ["digits on rsnn, T = 12"]
    assert nearest(widths(three()), 20, 2, recurrent=True)["layers"].unique() == [3]


@pytest.mark.parametrize(
    ("column", "value"), [("width", "wide"), ("val_loss", "x"), ("n", None), ("layers", 2.5)]
)
def test_a_kept_table_with_something_else_than_a_number_is_named(tmp_path, column, value):
    file, found = tmp_path / "widths.csv", widths(three())
    found.to_csv(file, index=False)
    pd.testing.assert_frame_equal(read(file), found)
    found.astype(object).assign(**{column: value}).to_csv(file, index=False)
    with pytest.raises(BenchError, match=r"widths\.csv cannot be read .*: put a table of widths there"):
        read(file)
