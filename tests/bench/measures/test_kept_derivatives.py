"""Curves that are drawn once and kept: right, found again, and never of other code than the run's."""

import json

import pytest
import torch
from scipy import stats

from bench import registry
from bench.measures import kept_derivatives

FOUND = registry.load()


def of(name, **params):
    entry = FOUND.methods[name]
    filled = {key: param.default for key, param in entry.item.params.items()} | params
    return kept_derivatives.Of(name, filled, entry.digest)


def drawn(tmp_path, wanted):
    curve = kept_derivatives.draw((wanted, ()))
    if curve is not None:
        kept_derivatives.keep(tmp_path, "tiny", wanted, curve)
    return kept_derivatives.read(tmp_path, "tiny", [wanted.id])


def test_a_curve_is_the_method_s_own_at_its_parameters(tmp_path):
    curve = drawn(tmp_path, of("gaussian"))[of("gaussian").id]
    # Area 1 and full width at half maximum 2 v_th, at v_th = 0.5.
    sd = 1 / (2 * (2 * torch.log(torch.tensor(2.0, dtype=torch.float64))).sqrt().item())
    assert curve.h == pytest.approx(stats.norm.pdf(curve.x, scale=sd), abs=1e-5)
    assert len(curve.x) == kept_derivatives.POINTS and (curve.x[0], curve.x[-1]) == (-2.0, 2.0)
    wide = of("rectangle", width=2.0)
    assert max(drawn(tmp_path, wide)[wide.id].h) == pytest.approx(0.5)


def test_the_rule_and_its_source_are_kept_beside_a_curve(tmp_path):
    wanted = of("triangle")
    curve = drawn(tmp_path, wanted)[wanted.id]
    item = FOUND.methods["triangle"].item
    assert (curve.formula, curve.link) == (item.formula, item.link) and curve.formula and curve.link
    # Files of earlier versions say neither, and are read.
    file = tmp_path / "derivatives" / "tiny" / f"{wanted.id}.json"
    old = {k: v for k, v in json.loads(file.read_text()).items() if k not in ("formula", "latex", "link")}
    file.write_text(json.dumps(old))
    assert kept_derivatives.read(tmp_path, "tiny", [wanted.id])[wanted.id].formula == ""


def test_what_cannot_be_called_has_no_curve_and_says_why(tmp_path):
    wanted = of("snntorch/LSO")
    curve = drawn(tmp_path, wanted)[wanted.id]
    assert curve.x == [] and curve.h == [] and curve.problem


def test_a_method_whose_file_has_changed_is_not_drawn_as_if_it_were_the_one_that_ran(tmp_path):
    assert drawn(tmp_path, of("gaussian")._replace(digest="of another file")) == {}
    assert drawn(tmp_path, of("gaussian")._replace(method="not installed")) == {}


def test_a_reference_wants_none_and_equal_methods_want_one():
    def record(name, kind, digests):
        cell = {"method": {"name": name, "params": {"width": 1.0}}}
        return {"cell": cell, "method": {"kind": kind}, "digests": digests}

    records = [
        record("a", "fixed", {"method": "1"}),
        record("a", "fixed", {"method": "1"}),
        record("a", "fixed", {"method": "2"}),
        record("relu", "reference", {"method": "3"}),
        record("lost", "fixed", {}),
    ]
    assert sorted((w.method, w.digest) for w in kept_derivatives.wanted(records).values()) == [
        ("a", "1"),
        ("a", "2"),
    ]


@pytest.mark.parametrize("content", ["", "{}", '{"schema": 1', "another's"])
def test_what_is_damaged_or_another_s_is_not_there(tmp_path, content):
    wanted, other = of("gaussian"), of("triangle")
    drawn(tmp_path, wanted)
    drawn(tmp_path, other)
    folder = tmp_path / "derivatives" / "tiny"
    if content == "another's":
        content = (folder / f"{other.id}.json").read_text()
    (folder / f"{wanted.id}.json").write_text(content)
    assert kept_derivatives.read(tmp_path, "tiny", [wanted.id]) == {}


def test_files_hold_plain_json(tmp_path):
    drawn(tmp_path, of("rectangle"))
    (file,) = (tmp_path / "derivatives" / "tiny").iterdir()
    assert set(json.loads(file.read_text())) == {
        *("schema", "method", "params", "digest", "x", "h", "problem", "formula", "latex", "link"),
    }
