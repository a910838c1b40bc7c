"""Layers of neurons, timed alone, in the table of latencies."""

import random

import pandas as pd
from written_records import runs

from bench.tables import columns
from bench.tables.latency_table import PARTS, latency_of
from bench.tables.results import Results, save
from bench.tables.rows import rows

HERE = "AMD EPYC, 1 thread"
LAYER = [f"layer_{part}_ms_p50" for part in PARTS]


def layer(method, forward=1.0, variant="batch=100 units=512 eager", hardware=HERE, **more):
    times = {"forward_ms_p50": forward, "backward_ms_p50": 2 * forward, "step_ms_p50": 3 * forward}
    row = {"method": method, "variant": variant, "timesteps": 4, "hardware": hardware, "compile_s": 0.0}
    return row | times | more


def records():
    found = runs("rectangle", [98.0, 97.0]) + runs("mpd-agl", [98.0, 97.0], kind="adaptive")
    for record in found:
        record["metrics"]["train_seconds"] = 2.5
    return found


def test_a_layer_is_a_row_of_its_own():
    table = latency_of(rows(records()), (), [layer("mpd-agl")])
    (found,) = table[table["backbone"] == "neuron"].to_dict("records")
    assert [found[name] for name in columns.KEY] == [
        "none",
        "neuron",
        4,
        "mpd-agl",
        "batch=100 units=512 eager",
    ]
    assert (found["kind"], found["changes"], found["hardware"]) == ("adaptive", "gradient", HERE)
    assert [found[name] for name in (*LAYER, "compile_s")] == [1, 2, 3, 0]
    filled = {*columns.KEY, *columns.DECLARED, "hardware", *LAYER, "compile_s"}
    assert all(pd.isna(value) for name, value in found.items() if name not in filled)


def test_the_rows_of_networks_stay_as_they_were():
    alone, both = latency_of(rows(records())), latency_of(rows(records()), (), [layer("mpd-agl")])
    networks = both[both["backbone"] != "neuron"].reset_index(drop=True)
    pd.testing.assert_frame_equal(networks, alone)
    assert networks[LAYER].isna().all(axis=None) and (networks["train_seconds_mean"] == 2.5).all()


def test_layers_of_methods_that_the_suite_has_not_run_are_left_out():
    table = latency_of(rows(records()), (), [layer("arctan"), layer("rectangle")])
    assert table.loc[table["backbone"] == "neuron", "method"].tolist() == ["rectangle"]


def test_two_machines_are_two_rows():
    table = latency_of(
        rows(records()), (), [layer("rectangle"), layer("rectangle", 5.0, hardware="NVIDIA H100")]
    )
    layers = table[table["backbone"] == "neuron"]
    assert layers[["hardware", LAYER[0]]].to_numpy().tolist() == [[HERE, 1], ["NVIDIA H100", 5]]


def test_a_part_that_was_not_timed_is_empty():
    table = latency_of(rows(records()), (), [layer("rectangle", backward_ms_p50=None)])
    (found,) = table[table["backbone"] == "neuron"].to_dict("records")
    assert pd.isna(found[LAYER[1]]) and found[LAYER[2]] == 3


def test_they_reach_the_file_in_any_order(tmp_path):
    times = [
        layer(method, n, f"batch={batch} units=512 {mode}", hardware)
        for method in ("rectangle", "mpd-agl")
        for batch in (1, 100)
        for mode in ("eager", "compiled")
        for n, hardware in enumerate((HERE, "NVIDIA H100"), 1)
    ]
    first = save(Results(records(), "rectangle", timings=(), layer_times=times).tables, tmp_path / "a")
    random.Random(0).shuffle(times)
    second = save(
        Results(records(), "rectangle", timings=(), layer_times=iter(times)).tables,
        tmp_path / "b",
    )
    assert [one.read_bytes() for one in first] == [other.read_bytes() for other in second]
    table = pd.read_csv(tmp_path / "a" / "latency.csv")
    assert len(table) == 2 + len(times)
    assert not table.duplicated([*columns.KEY, "hardware"]).any()
