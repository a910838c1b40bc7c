"""Write a figure: the file's extension sets the format, and writing is atomic."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.files import write_atomic
from bench.show.drawing_packages import fitting, need

if TYPE_CHECKING:
    import altair as alt

SHARP = 3
"""Pixels of a .png for each unit of a figure for a paper: 288 an inch."""
FORMATS = (".svg", ".png", ".pdf", ".html")


def check(file: Path) -> None:
    """Check for errors before anything is drawn or a drawing module is imported.

    Raises BenchError for an unknown extension, a folder that does not exist, or a missing package.
    """
    form = file.suffix.lower()
    if form not in FORMATS:
        raise BenchError(f"--figure {file}: the name must end in one of {', '.join(FORMATS)}")
    if not file.parent.is_dir():
        raise BenchError(f"--figure {file} cannot be written: there is no folder {file.parent}")
    # An HTML page draws in the browser, without vl-convert.
    need(f"--figure {file}", ["jinja2", "altair", *(["vl_convert"] if form != ".html" else [])])


def save(draw: Callable[[], alt.TopLevelMixin], file: Path, *, paper: bool = False) -> None:
    """Write the Altair chart that `draw` returns; `draw` is called only if `check` passes.

    paper: whether the size counts, at 96 units an inch: a .pdf has it, and a .png has SHARP pixels a unit.

    Raises BenchError if `check` does, or if the file cannot be written.
    """
    check(file)
    chart = draw()
    try:
        # Draw in a temporary folder, so that no incomplete file has the final name.
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / f"figure{file.suffix.lower()}"
            with fitting(f"--figure {file}"):
                if paper and made.suffix == ".pdf":
                    made.write_bytes(_pdf(chart))
                else:
                    sharp = SHARP if paper and made.suffix == ".png" else 1
                    chart.save(made, json_kwds={"cls": _InScript}, scale_factor=sharp)
            write_atomic(file, made.read_bytes())
    except OSError as problem:
        raise BenchError(f"--figure {file} cannot be written: {problem.strerror or problem}") from None


def svg(chart: alt.TopLevelMixin) -> str:
    """The chart as SVG."""
    import vl_convert

    drawn: str = vl_convert.vegalite_to_svg(chart.to_json())
    return drawn


def size(drawn: str) -> tuple[float, float]:
    """Width and height of an SVG that `svg` made."""
    width, height = re.findall(r' (?:width|height)="([\d.]+)"', drawn)[:2]
    return float(width), float(height)


def _pdf(chart: alt.TopLevelMixin) -> bytes:
    """The chart as a page of its size; altair would take each unit for a point, of which 72 are an inch."""
    import vl_convert

    drawn = svg(chart)
    for name, units in zip(("width", "height"), size(drawn), strict=True):
        drawn = re.sub(rf' {name}="[\d.]+"', f' {name}="{units * 72 / 96:.2f}"', drawn, count=1)
    page: bytes = vl_convert.svg_to_pdf(drawn)
    return page


class _InScript(json.JSONEncoder):
    """JSON to embed in a script of a page: no text in it can end the script."""

    def encode(self, o: Any) -> str:
        return super().encode(o).replace("<", "\\u003c")
