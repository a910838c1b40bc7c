"""Vega, Vega-Lite and vega-embed as one script, so that a page can draw without a network.

Bundling takes longer than the rest of a report, so the script is kept in the user's cache.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from bench.files import write_atomic
from bench.paths import cache_folder
from bench.show.drawing_packages import fitting

WANTED = "window.vegaEmbed = vegaEmbed;"
"""The export that the page's own script needs."""


@cache
@fitting("the report")
def vega() -> str:
    """The script, with the Vega-Lite version that Altair targets.

    Raises BenchError if vl-convert lacks that version.
    """
    import altair
    import vl_convert

    version = ".".join(altair.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    file = cache_folder() / "vega" / f"vega-{version}-{metadata.version('vl-convert-python')}.js"
    script = _kept(file)
    if script is None:
        script = vl_convert.javascript_bundle(WANTED, vl_version=version)
        # If the cache cannot be written, only the time is lost.
        with suppress(OSError):
            write_atomic(file, f"{_digest(script)}\n{script}".encode())
    return script


def _kept(file: Path) -> str | None:
    """The cached script, if it is intact."""
    try:
        digest, _, script = file.read_text(encoding="utf-8").partition("\n")
    except (OSError, ValueError):
        return None
    return script if digest == _digest(script) else None


def _digest(script: str) -> str:
    return hashlib.sha256(script.encode()).hexdigest()
