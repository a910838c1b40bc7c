"""Methods of the benchmark in networks and training loops of your own.

`neuron` is a spiking layer of this project under any method. `spike_grad` and `surrogate_function` give a
method to the layers of snntorch and of SpikingJelly, under the name of the argument that takes it there.
`MethodHooks` calls what a method needs from the loop around it. docs/your-own-loop.md has complete examples.

    net = nn.Sequential(OverTime(nn.Linear(64, 128)), bench.neuron("triangle", timesteps=4), ...)
    hooks = bench.MethodHooks(net, epochs=20)

A network's layers need not share a method, and can be mixed with any other modules.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from bench.errors import BenchError, warn
from bench.model.backbone import Network
from bench.model.layers import SpikeBlock, TdBN
from bench.model.neuron import NeuronKind, Reset, SpikingNeuron, statistics_of
from bench.registry import load
from bench.surrogate import Method, Norm, SearchContext, Site, Statistics, Surrogate, overrides

SEARCH_BUDGET = 200
"""The most batches that a method's `search` can take before one epoch; also at most a tenth of the epoch."""
SEEDS = 2**40
BEYOND_THE_SPIKE = ("transform", "threshold", "carry", "emit")
"""Hooks that layers of other libraries have no place for."""


def neuron(
    method: str,
    *,
    timesteps: int,
    norm: nn.Module | None = None,
    neuron: NeuronKind = "lif",
    threshold: float = 0.5,
    decay: float = 0.2,
    reset: Reset = "zero",
    detach_reset: bool = False,
    plugins: Sequence[Path | str] = (),
    **params: float,
) -> SpikingNeuron:
    """A layer of LIF or PLIF neurons under a method: currents [T, B, ...] to spikes [T, B, ...].

    The dynamics are those of `bench.model.neuron`; currents of one step, [1, B, ...], count for every step.

    method: its name in `spikegrad list methods`. timesteps: T. norm: the batch normalisation that feeds the
    layer, with a weight and a bias [C]; methods such as mpd-agl read it. It stays a module of your network;
    the layer only looks at it. plugins: files with methods of your own. params: parameters of the method;
    those in units of the potential are yours, not scaled.

    The method's random numbers follow torch's global generator. Raises BenchError for an unknown method or
    parameter, and if the method needs something that the layer lacks.
    """
    _check_choice("neuron", neuron, get_args(NeuronKind))
    _check_choice("reset", reset, get_args(Reset))
    # A learned decay is sigmoid(w).
    _check_numbers(threshold=threshold, decay=decay, strictly=neuron == "plif")
    made = SpikingNeuron(
        neuron, threshold=threshold, decay=decay, reset=reset, detach_reset=detach_reset, timesteps=timesteps
    )
    made.surrogate = _built(method, made, _fed_by(norm, threshold), timesteps, plugins, params)
    made.register_forward_pre_hook(_check_length)
    return made


def spike_grad(
    method: str,
    *,
    timesteps: int,
    norm: nn.Module | None = None,
    beta: float = 0.5,
    threshold: float = 1.0,
    reset_mechanism: str = "subtract",
    plugins: Sequence[Path | str] = (),
    **params: float,
) -> SpikeFunction:
    """A method as the argument `spike_grad` of a layer of snntorch; each layer needs one of its own.

    beta, threshold, reset_mechanism: those of the layer, which methods can read. The other arguments and the
    errors are those of `neuron`. Raises BenchError also for a method that changes more than the spike
    function, which snntorch's layers have no place for: use `neuron`.
    """
    _check_choice("reset_mechanism", reset_mechanism, ("subtract", "zero", "none"))
    _check_numbers(threshold=threshold, decay=beta, name="beta")
    host = _Host(threshold, beta, "zero" if reset_mechanism == "zero" else "subtract")
    made = _spike_function(method, host, _fed_by(norm, threshold), timesteps, plugins, params)
    # snntorch's layers call it twice a step: first on the last potential, for the reset.
    made.calls = 2
    made.expected = {"beta": beta, "threshold": threshold, "reset_mechanism": reset_mechanism}
    return made


