"""Gradients, cost, anytime and latency tables from records written by hand."""

import io
import math
import random

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats
from written_records import runs

from bench.records.timings import TIMING_VERSION, timed, timed_code
from bench.tables import columns
from bench.tables.latency_table import latency_of
from bench.tables.measured_tables import anytime_of, cost_of, gradients_of
from bench.tables.results import OF_TUNING, Results, save
from bench.tables.rows import rows
from bench.tables.text import readable, render_tables

CPU = {"cpu": "Some CPU", "threads": 1, "gpu": None}


def measured(method, values, **more):
    """Records of `method`, one a value, with all that can be measured."""
    records = runs(method, [98.0] * len(values), **more)
    for record, value in zip(records, values, strict=True):
        record["environment"] = CPU
        record["metrics"] |= {
            "available_fraction": value,
            "participation": value / 2,
            "vanishing_slope": -value,
            "vanishing_slope_before": 0.25,
            "vanishing_slope_ann": 0.125,
            "vanish_onset_epoch": 3 if value > 0.5 else None,
            "descent_gain_1e-2": 1e-7 * value,
            "spikes_per_sample": 1000 * value,
            "sops_per_sample": 1234567.0,
            "macs_per_sample": 11616.0,
            "energy_uj": 0.25,
            "anytime_accuracy": [90.0 + value, 98.0],
            "timesteps_to_99": 2,
            "train_seconds": 2.0 + value,
            "search_seconds": 0.0,
            "probe_seconds": 0.5,
        }
    return records


RECTANGLE, OTHER = (0.4, 0.45, 0.5, 0.41), (0.5, 0.7, 0.55, 0.6)


def both():
    return measured("rectangle", RECTANGLE) + measured("mpd-agl", OTHER)


def row(table, method="mpd-agl"):
    return table[table["method"] == method].iloc[0]


def test_gradients_are_means_over_seeds_and_paired_differences():
    found = row(gradients_of(rows(both()), "rectangle"))
    assert found["available_fraction_mean"] == pytest.approx(np.mean(OTHER))
    assert found["available_fraction_sd"] == pytest.approx(np.std(OTHER, ddof=1))
    assert found["n_seeds"] == 4 and found["n_unmeasured"] == 0
    difference = stats.ttest_rel(OTHER, RECTANGLE)
    low, high = difference.confidence_interval(0.95)
    assert found["available_fraction_delta"] == pytest.approx(np.mean(OTHER) - np.mean(RECTANGLE))
    assert found["available_fraction_delta_ci_low"] == pytest.approx(low)
    assert found["available_fraction_delta_ci_high"] == pytest.approx(high)
    base = row(gradients_of(rows(both()), "rectangle"), "rectangle")
    assert math.isnan(base["available_fraction_delta"])
    assert found["vanishing_slope_excess_mean"] == pytest.approx(-np.mean(OTHER) - 0.125)
    assert found["vanishing_slope_excess_before_mean"] == pytest.approx(0.125)


def test_onset_counts_the_runs_in_which_it_came_to_that():
    found, base = (
        row(gradients_of(rows(both()), "rectangle"), method) for method in ("mpd-agl", "rectangle")
    )
    assert (found["n_vanished"], found["vanish_onset_epoch_mean"]) == (3, 3)
    assert base["n_vanished"] == 0 and math.isnan(base["vanish_onset_epoch_mean"])


def test_runs_that_failed_or_did_not_measure_are_in_no_mean():
    records = measured("rectangle", RECTANGLE) + runs("mpd-agl", ["failed", "oom"])
    bare = runs("arctan", [97.0, 98.0])
    bare[0]["unmeasured"] = {"gradients": "RuntimeError: no"}
    table = gradients_of(rows([*records, *bare]), "rectangle")
    assert row(table)["n_seeds"] == 0 and math.isnan(row(table)["available_fraction_mean"])
    assert row(table, "arctan")["n_unmeasured"] == 1
    assert anytime_of(rows([*records, *bare]))["method"].unique().tolist() == ["rectangle"]


def test_other_data_is_not_compared():
    other = measured("mpd-agl", OTHER, checksum="dec0de")
    found = row(gradients_of(rows(measured("rectangle", RECTANGLE) + other), "rectangle"))
    assert math.isnan(found["available_fraction_delta"])


def test_cost_and_anytime():
    found = row(cost_of(rows(both())))
    assert found["spikes_per_sample_mean"] == pytest.approx(1000 * np.mean(OTHER))
    assert found["test_accuracy_mean"] == 98
    curve = anytime_of(rows(both()))
    curve = curve[curve["method"] == "mpd-agl"]
    assert curve["t"].tolist() == [1, 2]
    assert curve["anytime_accuracy_mean"].tolist() == pytest.approx([90 + np.mean(OTHER), 98.0])
    assert curve["timesteps_to_99_mean"].tolist() == [2, 2]


