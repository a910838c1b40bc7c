"""`spikegrad export`: a suite's results as one file to send."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bench.errors import BenchError
from bench.terminal import Plugins, Results, console, counted, say


def export(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite, or a folder's name in runs/.")],
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", help="A file that ends in .tar.gz, or a new folder.", show_default="SUITE.tar.gz"
        ),
    ] = None,
    results: Results = None,
    plugin: Plugins = None,
) -> None:
    """Pack the records of a suite with all that is needed to check them, to send to others.

    Give the plugins that it ran with, so that others can repeat it. Ends with 1 where a record is left out.
    """
    from bench import bundles, paths, reading
    from bench.cli_verify import place

    chosen, store = place(suite, results or paths.default_results())
    file = Path(suite) if suite.endswith(".toml") else paths.suites_folder() / f"{suite}.toml"
    found = bundles.export(
        store,
        to or Path(f"{chosen.name}.tar.gz"),
        suite=file if file.is_file() else None,
        plugins=[_there(path) for path in plugin or ()],
    )
    reading.tell(found.left_out)
    say(
        console(),
        f"wrote {found.place}: {counted(found.records, 'record')}, {counted(found.timings, 'timing')}",
    )
    if store.left_out:
        raise typer.Exit(1)


def _there(plugin: Path) -> Path:
    if not plugin.exists():
        raise BenchError(f"--plugin {plugin}: there is no such file or folder")
    return plugin
