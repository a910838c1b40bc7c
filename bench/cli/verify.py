"""`spikegrad verify`: reruns finished cells and reports whether the results reproduce."""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import completion
from bench.cli.run import Datasets, Jobs, Methods, Timeout
from bench.errors import BenchError, counted
from bench.records.store import OK
from bench.show.terminal import DataRoot, Json, Plugins, ResultsFolder, console, names_in, print_json, say

if TYPE_CHECKING:
    from bench.records.record_files import Record
    from bench.runner.verifying import Verification

HEADS = ("method", "dataset", "seed", "recorded %", "here %", "same answers %", "verdict", "why")
SAID = {
    "bit for bit": "reproduced bit for bit",
    "within tolerance": "reproduced within tolerance",
    "not reproduced": "not reproduced",
    "not verified": "could not be verified here",
}


def verify(
    suite: Annotated[
        str,
        typer.Argument(
            metavar="SUITE",
            help="A suite, or the name of a folder in runs/.",
            autocompletion=completion.suites,
        ),
    ],
    results: ResultsFolder = None,
    sample: Annotated[
        int | None, typer.Option("--sample", min=1, help="Number of runs to repeat.", show_default="3")
    ] = None,
    fraction: Annotated[
        float | None, typer.Option("--fraction", min=0, max=1, help="Share of the runs to repeat.")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Repeat all runs.")] = False,
    draw: Annotated[
        int | None,
        typer.Option("--draw", min=0, help="Seed of an earlier draw, to repeat it.", show_default="random"),
    ] = None,
    data_root: DataRoot = None,
    methods: Methods = None,
    datasets: Datasets = None,
    plugin: Plugins = None,
    jobs: Jobs = None,
    timeout: Timeout = None,
    as_json: Json = False,
) -> None:
    """Rerun finished cells, and report whether the recorded results reproduce.

    On the same processor and versions they must reproduce bit for bit; elsewhere accuracies must agree within
    three standard errors of their difference. Exits with 1 if a result does not reproduce, or if a record is
    left out.
    """
    from bench import paths
    from bench.cli import progress
    from bench.records import kept_suites, reading
    from bench.runner import verifying

    if sum((sample is not None, fraction is not None, every)) > 1:
        raise BenchError("--sample, --fraction and --all each say how many: give one of them")
    chosen, store = kept_suites.find(suite, results or paths.default_results())
    there, left_out = store.survey()
    reading.tell(left_out)
    records = _only(there, "method", methods)
    records = _only(records, "dataset", datasets)
    finished = sum(record["status"] == OK for record in records)
    number = sample or 3
    if every or fraction is not None:
        number = math.ceil(finished * (1 if fraction is None else fraction))
    # Nobody who edits a record can know whether it will be drawn.
    draw = secrets.randbelow(2**31) if draw is None else draw
    wanted = verifying.chosen(records, verifying.Sample(number, draw))
    if not wanted:
        raise BenchError(f"no training of {suite} in {store.results} ended well: there is nothing to verify")
    talk = console(stderr=True)
    probability = verifying.chance_to_find(records, len(wanted))
    say(
        talk,
        f"{chosen.name}: {counted(len(wanted), 'training')} once more, draw {draw}; "
        f"{store.results} is only read",
    )
    say(
        talk,
        f"an edit in one of {counted(finished, 'record')} would be found "
        f"with probability {_floor(probability)}",
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
    bad = any(each.verdict != "bit for bit" and each.verdict != "within tolerance" for each in found)
    if bad or left_out:
        raise typer.Exit(1)


def _floor(probability: float) -> str:
    """The probability with two decimals, rounded down."""
    return f"{math.floor(100 * probability) / 100:.2f}"


def _only(records: Sequence[Record], what: str, names: str | None) -> list[Record]:
    if names is None:
        return [*records]
    wanted = names_in(names, f"--{what}s")
    there = {record["cell"][what]["name"] for record in records}
    if unknown := [name for name in wanted if name not in there]:
        raise BenchError(f"--{what}s: no record of {unknown[0]!r}; there are {', '.join(sorted(there))}")
    return [record for record in records if record["cell"][what]["name"] in wanted]


def _show(found: Sequence[Verification]) -> None:
    from bench.runner import verifying
    from bench.show.terminal_table import print_table

    lines = [
        [*_names(each), *_accuracies(each), _percent(each.agreement), each.verdict, each.why]
        for each in found
    ]
    print_table(console(), HEADS, lines, words=("method", "dataset", "verdict", "why"))
    counts = Counter[str](each.verdict for each in found)
    said = [f"{counts[verdict]} {words}" for verdict, words in SAID.items() if counts[verdict]]
    say(console(), f"{counted(len(found), 'training')}: {', '.join(said)}")
    if tolerances := [each.tolerance for each in found if each.tolerance]:
        say(
            console(),
            f"tolerance: {verifying.REASON}. That is up to {max(tolerances):.2f} points of test accuracy "
            "here, and an edit of less is not found",
        )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f}"


def _names(each: Verification) -> list[str]:
    cell = each.record["cell"]
    return [cell["method"]["name"], cell["dataset"]["name"], str(cell["seed"])]


def _accuracies(each: Verification) -> list[str]:
    metrics = [each.record["metrics"], each.again["metrics"] if each.again else {}]
    # A tuning trial has no test accuracy.
    found = [of.get("test_accuracy", of.get("val_accuracy")) for of in metrics]
    return ["–" if accuracy is None else f"{accuracy:.2f}" for accuracy in found]


def _json(each: Verification) -> dict[str, Any]:
    cell = each.record["cell"]
    return {
        "id": each.record["id"],
        "method": cell["method"]["name"],
        "dataset": cell["dataset"]["name"],
        "seed": cell["seed"],
        "verdict": each.verdict,
        "tolerance": each.tolerance,
        "same_predictions": each.agreement,
        "why": each.why,
        "recorded_test_accuracy": each.record["metrics"].get("test_accuracy"),
        "test_accuracy": each.again["metrics"].get("test_accuracy") if each.again else None,
    }
