"""The plugin files, loaded by path as the registry does, and networks of one block under a method."""

import importlib.util
from functools import cache
from pathlib import Path

import pytest

from bench.layers import Layers, NeuronOptions

METHODS = Path(__file__).parents[2] / "methods"


@cache
def load(stem):
    """The module methods/STEM.py."""
    spec = importlib.util.spec_from_file_location(f"plugin_{stem}", METHODS / f"{stem}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def plugin():
    """plugin("mpd_agl") -> the methods declared in methods/mpd_agl.py, by name."""

    def declared(stem):
        own = [o for o in vars(load(stem)).values() if getattr(o, "__module__", "") == f"plugin_{stem}"]
        return {m.name: m for o in own for m in vars(o).get("declared", ())}

    return declared


@pytest.fixture(scope="session")
def layers_under():
    """layers_under(method, values, **options) -> Layers whose spiking layers run this method."""

    def make(method, values=None, timesteps=4, **options):
        return Layers(
            "net",
            lambda site: method.build(site, values or {}),
            NeuronOptions(**options),
            timesteps=timesteps,
        )

    return make
