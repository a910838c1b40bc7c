"""Our networks in compiled form, as `bench.model.compiling` makes them for training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import get_args

import torch

from bench.model import compiling
from bench.model.backbone import Network
from bench.model.compiling import CompileMode as Mode
from bench.model.neuron import SpikingNeuron

MODES: tuple[Mode, ...] = get_args(Mode)


def compiled(network: Network, mode: Mode, batch: int) -> Network:
    """The same network, compiled when it is first trained on; to be called under `settings`.

    Networks of peers too: under "step" their forward and backward pass is compiled as ours is.
    """
    problem = compiling.install(network, mode, batch)
    assert problem == "", problem
    return network


def compile_neurons(neurons: Iterable[SpikingNeuron]) -> None:
    """Compile their loop over the T steps, under `settings` too."""
    compiling.configure()
    loop = compiling.compiled_loop()
    for neuron in neurons:
        neuron.compiled = loop


@contextmanager
def settings() -> Iterator[None]:
    """What the compiler has made before and here is forgotten."""
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()
