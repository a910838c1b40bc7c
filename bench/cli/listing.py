"""`spikegrad list`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.cli import render
from bench.cli.run import Plugins
from bench.errors import BenchError
from bench.show.terminal import Json, console, print_json, say, warn_broken

Kind = Literal["methods", "datasets", "backbones", "suites"]


def list_(
    what: Annotated[Kind, typer.Argument(help="methods, datasets, backbones or suites")],
    plugin: Plugins = None,
    conversions: Annotated[
        bool, typer.Option("--conversions", help="Methods: which of ours equals which of the libraries'.")
    ] = False,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", help="Methods: draw all derivatives into this .svg, .png, .pdf or .html."),
    ] = None,
    as_json: Json = False,
) -> None:
    """List methods, datasets, backbones or suites."""
    if figure and as_json and not conversions:
        raise BenchError(
            "--figure writes a picture and lists nothing: leave out --json, or add --conversions"
        )
    if what != "methods" and (conversions or figure):
        option = "--conversions" if conversions else "--figure"
        raise BenchError(f"{option} is about methods, not {what}: spikegrad list methods {option}")
    if conversions or figure:
        _list_more(plugin, conversions, figure, as_json)
        return
    if what == "suites":
        rows = render.suite_rows()
    else:
        from bench.runner.vetting import load

        plugins = tuple(plugin or ())
        registry = load(plugins)
        warn_broken(console(stderr=True), registry)
        # Methods are built to look at their derivatives, and may print.
        with redirect_stdout(sys.stderr):
            rows = render.rows(registry, what, plugins)
    if as_json:
        print_json(rows)
    else:
        render.show_rows(rows, console())


def _list_more(plugin: list[Path] | None, conversions: bool, figure: Path | None, as_json: bool) -> None:
    if figure is not None:
        from bench.show import figure_files

        # Before torch is imported, and every method.
        figure_files.check(figure)
    from bench.runner.vetting import load

    plugins = tuple(plugin or ())
    registry = load(plugins)
    warn_broken(console(stderr=True), registry)
    if figure is not None:
        from bench.cli import gallery

        with redirect_stdout(sys.stderr):
            gallery.save(registry, figure, plugins)
        say(console(stderr=True), f"wrote {figure}")
    if conversions:
        from bench.measures.conversions import conversions as compare

        with redirect_stdout(sys.stderr):
            rows = compare(registry)
        if as_json:
            print_json(rows)
        else:
            render.show_conversions(rows, console())