def surrogate_function(
    method: str,
    *,
    timesteps: int,
    norm: nn.Module | None = None,
    tau: float = 2.0,
    decay_input: bool = True,
    v_threshold: float = 1.0,
    v_reset: float | None = 0.0,
    plugins: Sequence[Path | str] = (),
    **params: float,
) -> SpikeFunction:
    """A method as the argument `surrogate_function` of a neuron of SpikingJelly; each neuron needs its own.

    tau, decay_input, v_threshold, v_reset: those of the neuron, which methods can read. An IFNode is
    `tau=float("inf"), decay_input=False`. SpikingJelly 2.0 runs such a neuron in torch by itself; in earlier
    versions, its backend must be torch, the default. The other arguments and the errors are those of
    `spike_grad`.
    """
    if isinstance(tau, bool) or not isinstance(tau, float | int) or not tau >= 1:
        raise BenchError(f"tau = {tau!r} cannot be: it must be 1 or more")
    _check_numbers(threshold=v_threshold, decay=1 - 1 / tau)
    host = _Host(v_threshold, 1 - 1 / tau, "subtract" if v_reset is None else "zero")
    fed = _fed_by(norm, v_threshold, gain=1 / tau if decay_input else 1.0)
    made = _spike_function(method, host, fed, timesteps, plugins, params)
    made.expected = {"tau": tau, "decay_input": decay_input, "v_threshold": v_threshold, "v_reset": v_reset}
    return made


