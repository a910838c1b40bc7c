"""The files that `spikegrad new` writes: they work as they are, and nothing is overwritten."""

import ast

import pytest
import torch

from bench import registry
from bench.check.laws import Case, check
from bench.check.template import new_dataset, new_method
from bench.data import datacheck, loading
from bench.data.holdings import holding
from bench.errors import BenchError
from bench.measures.single_layer import Probe
from bench.runner import checkpoints, train
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
@pytest.mark.parametrize("adaptive", [False, True])
def test_what_is_written_is_a_method_of_that_name(tmp_path, name, stem, adaptive):
    file = new_method(name, tmp_path, adaptive=adaptive)
    assert file == tmp_path / f"{stem}.py"
    assert list(tmp_path.iterdir()) == [file]
    for given in (file, tmp_path):
        found = registry.load((given,))
        assert found.broken == []
        assert [n for n, entry in found.methods.items() if entry.given] == [name]


@pytest.mark.parametrize("adaptive", [False, True])
def test_it_keeps_every_law_as_it_is(tmp_path, adaptive):
    found = registry.load((new_method("mine", tmp_path, adaptive=adaptive),))
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


@pytest.mark.parametrize(("adaptive", "most"), [(False, 40), (True, 55)])
def test_it_is_short_typed_and_has_no_line_too_long(tmp_path, adaptive, most):
    text = new_method("a-name-of-some-length:and-its-variant", tmp_path, adaptive=adaptive).read_text()
    lines = text.splitlines()
    assert len(lines) < most
    assert max(map(len, lines)) <= 110
    assert text.endswith("\n") and not text.endswith("\n\n")
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    assert all(f.returns and all(a.annotation for a in f.args.args if a.arg != "self") for f in functions)


def test_the_adaptive_one_follows_the_potential_in_training_alone(tmp_path):
    mine = registry.load((new_method("mine", tmp_path, adaptive=True),)).method("mine").item
    probe = Probe(mine, {"width": 3.0}, threshold=0.5).double()
    surrogate = probe.neuron.surrogate
    far = torch.full((4, 2), 2.5, dtype=torch.float64)
    before = surrogate.distance
    assert surrogate.eval().params(far, 0) == {"width": torch.tensor(3.0)}
    surrogate.train()
    # r goes from 0.5 a tenth of the way to 2, the distance from the threshold, at each step.
    expected = 0.5
    for t in range(3):
        expected += 0.1 * (2.0 - expected)
        width = surrogate.params(far.requires_grad_(), t)["width"]
        torch.testing.assert_close(width.item(), 3.0 * expected / 0.5)
        assert not width.requires_grad
    assert before.item() == 0.5, "what a backward pass may need is left as it was"
    assert list(surrogate.state_dict()) == ["distance"]


@pytest.mark.parametrize("compiled", ["off", "neuron"])
def test_the_adaptive_one_goes_on_from_a_checkpoint_with_the_same_bits(
    tmp_path, tiny, make_plan, monkeypatch, compiled
):
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    plugin = new_method("mine", tmp_path, adaptive=True)
    suite = tiny(methods=["mine"], profile={"device": "cpu", "compile": compiled})
    (planned,) = make_plan(suite, plugins=[plugin]).cells
    known = registry.load((plugin,))
    digits = loading.prepare(known.dataset("digits").item, loading.Request(tmp_path, 2), 200)

    class Killed(Exception):
        pass

    def kill(epoch, _):
        if epoch == 0:
            raise Killed

    def trained(folder, notify=lambda *_: None):
        return train.train(planned.cell, known, digits, notify, checkpoints.Checkpoints(folder, {}))

    whole = trained(tmp_path / "whole")
    with pytest.raises(Killed):
        trained(tmp_path / "killed", kill)
    rest = trained(tmp_path / "killed")
    same = ("train_loss", "val_accuracy")
    assert [[row[n] for n in same] for row in rest.epochs] == [[row[n] for n in same] for row in whole.epochs]
    assert rest.predictions.predicted.tolist() == whole.predictions.predicted.tolist()


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
