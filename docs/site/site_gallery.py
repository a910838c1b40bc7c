"""The gallery: a page for each method, one for each library, made from what the methods declare."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

import pandas as pd
from site_links import ROOT

from bench.cli import gallery
from bench.measures.single_layer import Properties
from bench.registry import Entry, Registry, missing_packages
from bench.surrogate import Method, Param
from bench.tables.text import readable

KINDS = {
    "adaptive": "the surrogate, the threshold or the loss follows the network",
    "control": "one thing changed, to tell what an effect comes from",
    "fixed": "a shape with constant parameters",
    "library": "a library's own function, called as shipped",
    "reference": "the same network without spikes",
}
CHANGES = {
    "gradient": "the backward pass alone differs from plain training",
    "forward": "the forward pass differs, too",
    "loss": "a loss is added to the task's",
    "network": "another network is trained",
}
FIDELITIES = {
    "official-code": "checked against the authors' code",
    "library": "a library's own function",
    "paper": "made from the published formula",
    "reconstructed": "part of the rule had to be inferred, or, for a control, nobody published it",
    "own": "not published",
}
HEADINGS = {
    "adaptive": "Adaptive",
    "control": "Controls",
    "fixed": "Fixed",
    "library": "Libraries",
    "reference": "Reference",
}
SCALES = {0: "", 1: "with v_th", -1: "with 1/v_th"}
RESULTS = {
    "method": "row",
    "accuracy": "accuracy %",
    "delta": "Δ to baseline",
    "rank": "rank",
    "best": "as the best",
}
BAR = '<mo stretchy="false">&#x0007C;</mo>'
Drawn = tuple[Sequence[float], Sequence[float | None], str, Properties]
Row = tuple[str, ...]


def page_of(method: Method) -> str:
    """The name of a method's page on the site."""
    library, _, name = method.name.partition("/")
    return f"gallery/{_slug(library if name else method.name)}.md"


def pages(
    registry: Registry, leaderboards: Path, *, draw: Callable[[Method], Drawn] = gallery.drawn
) -> dict[str, str]:
    """The pages of all methods as Markdown, by their names on the site; gallery/index.md lists them.

    leaderboards: the folder with a folder of tables for each suite.
    """
    results = _results(leaderboards)
    together: dict[str, list[Entry[Method]]] = {}
    for entry in registry.methods.values():
        together.setdefault(page_of(entry.item), []).append(entry)
    curves = {
        entry.item.name: None if missing_packages(entry.item) else draw(entry.item)
        for entry in registry.methods.values()
    }
    made = {"gallery/index.md": _index(registry, curves)}
    for page, entries in together.items():
        first = entries[0].item
        if len(entries) == 1 and "/" not in first.name:
            made[page] = f"# {first.name}\n\n{_about(entries[0], registry, curves, results, '##')}"
            continue
        about = f"{KINDS[first.kind].capitalize()}; see also [Conversions](../methods.md#conversions).\n\n"
        made[page] = f"# {first.name.partition('/')[0]}\n\n{about}" + "\n".join(
            f"## {entry.item.name}\n\n{_about(entry, registry, curves, results, '###')}" for entry in entries
        )
    return made


def navigation(registry: Registry) -> list[dict[str, object]]:
    """The pages by kind, for the navigation of the site."""
    kinds: dict[str, dict[str, str]] = {}
    for entry in registry.methods.values():
        title = entry.item.name.partition("/")[0]
        kinds.setdefault(entry.item.kind, {})[title] = page_of(entry.item)
    return [
        {HEADINGS[kind]: [{title: page} for title, page in kinds[kind].items()]}
        for kind in HEADINGS
        if kind in kinds
    ]


def formula(method: Method, display: str = "block") -> str:
    """Its rule as MathML, or as text if it declares no LaTeX; "" if it has neither."""
    if not method.latex:
        return f"<code>{escape(method.formula)}</code>" if method.formula else ""
    # Imported here, since only the formulas need it.
    from latex2mathml.converter import convert

    made: str = convert(method.latex, display=display)
    # Browsers take the bars of |x| for a relation, and put space around them.
    return made.replace(BAR, BAR.replace("<mo", '<mo lspace="0" rspace="0"'))


