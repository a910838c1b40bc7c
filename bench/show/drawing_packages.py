"""The packages that only reports and figures need: everything else works without them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from bench.errors import BenchError

PACKAGES = {"jinja2": "jinja2", "altair": "altair", "vl_convert": "vl-convert-python"}
"""What each module is installed as. Altair imports jinja2, so that stands before it."""


def need(what: str, modules: list[str]) -> None:
    """Import these modules of PACKAGES.

    what: that needs them, for the message. Raises BenchError for the first that cannot be imported.
    """
    for module in modules:
        try:
            import_module(module)
        # A package that does not fit this Python may raise anything.
        except Exception as problem:
            raise BenchError(
                f"{what} needs the package {PACKAGES[module]}, which cannot be imported "
                f"({_first_line(problem)}): pip install {PACKAGES[module]}"
            ) from None


@contextmanager
def fitting(what: str) -> Iterator[None]:
    """Around work of vl-convert: BenchError where its release does not fit Altair's.

    what: that needs it, for the message.
    """
    try:
        yield
    except (ImportError, RuntimeError) as problem:
        raise BenchError(
            f"{what} needs releases of altair and vl-convert-python that fit each other "
            f"({_first_line(problem)}): pip install --upgrade altair vl-convert-python"
        ) from None


def _first_line(problem: Exception) -> str:
    """vl-convert appends the stack of its own code."""
    return f"{type(problem).__name__}: {str(problem).strip().partition(chr(10))[0].strip()}"
