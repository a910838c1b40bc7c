"""The benchmarks of each layer for pytest-benchmark: forward, backward, and both.

This file is not a test of the project: `bench.runner.timing.layer_session` runs it in a separate process,
with the plugin `CaseList` that provides the cases.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import ceil
from typing import Any

import pytest

from bench.runner.timing.timed_layers import TimedLayer

LEAST, MOST = 5, 1000
"""The fewest and the most rounds."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize by case, so that the three parts of a case run together."""
    cases = metafunc.config.pluginmanager.getplugin("cases").cases
    metafunc.parametrize("layer", cases, ids=str, indirect=True, scope="module")


@pytest.fixture(scope="module")
def layer(request: pytest.FixtureRequest) -> TimedLayer:
    """The layer of a case, compiled if the case asks for it, and warmed up."""
    found: TimedLayer = request.config.pluginmanager.getplugin("cases").layer(request.param)
    for _ in range(2):
        found.clear()
        found.step()
    return found


Timed = Callable[..., None]


@pytest.fixture
def timed(benchmark: Any, request: pytest.FixtureRequest, layer: TimedLayer) -> Timed:
    """timed(action, before): time the action as often as the time allows, and store what was timed."""
    cases = request.config.pluginmanager.getplugin("cases")

    def run(action: Callable[[], None], before: Callable[[], None]) -> None:
        part = request.node.originalname.removeprefix("test_")
        benchmark.extra_info.update(cases.describe(request.node.callspec.params["layer"], layer, part))
        # The parameters of a benchmark must be readable: numbers and names.
        benchmark.params = cases.plain(request.node.callspec.params["layer"])
        before()
        began = time.perf_counter()
        action()
        took = max(time.perf_counter() - began, 1e-6)
        rounds = min(MOST, max(LEAST, ceil(cases.seconds / took)))
        benchmark.pedantic(action, setup=before, rounds=rounds, iterations=1)

    return run


def test_forward(timed: Timed, layer: TimedLayer) -> None:
    """The T steps in training mode, which keeps what the backward pass needs."""
    timed(layer.forward, layer.clear)


def test_backward(timed: Timed, layer: TimedLayer) -> None:
    """The gradients of the currents and of the layer's parameters."""
    if not layer.learns:
        pytest.skip("no gradient")
    timed(layer.backward, layer.before_backward)


def test_step(timed: Timed, layer: TimedLayer) -> None:
    """Forward and backward."""
    timed(layer.step, layer.clear)
