"""`spikegrad show`: one run on the terminal, as a figure or as JSON; or a list of runs to choose from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli import completion
from bench.errors import BenchError, counted
from bench.show.terminal import Json, ResultsFolder, console, print_json, say

if TYPE_CHECKING:
    from bench.records.runs import Listing


def show(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="An id or its first characters, the path of a run, or a suite.",
            autocompletion=completion.suites,
        ),
    ],
    results: ResultsFolder = None,
    method: Annotated[
        str | None,
        typer.Option("--method", help="Only runs of this method.", autocompletion=completion.methods),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="Only runs on this dataset.", autocompletion=completion.datasets),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Only runs with this seed.")] = None,
    figure: Annotated[
        Path | None,
        typer.Option("--figure", help="Draw the run into this .svg, .png, .pdf or .html file instead."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show one run: curves, the gradient in each layer, and cost. For a suite, list its runs."""
    from bench import paths
    from bench.records import runs

    listing = runs.find(run, results or paths.default_results(), method=method, dataset=dataset, seed=seed)
    if listing.chosen is None:
        if figure is not None:
            raise BenchError(
                f"--figure draws one run and {run} has {counted(len(listing.found), 'run')} of that kind: "
                "give an id, or narrow it with --method, --dataset and --seed"
            )
        _list(listing, as_json)
        return
    chosen = runs.read(listing.chosen)
    if figure is not None:
        from bench.show import figure_files

        figure_files.check(figure)
        from bench.show import show_figure

        show_figure.save(chosen, figure)
        say(console(stderr=True), f"wrote {figure}")
    if as_json:
        print_json({"record": chosen.record, "epochs": chosen.epochs, "layers": chosen.layers})
    elif figure is None:
        from bench.show import show_terminal

        show_terminal.show(chosen, console())


def _list(listing: Listing, as_json: bool) -> None:
    from bench.show import show_terminal

    for damaged in listing.damaged:
        say(console(stderr=True), f"warning: {damaged}")
    if as_json:
        print_json([each.summary() for each in listing.found])
        return
    show_terminal.show_list(listing.found, console())
    number, first = counted(len(listing.found), "run"), listing.found[0].record["id"]
    say(console(stderr=True), f"\n{number}; one of them: spikegrad show {first[:8]}")
