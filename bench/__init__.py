"""Benchmark of surrogate-gradient methods for spiking neural networks.

    import bench
    frame = bench.run("quick")
    frame = bench.leaderboard("quick")

Importing this package imports neither torch nor pandas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import leaderboard, run

__version__ = "0.1.0"
__all__ = ["leaderboard", "run"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from bench import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
