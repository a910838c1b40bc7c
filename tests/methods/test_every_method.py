"""Every shipped method keeps every law, or declares which it breaks; no declaration is idle."""

import statistics

import pytest

from bench import registry
from bench.conformance import Case, check

FOUND = registry.load()


@pytest.mark.parametrize(
    "name", [n for n, e in FOUND.methods.items() if not registry.missing_packages(e.item)]
)
def test_conforms(name):
    verdicts = list(check(Case(FOUND.method(name).item, FOUND, "aot_eager")))
    assert {v.law: v.detail for v in verdicts if v.outcome == "broken"} == {}
    idle = [v.law for v in verdicts if v.outcome == "holds" and v.detail.startswith("although")]
    # Whether 20 steps of random spikes, or of rare NaN, go well is luck: of the split, and of the machine.
    assert set(idle) <= {"training"}


def test_nothing_shipped_fails_to_load():
    assert FOUND.broken == []


def test_a_method_is_a_short_file():
    files = {entry.file for entry in FOUND.methods.values()}
    lines = [len(file.read_text(encoding="utf-8").splitlines()) for file in files]
    assert statistics.median(lines) < 60
