"""Formulas of methods as MathML: those that are shipped, and those of anyone."""

import pytest

from bench import registry
from bench.report.formula import ATTRIBUTES, ELEMENTS, mathml

LATEX = {name: e.item.latex for name, e in registry.load().methods.items() if e.shipped and e.item.latex}


def walk(node):
    yield node
    for child in node[2]:
        if isinstance(child, list):
            yield from walk(child)


def text_of(node):
    return "".join(child if isinstance(child, str) else text_of(child) for child in node[2])


@pytest.mark.parametrize("name", LATEX)
def test_the_formulas_that_are_shipped_are_set(name):
    made = mathml(LATEX[name])
    assert made is not None and made[0] == "math"
    assert "=" in text_of(made)


def test_bars_have_no_space_around_them():
    bars = [node for node in walk(mathml(r"|x|")) if node[0] == "mo"]
    assert len(bars) == 2
    assert all(node[1]["lspace"] == node[1]["rspace"] == "0" for node in bars)


@pytest.mark.parametrize(
    "latex",
    [
        r"\text{<script>alert(1)</script>}",
        r"\href{javascript:alert(1)}{x}",
        r"\text{<a href='javascript:alert(1)'>x</a>}",
        r"\text{<mi onclick='alert(1)'>x</mi>}",
        r"\text{<maction actiontype='toggle'>x</maction>}",
        r"\frac{1}",
        "\x00",
        "{" * 5000,
        r"\unknowncommand{x}",
    ],
)
def test_nothing_but_mathematics_comes_of_a_formula(latex):
    made = mathml(latex)
    for name, attributes, _ in walk(made) if made else ():
        assert name in ELEMENTS
        assert attributes.keys() <= ATTRIBUTES


def test_no_formula_is_none():
    assert mathml("") is None
