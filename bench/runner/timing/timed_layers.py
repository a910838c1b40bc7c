"""A single neuron layer to time, of a method or of another library.

Shapes: currents [T, B, N] for N neurons, normal with mean 0 and the threshold as standard deviation, as tdBN
makes them.
"""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn

from bench.errors import BenchError
from bench.model.layers import Layers, NeuronOptions
from bench.model.neuron import NeuronKind, SpikingNeuron
from bench.surrogate import REFERENCE_THRESHOLD, Method

COMPILER = "inductor"
OverTime = Callable[[Tensor], Tensor]


class Size(NamedTuple):
    """Time steps, samples and neurons of a layer."""

    timesteps: int
    batch: int
    units: int


class TimedLayer:
    """A layer with its input and its upstream gradient, which is 1 everywhere.

    `forward`, `backward` and `step` are timed; `clear` and `before_backward` prepare them, untimed. All of
    them synchronise the device. neuron: the kind of neuron. compile_s: seconds of compilation.
    """

    def __init__(
        self,
        module: nn.Module,
        run: OverTime,
        size: Size,
        device: torch.device,
        *,
        neuron: str,
        penalty: Callable[[], Tensor | None] = lambda: None,
    ) -> None:
        self.module = module
        self.run = run
        self.neuron = neuron
        self.penalty = penalty
        self.compile_s = 0.0
        generator = torch.Generator().manual_seed(0)
        normal = torch.randn(size, generator=generator) * REFERENCE_THRESHOLD
        self.current = normal.to(device).requires_grad_()
        self.upstream = torch.ones_like(self.current, requires_grad=False)
        self.out: Tensor | None = None

    def compile(self, run: OverTime) -> None:
        """Use this compiled form of `run`, and compile it by calling it, forward and backward."""
        self.run = run
        with _afresh():
            began = time.perf_counter()
            # Layers that keep state between calls are compiled again at the second call.
            for _ in range(2):
                self.clear()
                self.step()
            self.compile_s = time.perf_counter() - began

    def clear(self) -> None:
        """Forget the last pass, so that freeing it is not timed."""
        self.out = self.current.grad = None
        for parameter in self.module.parameters():
            parameter.grad = None
        self._wait()

    def forward(self) -> None:
        """The T steps, kept for the backward pass, as in training."""
        self.out = self.run(self.current)
        self._wait()

    def before_backward(self) -> None:
        """Run a new forward pass."""
        self.clear()
        self.forward()

    def backward(self) -> None:
        """The gradients of currents and parameters, including that of a loss that the method adds."""
        assert self.out is not None
        added = self.penalty()
        if added is None:
            self.out.backward(self.upstream)
        else:
            torch.autograd.backward([self.out, added], [self.upstream, torch.ones_like(added)])
        self._wait()

    def step(self) -> None:
        """Forward and backward; only forward if the output has no gradient."""
        self.forward()
        if self.learns:
            self.backward()

    @property
    def learns(self) -> bool:
        """Whether the last forward pass has a gradient."""
        return self.out is not None and self.out.requires_grad

    def _wait(self) -> None:
        if self.current.device.type == "cuda":
            torch.cuda.synchronize(self.current.device)


def of_method(method: Method, size: Size, device: torch.device, *, compiled: bool = False) -> TimedLayer:
    """The layer of a method at its defaults: LIF neurons, or PLIF for a method that needs them.

    The layer has a tdBN, whose state a method can read; it is not run. Raises BenchError if the method
    refuses both kinds, and whatever the method raises.
    """
    neuron = _neuron(method, size).to(device).train()
    surrogate, activation = neuron.surrogate, method.surrogate.activation
    surrogate.on_epoch(0.0)

    def penalty() -> Tensor | None:
        return None if neuron.statistics is None else surrogate.penalty(neuron.statistics)

    kind = neuron.kind if activation is None else "activation"
    layer = TimedLayer(neuron, neuron, size, device, neuron=kind, penalty=penalty)
    if compiled:
        loop = _compiled(neuron.unroll if activation is None else activation)

        def run(current: Tensor) -> Tensor:
            # Noise is drawn outside the compiled function.
            noise = () if activation is not None else (surrogate.noise(current.shape, current),)
            out: Tensor = loop(current, *noise)
            return out

        layer.compile(run)
    return layer


