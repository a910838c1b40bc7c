"""Which of our methods equals a library function, and at which parameters: declared there, measured here."""

from __future__ import annotations

from typing import Any

import torch

from bench.measures.single_layer import Probe
from bench.registry import Registry, missing_packages

REACH = 5.0
"""Derivatives are compared for |x| up to this. Beyond it some library functions overflow, even in float64."""


def conversions(registry: Registry) -> list[dict[str, Any]]:
    """One row for each method that declares a twin.

    difference: the largest difference between the two derivatives, as autograd delivers them in float64,
        relative to the largest value; None if there is no twin or the library is not installed.
    why: the reason, if none of our parameter values reproduces the library function.
    """
    rows = []
    for name, entry in registry.methods.items():
        twin = entry.item.twin
        if twin is None:
            continue
        installed = not missing_packages(entry.item)
        row = {"theirs": name, "ours": twin.method, "params": dict(twin.params), "why": twin.why}
        compared = difference(registry, name) if installed and twin.method else None
        rows.append({**row, "difference": compared, "installed": installed})
    return rows


def difference(registry: Registry, name: str) -> float:
    """How far a method's derivative is from its twin's, relative to the twin's largest value.

    Raises BenchError if the twin is not a known method, KeyError if `name` declares no twin.
    """
    theirs = registry.method(name).item
    twin = theirs.twin
    if twin is None:
        raise KeyError(name)
    # Avoid round numbers: at a kink the two may pick different sides.
    x = torch.linspace(-REACH, REACH, 4002, dtype=torch.float64)
    ours = Probe(registry.method(twin.method).item, twin.params).eval().gradient(x)
    reference = Probe(theirs).eval().gradient(x)
    return ((ours - reference).abs().max() / reference.abs().max()).item()
