"""A heat map in a terminal: in colour if the terminal has colours, otherwise with numbers or shades."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import wrap

from rich.cells import cell_len, set_cell_size
from rich.color import blend_rgb
from rich.color_triplet import ColorTriplet
from rich.style import Style
from rich.text import Text

from bench.show.layer_grids import Grids, Values
from bench.show.show_numbers import plain, text

# From matplotlib's viridis: perceptually uniform, also for colour-blind readers.
VIRIDIS = [
    ColorTriplet(*bytes.fromhex(code))
    for code in ("440154", "472d7b", "3b528b", "2c728e", "21918c", "28ae80", "5ec962", "addc30", "fde725")
]
SHADES = " ░▒▓█"
MARKED = Style(color="#ffffff", bgcolor="#c00000", bold=True)
NUMBER = 6
"""Width of a cell with a number, in characters: room for a mark and for -12.3."""
WIDEST = 4
"""The largest width of a cell without a number."""
LONGEST_NAME = 24
BAR = 16


class HeatMap:
    """Layers from the input downwards, epochs across.

    low, high: the values at the ends of the scale; values outside have the colour of the nearer end. form:
    the format of a number.
    """

    def __init__(
        self, title: str, grids: Grids, values: Callable[[Grids], Values], low: float, high: float, form: str
    ) -> None:
        self.title = title
        self.grids = grids
        self.values = values
        self.low, self.high = low, high
        self.form = form

    @property
    def names(self) -> int:
        """The width of the column of names."""
        return min(LONGEST_NAME, max(map(cell_len, self.grids.layers))) + 1

    @property
    def with_numbers(self) -> int:
        """The width needed to print every number."""
        return self.names + NUMBER * len(self.grids.columns)

    def lines(self, width: int, coloured: bool) -> list[Text]:
        """Lines of text, none wider than `width` (if that is about 12 characters or more)."""
        numbers = self.with_numbers <= width
        names, grids = self._fitted(width)
        room = max(2, width - names)
        cell = NUMBER if numbers else max(1, min(WIDEST, room // len(grids.columns)))
        lines = [Text(part, style="bold") for part in wrap(self.title, width)]
        for name, values, marks in zip(grids.layers, self.values(grids), grids.marks, strict=True):
            line = Text(_named(plain(name), names))
            for value, mark in zip(values, marks, strict=True):
                line.append(*self._cell(value, mark, cell, numbers, coloured))
            lines.append(line)
        lines.append(Text(" " * names + _axis(grids.columns, cell, numbers), style="dim"))
        if coloured or not numbers:
            lines.append(self._legend(coloured))
        return lines

    def per_column(self, width: int) -> int:
        """The most epochs that share a column in a map of this width."""
        return self._fitted(width)[1].per_column

    def _fitted(self, width: int) -> tuple[int, Grids]:
        """The width of the names, and the grids with as many columns as fit next to them."""
        if self.with_numbers <= width:
            return self.names, self.grids
        names = min(self.names, max(4, width // 3))
        return names, self.grids.fitted(max(2, width - names))

    def _cell(
        self, value: float | None, mark: str, width: int, numbers: bool, coloured: bool
    ) -> tuple[str, Style]:
        if numbers:
            shown = f"{mark}{self._number(value, width - len(mark)):>{width - len(mark)}}"
        else:
            shown = mark * width if mark else "·" * width if value is None else self._shade(value) * width
        if mark:
            return shown, MARKED
        if value is None:
            return shown, Style(dim=True)
        if not coloured:
            return shown, Style()
        return shown if numbers else " " * width, self._style(value)

    def _number(self, value: float | None, width: int) -> str:
        number = text(value, self.form)
        return number if len(number) <= width else text(value, "+.0f")

    def _legend(self, coloured: bool) -> Text:
        steps = BAR if coloured else len(SHADES)
        scale = [self.low + (self.high - self.low) * (i + 0.5) / steps for i in range(steps)]
        legend = Text(f"{self.low:g} ", style="dim")
        for value in scale:
            legend.append(" " if coloured else self._shade(value), self._style(value) if coloured else "")
        return legend.append(f" {self.high:g}", "dim")

    def _share(self, value: float) -> float:
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def _shade(self, value: float) -> str:
        return SHADES[min(len(SHADES) - 1, int(self._share(value) * len(SHADES)))]

    def _style(self, value: float) -> Style:
        colour = viridis(self._share(value))
        ink = "#000000" if luminance(colour) > 0.4 else "#ffffff"
        return Style(color=ink, bgcolor=colour.hex)


def viridis(share: float) -> ColorTriplet:
    """The colour at a position on the scale, in [0, 1]."""
    place = share * (len(VIRIDIS) - 1)
    below = min(int(place), len(VIRIDIS) - 2)
    return blend_rgb(VIRIDIS[below], VIRIDIS[below + 1], place - below)


def luminance(colour: ColorTriplet) -> float:
    """The approximate perceived brightness of a colour, in [0, 1]."""
    red, green, blue = colour
    return (0.299 * red + 0.587 * green + 0.114 * blue) / 255


def beside(left: Sequence[Text], right: Sequence[Text], gap: int) -> list[Text]:
    """Two blocks of lines side by side."""
    width = max((line.cell_len for line in left), default=0) + gap
    height = max(len(left), len(right))
    joined = []
    for i in range(height):
        line = left[i].copy() if i < len(left) else Text()
        line.append(" " * (width - line.cell_len))
        joined.append(line.append_text(right[i]) if i < len(right) else line)
    return joined


def _named(name: str, width: int) -> str:
    """A name padded to a width; a longer name is cut at the start, since its end tells layers apart."""
    while cell_len(name) > width - 1:
        name = "…" + name.removeprefix("…")[1:]
    return set_cell_size(name, width)


def _axis(columns: Sequence[tuple[int, int]], cell: int, numbers: bool) -> str:
    """Epochs below their columns, as many as fit; always the first and the last."""
    first, last = columns[0][0], columns[-1][1]
    if numbers:
        return "".join(f"{'before' if epoch == 0 else epoch:>{cell}}" for epoch, _ in columns)
    axis = str(first) if len(columns) > 1 else ""
    end = max(cell * len(columns), len(axis) + 1 + len(str(last)) if axis else 0)
    for i, (epoch, _) in enumerate(columns[1:-1], 1):
        label = str(epoch)
        if i * cell >= len(axis) + 4 and i * cell + len(label) + 4 <= end - len(str(last)):
            axis = axis.ljust(i * cell) + label
    return axis + f"{last:>{end - len(axis)}}"
