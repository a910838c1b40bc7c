"""Simulates tables of methods known to be equal, or not, and writes to docs/tables.md what verdicts say.

`python docs/verdicts.py`: 20,000 tables of each design, some minutes on one core.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.tables.all_pairs import MARGIN, AllPairs

Scores = NDArray[np.float64]

PAGE = Path(__file__).parent / "tables.md"
BEGIN, END = "<!-- verdicts: begin -->", "<!-- verdicts: end -->"
TABLES = 20_000
TOGETHER = 500
"""Tables that are compared at once: more do not fit into a processor's cache."""
STEP = 100 / 360
"""Accuracies on 360 images come in these steps."""
GAP = 6.0
"""By how many points one row is worse, where power is looked at."""
FAILS = 0.02
"""Share of failed seeds in the third kind of design."""


class Design(NamedTuple):
    """k methods over n seeds. kind: of their variances, or that some seeds fail."""

    k: int
    n: int
    kind: str


class Rates(NamedTuple):
    """Shares of simulated tables.

    covered: all intervals hold the true difference. wrong_no: a method as good as all others is told from the
    best. wrong_equal: a method that is MARGIN worse than the best is called as good. told, told_before: a
    method that is GAP worse is told from the best, now and by a paired t-test alone, Bonferroni over rows.
    """

    covered: float
    wrong_no: float
    wrong_equal: float
    told: float
    told_before: float


def tables(design: Design, number: int, seed: int) -> Iterator[tuple[Scores, NDArray[np.bool_]]]:
    """Scores [tables, k, n] of equal methods, and which runs fail; seeds shared by all rows move all alike.

    Standard deviations are 1, or drawn log-uniformly between 0.3 and 3, a factor of 10, or 3 of one row
    that is like all others but for that, which have 0.3.
    """
    random = np.random.default_rng([seed, design.k, design.n, *design.kind.encode()])
    for start in range(0, number, TOGETHER):
        size = (min(TOGETHER, number - start), design.k, design.n)
        spread = np.ones((*size[:2], 1))
        if design.kind == "one louder":
            spread[:] = 0.3
            spread[:, -1] = 3.0
        elif design.kind != "equal":
            spread = np.exp(random.uniform(np.log(0.3), np.log(3), spread.shape))
        found = 80 + random.normal(size=size) * spread + random.normal(size=(size[0], 1, size[2]))
        yield found, random.random(size) < FAILS * (design.kind == "failing")


def rates(design: Design, number: int = TABLES, seed: int = 0) -> Rates:
    """What becomes of so many tables of this design."""
    counts = np.zeros(5)
    for scores, failed in tables(design, number, seed):
        equal = AllPairs(np.where(failed, 10.0, _in_steps(scores)))
        counts[0] += (~equal.better.any(axis=(1, 2))).sum()
        counts[1] += equal.of_bests(equal.better).any(axis=1).sum()
        near, far = scores.copy(), scores.copy()
        # The first row stays, and all but it are worse: so that it is known which is the best.
        near[:, 1:] -= MARGIN
        counts[2] += AllPairs(near).equivalent[:, 0, 1:].any(axis=1).sum()
        far[:, 1] -= GAP
        apart = AllPairs(_in_steps(far))
        counts[3] += apart.of_bests(apart.better)[:, 1].sum()
        counts[4] += _told_before(apart).sum()
    return Rates(*(counts / number).tolist())


def _in_steps(scores: Scores) -> Scores:
    """Accuracies of a test set of 360 images."""
    return np.round(scores / STEP) * STEP


def _told_before(apart: AllPairs) -> NDArray[np.bool_]:
    """By table, whether its second row was told from the best."""
    k, n = apart.scores.shape[1:]
    best = np.take_along_axis(apart.scores, apart.bests[:, None, None], axis=1)[:, 0]
    found = best - apart.scores[:, 1]
    spread, limit = found.std(axis=1, ddof=1), float(stats.t.ppf(1 - 0.05 / (2 * (k - 1)), n - 1))
    told: NDArray[np.bool_] = (spread > 1e-9) & (found.mean(axis=1) > limit * spread / n**0.5)
    return told


KINDS = ("equal", "unequal", "one louder", "failing")
DESIGNS = [Design(k, n, kind) for kind, k, n in product(KINDS, (9, 20, 30), (3, 5, 10))]


def section(found: dict[Design, Rates], number: int) -> str:
    """The Markdown between the markers."""
    lines = [
        f"{number:,} tables of each design; percent of tables.",
        "",
        "| methods | seeds | standard deviations | all intervals hold | wrong “no” | wrong “equivalent” "
        "| told apart | told apart by each pair alone |",
        "|---|---|---|---|---|---|---|---|",
    ]
    names = {
        "equal": "equal",
        "unequal": "unequal, 0.3 to 3",
        "one louder": "0.3, of one method 3",
        "failing": f"unequal, {FAILS:.0%} of seeds fail",
    }
    for design, rate in found.items():
        cells = (f"{100 * value:.1f}" for value in rate)
        lines.append(f"| {design.k} | {design.n} | {names[design.kind]} | {' | '.join(cells)} |")
    lines += [
        "",
        "Wrong “no”: of equal methods any is told from the best. Wrong “equivalent”: of methods "
        f"{MARGIN:g} point worse than the best any is called as good. Told apart: one method is {GAP:g} "
        "points worse than the others, and is told from the best; in the last column by a paired t-test of "
        "each row's own differences, Bonferroni over the rows, as earlier versions had it.",
    ]
    return "\n".join([BEGIN, "", *lines, "", END])


def main() -> None:
    """Write the section of docs/tables.md."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else TABLES
    found = {design: rates(design, number) for design in DESIGNS}
    text = PAGE.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN)], text[text.index(END) + len(END) :]
    PAGE.write_text(before + section(found, number) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
