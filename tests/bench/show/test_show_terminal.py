"""One run on a terminal: curves, heat maps and numbers, in every width and with or without colour."""

import io
import re

import pytest
import shown_runs
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from bench.records import runs
from bench.show import heat_map, show_terminal
from bench.show.braille import BLANK, plot
from bench.show.show_numbers import gradient_lines, onset, text

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def shown(run, width=120, colours=None, terminal=True):
    """What is printed: as it is with colours ("truecolor", "256", "standard"), else as plain text."""
    file = io.StringIO()
    console = Console(
        file=file, width=width, force_terminal=terminal, color_system=colours, no_color=colours is None
    )
    show_terminal.show(run, console)
    return file.getvalue() if colours else ESCAPES.sub("", file.getvalue())


def run_of(folder, epoch_rows=None, layer_rows=None, **parts):
    found = shown_runs.record(**parts)
    shown_runs.write(folder, found, epoch_rows, layer_rows)
    return runs.read(runs.find(found["id"], folder).chosen)


# --- the curve ---


def dots(lines):
    """The (x, y) of every dot, y upwards, read from the code points."""
    bits = {0x01: (0, 0), 0x02: (0, 1), 0x04: (0, 2), 0x40: (0, 3), 0x08: (1, 0), 0x10: (1, 1), 0x20: (1, 2)}
    bits[0x80] = (1, 3)
    height = 4 * len(lines)
    return {
        (2 * column + dx, height - 1 - (4 * row + dy))
        for row, line in enumerate(lines)
        for column, character in enumerate(line)
        for bit, (dx, dy) in bits.items()
        if (ord(character) - BLANK) & bit
    }


def test_a_rising_line_goes_from_corner_to_corner():
    assert dots(plot([0.0, 1.0], 2, 1)) == {(0, 0), (1, 1), (2, 2), (3, 3)}
    assert dots(plot([1.0, 0.0], 2, 1)) == {(0, 3), (1, 2), (2, 1), (3, 0)}


def test_a_single_value_an_even_line_a_gap_and_nothing():
    assert len(dots(plot([5.0], 4, 3))) == 1
    assert {y for _, y in dots(plot([5.0, 5.0], 4, 2))} == {3}
    assert dots(plot([0.0, None, 1.0], 2, 1)) == {(0, 0), (3, 3)}
    assert dots(plot([None, None], 3, 2)) == set()


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(1, 60), st.integers(1, 8))
def test_a_curve_fills_its_box(values, columns, rows):
    lines = plot(values, columns, rows)
    assert [len(line) for line in lines] == [columns] * rows
    found = dots(lines)
    assert {x for x, _ in found} == set(range(2 * columns)) or len(values) == 1
    if max(values) > min(values):
        assert {0, 4 * rows - 1} <= {y for _, y in found}


# --- the whole ---


def test_everything_is_there(tmp_path):
    said = shown(run_of(tmp_path, variant="kappa=2"))
    for part in (
        "mpd-agl (kappa=2) on digits, convnet, T=2, seed 0",
        "test accuracy 97.50 % after epoch 3 of 3, the best in validation (90.67 %); after the last",
        "status ok · 12.2 s in all · Some CPU, 1 thread · protocol 1 · 2025-03-04",
        "run 1000000000000000 of the suite hand",
        "training loss: last 0.667",
        "validation accuracy, %: last 90.7",
        "learning rate 0.01 at first, 0.01 at most, 0.01 last",
        "No layer was silent or without gradient.",
    ):
        assert part in said, part
    rows = dict(re.findall(r"^ *(\S.*?\S) {2,}(.*?) *$", said, re.MULTILINE))
    assert rows["size, decades with each layer away from the loss"].split() == ["-1.00", "-1.00"]
    assert rows["with ReLU in place of spikes"].split() == ["–", "+0.25"]
    assert rows["difference to ReLU"].split() == ["-1.25", "-1.25"]
    assert rows["first below 1/1000 of the last layer's"].split() == ["never", "–"]
    assert rows["participation, mean of layers"].split() == ["–", "–"]
    assert rows["loss falls by, along the gradient, step 1e-3"] == "+1.25 %       –"
    assert rows["layers without any gradient"].split() == ["0", "of", "3", "–"]
    assert rows["accuracy by time step, %"] == "1: 90.00, 2: 97.50"
    assert rows["99 % of it reached"] == "after 2 steps of 2"
    assert rows["spikes per sample"] == "1,234.5"
    assert rows["synaptic operations per sample"] == "98,765"
    assert rows["energy per sample, estimated"] == "0.0912 µJ"


