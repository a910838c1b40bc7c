"""Benchmark of surrogate-gradient methods for spiking neural networks.

    import bench
    frame = bench.run("quick")
    frame = bench.leaderboard("quick")
    layer = bench.neuron("mpd-agl", timesteps=4, norm=norm)

Importing this package imports neither torch nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import leaderboard, run
    from bench.errors import BenchError
    from bench.loop import MethodHooks, neuron, spike_grad, surrogate_function
    from bench.measures.any_network import probe

__version__ = "0.1.0"
__all__ = [
    "BenchError",
    "MethodHooks",
    "leaderboard",
    "neuron",
    "probe",
    "run",
    "spike_grad",
    "surrogate_function",
]
PLACES = {
    "BenchError": "bench.errors",
    "leaderboard": "bench.api",
    "run": "bench.api",
    "probe": "bench.measures.any_network",
}
"""The modules of the names above; the others are in bench.loop."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(PLACES.get(name, "bench.loop")), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
