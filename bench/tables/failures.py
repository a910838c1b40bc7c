"""Failed runs, and measurements missing from successful runs, grouped by cause."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from bench.errors import counted
from bench.records.store import OK
from bench.tables.columns import printed_cell
from bench.variants import full_name, own_words

Record = Mapping[str, Any]


class Ending(NamedTuple):
    """How a run of a method on a task ended. error: one line."""

    status: str
    method: str
    dataset: str
    backbone: str
    timesteps: int
    variant: str
    error: str


class Failure(NamedTuple):
    """Runs that ended in the same way."""

    ending: Ending
    seeds: tuple[int, ...]


class Unmeasured(NamedTuple):
    """A measurement that several runs lack. what: the part, as in "gradients" or "compile"; why: one line."""

    what: str
    method: str
    variant: str
    dataset: str
    why: str
    runs: int

    def __str__(self) -> str:
        """`mpd-agl (width=0.5) on digits, 2 runs: out of memory`: whose, and why."""
        whose = full_name(self.method, self.variant)
        return f"{whose} on {self.dataset}, {counted(self.runs, 'run')}: {self.why}"


def failures(records: Iterable[Record]) -> list[Failure]:
    """One entry per way to fail, sorted."""
    seeds: dict[Ending, list[int]] = defaultdict(list)
    for record in records:
        if record["status"] != OK:
            cell = record["cell"]
            names = (cell["method"]["name"], cell["dataset"]["name"], cell["backbone"]["name"])
            error = printed_cell("error", record["error"])
            ending = Ending(record["status"], *names, cell["timesteps"], record["variant"], error)
            seeds[ending].append(cell["seed"])
    return [Failure(ending, tuple(sorted(own))) for ending, own in sorted(seeds.items())]


def unmeasured(records: Iterable[Record]) -> list[Unmeasured]:
    """One entry per part, method, variant, dataset and reason, sorted."""
    runs: Counter[tuple[str, str, str, str, str]] = Counter()
    for record in records:
        for what, why in record.get("unmeasured", {}).items():
            cell = record["cell"]
            # Network and data are told apart elsewhere.
            whose = (cell["method"]["name"], own_words(record["variant"]), cell["dataset"]["name"])
            runs[what, *whose, " ".join(str(why).split())] += 1
    return [Unmeasured(*what, number) for what, number in sorted(runs.items())]
