"""A method's rule as MathML: LaTeX from anyone's plugin, of which only known elements and text remain."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

ELEMENTS = {
    *("math", "mfrac", "mi", "mn", "mo", "mover", "mpadded", "mphantom", "mroot", "mrow", "mspace", "msqrt"),
    *("mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext", "mtr", "munder", "munderover"),
}
ATTRIBUTES = {
    *("accent", "columnalign", "depth", "display", "displaystyle", "fence", "form", "height"),
    *("linethickness", "lspace", "mathvariant", "maxsize", "minsize", "movablelimits", "rspace"),
    *("separator", "stretchy", "width"),
}
BAR = "∣|"
Node = list[Any]
"""[element, attributes, children], of which children are texts and nodes."""


def mathml(latex: str) -> Node | None:
    """The rule as a tree of MathML; None if it cannot be set."""
    from latex2mathml.converter import convert

    if not latex:
        return None
    try:
        return _node(ElementTree.fromstring(convert(latex, display="inline")))
    except Exception:
        # Whatever fails in LaTeX of others: the rule is shown as text.
        return None


def _node(element: ElementTree.Element) -> Node:
    name = element.tag.rpartition("}")[2]
    if name not in ELEMENTS:
        raise ValueError(f"<{name}> is no element of a formula")
    attributes = {key: value for key, value in element.attrib.items() if key in ATTRIBUTES}
    children: list[Any] = [element.text or ""] if element.text and element.text.strip() else []
    if name == "mo" and (element.text or "") in BAR:
        # Browsers take the bars of |x| for a relation, and put space around them.
        attributes |= {"lspace": "0", "rspace": "0"}
    return [name, attributes, children + [_node(child) for child in element]]
