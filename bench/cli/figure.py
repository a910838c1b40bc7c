"""`spikegrad figure`: a figure of a suite for a paper, made of its records alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from bench.cli.run import Datasets, Methods, SuiteName
from bench.errors import BenchError
from bench.show.terminal import ResultsFolder, console, names_in, say

NAMES = ("accuracy", "differences", "curves", "gradients", "pareto")


def figure(
    suite: SuiteName,
    which: Annotated[str, typer.Argument(metavar="|".join(NAMES), help="What to draw.")],
    file: Annotated[Path, typer.Option("--figure", help="The .pdf, .svg, .png or .html file to write.")],
    results: ResultsFolder = None,
    width: Annotated[
        str,
        typer.Option(
            "--width",
            help="single, a column of a paper (3.18 inches), double, both (6.5), or a number of inches.",
        ),
    ] = "single",
    methods: Methods = None,
    datasets: Datasets = None,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", help="METHOD, or METHOD:VARIANT, for differences, not the suite's."),
    ] = None,
    against: Annotated[
        Literal["energy", "operations", "step"],
        typer.Option("--against", help="The cost in the figure pareto; step: time of a training step."),
    ] = "energy",
) -> None:
    """Draw a figure of a suite for a paper, with a panel per task, and print a caption for it.

    The caption for a .pdf is LaTeX. A figure is never wider than --width. Ends with 1 where a record is left
    out, as one that was edited.
    """
    if which not in NAMES:
        raise BenchError(f"no figure {which!r}: there are {', '.join(NAMES)}")
    from bench.show import drawing_packages, figure_files

    figure_files.check(file)
    drawing_packages.need("the figure", ["jinja2", "altair", "vl_convert"])
    from bench import api
    from bench.report import suite_figures
    from bench.tables.text.choice import Choice
    from bench.tables.text.latex_text import escape

    room = suite_figures.inches(width)
    store, chosen = api.stored(suite, results)
    found = api.read_results(store, chosen, save=False)
    choice = Choice(
        names_in(methods, "--methods") if methods is not None else (),
        names_in(datasets, "--datasets") if datasets is not None else (),
    )
    against_row = found if baseline is None else found.against(baseline)
    caption = suite_figures.save(which, store, against_row, file, choice, room, against)
    say(console(stderr=True), f"wrote {file}")
    say(console(), escape(caption) if file.suffix.lower() == ".pdf" else caption)
    if store.left_out:
        raise typer.Exit(1)
