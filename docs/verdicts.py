"""Simulates tables of methods known to be equal, or not, and writes to docs/tables.md what verdicts say.

`python docs/verdicts.py`: 20,000 tables of each design, some ten minutes on two cores.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from bench.all_pairs import MARGIN, AllPairs

PAGE = Path(__file__).parent / "tables.md"
BEGIN, END = "<!-- verdicts: begin -->", "<!-- verdicts: end -->"
TABLES = 20_000
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


def tables(design: Design, number: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Scores [k, n] of equal methods: normal, seeds shared by all rows move all alike, in steps of STEP.

    Standard deviations are 1, or drawn log-uniformly between 0.3 and 3, a factor of 10.
    """
    random = np.random.default_rng([seed, design.k, design.n, *design.kind.encode()])
    for _ in range(number):
        spread = np.ones(design.k)
        if design.kind != "equal":
            spread = np.exp(random.uniform(np.log(0.3), np.log(3), design.k))
        found = 80 + random.normal(size=(design.k, design.n)) * spread[:, None]
        found += random.normal(size=design.n)
        yield found, random.random((design.k, design.n)) < FAILS * (design.kind == "failing")


def rates(design: Design, number: int = TABLES, seed: int = 0) -> Rates:
    """What becomes of so many tables of this design."""
    counts = np.zeros(5)
    for scores, failed in tables(design, number, seed):
        equal = AllPairs(np.where(failed, 10.0, np.round(scores / STEP) * STEP))
        counts[0] += not equal.better.any()
        counts[1] += equal.better[equal.best].any()
        near, far = scores.copy(), scores.copy()
        # The first row stays, and all but it are worse: so that it is known which is the best.
        near[1:] -= MARGIN
        close = AllPairs(near)
        counts[2] += close.equivalent[0, 1:].any()
        far[1] -= GAP
        apart = AllPairs(np.round(far / STEP) * STEP)
        counts[3] += apart.better[apart.best, 1]
        counts[4] += _told_before(apart.scores, apart.best)
    return Rates(*(counts / number).tolist())


def _told_before(scores: NDArray[np.float64], best: int) -> bool:
    k, n = scores.shape
    found = scores[best] - scores[1]
    spread = float(found.std(ddof=1))
    limit = float(stats.t.ppf(1 - 0.05 / (2 * (k - 1)), n - 1))
    return best != 1 and spread > 0 and float(found.mean()) > limit * spread / n**0.5


DESIGNS = [
    Design(k, n, kind) for kind, k, n in product(("equal", "unequal", "failing"), (9, 20, 30), (3, 5, 10))
]


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
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(DESIGNS, pool.map(rates, DESIGNS, [number] * len(DESIGNS)), strict=True))
    text = PAGE.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN)], text[text.index(END) + len(END) :]
    PAGE.write_text(before + section(found, number) + after, encoding="utf-8")


if __name__ == "__main__":
    main()
