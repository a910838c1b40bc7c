"""Packages that only reports and figures need; everything else works without them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from bench.errors import BenchError

PACKAGES = {"jinja2": "jinja2", "altair": "altair", "vl_convert": "vl-convert-python"}
"""Module to package name. Altair imports jinja2, so jinja2 comes first."""


def need(what: str, modules: list[str]) -> None:
    """Import these modules of PACKAGES.

    what: the feature that needs them, for the message. Raises BenchError for the first that fails to import.
    """
    for module in modules:
        try:
            import_module(module)
        # A package that is incompatible with this Python can raise anything.
        except Exception as problem:
            raise BenchError(
                f"{what} needs the package {PACKAGES[module]}, which cannot be imported "
                f"({_first_line(problem)}): pip install {PACKAGES[module]}"
            ) from None


@contextmanager
def fitting(what: str) -> Iterator[None]:
    """Wrap calls of vl-convert. Raises BenchError if its release is incompatible with Altair's.

    what: the feature that needs it, for the message.
    """
    try:
        yield
    except (ImportError, RuntimeError) as problem:
        raise BenchError(
            f"{what} needs releases of altair and vl-convert-python that fit each other "
            f"({_first_line(problem)}): pip install --upgrade altair vl-convert-python"
        ) from None


def _first_line(problem: Exception) -> str:
    """Only the first line: vl-convert appends its own stack trace."""
    return f"{type(problem).__name__}: {str(problem).strip().partition(chr(10))[0].strip()}"
