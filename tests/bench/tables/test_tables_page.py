"""docs/tables.md has a line for every column of every table."""

import re
from pathlib import Path

import pytest

from bench.measures import gradients
from bench.tables import columns
from bench.tables.results import Results

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "tables.md").read_text(encoding="utf-8")
TABLES = Results([]).tables


def named(heading):
    """The columns that the first cells below a heading name, in full: `_x` replaces the end of the first."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = set()
    for cell in re.findall(r"^\| (`.*?) \|", section, re.M):
        first, *more = re.findall(r"`([^`]+)`", cell)
        found |= {first, *(name for name in more if not name.startswith("_"))}
        ends = [match.start() for match in re.finditer("_", first)]
        for end in (name for name in more if name.startswith("_")):
            found |= {first[:at] + end for at in [*ends, len(first)]}
    return found


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_column_has_a_line(table):
    told = named(f"{table}.csv")
    beginning = PAGE.split("\n## ")[0]
    assert all(f"`{name}`" in beginning for name in (*columns.KEY, *columns.DECLARED))
    own = [name for name in TABLES[table] if name not in (*columns.KEY, *columns.DECLARED)]
    missing = [name for name in own if not {name, *stems(name)} & told]
    assert missing == []


def stems(name):
    """What a column is called on the page, which says once what these endings mean."""
    stem = re.sub(r"_(mean|sd)$|_delta(_ci_low|_ci_high)?$", "", name)
    return {stem, stem.removesuffix("_before"), stem.removesuffix("_before").replace("gain_random", "gain")}


def test_every_column_of_the_layers_has_a_line():
    assert sorted(set(gradients.COLUMNS) - named("Records") - {"gain_rms"}) == []
    assert "`gain_rms`" in PAGE


def test_the_endings_are_told():
    for ending in ("`_mean`", "`_sd`", "`_before`", "`…_delta`", "`_delta_ci_low`", "`_delta_ci_high`"):
        assert ending in PAGE
    assert "`descent_gain_random_…`" in PAGE
