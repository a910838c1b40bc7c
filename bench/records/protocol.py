"""The protocol: all that decides a number beside method, data set and network, under one version.

A result says which version it was made with. Results of two versions are never averaged or compared, and a
plan repeats those of another version. What is no number (a comment, a name, a message, speed) is no part of
it. docs/protocol.md says when to raise the version; tests/bench/records/test_protocol.py notices where that
is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import metadata

HISTORY = {
    1: "The first with a number. Momentum (SGD) and beta1 (AdamW) are the recipe's and torch's own "
    "throughout: one-cycle, which moved them with the learning rate before, moves the rate alone.",
}
"""What changed with each version, the newest last."""
VERSION = max(HISTORY)
"""Raise it, by a line in HISTORY, with every change after which a training gives another number."""

APART = ("torch",)
"""Libraries that all numbers depend on: results of two of their minor versions are rows of their own."""


def harness() -> str:
    """The harness in the digests of a record."""
    return f"protocol {VERSION}"


def installed() -> dict[str, str]:
    """The versions of these libraries, major.minor.patch, by name."""
    return {name: _release(name) for name in APART}


@cache
def libraries() -> str:
    """The libraries in the digests of a record: `torch 2.14`. A patch release is taken for the same."""
    return ", ".join(f"{name} {'.'.join(release.split('.')[:2])}" for name, release in installed().items())


@cache
def releases(packages: tuple[str, ...]) -> Mapping[str, str]:
    """The installed versions, major.minor.patch, of the packages that a method calls, by their names.

    A package that is not installed is left out: then the method cannot be used.
    """
    known = {name: _release(name.partition(".")[0]) for name in packages}
    return {name: release for name, release in known.items() if release}


def _release(package: str) -> str:
    """The public version of what is imported by this name, without the build (`+cpu`); "" if not known."""
    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        # It is distributed under another name, as sklearn is. To find that takes longer.
        names = metadata.packages_distributions().get(package, [])
        found = metadata.version(names[0]) if names else ""
    return found.partition("+")[0]
