"""Writing a picture: the format follows the name's ending, and nothing half-written is left."""

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
    """Find what can be known to be wrong before anything is drawn, or a module that draws is imported.

    Raises BenchError for another ending, a folder that does not exist, or a package that is missing.
    """
    form = file.suffix.lower()
    if form not in FORMATS:
        raise BenchError(f"--figure {file}: the name must end in one of {', '.join(FORMATS)}")
    if not file.parent.is_dir():
        raise BenchError(f"--figure {file} cannot be written: there is no folder {file.parent}")
    # A page draws in the browser.
    need(f"--figure {file}", ["jinja2", "altair", *(["vl_convert"] if form != ".html" else [])])


def save(draw: Callable[[], alt.TopLevelMixin], file: Path) -> None:
    """Write what `draw` makes, an Altair chart; it is called only where `check` finds nothing wrong.

    Raises BenchError for what `check` finds, or where the file cannot be written.
    """
    check(file)
    chart = draw()
    try:
        # By way of a folder of its own: nothing half-written is left under the name.
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / f"figure{file.suffix.lower()}"
            with fitting(f"--figure {file}"):
                chart.save(made, json_kwds={"cls": _InScript})
            write_atomic(file, made.read_bytes())
    except OSError as problem:
        raise BenchError(f"--figure {file} cannot be written: {problem.strerror or problem}") from None


class _InScript(json.JSONEncoder):
    """JSON that stands inside a script of a page: no text in it can end the script."""

    def encode(self, o: Any) -> str:
        return super().encode(o).replace("<", "\\u003c")
