"""Tables on a terminal of any width: nothing is lost."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.show.terminal import say
from bench.show.terminal_table import print_table

HEADS = ["rank", "method", "slope, decades a layer", "descent gain, step of 1 %", "error"]
LINES = [
    ["1", "mpd-agl", "-0.02345", "-0.001234", ""],
    ["12", "norse/superspike (width=0.5)", "0.1", "–", "training: the process ended with exit code 3"],
]


def printed(width, heads=HEADS, lines=LINES, **more):
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_table(console, heads, lines, words=("method", "error"), **more)
    return console.file.getvalue()


def test_where_there_is_room_a_line_is_a_line():
    text = printed(200, title="a task")
    assert text.splitlines()[0].strip() == "a task"
    assert len(text.splitlines()) == 5
    assert "mpd-agl" in text.splitlines()[2]


@pytest.mark.parametrize("width", [80, 60, 40])
def test_where_it_is_narrow_no_number_is_cut_and_every_block_says_whose_it_is(width):
    text = printed(width)
    assert max(map(len, text.splitlines())) <= width
    for line in LINES:
        for cell in line[2:4]:
            assert cell in text
    assert "…" not in text
    blocks = text.strip().split("\n\n")
    assert len(blocks) > 1 or width == 80
    for block in blocks:
        assert "mpd-agl" in block and "method" in block


@given(
    width=st.integers(20, 200),
    numbers=st.lists(st.lists(st.integers(-(10**9), 10**9), min_size=3, max_size=3), min_size=1, max_size=4),
)
def test_every_number_is_there_at_any_width(width, numbers):
    heads = ["method", "first", "second", "third"]
    lines = [[f"m{i}", *map(str, row)] for i, row in enumerate(numbers)]
    text = printed(width, heads, lines)
    found = re.findall(r"-?\b\d+", re.sub(r"\bm\d", "", text))
    assert sorted(found) == sorted(str(number) for row in numbers for number in row)
    assert max(map(len, text.splitlines())) <= width


def test_markup_in_a_name_is_a_name():
    assert "[red]x[/]" in printed(200, ["method", "a"], [["[red]x[/]", "1"]])


def test_nothing_is_nothing():
    assert printed(80, lines=[]) == ""


def test_names_take_the_room_that_the_other_columns_of_a_block_leave():
    names = ["fast-sigmoid (width=0.25)", "triangle"]
    lines = [[name, "1" * 30, "2" * 30] for name in names]
    text = printed(80, ["method", "a", "b"], lines)
    assert text.count("\nfast-sigmoid (width=0.25)  ") == 2


def test_a_title_has_the_whole_width():
    title = "digits-events · convnet · T = 3 · backbone.width=0.5 · weight_decay=0"
    assert printed(80, ["method", "a"], [["x", "1"]], title=title).splitlines()[0] == title


# --- text between tables ---


def said(text, **console):
    found = Console(file=io.StringIO(), width=30, color_system=None, **console)
    say(found, text)
    return found.file.getvalue()


def test_notes_on_a_terminal_are_wrapped_between_words_and_paths_are_left_whole():
    path = "/tmp/" + "a-long-path/" * 5
    text = said(f"Nothing is bold: fewer than three seeds [in all] {path} and more", force_terminal=True)
    lines = text.splitlines()
    assert path in lines
    assert all(len(line.rstrip()) <= 30 for line in lines if line != path)
    assert " ".join(text.split()) == f"Nothing is bold: fewer than three seeds [in all] {path} and more"


def test_notes_in_a_file_are_one_line():
    assert said("word " * 20) == "word " * 20 + "\n"
