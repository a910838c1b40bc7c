"""One run as a picture."""

import json
import re
import xml.etree.ElementTree as ElementTree

import pytest
import shown_runs

from bench.errors import BenchError
from bench.records import runs
from bench.show import show_figure


def run_of(folder, epoch_rows=None, layer_rows=None, **parts):
    found = shown_runs.record(**parts)
    shown_runs.write(folder, found, epoch_rows, layer_rows)
    return runs.read(runs.find(found["id"], folder).chosen)


def texts(file):
    """Every text of an SVG, as it is read."""
    root = ElementTree.parse(file).getroot()
    name = "{http://www.w3.org/2000/svg}"
    # Each line of a text with several is a part of its own.
    lines = [list(text.iter(f"{name}tspan")) or [text] for text in root.iter(f"{name}text")]
    return ["".join(line.itertext()) for of in lines for line in of]


def drawn(run, file):
    show_figure.save(run, file)
    return texts(file)


def test_every_panel_and_layer_is_in_it(tmp_path):
    found = drawn(run_of(tmp_path), tmp_path / "run.svg")
    assert {"mpd-agl on digits, convnet, T=2, seed 0", "No layer was silent or without gradient."} <= set(
        found
    )
    for part in ("training loss", "validation accuracy", "available fraction", "gradient size"):
        assert any(text.startswith(part) for text in found)
    for name in shown_runs.NAMES:
        assert found.count(name) == 2
    # Few columns have their numbers: 0.1, 0.2, 0.3 and, at the second step, 0.2 more.
    assert [found.count(number) for number in ("0.20", "0.30", "0.40", "-2.0", "-1.0", "+0.0")] == [4] * 6


def test_silent_and_dead_layers_have_a_sign_and_a_line_that_explains_it(tmp_path):
    rows = shown_runs.layers(
        gradient_norm=lambda e, i, t: 0.0 if i < 2 else 1.0, silent_fraction=lambda e, i, t: float(i == 1)
    )
    found = drawn(run_of(tmp_path, layer_rows=rows), tmp_path / "run.svg")
    # In both maps, at four looks.
    assert (found.count("×"), found.count("o×"), found.count("o")) == (8, 8, 0)
    assert any(text.startswith("Red, o×: silent and dead") for text in found)
    assert (tmp_path / "run.svg").read_text().count('fill="#d00000"') == 16


@pytest.mark.parametrize(
    ("name", "beginning"),
    [("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.SVG", b"<svg"), ("a.html", b"<!DOCTYPE")],
)
def test_formats(tmp_path, name, beginning):
    show_figure.save(run_of(tmp_path), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(beginning)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "runs"])


def test_names_with_markup(tmp_path):
    odd = '</script><b>&"x'
    cell = {"dataset": {"name": odd}}
    run = run_of(tmp_path, layer_rows=shown_runs.layers(names=(odd, "a")), cell=cell)
    found = drawn(run, tmp_path / "run.svg")
    assert f"mpd-agl on {odd}, convnet, T=2, seed 0" in found
    assert found.count(odd) == 2
    show_figure.save(run, tmp_path / "run.html")
    page = (tmp_path / "run.html").read_text()
    assert "<b>" not in page
    spec = json.loads(re.search(r"var spec = (.*);$", page, re.MULTILINE)[1])
    assert spec["title"]["text"] == [f"mpd-agl on {odd}, convnet, T=2, seed 0"]


@pytest.mark.parametrize(
    ("number", "names", "timesteps"),
    [(1, ("only",), 1), (300, tuple(f"block{i}.conv" for i in range(20)), 1), (12, shown_runs.NAMES, 2)],
)
def test_small_and_large_runs(tmp_path, number, names, timesteps):
    cell = {"recipe": shown_runs.CELL["recipe"] | {"epochs": number}, "timesteps": timesteps}
    rows = shown_runs.layers(range(number + 1), names, timesteps)
    run = run_of(tmp_path, shown_runs.epochs(number), rows, cell=cell)
    found = drawn(run, tmp_path / "run.svg")
    assert all(found.count(name) == 2 for name in names)
    # The first and the last epoch stand below each map.
    assert found.count("0") >= 2 and found.count(str(number)) >= 2
    width = float(re.search(r'width="([\d.]+)"', (tmp_path / "run.svg").read_text())[1])
    assert 600 <= width <= 850


@pytest.mark.parametrize(("number", "shown"), [(20, [1] * 20), (21, [0] * 10 + [1] + [0] * 10)])
def test_of_many_marked_columns_one_has_the_sign(number, shown):
    signs = show_figure._signs(["×"] * number)
    assert [int(bool(sign)) for sign in signs] == shown


def test_two_layers_of_one_name_are_two_rows(tmp_path):
    found = drawn(run_of(tmp_path, layer_rows=shown_runs.layers(names=("a", "b", "a"))), tmp_path / "run.svg")
    assert [found.count(name) for name in ("a (0)", "b", "a (2)")] == [2, 2, 2]


def test_columns_without_any_number(tmp_path):
    rows = shown_runs.layers(available_fraction=None, gradient_norm=None, silent_fraction=None)
    epochs = [row | {"val_accuracy": None, "train_loss": None} for row in shown_runs.epochs()]
    found = drawn(run_of(tmp_path, epochs, rows, metrics={}, status="diverged"), tmp_path / "run.svg")
    assert found.count("conv1") == 2


@pytest.mark.parametrize("number", [1, 3])
def test_a_flat_curve_has_its_number_on_the_axis(tmp_path, number):
    rows = [row | {"train_loss": 2.3412, "val_accuracy": 9.091} for row in shown_runs.epochs(number)]
    found = drawn(run_of(tmp_path, rows), tmp_path / "run.svg")
    assert {"2.341", "9.091"} <= set(found)


def test_without_layers_there_are_the_curves_and_the_reason(tmp_path):
    cell = {"measure": {"probe": "off"}}
    found = drawn(run_of(tmp_path, layer_rows=[], cell=cell), tmp_path / "run.svg")
    assert 'The layers were not probed: the suite says probe = "off".' in found
    assert any(text.startswith("training loss") for text in found)


def test_where_there_is_nothing_to_draw(tmp_path):
    run = run_of(tmp_path, [], [], status="failed", metrics={})
    with pytest.raises(BenchError, match=r"there is nothing to draw of run 10+, which ended as failed$"):
        show_figure.save(run, tmp_path / "run.svg")
    assert not (tmp_path / "run.svg").exists()


@pytest.mark.parametrize(
    ("name", "sentence"), [("a.bmp", "must end in one of"), ("no/a.svg", "there is no folder")]
)
def test_where_it_cannot_be_written(tmp_path, name, sentence):
    with pytest.raises(BenchError, match=sentence):
        show_figure.save(run_of(tmp_path), tmp_path / name)
