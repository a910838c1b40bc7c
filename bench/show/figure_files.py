"""Write a figure: the file's extension sets the format, and writing is atomic."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError
from bench.files import write_atomic
from bench.show.drawing_packages import fitting, need

if TYPE_CHECKING:
    import altair as alt

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


def save(draw: Callable[[], alt.TopLevelMixin], file: Path) -> None:
    """Write the Altair chart that `draw` returns; `draw` is called only if `check` passes.

    Raises BenchError if `check` does, or if the file cannot be written.
    """
    check(file)
    chart = draw()
    try:
        # Draw in a temporary folder, so that no incomplete file has the final name.
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / f"figure{file.suffix.lower()}"
            with fitting(f"--figure {file}"):
                chart.save(made, json_kwds={"cls": _InScript})
            write_atomic(file, made.read_bytes())
    except OSError as problem:
        raise BenchError(f"--figure {file} cannot be written: {problem.strerror or problem}") from None


class _InScript(json.JSONEncoder):
    """JSON to embed in a script of a page: no text in it can end the script."""

    def encode(self, o: Any) -> str:
        return super().encode(o).replace("<", "\\u003c")