class MethodHooks:
    """What the methods in a network need from the training loop around them.

        hooks = MethodHooks(net, epochs=20)
        optimizer = torch.optim.AdamW(hooks.parameters(), lr=1e-3)
        for epoch in range(20):
            hooks.start_epoch(epoch, batches=loader, loss=criterion)
            for x, y in loader:
                optimizer.zero_grad()
                hooks.zero_grad()
                loss = criterion(net(x), y) + hooks.penalty()
                loss.backward()
                optimizer.step()
                hooks.step()

    Of a method that needs none of this, each call does nothing. Make it after the network is on its device.

    surrogates: the methods' instances, from the input. optimizers: those that methods bring for parameters of
    their own; the rest is `parameters`.

    Raises BenchError if no layer of the network has a method of the benchmark.
    """

    def __init__(self, network: nn.Module, *, epochs: int) -> None:
        if not isinstance(epochs, int) or epochs < 1:
            raise BenchError(f"epochs = {epochs!r}: give the number of epochs of the training, from 1")
        self.network = network
        self.epochs = epochs
        _check_layers(network)
        self.surrogates = [module for module in network.modules() if isinstance(module, Surrogate)]
        if not self.surrogates:
            raise BenchError(
                "no layer of this network has a method of the benchmark: "
                "make one with bench.neuron, bench.spike_grad or bench.surrogate_function"
            )
        self._warned = False
        last = len(self.surrogates) - 1
        for index, surrogate in enumerate([] if isinstance(network, Network) else self.surrogates):
            site = surrogate.site
            site.index, site.depth, site.layers, site.epochs = index, last - index, last + 1, epochs
        kinds = dict.fromkeys(type(surrogate) for surrogate in self.surrogates)
        self._by_kind = {kind: [s for s in self.surrogates if type(s) is kind] for kind in kinds}
        self.optimizers = [each for kind in kinds for each in kind.optimizers(self._by_kind[kind])]
        # dspike and dgs look for the weights before a layer there.
        searching = [kind for kind in kinds if overrides(kind, "search")]
        blind = [kind for kind in searching if hasattr(sys.modules[kind.__module__], "SpikeBlock")]
        if blind and not any(isinstance(module, SpikeBlock) for module in network.modules()):
            warn(
                f"the search of {blind[0].__name__} looks for the weights before a layer in a "
                "bench.model.layers.SpikeBlock (synapse, norm, neuron), and this network has none: "
                "it changes nothing"
            )

    def parameters(self) -> list[nn.Parameter]:
        """The network's parameters for your optimizer: all that no method trains itself."""
        return free_parameters(self.network, self.optimizers)

    def start_epoch(
        self,
        epoch: int,
        *,
        batches: Iterable[tuple[Any, Any]] | None = None,
        loss: Callable[[Any, Any], Tensor] | None = None,
    ) -> None:
        """Call before each epoch, which are counted from 0.

        batches: the training data, such as your DataLoader: pairs of network input and labels, on the
        network's device. loss: of the network's output and labels. Both are needed by methods that search
        before each epoch, such as dspike; a search takes at most 200 batches and a tenth of the epoch.

        Raises BenchError if a method searches and one of them is missing.
        """
        if not 0 <= epoch < self.epochs:
            raise BenchError(
                f"epoch {epoch} of a training of {self.epochs}: "
                f"epochs are counted from 0 to {self.epochs - 1}"
            )
        progress = epoch / max(1, self.epochs - 1)
        for surrogate in self.surrogates:
            surrogate.on_epoch(progress)
        for kind, layers in self._by_kind.items():
            if not overrides(kind, "search"):
                continue
            if batches is None or loss is None:
                raise BenchError(
                    f"{kind.__name__} searches in the training data before each epoch: "
                    "give start_epoch(epoch, batches=loader, loss=criterion)"
                )
            steps = len(batches) if isinstance(batches, Sized) else 0
            context = search_context(self.network, lambda: batches, steps, loss, progress)
            # Each pass of a search begins a sequence.
            fresh = self.network.register_forward_pre_hook(lambda *_: self._forget())
            try:
                kind.search(layers, context)
            finally:
                fresh.remove()
            self._forget()
        self.restart()

    def penalty(self) -> Tensor | float:
        """The methods' extra loss of the last forward pass, to be added to yours; 0.0 without one."""
        return penalty(self.surrogates)

    def zero_grad(self) -> None:
        """Clear the gradients of the methods' own parameters, where you clear yours."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def step(self) -> None:
        """Update the methods' own parameters, where you update yours.

        Warns, once, if a sequence ended before its last time step: the next one would begin in the middle.
        """
        for optimizer in self.optimizers:
            optimizer.step()
        cut = [f for f in self.network.modules() if isinstance(f, SpikeFunction) and f.open]
        if cut and not self._warned:
            self._warned = True
            warn(
                f"a sequence ended before its {cut[0].timesteps} time steps, and the next one "
                "goes on from there: let `timesteps` be the length of every sequence, or call "
                "MethodHooks.restart() before each"
            )

    def restart(self) -> None:
        """Begin a new sequence: needed only after one that ended before its last time step."""
        for module in self.network.modules():
            if isinstance(module, SpikeFunction):
                module.restart()

    def _forget(self) -> None:
        """Begin a new sequence, also in the layers of other libraries that have a method."""
        self.restart()
        for module in self.network.modules():
            if any(isinstance(child, SpikeFunction) for child in module.children()):
                reset = getattr(module, "reset_mem", None) or getattr(module, "reset", None)
                if callable(reset):
                    reset()


class SpikeFunction(nn.Module):
    """A method as the spike function of another library's layer: u - threshold [B, ...] to spikes [B, ...].

    Counts time steps by its calls, of which each step has `calls`, the last with a gradient, and starts anew
    after the last step of a sequence. Made by `spike_grad` and `surrogate_function`. decides: whether the
    method itself decides what is emitted, which need not be 1(x >= 0). expected: attributes that its layer
    should have.
    """

    calls: int = 1
    decides: bool = False

    def __init__(self, surrogate: Surrogate, host: _Host, timesteps: int) -> None:
        super().__init__()
        self.surrogate = surrogate
        self.host = host
        self.timesteps = timesteps
        self.expected: dict[str, Any] = {}
        self._measures = overrides(type(surrogate), "penalty")
        self._call = 0
        self._noise: Tensor | None = None
        self._emitted: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Raises BenchError if the shape of x changes within a sequence, or does not fit the norm."""
        call, self._call = self._call, (self._call + 1) % (self.calls * self.timesteps)
        t = call // self.calls
        if (call + 1) % self.calls:
            # For the reset: what was emitted, where that is not 1(x >= 0).
            return (x >= 0).to(x.dtype) if t == 0 or self._emitted is None else self._emitted
        if t == 0:
            _check_channels(self.surrogate, x.shape[1:])
            self._shape = x.shape
            self._noise = self.surrogate.noise(torch.Size((self.timesteps, *x.shape)), x)
            self.host.potentials.clear()
        elif x.shape != self._shape:
            raise BenchError(
                f"step {t + 1} of {self.timesteps} has the shape {tuple(x.shape)}, the steps before it had "
                f"{tuple(self._shape)}: let `timesteps` be the length of every sequence, and call "
                "MethodHooks.restart() after one that ended early"
            )
        u = x + self.host.threshold
        params = self.surrogate.params(u, t)
        s = self.surrogate.spike(x, t, params, None if self._noise is None else self._noise[t])
        if self._measures and self.training:
            self.host.potentials.append(u)
        self._emitted = s.detach() if self.decides else None
        return s

    @property
    def open(self) -> bool:
        """Whether a sequence has begun and not ended."""
        return self._call != 0

    def extra_repr(self) -> str:
        """For print(network)."""
        return f"timesteps={self.timesteps}"

    def restart(self) -> None:
        """Begin with the first time step."""
        self._call = 0
        self._noise = None
        self.host.potentials.clear()


