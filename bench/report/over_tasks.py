"""Data of the figures over all tasks: performance profiles and average ranks."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.report.tasks import Line, rounded
from bench.tables.across_tasks import performance_profile
from bench.tables.overall_table import critical_of, runs_by_method
from bench.tables.results import Results


def profiles(results: Results) -> list[Line]:
    """Performance profiles of the methods that have every task, if there are several tasks."""
    every_method = runs_by_method(results.rows, results.baseline, results.seeds)
    by_method = {method: runs for method, runs in every_method.items() if len(runs) > 1}
    every = {value for runs in by_method.values() for value in np.concatenate(runs).tolist()}
    found: list[Line] = []
    for method, runs in by_method.items():
        # From the lowest accuracy of all methods, which all runs reach, to the highest.
        levels = sorted({min(every), max(every), *np.concatenate(runs).tolist()})
        shares = zip(levels, performance_profile(runs, levels), strict=True)
        found += [{"method": method, "accuracy": rounded(level), "share": share} for level, share in shares]
    return found


def critical(results: Results) -> dict[str, Any] | None:
    """Average ranks, best first, and a line for each group of methods that cannot be told apart."""
    names, found = critical_of(results.rows, results.baseline, results.seeds)
    if found is None:
        return None
    ranks = sorted(zip(found.ranks, names, strict=True))
    rows: list[Line] = [
        {"method": name, "rank": rounded(rank), "low": None, "high": None, "group": None}
        for rank, name in ranks
    ]
    for number, group in enumerate(found.groups, 1):
        ends = [found.ranks[place] for place in group]
        best = min(group, key=lambda place: found.ranks[place])
        rows.append(
            {"method": names[best], "rank": None, "low": min(ends), "high": max(ends), "group": number}
        )
    return {"difference": rounded(found.difference), "p": rounded(found.p), "rows": rows}
