"""Compiled training: the T steps of each neuron as one kernel, or the whole network as a few.

    neuron   `SpikingNeuron.unroll`, one graph forward and one backward, of symbolic batch and neurons: a
             network needs two or three of them, whatever its depth
    step     the network's forward and backward passes, neurons in them, for one size of batch

The source is that of eager training. What is compiled runs in training mode alone, without observers;
evaluation and all looks are eager. Noise is drawn outside of a compiled neuron, since compiled generators
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
"""Graphs of one function, before the compiler gives up: layers differ in dimensions, dtype and method."""

COMPILERS = ("torch._dynamo", "torch._functorch", "torch._inductor", "torch.fx")
"""Where the compiler's own errors are defined."""


def compiler_missing(device: str) -> str:
    """Why nothing can be compiled for this device here; empty where it can."""
    named = os.environ.get("CXX", "")
    if not any(shutil.which(name) for name in (named, "g++", "clang++", "c++") if name):
        return "no C++ compiler found: install g++ or clang++, or name one in CXX"
    if device == "cuda" and importlib.util.find_spec("triton") is None:
        return "the package triton is not installed, which GPU code is compiled with"
    return ""


def suited(mode: CompileMode, kind: type[Surrogate]) -> CompileMode:
    """The mode that a method of this class gets where this one is asked for.

    Without spikes there is no neuron; noise is drawn between the neurons, which breaks the whole apart.
    """
    if mode == "neuron" and kind.activation is not None:
        return "off"
    return "neuron" if mode == "step" and overrides(kind, "noise") else mode


def install(network: Network, mode: CompileMode, batch_size: int) -> str:
    """Train this network compiled from now on; why it cannot be, or "".

    Nothing is compiled before the first batch. Under "step" batches of another size stay eager, as the last
    of an epoch: each size would be compiled anew. "off" undoes it all.
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
    """Compile for a training on such batches: the seconds that it took, and why it could not be done, or "".

    x, y: a batch, as the network takes it. loss(network, x, y): what is trained on. Copies of the network go
    through the batch once, so that nothing of the training has happened yet, and what is compiled is
    believed only where it computes what eager code does: see `bench.model.compile_check`. Else the network
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
    """Compile the network on a batch, and compare it with its eager self. Raises Differs."""
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
    """Whether it was the compiler that failed, and not what it was given to compile."""
    while problem is not None:
        if type(problem).__module__.startswith(COMPILERS):
            return True
        problem = problem.__cause__
    return False


def give_up(network: Network, problem: Exception) -> str:
    """Train eager from now on; the sentence on why."""
    _remove(network)
    return f"given up during the training, which went on eager: {_sentence(problem)}"


@contextmanager
def eager(network: Network) -> Iterator[None]:
    """Compute without what was compiled for a while."""
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
    """`SpikingNeuron.unroll`, to be compiled as it is called; for `SpikingNeuron.compiled`."""
    loop: Callable[[SpikingNeuron, Tensor, Tensor | None], Tensor] = torch.compile(
        SpikingNeuron.unroll, fullgraph=True, dynamic=True
    )
    return loop


def configure() -> None:
    """Set the compiler up for this process."""
    import torch._functorch.config
    import torch._inductor
    from torch.fx.experimental import _config as symbols

    # Parameters are constants of a method, not inputs: as symbols, autograd functions cannot take them.
    torch._dynamo.config.specialize_float = True
    torch._dynamo.config.recompile_limit = RECOMPILES
    # Under "step" what norm and neuron make of a convolution's result is computed again on the way back, in
    # kernels that read it anyway, and not kept: any share under 1 does that, and repeats no convolution.
    torch._functorch.config.activation_memory_budget = 0.99
    # A batch as large as a layer is wide is a coincidence, not a law to compile by.
    symbols.use_duck_shape = False
    # The compiler asks every input for its gradient, and is warned that few have one.
    warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")
    # Functions that draw by themselves draw what they would draw without being compiled.
    torch._inductor.config.fallback_random = True


def _sentence(problem: Exception) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    if isinstance(problem, compile_check.Differs):
        return f"compiled code was wrong and is not used: {problem}"
    return f"{type(problem).__name__}: {lines[0] if lines else 'no reason given'}"