def timing(kind, record, forward, hardware="Some CPU, 1 thread", **metrics):
    what = timed(kind, record["cell"], forward, record["data"]["checksum"])
    code = timed_code(kind, record.get("digests", {}), forward)
    found = {"hardware": hardware, "digests": code, "status": "ok", "error": None, "metrics": metrics}
    return what | found


def with_recipe(records):
    for record in records:
        record["cell"] |= {"recipe": {"epochs": 2}, "profile": {"threads": 1}}
    return records


def test_latency_joins_what_is_shared_and_what_is_not():
    records = with_recipe(both())
    timings = [
        timing("inference", records[0], "spiking", throughput=500.0),
        timing("training", records[0], "spiking", train_step_ms_p50=2.0, peak_memory_mb=9.0),
        timing("training", records[-1], "spiking", "Other CPU, 1 thread", train_step_ms_p50=1.0),
    ]
    table = latency_of(rows(records), timings)
    here = table[table["hardware"] == "Some CPU, 1 thread"].set_index("method")
    assert here["throughput"].tolist() == [500, 500]
    assert here.loc["rectangle", "train_step_ms_p50"] == 2
    assert math.isnan(here.loc["mpd-agl", "train_step_ms_p50"])
    assert here.loc["rectangle", "train_seconds_mean"] == pytest.approx(2 + np.mean(RECTANGLE))
    assert (here["workers"] == "2").all() and (here["n_seeds"] == 4).all()
    (elsewhere,) = table[table["hardware"] == "Other CPU, 1 thread"].to_dict("records")
    assert (elsewhere["method"], elsewhere["n_seeds"]) == ("mpd-agl", 0)


def test_times_of_other_code_are_not_those_of_a_row():
    old, new = (with_recipe(measured("rectangle", RECTANGLE)) for _ in range(2))
    for records, harness in ((old, "0ld"), (new, "new")):
        for record in records:
            record["digests"] = {"harness": harness, "method": "same"}
    timings = [timing("training", new[0], "spiking", train_step_ms_p50=2.0)]
    table = latency_of(rows(old + new), timings)
    assert len(table) == 2 and sorted(table["train_step_ms_p50"].isna()) == [False, True]
    # Inference is that of every spiking method: whatever the method's own code, it is the row's.
    timings = [timing("inference", new[0], "spiking", throughput=500.0)]
    assert timings[0]["digests"] == {"harness": "new", "timing": f"timing {TIMING_VERSION}"}
    for record in new:
        record["digests"]["method"] = "another"
    found = latency_of(rows(old + new), timings)["throughput"]
    assert found.notna().sum() == 1


def test_latency_without_timings_still_has_what_the_runs_took():
    table = latency_of(rows(with_recipe(both())))
    assert len(table) == 2 and table["train_seconds_mean"].notna().all()


def test_the_same_records_in_any_order_give_the_same_bytes(tmp_path):
    records = with_recipe(both())
    first = save(Results(records).tables, tmp_path / "a")
    random.Random(1).shuffle(records)
    second = save(Results(records).tables, tmp_path / "b")
    assert [a.read_bytes() for a in first] == [b.read_bytes() for b in second]
    for path in first:
        text = path.read_text()
        assert "nan" not in text.lower() and "inf" not in text.replace("inference", "")


def test_small_and_large_numbers_are_printed_whole(tmp_path):
    assert columns.printed_cell("descent_gain_1e-2_mean", 1.23456789e-7) == "1.23457e-07"
    assert columns.printed_cell("macs_per_sample_mean", 123456789.0) == "123456789.0"
    assert columns.printed_cell("dead_layers_mean", -0.0) == "0"
    assert columns.printed_cell("error", None) == "" and columns.printed_cell("gain_mean", math.nan) == ""


@pytest.mark.parametrize("which", sorted(render_tables.SHOWN.keys() - {"published", *OF_TUNING}))
def test_every_table_can_be_read_by_people(which):
    records = with_recipe(both() + runs("[red]x|y", ["failed"]))
    table = Results(records).tables[which]
    console = Console(width=160, record=True, file=io.StringIO())
    render_tables.show(which, table, console)
    text = console.export_text()
    assert "mpd-agl" in text and "nan" not in text.lower()
    if which in ("gradients", "cost", "runs"):
        assert "[red]x|y" in text
    markdown = readable.markdown_of(render_tables.blocks(which, table))
    title = "all tasks" if which == "overall" else "digits · convnet · T = 4"
    assert markdown.startswith(f"### {title}")


def test_a_table_reads_back(tmp_path):
    save(Results(with_recipe(both())).tables, tmp_path)
    table = pd.read_csv(tmp_path / "gradients.csv")
    assert row(table)["available_fraction_mean"] == pytest.approx(np.mean(OTHER), rel=1e-5)
