"""`spikegrad verify`: trains finished cells once more and says whether their numbers come again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.errors import BenchError
from bench.terminal import DataRoot, Json, Plugins, Results, console, counted, names_in, print_json, say

if TYPE_CHECKING:
    from bench.record_files import Record
    from bench.verifying import Verification

HEADS = ("method", "dataset", "seed", "recorded %", "here %", "verdict", "why")
SAID = {
    "bit for bit": "reproduced bit for bit",
    "within tolerance": "reproduced within tolerance",
    "not reproduced": "not reproduced",
    "not verified": "could not be verified here",
}


def verify(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite, or a folder's name in runs/.")],
    results: Results = None,
    sample: Annotated[int, typer.Option("--sample", min=1, help="How many trainings to repeat.")] = 3,
    every: Annotated[bool, typer.Option("--all", help="Repeat all of them.")] = False,
    draw: Annotated[int, typer.Option("--draw", min=0, help="Seed of the draw; another takes others.")] = 0,
    data_root: DataRoot = None,
    methods: Annotated[str | None, typer.Option("--methods", help="Only these, separated by commas.")] = None,
    datasets: Annotated[
        str | None, typer.Option("--datasets", help="Only these, separated by commas.")
    ] = None,
    plugin: Plugins = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Trainings at a time.")] = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", min=1, help="Seconds a training may take.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train finished cells again, and say whether the numbers on record come again.

    On the same processor and versions that is bit for bit; elsewhere accuracies must agree within three
    standard errors of their difference.
    """
    from bench import kept_suites, paths, progress, verifying

    chosen, store = kept_suites.find(suite, results or paths.default_results())
    records = _only(store.records(), "method", methods)
    records = _only(records, "dataset", datasets)
    wanted = verifying.chosen(records, verifying.Sample(None if every else sample, draw))
    if not wanted:
        raise BenchError(f"no training of {suite} in {store.results} ended well: there is nothing to verify")
    talk = console(stderr=True)
    say(
        talk,
        f"{chosen.name}: {counted(len(wanted), 'training')} once more, draw {draw}; "
        f"{store.results} is only read",
    )
    with progress.listener(talk, len(wanted)) as listener:
        found = verifying.verify(
            chosen,
            store,
            wanted,
            plugins=plugin or (),
            data_root=paths.data_root(data_root),
            jobs=jobs,
            timeout=timeout,
            listener=listener,
        )
    if as_json:
        print_json([_json(each) for each in found])
    else:
        _show(found)
    if any(each.verdict != "bit for bit" and each.verdict != "within tolerance" for each in found):
        raise typer.Exit(1)


def _only(records: Sequence[Record], what: str, names: str | None) -> list[Record]:
    if names is None:
        return [*records]
    wanted = names_in(names, f"--{what}s")
    there = {record["cell"][what]["name"] for record in records}
    if unknown := [name for name in wanted if name not in there]:
        raise BenchError(f"--{what}s: no record of {unknown[0]!r}; there are {', '.join(sorted(there))}")
    return [record for record in records if record["cell"][what]["name"] in wanted]


def _show(found: Sequence[Verification]) -> None:
    from bench.terminal_table import print_table

    lines = [[*_names(each), *_accuracies(each), each.verdict, each.why] for each in found]
    print_table(console(), HEADS, lines, words=("method", "dataset", "verdict", "why"))
    counts = Counter[str](each.verdict for each in found)
    said = [f"{counts[verdict]} {words}" for verdict, words in SAID.items() if counts[verdict]]
    say(console(), f"{counted(len(found), 'training')}: {', '.join(said)}")


def _names(each: Verification) -> list[str]:
    cell = each.record["cell"]
    return [cell["method"]["name"], cell["dataset"]["name"], str(cell["seed"])]


def _accuracies(each: Verification) -> list[str]:
    metrics = [each.record["metrics"], each.again["metrics"] if each.again else {}]
    return ["–" if m.get("test_accuracy") is None else f"{m['test_accuracy']:.2f}" for m in metrics]


def _json(each: Verification) -> dict[str, Any]:
    cell = each.record["cell"]
    return {
        "id": each.record["id"],
        "method": cell["method"]["name"],
        "dataset": cell["dataset"]["name"],
        "seed": cell["seed"],
        "verdict": each.verdict,
        "why": each.why,
        "recorded_test_accuracy": each.record["metrics"].get("test_accuracy"),
        "test_accuracy": each.again["metrics"].get("test_accuracy") if each.again else None,
    }
