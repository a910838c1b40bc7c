"""The protocol: everything that affects results other than method, dataset and network, under one version.

Each result names the version it was made with. Results of two versions are never averaged or compared, and a
plan reruns those of another version. The protocol covers numbers only, not comments, names, messages or
speed. docs/protocol.md says when to raise the version; tests/bench/records/test_protocol.py fails if that is
due.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import metadata

HISTORY = {
    1: "The first with a number. Momentum (SGD) and beta1 (AdamW) are the recipe's and torch's own "
    "throughout: one-cycle, which moved them with the learning rate before, moves the rate alone.",
}
"""The changes in each version, newest last."""
VERSION = max(HISTORY)
"""Raise it, by adding a line to HISTORY, with every change that alters the numbers of a training run."""

APART = ("torch",)
"""Libraries that all numbers depend on: results of two of their minor versions are separate rows."""


def harness() -> str:
    """The entry for the harness in a record's digests."""
    return f"protocol {VERSION}"


def installed() -> dict[str, str]:
    """The versions of these libraries, major.minor.patch, by name."""
    return {name: _release(name) for name in APART}


@cache
def libraries() -> str:
    """The entry for libraries in a record's digests: `torch 2.14`. Patch releases count as the same."""
    return ", ".join(f"{name} {'.'.join(release.split('.')[:2])}" for name, release in installed().items())


@cache
def releases(packages: tuple[str, ...]) -> Mapping[str, str]:
    """The installed versions, major.minor.patch, of the packages that a method calls, by name.

    Packages that are not installed are left out: the method cannot be used then.
    """
    known = {name: _release(name.partition(".")[0]) for name in packages}
    return {name: release for name, release in known.items() if release}


def _release(package: str) -> str:
    """The public version of an importable package, without the build (`+cpu`); "" if unknown."""
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        # The distribution has another name, as for sklearn. This look-up takes longer.
        names = metadata.packages_distributions().get(package, [])
        found = metadata.version(names[0]) if names else ""
    return found.partition("+")[0]
