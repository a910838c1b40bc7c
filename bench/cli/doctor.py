"""`spikegrad doctor`."""

from __future__ import annotations

from dataclasses import asdict

import typer

from bench import paths
from bench.show.terminal import DataRoot, Json, Plugins, ResultsFolder, console, print_json, say

MARKS = {"good": "✓", "note": "–", "bad": "✗"}


def doctor(
    results: ResultsFolder = None, data_root: DataRoot = None, plugin: Plugins = None, as_json: Json = False
) -> None:
    """Check this machine, the data and the results folder, and say what each finding means for a run.

    Ends with 1 where something would make a run fail or leave something out.
    """
    from bench.runner import health, vetting

    registry = vetting.load(tuple(plugin or ()))
    found = []
    out = console()
    for each in health.findings(registry, results or paths.default_results(), paths.data_root(data_root)):
        found.append(each)
        if not as_json:
            say(
                out,
                f"{MARKS[each.state]} {each.topic}: {each.found}" + f"\n    {each.means}" * bool(each.means),
            )
    if as_json:
        print_json([asdict(each) for each in found])
    if health.worst(found) == "bad":
        raise typer.Exit(1)