def curve(x: Sequence[float], h: Sequence[float | None], *, small: bool = False) -> str:
    """A derivative as SVG: h over x in its own scale, gaps where it has no value."""
    wide, high = (90, 40) if small else (440, 180)
    known = [value for value in h if value is not None]
    low, top = min([0.0, *known]), max([0.0, *known])
    span, reach = (top - low) or 1.0, max(map(abs, x))

    def at(a: float, b: float) -> str:
        return f"{(a + reach) / (2 * reach) * wide:.1f},{(top - b) / span * high:.1f}"

    pen, line = "M", ""
    for a, b in zip(x, h, strict=True):
        line += "" if b is None else f"{pen}{at(a, b)} "
        pen = "M" if b is None else "L"
    axes = f'<path class="axis" d="M{at(-reach, 0)} L{at(reach, 0)} M{at(0, low)} L{at(0, low + span)}"/>'
    labels = "" if small else _labels(at, reach, low, top)
    box = f"-2 -2 {wide + 4} {high + 4}" if small else f"-6 -14 {wide + 60} {high + 34}"
    return (
        f'<svg class="curve{" small" * small}" viewBox="{box}" role="img" aria-label="h(x)" '
        f'style="width:{wide + (4 if small else 60)}px">{axes}<path class="line" d="{line.strip()}"/>'
        f"{labels}</svg>"
    )


def _labels(at: Callable[[float, float], str], reach: float, low: float, top: float) -> str:
    def text(x: float, y: float, words: str, dx: int, dy: int) -> str:
        across, down = map(float, at(x, y).split(","))
        return f'<text x="{across + dx:.1f}" y="{down + dy:.1f}">{words}</text>'

    ends = [text(x, low, f"{x:g}", -6, 16) for x in (-reach, -reach / 2, 0.0, reach / 2)]
    highest = [text(0, top, f"{top:.3g}", 5, -3)] if top > 0 else []
    lowest = [text(0, low, f"{low:.3g}", 5, -3)] if low < 0 else []
    return "".join([*ends, *highest, *lowest, text(reach, low, f"x = u - v_th = {reach:g}", -80, 16)])


def _index(registry: Registry, curves: Mapping[str, Drawn | None]) -> str:
    parts = [
        # The tables need the width.
        "---\nhide:\n  - toc\n---\n",
        "# Methods gallery\n",
        "Every method that `spikegrad list methods` knows. Each curve is h(x) for |x| up to "
        f"{gallery.REACH:g} at v_th = 0.5, in a scale of its own; [Methods](../methods.md) has all in one "
        "scale. [Your own method](../add-a-method.md) needs one file.\n",
    ]
    for kind, heading in HEADINGS.items():
        methods = [entry.item for entry in registry.methods.values() if entry.item.kind == kind]
        lines: list[Row] = [("method", "h(x)", "rule", "changes", "fidelity")]
        for method in methods:
            there = page_of(method).removeprefix("gallery/") + f"#{_anchor(method.name)}" * (
                "/" in method.name
            )
            drawn = curves[method.name]
            picture = curve(drawn[0], drawn[1], small=True) if drawn and drawn[1] else ""
            rule = formula(method, "inline")
            lines.append((f"[{method.name}]({there})", picture, rule, method.changes, method.fidelity))
        if methods:
            parts += [f"## {heading}\n", f"{KINDS[kind].capitalize()}.\n", _table(lines)]
    return "\n".join(parts)


def _about(
    entry: Entry[Method],
    registry: Registry,
    curves: Mapping[str, Drawn | None],
    results: Mapping[str, list[Row]],
    level: str,
) -> str:
    method = entry.item
    rule = f'<div class="formula">{formula(method)}</div>\n' if formula(method) else ""
    told = (method.target.__doc__ or "").strip()
    parts = [
        rule,
        f'<pre class="told">{escape(_dedented(told))}</pre>\n' if told else "",
        _picture(method, curves[method.name]),
        _table(_facts(entry)),
        *_section(level, "Parameters", _parameters(method)),
        *_section(level, "The same derivative elsewhere", _twins(method, registry)),
    ]
    rows = results.get(method.name, [])
    if rows:
        parts += [
            f"{level} Results\n",
            "Rows of the leaderboards in `results/leaderboards`: mean test accuracy and half its 95 % "
            "interval, n seeds, the difference to the suite's baseline in points with its interval, "
            "the ranks that the measurement leaves open, and whether the row is indistinguishable from the "
            "best. [How to read them](../tables.md).\n",
            _table([("suite", "task", *RESULTS.values()), *rows]),
        ]
    elif method.kind != "library":
        parts += [f"{level} Results\n", "No suite in `results/leaderboards` has it.\n"]
    return "\n".join(part for part in parts if part)


def _picture(method: Method, drawn: Drawn | None) -> str:
    if drawn is None:
        return (
            f"No picture: {', '.join(missing_packages(method))} was not installed where this page was made.\n"
        )
    x, h, problem, found = drawn
    if not any(value is not None for value in h):
        return f"No picture: {problem or found.problem or 'it has no derivative'}.\n"
    facts = {
        "h(0)": found.height,
        "full width at half maximum": found.fwhm,
        "area": found.area,
        "share of the area beyond two thresholds": found.tail,
    }
    said = ", ".join(f"{name} {value:.3g}" for name, value in facts.items() if value is not None)
    words = ". ".join(part for part in (said.capitalize() if said[:1] != "h" else said, problem) if part)
    return (
        f"{curve(x, h)}\n\nAt the defaults and v_th = 0.5, in the first step of a training: {words or '–'}.\n"
    )


