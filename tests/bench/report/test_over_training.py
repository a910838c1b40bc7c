"""The course of a training: against plain means, and what is left out where nothing is known."""

import pytest
import shown_runs

from bench.records.store import _parquet
from bench.report import layer_maps, over_training


def read(folder, *runs):
    folders = []
    for number, rows in enumerate(runs):
        folders.append(folder / str(number))
        folders[-1].mkdir()
        (folders[-1] / "layers.parquet").write_bytes(_parquet(rows))
    return layer_maps.read(folders, lambda sentence: pytest.fail(sentence))


def test_mean_lowest_and_highest_seed_by_layers(tmp_path):
    runs = [
        shown_runs.layers(width=lambda e, i, t, seed=seed: 1 + e + 10 * i + seed, height=2.0)
        for seed in (0, 2, 4)
    ]
    found = over_training.course(read(tmp_path, *runs), 60)
    assert found["epochs"] == [0, 1, 2, 3]
    assert found["values"]["width"] == {
        "mean": [[13 + e, 11 + e, 15 + e] for e in range(4)],
        "first": [[3 + e, 1 + e, 5 + e] for e in range(4)],
        "last": [[23 + e, 21 + e, 25 + e] for e in range(4)],
    }
    # One point stands for all probes, one number for all seeds.
    assert found["values"]["height"]["mean"] == [[2.0]]
    assert found["values"]["norms"]["last"] == [[0.1505]]
    assert "gamma_mean" not in found["values"]


def test_a_gradient_of_zero_has_no_size_and_a_single_layer_one_line(tmp_path):
    rows = shown_runs.layers(names=("a",), gradient_norm=lambda e, i, t: 0.0 if e == 1 else 1.0, width=None)
    values = over_training.course(read(tmp_path, rows), 60)["values"]
    assert values["norms"] == {"mean": [[0.1505], None, [0.1505], [0.1505]]}
    assert "width" not in values


def test_long_trainings_leave_out_probes_but_not_the_ends(tmp_path):
    found = over_training.course(read(tmp_path, shown_runs.layers(range(40), width=lambda e, i, t: e)), 5)
    assert len(found["epochs"]) == 5 and (found["epochs"][0], found["epochs"][-1]) == (0, 39)
    assert [point[0] for point in found["values"]["width"]["mean"]] == found["epochs"]


def test_one_probe_is_no_course(tmp_path):
    assert over_training.course(read(tmp_path, shown_runs.layers([3])), 60) is None
    assert over_training.course([], 60) is None
