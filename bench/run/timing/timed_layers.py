"""One neuron layer and nothing else, ready to be timed: of a method, or of another library.

Shapes: currents [T, B, N] for N neurons; normal around 0, their spread the threshold, as tdBN makes them.
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
    """A layer with its input and the gradient that comes from above, which is 1 everywhere.

    forward, backward and step are what is timed; `clear` and `before_backward` get ready, untimed. All of
    them wait for the device. neuron: of what kind it is. compile_s: seconds that compiling took.
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
        """Take this compiled form of `run`, and compile it by calling it, there and back."""
        self.run = run
        with _afresh():
            began = time.perf_counter()
            # What keeps a state between calls is compiled again at the second.
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
        """The T steps, kept for a backward pass, as in training."""
        self.out = self.run(self.current)
        self._wait()

    def before_backward(self) -> None:
        """A new forward pass."""
        self.clear()
        self.forward()

    def backward(self) -> None:
        """The gradients of currents and parameters; with them that of a loss which the method adds."""
        assert self.out is not None
        added = self.penalty()
        if added is None:
            self.out.backward(self.upstream)
        else:
            torch.autograd.backward([self.out, added], [self.upstream, torch.ones_like(added)])
        self._wait()

    def step(self) -> None:
        """There and back; there only, where the output has no gradient."""
        self.forward()
        if self.learns:
            self.backward()

    @property
    def learns(self) -> bool:
        """Whether the last forward pass left anything to go back through."""
        return self.out is not None and self.out.requires_grad

    def _wait(self) -> None:
        if self.current.device.type == "cuda":
            torch.cuda.synchronize(self.current.device)


def of_method(method: Method, size: Size, device: torch.device, *, compiled: bool = False) -> TimedLayer:
    """The layer of a method at its defaults: LIF neurons, or PLIF for a method that needs them.

    A tdBN whose state a method may read stands before it, and is not run.
    Raises BenchError where the method refuses both, and whatever it raises.
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
            # Noise is drawn outside of what is compiled.
            noise = () if activation is not None else (surrogate.noise(current.shape, current),)
            out: Tensor = loop(current, *noise)
            return out

        layer.compile(run)
    return layer


def of_peer(name: str, size: Size, device: torch.device, *, compiled: bool = False) -> TimedLayer:
    """The layer of another library, at that library's defaults; a neuron with other equations than ours."""
    cell = PEERS[name].make().to(device)
    layer = TimedLayer(cell, _loop(cell, PEERS[name].start), size, device, neuron="other")
    if compiled:
        layer.compile(_compiled(layer.run, whole=False))
    return layer


class Peer(NamedTuple):
    """A neuron of another library: its package, how it is made, and from a step's current its first state."""

    package: str
    make: Callable[[], nn.Module]
    start: Callable[[Tensor], Tensor | None] = lambda current: None


def _leaky() -> nn.Module:
    import snntorch

    # beta has no default there: our own decay.
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
"""All are (input, state) -> (spikes, state) for one step. LIFCell has a synaptic current beside the
potential; LIFBoxCell, like Leaky and ours, has not."""


def peers() -> list[str]:
    """Those whose library is installed."""
    return [name for name, peer in PEERS.items() if importlib.util.find_spec(peer.package)]


def warm_compiler() -> None:
    """Compile something small: what the compiler does once in a process is nobody's compile time."""
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
    """To be called for the first time under `_afresh`."""
    torch._dynamo.reset()
    made: Callable[..., Any] = torch.compile(function, fullgraph=whole, dynamic=False, backend=COMPILER)
    return made


@contextmanager
def _afresh() -> Iterator[None]:
    """Compile as if it were the first time: what was kept on disk would take no time."""
    import torch._inductor

    # Parameters are constants of a method, not inputs: as symbols, autograd functions cannot take them.
    with (
        warnings.catch_warnings(),
        torch._dynamo.config.patch(specialize_float=True),
        torch._inductor.config.patch(force_disable_caches=True),
    ):
        warnings.filterwarnings("ignore", message="dynamo_pgo force disabled")
        yield