def of_peer(name: str, size: Size, device: torch.device, *, compiled: bool = False) -> TimedLayer:
    """The layer of another library, at its defaults; its neuron has different equations from ours."""
    cell = PEERS[name].make().to(device)
    layer = TimedLayer(cell, _loop(cell, PEERS[name].start), size, device, neuron="other")
    if compiled:
        layer.compile(_compiled(layer.run, whole=False))
    return layer


class Peer(NamedTuple):
    """A neuron of another library.

    package: its package. make: makes the neuron. start: the first state, from the current of a step.
    """

    package: str
    make: Callable[[], nn.Module]
    start: Callable[[Tensor], Tensor | None] = lambda current: None


def _leaky() -> nn.Module:
    import snntorch

    # beta has no default in snnTorch: use our decay.
    made: nn.Module = snntorch.Leaky(beta=NeuronOptions().decay)
    return made


def _norse(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        import norse.torch

        made: nn.Module = getattr(norse.torch, name)()
        return made

    return make


PEERS: Mapping[str, Peer] = {
    "snntorch.Leaky": Peer("snntorch", _leaky, torch.zeros_like),
    "norse.LIFBoxCell": Peer("norse", _norse("LIFBoxCell")),
    "norse.LIFCell": Peer("norse", _norse("LIFCell")),
}
"""All are (input, state) -> (spikes, state) for one step. LIFCell has a synaptic current in addition to the
potential; LIFBoxCell, Leaky and our neuron do not."""


def peers() -> list[str]:
    """The peers whose library is installed."""
    return [name for name, peer in PEERS.items() if importlib.util.find_spec(peer.package)]


def warm_compiler() -> None:
    """Compile a small function, so that the compiler's one-time setup does not count for any layer."""
    x = torch.ones(4, requires_grad=True)
    with _afresh():
        _compiled(torch.sigmoid)(x).sum().backward()


def _neuron(method: Method, size: Size) -> SpikingNeuron:
    refusal: BenchError | None = None
    for kind in get_args(NeuronKind):
        layers = Layers(
            "layer",
            lambda site: method.build(site, {}),
            NeuronOptions(neuron=kind, threshold=REFERENCE_THRESHOLD),
            timesteps=size.timesteps,
        )
        try:
            return layers.spike("neurons", layers.norm(size.units))
        except BenchError as problem:
            refusal = refusal or problem
    assert refusal is not None
    raise refusal


def _loop(cell: nn.Module, start: Callable[[Tensor], Any]) -> OverTime:
    def over_time(current: Tensor) -> Tensor:
        state, out = start(current[0]), list[Tensor]()
        for i in current.unbind(0):
            spikes, state = cell(i, state)
            out.append(spikes)
        return torch.stack(out)

    return over_time


def _compiled(function: Callable[..., Any], *, whole: bool = True) -> Callable[..., Any]:
    """The compiled function; call it for the first time under `_afresh`."""
    torch._dynamo.reset()
    made: Callable[..., Any] = torch.compile(function, fullgraph=whole, dynamic=False, backend=COMPILER)
    return made


@contextmanager
def _afresh() -> Iterator[None]:
    """Compile as if for the first time, without the disk cache."""
    import torch._inductor

    # Parameters are constants of a method, not inputs: as symbols, autograd functions cannot take them.
    with (
        warnings.catch_warnings(),
        torch._dynamo.config.patch(specialize_float=True),
        torch._inductor.config.patch(force_disable_caches=True),
    ):
        warnings.filterwarnings("ignore", message="dynamo_pgo force disabled")
        yield