@dataclass
class _Host:
    """What a method can read of another library's neuron; see `bench.surrogate.Neuron`.

    potentials: those of each step [B, ...], where the method has a penalty.
    """

    threshold: float
    decay: float
    reset: str
    potentials: list[Tensor] = field(default_factory=list)

    def __getstate__(self) -> dict[str, Any]:
        # Potentials belong to the graph of one pass, which cannot be copied.
        return vars(self) | {"potentials": []}

    @property
    def statistics(self) -> Statistics | None:
        """Those of the last forward pass."""
        return statistics_of(self.potentials) if self.potentials else None


@dataclass
class _FedBy:
    """A batch normalisation as methods read it: I = scale * weight * (normalised input) + bias.

    gain: the factor of the neuron for its input. scale: the threshold, as in tdBN.
    """

    norm: Any
    scale: float
    gain: float

    @property
    def weight(self) -> Tensor:
        """[C]."""
        weight: Tensor = self.norm.weight
        return weight * (self.gain / self.scale)

    @property
    def bias(self) -> Tensor:
        """[C]."""
        bias: Tensor = self.norm.bias
        return bias * self.gain


def _fed_by(norm: nn.Module | None, threshold: float, gain: float = 1.0) -> Norm | None:
    if norm is None or (isinstance(norm, TdBN) and gain == 1):
        return norm
    if any(getattr(getattr(norm, name, None), "ndim", None) != 1 for name in ("weight", "bias")):
        raise BenchError(
            f"norm = {norm!r} has no weight and bias for each channel: "
            "give the batch normalisation module before the layer, with affine=True"
        )
    return _FedBy(norm, threshold, gain * getattr(norm, "scale", 1.0))


def _check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    if value not in choices:
        raise BenchError(f"{name} = {value!r} cannot be: it must be one of {', '.join(choices)}")


def _check_numbers(*, threshold: float, decay: float, strictly: bool = False, name: str = "decay") -> None:
    for key, value in (("threshold", threshold), (name, decay)):
        if isinstance(value, bool) or not isinstance(value, float | int):
            raise BenchError(f"{key} = {value!r} cannot be: it must be a number")
    if not (threshold > 0 and math.isfinite(threshold)):
        raise BenchError(f"threshold = {threshold!r} cannot be: it must be a number above 0")
    if not 0 <= decay <= 1 or (strictly and decay in (0, 1)):
        within = "between 0 and 1" if strictly else "from 0 to 1"
        raise BenchError(f"{name} = {decay!r} cannot be: it must lie {within}")


