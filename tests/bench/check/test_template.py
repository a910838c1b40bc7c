"""The files that `spikegrad new` writes: they work as they are, and nothing is overwritten."""

import ast

import pytest
import torch

from bench import registry
from bench.check.laws import Case, check
from bench.check.template import new_dataset, new_method
from bench.data import datacheck
from bench.data.holdings import holding
from bench.errors import BenchError
from bench.shapes import triangle


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("mine", "mine"),
        ("my-spike:wide", "my_spike_wide"),
        ("lab/x+im", "lab_x_im"),
        ("8bit-2.0", "8bit_2.0"),
        ("a/../b", "a_.._b"),
        ("α-spike", "α_spike"),
        ("class", "class"),
    ],
)
def test_what_is_written_is_a_method_of_that_name(tmp_path, name, stem):
    file = new_method(name, tmp_path)
    assert file == tmp_path / f"{stem}.py"
    assert list(tmp_path.iterdir()) == [file]
    for given in (file, tmp_path):
        found = registry.load((given,))
        assert found.broken == []
        assert [n for n, entry in found.methods.items() if entry.given] == [name]


def test_it_keeps_every_law_as_it_is(tmp_path):
    found = registry.load((new_method("mine", tmp_path),))
    verdicts = list(check(Case(found.method("mine").item, found, compiler="aot_eager")))
    assert {v.law: (v.outcome, v.detail) for v in verdicts if (v.outcome, v.detail) != ("holds", "")} == {}


def test_it_is_the_triangle_at_the_scale_of_the_shipped_methods(tmp_path):
    mine = registry.load((new_method("mine", tmp_path),)).method("mine").item
    shipped = registry.load().method("triangle").item
    assert mine.params["width"] == shipped.params["width"]
    x = torch.linspace(-3, 3, 601, dtype=torch.float64)
    for values in ({"width": 1.0, "height": None}, {"width": 0.6, "height": 0.3}):
        torch.testing.assert_close(mine.target(x, **values), triangle(x, **values))
    assert mine.formula == "h(x) = max(0, 1 - |x|/width) / width."
    assert (mine.paper, mine.link, mine.area, mine.breaks) == ("unpublished", "", 1.0, {})


def test_it_is_short_typed_and_has_no_line_too_long(tmp_path):
    text = new_method("a-name-of-some-length:and-its-variant", tmp_path).read_text()
    lines = text.splitlines()
    assert len(lines) < 40
    assert max(map(len, lines)) <= 110
    assert text.endswith("\n") and not text.endswith("\n\n")
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert all(f.returns and all(a.annotation for a in f.args.args) for f in functions)


@pytest.mark.parametrize("name", ["", "two words", "a,b", "a#b", "a|b", "all", "line\n"])
def test_a_name_that_no_method_may_have_is_refused(tmp_path, name):
    with pytest.raises(BenchError, match="cannot be the name of a method: it needs one word"):
        new_method(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", [".hidden", "../mine", "/mine", "-mine", "_mine", "+", "a\\b", 'a"b', "a{b}", "a\0b", "a*"]
)
def test_a_name_that_gives_no_file_is_refused(tmp_path, name):
    with pytest.raises(BenchError, match="does not give the name of a Python file: start it with"):
        new_method(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["rectangle", "mpd-agl", "snntorch/atan"])
def test_the_name_of_a_shipped_method_is_refused(tmp_path, name):
    with pytest.raises(BenchError, match=f"'{name}' is there already, in .*py; choose another name"):
        new_method(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["file", "folder", "link"])
def test_nothing_is_overwritten(tmp_path, what):
    there = tmp_path / "my_spike.py"
    if what == "file":
        there.write_text("precious")
    elif what == "folder":
        there.mkdir()
    else:
        there.symlink_to(tmp_path / "nowhere")
    with pytest.raises(BenchError, match=r"my_spike\.py exists already; choose another name"):
        new_method("my-spike", tmp_path)
    assert list(tmp_path.iterdir()) == [there]
    if what == "file":
        assert there.read_text() == "precious"


@pytest.mark.parametrize("folder", ["nowhere", "file"])
def test_the_folder_must_be_there(tmp_path, folder):
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match=f"{folder} is not a folder; make it first"):
        new_method("mine", tmp_path / folder)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_name_too_long_for_a_file_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(BenchError, match=r"cannot write .*; name another folder") as caught:
        new_method("m" * 300, tmp_path)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# --- datasets ---


@pytest.mark.parametrize(
    ("name", "stem"), [("mine", "mine"), ("lab/my-set:small", "lab_my_set_small"), ("α", "α")]
)
def test_what_is_written_is_a_dataset_of_that_name(tmp_path, name, stem):
    file = new_dataset(name, tmp_path)
    assert file == tmp_path / f"{stem}.py"
    found = registry.load((file,))
    assert found.broken == []
    assert [n for n, entry in found.datasets.items() if entry.given] == [name]


def test_the_dataset_passes_its_check_and_is_what_it_says(tmp_path):
    found = registry.load((new_dataset("mine", tmp_path),)).dataset("mine").item
    held = holding(found, tmp_path)
    assert [each for each in datacheck.check(held, 4) if each.outcome == "problem"] == []
    loaded = datacheck.load(held, 4)
    for split in (loaded.train, loaded.val, loaded.test):
        # With at most 0.5 of noise, the bar is where the line with the largest sum is.
        lines = torch.cat([split.x[:, 0].sum(2), split.x[:, 0].sum(1)], 1)
        assert torch.equal(lines.argmax(1), split.y)


def test_the_dataset_is_short_typed_and_has_no_line_too_long(tmp_path):
    text = new_dataset("a-name-of-some-length", tmp_path).read_text()
    lines = text.splitlines()
    assert len(lines) < 50
    assert max(map(len, lines)) <= 110
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert all(f.returns and all(a.annotation for a in f.args.args) for f in functions)


def test_a_dataset_is_refused_as_a_method_is(tmp_path):
    (tmp_path / "there.py").write_text("precious")
    for name, sentence in [
        ("digits", "a dataset named 'digits' is there already"),
        ("two words", "cannot be the name of a dataset"),
        ("_mine", "does not give the name of a Python file"),
        ("torch", "would hide the module torch"),
        ("there", r"there\.py exists already"),
    ]:
        with pytest.raises(BenchError, match=sentence):
            new_dataset(name, tmp_path)
    assert [(f.name, f.read_text()) for f in tmp_path.iterdir()] == [("there.py", "precious")]
    # A dataset may be called as a method is.
    assert new_dataset("triangle", tmp_path).name == "triangle.py"