def test_few_epochs_have_their_numbers_in_order_from_the_input(tmp_path):
    said = shown(run_of(tmp_path, layer_rows=shown_runs.layers(looks=(0, 3))))
    rows = re.findall(r"^conv\d.*$", said, re.MULTILINE)
    # The two maps stand side by side.
    assert [row.split() for row in rows] == [
        ["conv1", "0.20", "0.20", "conv1", "-2.0", "-2.0"],
        ["conv2", "0.30", "0.30", "conv2", "-1.0", "-1.0"],
        ["conv3", "0.40", "0.40", "conv3", "+0.0", "+0.0"],
    ]
    assert re.search(r"before +3 +before +3", said)


def test_silent_and_dead_have_a_sign_and_are_red(tmp_path):
    rows = shown_runs.layers(
        looks=(0, 3),
        gradient_norm=lambda e, i, t: 0.0 if i < 2 else 1.0,
        silent_fraction=lambda e, i, t: float(i in (1, 2)),
    )
    run = run_of(tmp_path, layer_rows=rows)
    said = shown(run)
    assert re.search(r"conv1 × 0\.20× 0\.20 +conv1 × +–× +–", said)
    assert re.search(r"conv2 ⊗ 0\.30", said)
    assert re.search(r"conv3 ○ 0\.40", said)
    for meaning in (" ○  silent: no", " ×  dead: the", " ⊗  silent and dead: no"):
        assert meaning in said
    assert "\x1b[1;38;2;255;255;255;48;2;192;0;0m× 0.20" in shown(run, colours="truecolor")


@pytest.mark.parametrize("width", [10, 20, 40, 60, 79, 80, 100, 120, 250])
@pytest.mark.parametrize(
    ("number", "names", "timesteps"),
    [
        (1, ("only",), 1),
        (3, shown_runs.NAMES, 2),
        (300, tuple(f"stage{i}.a.very.long.name.of.a.layer.conv{i}" for i in range(20)), 1),
    ],
)
def test_no_line_is_wider_than_the_terminal(tmp_path, width, number, names, timesteps):
    cell = {"recipe": shown_runs.CELL["recipe"] | {"epochs": number}, "timesteps": timesteps}
    rows = shown_runs.layers(range(number + 1), names, timesteps)
    run = run_of(tmp_path, shown_runs.epochs(number), rows, cell=cell)
    for colours in (None, "truecolor"):
        said = ESCAPES.sub("", shown(run, width, colours))
        assert max(map(cell_len, said.splitlines())) <= min(width, show_terminal.WIDEST)
        if width >= 40:
            assert len(re.findall(rf"^{names[0][:4]}|^…", said, re.MULTILINE)) >= 1


@pytest.mark.parametrize("width", [80, 120])
def test_a_list_says_once_what_all_runs_share_where_there_is_little_room(tmp_path, width):
    for seed in (0, 1):
        cell = {"method": {"name": "a-long-[name]"}, "seed": seed}
        shown_runs.write(tmp_path, shown_runs.record(seed + 1, variant="backbone.width=0.25", cell=cell))
    file = io.StringIO()
    show_terminal.show_list(runs.find("hand", tmp_path).found, Console(file=file, width=width))
    first, *rows = (line.split() for line in file.getvalue().splitlines())
    if width == 80:
        said = "all: dataset digits, backbone convnet, T 2, method a-long-[name], variant"
        assert " ".join(first).startswith(said)
        assert rows[-2:] == [["1000000000000000", "0", "97.50"], ["2000000000000000", "1", "97.50"]]
    else:
        assert first[0] == "id"
        whole = ["digits", "convnet", "2", "a-long-[name]", "backbone.width=0.25"]
        assert rows[0] == ["1000000000000000", *whole, "0", "ok", "97.50"]