def _check_length(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Before each pass of a layer made by `neuron`."""
    assert isinstance(layer, SpikingNeuron)
    steps, expected = len(inputs[0]), layer.timesteps
    if steps not in (1, expected):
        raise BenchError(
            f"currents of shape {tuple(inputs[0].shape)} have {steps} time steps, and their layer was made "
            f"with timesteps = {expected}: currents are [T, B, ...]"
        )
    _check_channels(layer.surrogate, inputs[0].shape[2:])


def _check_channels(surrogate: nn.Module, shape: Sequence[int]) -> None:
    """Raise BenchError if the norm that a method reads has not the channels of its layer."""
    norm = surrogate.site.norm if isinstance(surrogate, Surrogate) else None
    if norm is not None and len(norm.weight) not in shape:
        raise BenchError(
            f"the norm of a method has {len(norm.weight)} channels, and its layer is {tuple(shape)} without "
            "the batch: give the batch normalisation before this layer"
        )


def _check_layers(network: nn.Module) -> None:
    """Raise BenchError if two layers share a method; warn of a layer that its method was not made for."""
    places: dict[int, str] = {}
    for name, module in network.named_modules(remove_duplicate=False):
        if not isinstance(module, Surrogate):
            continue
        first = places.setdefault(id(module), name)
        if first != name:
            raise BenchError(
                f"one method serves two layers of the network, {first} and {name}: "
                "each layer needs a call of its own of bench.neuron, spike_grad or surrogate_function"
            )
    for name, module in network.named_modules():
        for function in (child for child in module.children() if isinstance(child, SpikeFunction)):
            _check_layer(name, module, function)


def _check_layer(name: str, layer: nn.Module, function: SpikeFunction) -> None:
    kind = type(layer).__name__
    if kind == "LeakyParallel":
        raise BenchError(
            f"the layer {name} is snntorch's {kind}, which calls its spike function once for all time steps: "
            "use bench.neuron"
        )
    if function.decides and not getattr(layer, "reset_delay", True):
        raise BenchError(
            f"the layer {name} resets without a delay, by potentials that do not show what its method "
            "emitted: use bench.neuron"
        )
    for key, told in function.expected.items():
        value = getattr(layer, key, math.inf if key == "tau" else told)
        if isinstance(value, Tensor):
            # Rounded for the message: in float32, 0.9 is 0.89999998.
            value = round(float(value.detach()), 6) if value.numel() == 1 else told
        numbers = isinstance(value, float | int) and isinstance(told, float | int)
        if value != told and not (numbers and math.isclose(value, told, rel_tol=1e-5)):
            warn(f"the layer {name} has {key} = {value}, and its method was made for {told}")


def _find(name: str, plugins: Sequence[Path | str]) -> Method:
    if isinstance(plugins, str | Path):
        raise BenchError(f"plugins = {plugins!r}: give a list of files, as in plugins=[{str(plugins)!r}]")
    return load(tuple(map(Path, plugins))).method(name).item


def _built(
    name: str,
    host: Any,
    norm: Norm | None,
    timesteps: int,
    plugins: Sequence[Path | str],
    params: Mapping[str, float],
) -> Surrogate:
    if not isinstance(timesteps, int) or timesteps < 1:
        raise BenchError(
            f"timesteps = {timesteps!r}: it must be the number of time steps of a sequence, from 1"
        )
    if not isinstance(name, str):
        raise BenchError(f"method = {name!r}: give the name of a method, as in `spikegrad list methods`")
    found = _find(name, plugins)
    settled = found.settle(params, host.threshold)
    # Drawn for every method, so that all of them leave the same initial weights to the next layers.
    seed = int(torch.randint(SEEDS, ()))
    site = Site("your network/this layer", 0, host, norm, timesteps, 1, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return found.build(site, settled)
        except BenchError as problem:
            if norm is not None or "norm" not in str(problem):
                raise
            _, _, other = str(problem).partition("or choose ")
            raise BenchError(
                f"{name} reads the batch normalisation before its layer: give norm=MODULE, the one in your "
                f"network, or choose {other or 'a method that needs none'}"
            ) from None


def _spike_function(
    name: str,
    host: _Host,
    norm: Norm | None,
    timesteps: int,
    plugins: Sequence[Path | str],
    params: Mapping[str, float],
) -> SpikeFunction:
    found = _find(name, plugins)
    kind = found.surrogate
    more = [hook for hook in BEYOND_THE_SPIKE if overrides(kind, hook)]
    if more or kind.activation is not None:
        what = " and ".join(more) or "activation"
        raise BenchError(
            f"{name} replaces more than the spike function of a layer (its {what}), "
            "for which other libraries have no place: use bench.neuron"
        )
    made = SpikeFunction(_built(name, host, norm, timesteps, plugins, params), host, timesteps)
    made.decides = found.changes == "forward"
    return made


def search_context(
    network: nn.Module,
    batches: Callable[[], Iterable[tuple[Any, Any]]],
    steps: int,
    loss: Callable[[Any, Any], Tensor],
    progress: float,
) -> SearchContext:
    """What a method's `search` gets before an epoch of this many steps."""
    budget = min(SEARCH_BUDGET, max(1, steps // 10))

    def some() -> Iterator[tuple[Any, Any]]:
        for _, batch in zip(range(budget), batches(), strict=False):
            yield batch

    return SearchContext(network.train(), some, loss, progress, budget)


def penalty(surrogates: Iterable[Surrogate]) -> Tensor | float:
    """The extra loss of the methods in these layers, for their last forward pass; 0.0 without one."""
    total: Tensor | float = 0.0
    for surrogate in surrogates:
        statistics = surrogate.site.neuron.statistics
        added = None if statistics is None else surrogate.penalty(statistics)
        if added is not None:
            total = total + added
    return total


def free_parameters(network: nn.Module, own: Iterable[torch.optim.Optimizer]) -> list[nn.Parameter]:
    """The parameters that none of these optimizers trains."""
    groups = chain.from_iterable(optimizer.param_groups for optimizer in own)
    taken = {id(parameter) for group in groups for parameter in group["params"]}
    return [parameter for parameter in network.parameters() if id(parameter) not in taken]
