"""Plot a curve in a terminal with Unicode braille patterns: 2 x 4 dots per character."""

from __future__ import annotations

from collections.abc import Sequence

BLANK = 0x2800
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The bit of each dot, by row from the top and by column."""


def plot(values: Sequence[float | None], columns: int, rows: int) -> list[str]:
    """Lines of text from the top, with the first value at the left edge and the last at the right.

    Straight lines join the values; None leaves a gap. The lowest value is on the bottom row of dots and
    the highest on the top row; if all are equal, they are in the middle. A single value is one dot.
    """
    known = [value for value in values if value is not None]
    cells = [[0] * columns for _ in range(rows)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    right, top = 2 * columns - 1, 4 * rows - 1

    def at(i: int, value: float) -> tuple[int, int]:
        x = round(i * right / max(1, len(values) - 1))
        y = round((value - low) / (high - low) * top) if high > low else top // 2
        return x, top - y

    def put(x: int, y: int) -> None:
        cells[y // 4][x // 2] |= DOTS[y % 4][x % 2]

    before: tuple[int, int] | None = None
    for i, value in enumerate(values):
        if value is None:
            before = None
            continue
        here = at(i, value)
        for x, y in _line(before or here, here):
            put(x, y)
        before = here
    return ["".join(chr(BLANK + cell) for cell in line) for line in cells]


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """The dots of a straight line, including both ends."""
    (x0, y0), (x1, y1) = start, end
    steps = max(abs(x1 - x0), abs(y1 - y0), 1)
    return [(round(x0 + (x1 - x0) * k / steps), round(y0 + (y1 - y0) * k / steps)) for k in range(steps + 1)]
