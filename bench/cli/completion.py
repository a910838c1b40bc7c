"""Names that a shell completes: of suites, methods and datasets, read from files without importing them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from glob import escape, glob
from pathlib import Path

import typer

from bench import paths

_DECORATED = re.compile(r'^@(\w+)\(\s*(?:"([^"\n]+)"|([A-Z]+),)', re.M)
"""A decorator and its first argument, in quotes or as a constant."""
_FAMILY = re.compile(r'^def (\w+)\((?:(?!^\S).*\n|\) ->.*\n)+?\s+f"([^"{\n]+)\{\w+(?::g)?\}",$', re.M)
"""A function that declares methods whose names begin alike."""


def suites(incomplete: str) -> list[str]:
    """Shipped suites, and TOML files: in this folder or the one that was begun, and one level below."""
    shipped = sorted(file.stem for file in paths.suites_folder().glob("*.toml"))
    begun = escape(incomplete)
    files = [file for form in ("*.toml", "*/*.toml") for file in sorted(glob(begun + form))]
    return [*_beginning(incomplete, shipped), *files]


def methods(ctx: typer.Context, incomplete: str) -> list[str]:
    """Shipped methods and those of the plugins named before."""
    return _beginning(incomplete, _declared("methods", ctx))


def datasets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Shipped datasets and those of the plugins named before."""
    return _beginning(incomplete, _declared("datasets", ctx))


def method_list(ctx: typer.Context, incomplete: str) -> list[str]:
    """The last of several methods, separated by commas."""
    return _last(incomplete, _declared("methods", ctx))


def dataset_list(ctx: typer.Context, incomplete: str) -> list[str]:
    """The last of several datasets, separated by commas."""
    return _last(incomplete, _declared("datasets", ctx))


def _last(incomplete: str, names: Iterable[str]) -> list[str]:
    before, comma, begun = incomplete.rpartition(",")
    given = before.split(",")
    return [f"{before}{comma}{name}" for name in _beginning(begun, names) if name not in given]


def _beginning(begun: str, names: Iterable[str]) -> list[str]:
    return sorted({name for name in names if name.startswith(begun)})


def _declared(kind: str, ctx: typer.Context) -> Iterator[str]:
    for place in (paths.plugin_folder(kind), *map(Path, ctx.params.get("plugin") or ())):
        for file in sorted(place.glob("[!_]*.py")) if place.is_dir() else [place]:
            try:
                text = file.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            yield from _names(kind, text)


def _names(kind: str, text: str) -> Iterator[str]:
    for by, name, constant in _DECORATED.findall(text):
        if by != "backbone" and (by == "dataset") == (kind == "datasets"):
            found = re.search(rf'^{constant} = "([^"\n]+)"', text, re.M) if constant else None
            yield found[1] if found else name
    if kind == "methods":
        for function, beginning in _FAMILY.findall(text):
            for rest in re.findall(rf'^(?:@|\w+ = ){function}\(\s*"?([\w.]+)', text, re.M):
                yield beginning + rest
