"""Maps of layers: against the grids that `spikegrad show` draws of one run, and plain means of several."""

import math

import pytest
import shown_runs

from bench.records.store import _parquet
from bench.report import layer_maps
from bench.show import layer_grids


def write(folder, rows):
    folder.mkdir()
    (folder / "layers.parquet").write_bytes(_parquet(rows))
    return folder


def refuse(sentence):
    raise AssertionError(sentence)


UNEVEN = {
    "available_fraction": lambda e, i, t: None if (e, i) == (1, 1) else 0.1 * i + 0.05 * t + 0.01 * e,
    "gradient_norm": lambda e, i, t: 0.0 if (e, i) == (2, 0) else 10.0 ** (i - 2) * (1 + t),
    "silent_fraction": lambda e, i, t: 1.0 if e == i else 0.25,
}


@pytest.mark.parametrize("columns", [{}, UNEVEN], ids=["plain", "with gaps, dead and silent layers"])
def test_of_one_run_it_is_what_show_draws(tmp_path, columns):
    rows = shown_runs.layers(**columns)
    (looks,) = layer_maps.read([write(tmp_path / "a", rows)], refuse)
    found, expected = layer_maps.mean_over([looks]), layer_grids.grids(rows)
    assert (found.layers, found.columns, found.marks) == (expected.layers, expected.columns, expected.marks)
    for mine, theirs in ((found.available, expected.available), (found.sizes, expected.sizes)):
        for line, other in zip(mine, theirs, strict=True):
            assert line == pytest.approx(other, nan_ok=True)


def test_the_order_of_rows_does_not_matter(tmp_path):
    rows = shown_runs.layers(**UNEVEN)
    (one,) = layer_maps.read([write(tmp_path / "a", rows)], refuse)
    (other,) = layer_maps.read([write(tmp_path / "b", rows[::-1])], refuse)
    assert layer_maps.mean_over([one]) == layer_maps.mean_over([other])


def test_several_runs_are_averaged_where_they_are_known_and_marked_where_any_is(tmp_path):
    first = shown_runs.layers(available_fraction=0.2, gradient_norm=lambda e, i, t: 10.0 ** (i - 2))
    second = shown_runs.layers(
        available_fraction=lambda e, i, t: 0.6 if i else None,
        gradient_norm=lambda e, i, t: 0.0 if i == 0 else 10.0 ** (3 * (i - 2)),
    )
    folders = [write(tmp_path / "a", first), write(tmp_path / "b", second)]
    found = layer_maps.mean_over(layer_maps.read(folders, refuse))
    assert found.available[0] == pytest.approx([0.2] * 4)
    assert found.available[1] == pytest.approx([0.4] * 4)
    assert found.sizes[0] == pytest.approx([-2.0] * 4)
    assert found.sizes[1] == pytest.approx([-2.0] * 4)
    assert found.marks[0] == ("×",) * 4 and found.marks[2] == ("",) * 4


def test_no_file_is_passed_over_in_silence(tmp_path):
    (tmp_path / "a").mkdir()
    assert layer_maps.read([tmp_path / "a"], refuse) == []


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (b"no table", "is damaged ("),
        (shown_runs.layers()[:-1], "not one row for each look, layer and time step"),
        ([*shown_runs.layers(), shown_runs.layers()[0]], "not one row for each look, layer and time step"),
        ([{"epoch": 0, "layer": 0, "t": 0}], "is damaged ("),
        (shown_runs.layers(names=("conv1",)), "other layers or epochs than the other seeds'"),
    ],
)
def test_what_cannot_be_drawn_is_named_and_the_rest_is(tmp_path, rows, why):
    good = write(tmp_path / "a", shown_runs.layers())
    bad = tmp_path / "b"
    bad.mkdir()
    (bad / "layers.parquet").write_bytes(rows if isinstance(rows, bytes) else _parquet(rows))
    told = []
    assert len(layer_maps.read([good, bad], told.append)) == 1
    (sentence,) = told
    assert str(bad / "layers.parquet") in sentence and why in sentence


def test_a_layer_whose_norm_is_unknown_in_one_step_is_unknown(tmp_path):
    rows = shown_runs.layers(gradient_norm=lambda e, i, t: math.nan if (i, t) == (0, 1) else 1.0)
    (looks,) = layer_maps.read([write(tmp_path / "a", rows)], refuse)
    assert layer_maps.mean_over([looks]).sizes[0] == (None,) * 4
