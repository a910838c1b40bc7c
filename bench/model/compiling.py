"""Compiled training: the T steps of each neuron as one kernel, or the whole network as a few.

    neuron   `SpikingNeuron.unroll`, one graph forward and one backward, with symbolic batch and neurons:
             a network needs two or three of them, whatever its depth
    step     the network's forward and backward passes, neurons included, for one batch size

Compiled and eager training share their source. Compiled code runs in training mode only, without observers;
evaluation and all probes are eager. Noise is drawn outside a compiled neuron, because compiled generators
draw other numbers.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from bench.model import compile_check
from bench.model.backbone import Network
from bench.model.copying import copied
from bench.model.neuron import SpikingNeuron
from bench.model.precision import FULL, Precision
from bench.randomness import drawing_from
from bench.surrogate import Surrogate, overrides

CompileMode = Literal["off", "neuron", "step"]
RECOMPILES = 64
"""Graphs of one function before the compiler gives up: layers differ in dimensions, dtype and method."""

COMPILERS = ("torch._dynamo", "torch._functorch", "torch._inductor", "torch.fx")
"""Modules that define the compiler's own errors."""


def compiler_missing(device: str) -> str:
    """Why nothing can be compiled for this device here; empty if it can."""
    named = os.environ.get("CXX", "")
    if not any(shutil.which(name) for name in (named, "g++", "clang++", "c++") if name):
        return "no C++ compiler found: install g++ or clang++, or name one in CXX"
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        return "the package triton is not installed, which GPU code is compiled with"
    return ""


def suited(mode: CompileMode, kind: type[Surrogate]) -> CompileMode:
    """The compile mode that a method of this class gets when `mode` is requested.

    Networks without spikes have no neuron to compile. Noise is drawn between neurons, which breaks the
    whole-network graph.
    """
    if mode == "neuron" and kind.activation is not None:
        return "off"
    return "neuron" if mode == "step" and overrides(kind, "noise") else mode


def install(network: Network, mode: CompileMode, batch_size: int) -> str:
    """Train this network compiled from now on; returns why it cannot be compiled, or "".

    Compilation starts with the first batch. Under "step", batches of another size, such as the last of an
    epoch, stay eager, because each size would be compiled separately. "off" undoes it all.
    """
    _remove(network)
    mode = suited(mode, type(network.surrogates[0]))
    if mode == "off":
        return ""
    if missing := compiler_missing(next(network.parameters()).device.type):
        return missing
    configure()
    if mode == "neuron":
        loop = compiled_loop()
        for neuron in network.neurons:
            neuron.compiled = loop
    else:
        whole = torch.compile(Network.over_time, dynamic=False)

        def over_time(network: Network, x: Tensor) -> Tensor:
            result: Tensor = whole(network, x) if len(x) == batch_size else network.over_time(x)
            return result

        network.compiled = over_time
    return ""


def prepare(
    network: Network,
    mode: CompileMode,
    x: Tensor,
    y: Tensor,
    loss: Callable[[Network, Tensor, Tensor], Tensor],
    precision: Precision = FULL,
) -> tuple[float, str]:
    """Compile for a training run on such batches; returns the seconds taken, and why it failed, or "".

    x, y: a batch, as the network takes it.
    loss(network, x, y): the training loss.

    Copies of the network process the batch once, so the training itself has not started. Compiled code is
    only used if it computes what eager code does: see `bench.model.compile_check`. Otherwise the network
    stays eager.
    """
    began = time.perf_counter()
    twin = copied(network).train()
    problem = install(twin, mode, len(x))
    if not problem and is_compiled(twin):
        try:
            for surrogate in twin.surrogates:
                surrogate.on_epoch(0.0)
            _check(twin, x, y, loss, precision)
            problem = install(network, mode, len(x))
        except Exception as raised:
            problem = _sentence(raised)
    return time.perf_counter() - began, problem


def _check(
    network: Network,
    x: Tensor,
    y: Tensor,
    loss: Callable[[Network, Tensor, Tensor], Tensor],
    precision: Precision,
) -> None:
    """Compile the network on a batch and compare it with its eager version. Raises Differs if they differ."""
    if network.compiled is None:
        with compile_check.check_neurons(network), precision.forward():
            loss(network, x, y)
        return
    eager = copied(network)
    for each in (network, eager):
        with drawing_from(0, x.device), precision.forward():
            found = loss(each, x, y)
        precision.backward(found)
    compile_check.check_whole(network, eager)


def is_compiled(network: Network) -> bool:
    """Whether its training runs compiled, as a whole or neuron by neuron."""
    return network.compiled is not None or any(neuron.compiled for neuron in network.neurons)


def gave_up(problem: BaseException | None) -> bool:
    """Whether the compiler itself failed, and not the code that it compiled."""
    while problem is not None:
        if type(problem).__module__.startswith(COMPILERS):
            return True
        problem = problem.__cause__
    return False


def give_up(network: Network, problem: Exception) -> str:
    """Train eagerly from now on; returns a sentence that says why."""
    _remove(network)
    return f"given up during the training, which went on eager: {_sentence(problem)}"


@contextmanager
def eager(network: Network) -> Iterator[None]:
    """Temporarily disable compiled code."""
    parts = (network, *network.neurons)
    before = [part.compiled for part in parts]
    _remove(network)
    try:
        yield
    finally:
        for part, compiled in zip(parts, before, strict=True):
            part.compiled = compiled


def _remove(network: Network) -> None:
    network.compiled = None
    for neuron in network.neurons:
        neuron.compiled = None


def compiled_loop() -> Callable[[SpikingNeuron, Tensor, Tensor | None], Tensor]:
    """`SpikingNeuron.unroll`, compiled at its first call; for `SpikingNeuron.compiled`."""
    loop: Callable[[SpikingNeuron, Tensor, Tensor | None], Tensor] = torch.compile(
        SpikingNeuron.unroll, fullgraph=True, dynamic=True
    )
    return loop


def configure() -> None:
    """Configure the compiler for this process."""
    import torch._functorch.config
    import torch._inductor
    from torch.fx.experimental import _config as symbols

    # A method's parameters are constants, not inputs: autograd functions cannot take them as symbols.
    torch._dynamo.config.specialize_float = True
    torch._dynamo.config.recompile_limit = RECOMPILES
    # Under "step", recompute what norm and neuron make of a convolution's result in the backward pass, in
    # kernels that read that result anyway, instead of storing it. Any budget under 1 does that, and
    # recomputes no convolution.
    torch._functorch.config.activation_memory_budget = 0.99
    # A batch size that equals a layer's width is a coincidence; do not compile it into the graph.
    symbols.use_duck_shape = False
    # The compiler reads the gradient of every input, and torch warns that few have one.
    warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
    # Functions that draw random numbers must draw the same as uncompiled.
    torch._inductor.config.fallback_random = True


def _sentence(problem: Exception) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    if isinstance(problem, compile_check.Differs):
        return f"compiled code was wrong and is not used: {problem}"
    return f"{type(problem).__name__}: {lines[0] if lines else 'no reason given'}"
