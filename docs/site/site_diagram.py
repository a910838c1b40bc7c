"""Draws the flowcharts in Markdown, so that the site needs no script for them; GitHub draws them itself."""

from __future__ import annotations

import re
from html import escape
from itertools import pairwise

BLOCK = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WIDTH, HEIGHT, ACROSS, DOWN, LETTER = 20, 30, 22, 34, 8.2
"""Of a box: room beside its text, and height; gaps between boxes; the width of a letter. In pixels."""


def drawn(text: str) -> str:
    """The Markdown with each flowchart as SVG. Raises ValueError for any diagram but arrows `a --> b`."""
    return BLOCK.sub(lambda block: svg(edges(block[1])), text)


def edges(chart: str) -> list[tuple[str, str]]:
    """The arrows of a flowchart. Raises ValueError for any other line."""
    first, *lines = [line.strip() for line in chart.strip().splitlines()]
    found = [re.fullmatch(r"(\w+) --> (\w+)", line) for line in lines]
    if first != "flowchart TD" or None in found:
        raise ValueError(
            "a mermaid diagram must be a `flowchart TD` of lines `a --> b`: the site draws no other"
        )
    return [(arrow[1], arrow[2]) for arrow in found if arrow is not None]


def svg(arrows: list[tuple[str, str]]) -> str:
    """Boxes in rows, every arrow downwards."""
    rank = _ranks(arrows)
    # An arrow across several rows passes through a place of its own in each of them.
    ways = [
        [one, *((one, other, row) for row in range(rank[one] + 1, rank[other])), other]
        for one, other in arrows
    ]
    rows: list[list[object]] = [[] for _ in range(max(rank.values()) + 1)]
    for name, row in rank.items():
        rows[row].append(name)
    for way in ways:
        for between in way[1:-1]:
            rows[between[2]].append(between)  # type: ignore[index]
    _order(rows, [(a, b) for way in ways for a, b in pairwise(way)])
    wide = {name: LETTER * len(name) + WIDTH if isinstance(name, str) else 0 for row in rows for name in row}
    lengths = [sum(wide[name] for name in row) + ACROSS * (len(row) - 1) for row in rows]
    middle: dict[object, float] = {}
    for row, length in zip(rows, lengths, strict=True):
        at = (max(lengths) - length) / 2
        for name in row:
            middle[name] = at + wide[name] / 2
            at += wide[name] + ACROSS
    top = {name: (HEIGHT + DOWN) * i for i, row in enumerate(rows) for name in row}
    paths = [_path(way, middle, top) for way in ways]
    boxes = [
        f'<rect x="{middle[name] - wide[name] / 2:.1f}" y="{top[name]}" width="{wide[name]:.1f}" '
        f'height="{HEIGHT}" rx="5"/><text x="{middle[name]:.1f}" y="{top[name] + 20}">{escape(name)}</text>'
        for name in rank
    ]
    head = (
        '<marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker>'
    )
    size = f"-2 -2 {max(lengths) + 4:.0f} {(HEIGHT + DOWN) * len(rows) - DOWN + 4}"
    said = escape(", ".join(f"{one} to {other}" for one, other in arrows))
    return (
        f'<svg class="diagram" viewBox="{size}" style="width:{max(lengths) + 4:.0f}px" role="img" '
        f'aria-label="Arrows: {said}"><defs>{head}</defs>'
        f"{''.join(paths)}{''.join(boxes)}</svg>"
    )


def _ranks(arrows: list[tuple[str, str]]) -> dict[str, int]:
    """The row of each box: below all that point to it. Raises ValueError for a circle."""
    rank = {name: 0 for arrow in arrows for name in arrow}
    for _ in rank:
        late = [(one, other) for one, other in arrows if rank[other] <= rank[one]]
        for one, other in late:
            rank[other] = max(rank[other], rank[one] + 1)
    if any(rank[other] <= rank[one] for one, other in arrows):
        raise ValueError("a mermaid diagram has arrows in a circle: the site cannot draw it in rows")
    return rank


def _order(rows: list[list[object]], steps: list[tuple[object, object]]) -> None:
    """Sort each row by where the neighbours in the rows beside it are, down and up a few times."""
    for sweep in range(8):
        down = sweep % 2 == 0
        for i in range(1, len(rows)) if down else range(len(rows) - 2, -1, -1):
            beside = rows[i - 1] if down else rows[i + 1]
            share = {name: (j + 0.5) / len(beside) for j, name in enumerate(beside)}
            near: dict[object, list[float]] = {name: [] for name in rows[i]}
            for a, b in steps:
                here, there = (b, a) if down else (a, b)
                if here in near and there in share:
                    near[here].append(share[there])
            before = {name: (j + 0.5) / len(rows[i]) for j, name in enumerate(rows[i])}
            rows[i].sort(key=lambda n: sum(near[n]) / len(near[n]) if near[n] else before[n])


def _path(way: list[object], middle: dict[object, float], top: dict[object, int]) -> str:
    """An arrow from the lower edge of a box, through its places, to the upper edge of another."""
    points = [(middle[way[0]], top[way[0]] + HEIGHT)]
    for between in way[1:-1]:
        points += [(middle[between], top[between]), (middle[between], top[between] + HEIGHT)]
    points.append((middle[way[-1]], top[way[-1]]))
    line = " L".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<path class="arrow" d="M{line}" marker-end="url(#head)"/>'
