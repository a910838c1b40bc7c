"""The conversion table: what libraries declare holds, and is measured."""

import pytest

from bench import registry, shapes
from bench.measures.conversions import conversions, difference
from bench.registry import Entry, Registry
from bench.surrogate import Param, Twin, method

FOUND = registry.load()
ROWS = {row["theirs"]: row for row in conversions(FOUND)}


def test_every_library_row_says_what_equals_it_or_why_nothing_does():
    library = {name for name, entry in FOUND.methods.items() if entry.item.kind == "library"}
    assert set(ROWS) == library
    for row in ROWS.values():
        assert bool(row["why"]) != bool(row["ours"])
        assert (row["difference"] is not None) == (row["installed"] and bool(row["ours"]))


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row["difference"] is not None])
def test_the_twin_is_the_same_function(name):
    # norse keeps constants in float32.
    assert ROWS[name]["difference"] < 1e-6


def registry_of(*targets):
    found = Registry()
    for target in targets:
        for item in target.declared:
            found.methods[item.name] = Entry(item, None, "")
    return found


def test_a_wrong_twin_shows():
    @method("ours", paper="", width=Param(1.0))
    def ours(x, width):
        return shapes.triangle(x, width)

    @method("theirs", paper="", kind="library", twin=Twin("ours", {"width": 2.0}))
    def theirs(x):
        return shapes.triangle(x, 1.0)

    assert difference(registry_of(ours, theirs), "theirs") == pytest.approx(0.5, rel=1e-3)


def test_what_is_not_installed_is_not_compared():
    @method("theirs", paper="", requires=["no_such_package"], twin=Twin("ours"))
    def theirs(x):
        return x

    (row,) = conversions(registry_of(theirs))
    assert (row["difference"], row["installed"], row["ours"]) == (None, False, "ours")