@pytest.mark.parametrize("width", [80, 120])
def test_many_epochs_are_shades_without_colour_and_colours_with(tmp_path, width):
    rows = shown_runs.layers(range(301), available_fraction=lambda e, i, t: e / 300)
    run = run_of(tmp_path, shown_runs.epochs(300), rows)
    said = shown(run, width)
    line = next(line for line in said.splitlines() if line.startswith("conv1"))
    available = line[: width // 2 - 2] if width == 120 else line
    shades = re.sub(r"(.)\1*", r"\1", available.removeprefix("conv1 "))
    assert shades.strip() == "░▒▓█"
    assert re.search(r"A column is the mean of up to \d+ epochs\.", " ".join(said.split()))
    assert re.search(r"^ +0 .* 300$", said.replace(" " * 40, ""), re.MULTILINE)
    coloured = shown(run, width, "truecolor")
    assert "░" not in coloured
    # The two ends of viridis.
    assert "48;2;68;1;84m" in coloured and "48;2;253;231;37m" in coloured
    # Sixteen colours are no scale.
    assert "░▒▓█" in ESCAPES.sub("", shown(run, width, "standard"))


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_the_colours_are_those_of_viridis(share):
    # As matplotlib has them, to the rounding of eight steps.
    there = {0.0: "440154", 0.25: "3b528b", 0.5: "21918c", 0.75: "5ec962", 1.0: "fde725"}
    assert heat_map.viridis(share).hex == f"#{there[share]}"


@given(st.floats(0, 1), st.floats(0, 1))
def test_what_is_more_is_brighter(a, b):
    low, high = (heat_map.luminance(heat_map.viridis(share)) for share in sorted((a, b)))
    # Colours are whole numbers.
    assert low <= high + 0.01


def test_names_with_markup_and_what_moves_the_cursor(tmp_path):
    cell = {
        "method": {"name": "[red]x[/nothing]"},
        "dataset": {"name": "d\x1b[2J"},
        "backbone": {"name": "b\n\rc"},
    }
    rows = shown_runs.layers(names=("[bold]l", "\x1bm"))
    machine = {"cpu": "[x] \x07", "threads": 1, "gpu": None}
    run = run_of(tmp_path, layer_rows=rows, cell=cell, variant="[link]", environment=machine)
    said = shown(run)
    assert "[red]x[/nothing] ([link]) on d [2J, b  c, T=2" in said
    assert "[bold]l" in said and "[x]" in said
    assert not any(c in said for c in "\x1b\r\x07")


@pytest.mark.parametrize("status", ["failed", "diverged", "timeout"])
def test_a_run_that_did_not_end_well(tmp_path, status):
    run = run_of(
        tmp_path,
        [],
        [],
        metrics={},
        status=status,
        error="ValueError: no [red]luck[/x]",
        traceback=[f"line {i} [/y]" for i in range(20)],
    )
    said = shown(run)
    assert f"status: {status}\nerror: ValueError: no [red]luck[/x]\n" in said
    assert "line 19 [/y]" in said and "line 12" in said and "line 11" not in said
    assert f"The layers were not probed: the run ended as {status}." in said
    assert "training loss" not in said and "spikes" not in said


def test_what_could_not_be_measured_is_told(tmp_path):
    unmeasured = {"gradients": "MemoryError: none", "descent": "RuntimeError: [odd]"}
    said = shown(run_of(tmp_path, layer_rows=[], unmeasured=unmeasured))
    assert "The layers were not probed: MemoryError: none." in said
    assert "descent was not measured: RuntimeError: [odd]" in said
    assert "training loss" in said


def test_columns_without_any_number(tmp_path):
    rows = shown_runs.layers(available_fraction=None, gradient_norm=None, silent_fraction=None)
    epochs = [row | {"val_accuracy": None, "learning_rate": None} for row in shown_runs.epochs()]
    said = shown(run_of(tmp_path, epochs, rows, metrics={}, status="diverged"))
    assert re.search(r"^conv1( +–){4} +conv1( +–){4}$", said, re.MULTILINE)
    assert "gradient  " not in said


@pytest.mark.parametrize(
    ("value", "form", "said"),
    [
        (None, ".2f", "–"),
        (float("nan"), ".2f", "–"),
        (-0.001, "+.2f", "+0.00"),
        (-0.001, ".2f", "0.00"),
        (0.5, ".1%", "50.0 %"),
        (-0.25, "+.2%", "-25.00 %"),
        (12345.6, ",.0f", "12,346"),
    ],
)
def test_numbers_for_people(value, form, said):
    assert text(value, form) == said


@pytest.mark.parametrize(("epoch", "said"), [(None, "never"), (0, "at once"), (4, "epoch 4")])
def test_when_the_gradient_vanished(epoch, said):
    assert onset({"vanish_onset_epoch": epoch, "dead_layers": 0}) == said
    assert onset({"vanish_onset_epoch": epoch, "dead_layers": None}) == onset({}) == "–"


def test_finite_differences_have_a_line_where_they_were_asked_for():
    words = [what for what, _, _ in gradient_lines({"finite_difference_agreement": 0.5})]
    assert words[-1] == "agreement with finite differences"
    assert gradient_lines({"test_accuracy": 5.0}) == []
