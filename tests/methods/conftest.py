"""The plugin files as the registry has loaded them, and networks of one block under a method."""

from pathlib import Path

import pytest

from bench import registry
from bench.model.layers import Layers, NeuronOptions
from bench.records import code_identity

METHODS = Path(__file__).parents[2] / "methods"


def load(stem):
    """The module methods/STEM.py."""
    file = METHODS / f"{stem}.py"
    return registry._import(file, code_identity.read(file).digest)


@pytest.fixture(scope="session")
def plugin():
    """plugin("mpd_agl") -> the methods declared in methods/mpd_agl.py, by name."""

    def declared(stem):
        return {found.name: found for found, _ in registry._declarations(load(stem))}

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
