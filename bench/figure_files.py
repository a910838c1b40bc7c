"""Writing a picture: the format follows the name's ending, and nothing half-written is left."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import altair as alt

from bench.errors import BenchError
from bench.files import write_atomic

FORMATS = (".svg", ".png", ".pdf", ".html")


def save(draw: Callable[[], alt.TopLevelMixin], file: Path) -> None:
    """Write what `draw` makes, an Altair chart; it is called only where the name will do.

    Raises BenchError for another ending, or where the file cannot be written.
    """
    form = file.suffix.lower()
    if form not in FORMATS:
        raise BenchError(f"--figure {file}: the name must end in one of {', '.join(FORMATS)}")
    if not file.parent.is_dir():
        raise BenchError(f"--figure {file} cannot be written: there is no folder {file.parent}")
    try:
        # By way of a folder of its own: nothing half-written is left under the name.
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / f"figure{form}"
            draw().save(made, json_kwds={"cls": _InScript})
            write_atomic(file, made.read_bytes())
    except OSError as problem:
        raise BenchError(f"--figure {file} cannot be written: {problem.strerror or problem}") from None


class _InScript(json.JSONEncoder):
    """JSON that stands inside a script of a page: no text in it can end the script."""

    def encode(self, o: Any) -> str:
        return super().encode(o).replace("<", "\\u003c")