def _facts(entry: Entry[Method]) -> list[Row]:
    method = entry.item
    source = f"[{_plain(method.paper)}]({method.link})" if method.link else _plain(method.paper)
    file = entry.file.resolve()
    # A plugin of somebody else is not among the files of the site.
    code = file.relative_to(ROOT).as_posix() if file.is_relative_to(ROOT) else ""
    lines = [
        ("declared", "what it says"),
        ("kind", f"`{method.kind}`: {KINDS[method.kind]}"),
        ("changes", f"`{method.changes}`: {CHANGES[method.changes]}"),
        ("fidelity", f"`{method.fidelity}`: {FIDELITIES[method.fidelity]}"),
        ("source", source or "–"),
        ("code", f"[{code}](../code/{code}.md)" if code else f"`{file.name}`"),
        ("note", _plain(method.note)),
        ("needs", ", ".join(f"`{name}`" for name in method.requires)),
        ("cannot keep", "<br>".join(f"`{law}`: {_plain(why)}" for law, why in method.breaks.items())),
    ]
    return [line for line in lines if line[1]]


def _parameters(method: Method) -> list[Row]:
    head = ("parameter", "default at v_th = 0.5", "search range", "axis", "scales")
    return [head, *((f"`{name}`", *_parameter(param)) for name, param in method.params.items())]


def _parameter(param: Param) -> Row:
    default = "set by the method" if param.default is None else f"{param.default:.4g}"
    if param.search is None:
        return default, "not tuned", "", SCALES[param.per_threshold]
    low, high = param.search
    axis = "logarithmic" if param.log else "linear"
    return default, f"{low:g} to {high:g}", axis, SCALES[param.per_threshold]


def _twins(method: Method, registry: Registry) -> list[Row]:
    """What computes the same derivative: of a library's function ours, of ours the libraries' functions."""
    head = ("method", "with")
    if method.twin is not None:
        ours = method.twin.method
        named = f"[{ours}]({_beside(registry, ours)})" if ours in registry.methods else ours or "none"
        return [head, (named, _values(method.twin.params) or _plain(method.twin.why))]
    return [
        head,
        *(
            (
                f"[{other.name}]({_beside(registry, other.name)})",
                f"{method.name}: {_values(other.twin.params)}",
            )
            for other in (entry.item for entry in registry.methods.values())
            if other.twin is not None and other.twin.method == method.name
        ),
    ]


def _values(params: Mapping[str, float]) -> str:
    return ", ".join(f"{name} = {value:.6g}" for name, value in params.items())


def _beside(registry: Registry, name: str) -> str:
    page = page_of(registry.methods[name].item).removeprefix("gallery/")
    return f"{page}#{_anchor(name)}" if "/" in name else page


def _results(leaderboards: Path) -> dict[str, list[Row]]:
    """By method its rows in the tables of all suites."""
    found: dict[str, list[Row]] = {}
    for file in sorted(leaderboards.glob("*/accuracy.csv")):
        table = pd.read_csv(file, keep_default_na=False, na_values=[""])
        table["variant"] = table["variant"].fillna("")
        for block in readable.blocks(table, RESULTS):
            for line, name in zip(block.lines, block.rows["alone"], strict=True):
                cells = [
                    readable.escaped(line[column]) if column in readable.WORDS else line[column]
                    for column in RESULTS
                ]
                found.setdefault(name, []).append((file.parent.name, readable.escaped(block.title), *cells))
    return found


def _section(level: str, heading: str, lines: list[Row]) -> Iterator[str]:
    if len(lines) > 1:
        yield f"{level} {heading}\n"
        yield _table(lines)


def _table(lines: Sequence[Row]) -> str:
    cells = [[" ".join(cell.replace("|", "&#124;").split()) for cell in line] for line in lines]
    head, *rows = [f"| {' | '.join(line)} |" for line in cells]
    return "\n".join([head, "|" + " --- |" * len(lines[0]), *rows, ""])


def _plain(words: str) -> str:
    """Text of a declaration, which is no Markdown."""
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", words)


def _dedented(told: str) -> str:
    first, *rest = told.split("\n")
    return "\n".join([first, *(line.removeprefix("    ") for line in rest)])


def _slug(name: str) -> str:
    return re.sub(r"[^\w.-]", "-", name)


def _anchor(name: str) -> str:
    """The anchor that a heading of this name gets."""
    return re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-")
