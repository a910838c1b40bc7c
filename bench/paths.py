"""Paths of shipped files and of the user's own."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CHECKOUT = None if (PACKAGE / "plugins").is_dir() else PACKAGE.parent
"""The root of the checkout that this code runs from; None in an installed wheel."""


LAYERS = "layers"
"""Takes the place of a suite name in paths of neuron-layer timings."""
TRIALS = ".tune"
"""Ends the name of the folder that holds a suite's tuning trials, in place of a suite's name."""
PLUGINS = "plugins"
"""Takes the place of a run id in paths of plugin files."""


def plugin_folder(kind: str) -> Path:
    """The shipped folder `methods` or `datasets`: at the root of a checkout, inside a wheel."""
    return (CHECKOUT or PACKAGE / "plugins") / kind


def shipped_leaderboard(suite: str) -> Path:
    """The folder of the shipped leaderboard of a suite; it need not exist."""
    root = CHECKOUT / "results" if CHECKOUT else PACKAGE / "plugins"
    return root / "leaderboards" / suite


def published_accuracies() -> Path:
    """The shipped file of accuracies reported in papers."""
    root = CHECKOUT / "results" if CHECKOUT else PACKAGE / "plugins"
    return root / "published" / "accuracy.csv"


def shipped_widths() -> Path:
    """The shipped measurements of widths; see `bench.tables.widths`."""
    root = CHECKOUT / "results" if CHECKOUT else PACKAGE / "plugins"
    return root / "leaderboards" / "widths.csv"


def suites_folder() -> Path:
    """The folder of the shipped suites."""
    return PACKAGE / "suites"


def default_results() -> Path:
    """results/local in the current folder; never the shipped results."""
    return Path("results") / "local"


def cache_folder() -> Path:
    """SPIKEGRAD_CACHE, otherwise ~/.cache/spikegrad."""
    return Path(os.environ.get("SPIKEGRAD_CACHE") or Path.home() / ".cache" / "spikegrad")


def data_root(given: Path | None) -> Path:
    """--data-root, otherwise SPIKEGRAD_DATA, otherwise ~/.cache/spikegrad."""
    if given is not None:
        return given
    return Path(os.environ.get("SPIKEGRAD_DATA") or Path.home() / ".cache" / "spikegrad")
