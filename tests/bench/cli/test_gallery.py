"""The picture of every shape."""

import xml.etree.ElementTree as ElementTree

import pytest

from bench import registry
from bench.cli import gallery
from bench.errors import BenchError

FOUND = registry.load()


def test_every_method_with_a_surrogate_has_its_panel(tmp_path):
    gallery.save(FOUND, tmp_path / "all.svg")
    root = ElementTree.parse(tmp_path / "all.svg").getroot()
    texts = {"".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")}
    drawn = {
        name
        for name, entry in FOUND.methods.items()
        if entry.item.kind != "reference" and not registry.missing_packages(entry.item)
    }
    assert {name.split("/")[-1] for name in drawn} <= texts
    assert "ann-relu" not in texts
    # What stands below a name is computed; what cannot be called says so.
    assert {
        "h(0) 1 · area 1",
        "norse: h(0) 100 · area 100",
        "snntorch: random",
        "snntorch: cannot be called",
    } <= texts


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(BenchError, match=r"all\.bmp: the name must end in one of \.svg"):
        gallery.save(FOUND, tmp_path / "all.bmp")


def test_a_place_that_does_not_exist(tmp_path):
    with pytest.raises(BenchError, match="cannot be written: there is no folder"):
        gallery.save(FOUND, tmp_path / "nowhere" / "all.svg")
