"""`spikegrad export`: a suite's results as one file to send."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.cli import completion
from bench.errors import counted
from bench.show.terminal import ResultsFolder, console, say


def export(
    suite: Annotated[
        str,
        typer.Argument(
            metavar="SUITE",
            help="A suite, or the name of a folder in runs/.",
            autocompletion=completion.suites,
        ),
    ],
    to: Annotated[
        Path | None,
        typer.Option("--to", help="A .tar.gz file, or a new folder.", show_default="SUITE.tar.gz"),
    ] = None,
    results: ResultsFolder = None,
) -> None:
    """Pack the results of a suite, with everything needed to check and repeat them, to send to others.

    Exits with 1 if a record is left out.
    """
    from bench import paths
    from bench.records import kept_suites, reading
    from bench.records.exchange import bundles

    chosen, store = kept_suites.find(suite, results or paths.default_results())
    found = bundles.export(store, to or Path(f"{chosen.name}.tar.gz"))
    reading.tell(found.left_out)
    say(
        console(),
        f"wrote {found.place}: {counted(found.records, 'record')}, {counted(found.timings, 'timing')}",
    )
    if store.left_out:
        raise typer.Exit(1)
