"""Gradient health: the gradient in each spiking layer, at each time step.

A probe is one forward and one backward pass in training mode, over one batch, on a copy of the network. The
loss is the task loss alone: a method's extra loss acts in each layer directly and would hide a gradient that
vanishes on the way down.

x = u - v_th, h is the surrogate derivative in use, as autograd delivers it, and I the input current of a
layer. Tensors of a layer are [T, B, C, ...]; only one number per time step is kept of each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.measures.derivative import Derivative
from bench.model.backbone import Network, synapses
from bench.model.copying import copied
from bench.model.neuron import Moment, SpikingNeuron
from bench.model.precision import FULL, Precision
from bench.randomness import derive, drawing_from
from bench.surrogate import Method, Site, Surrogate

Row = dict[str, Any]
COLUMNS = (
    "epoch",
    "layer",
    "name",
    "depth",
    "t",
    "u_mean",
    "u_std",
    "gamma_mean",
    "width",
    "height",
    "available_fraction",
    "participation",
    "gain",
    "gain_rms",
    "gradient_norm",
    "gradient_zero_fraction",
    "spike_rate",
    "silent_fraction",
    "saturated_fraction",
    "weight_gradient_ratio",
    "training_gradient_ratio",
)
AVAILABLE = 0.01
"""Fraction of the maximum of h above which a neuron counts as passing a gradient."""


class _Relu(Surrogate):
    """y = max(0, I): the gradient baseline of this backbone without spikes."""

    activation = staticmethod(torch.relu)  # type: ignore[assignment]


RELU = Method("relu", _Relu, "reference", "network", "library", "", "", "", ())


def look(
    network: Network, x: Tensor, y: Tensor, epoch: int, seed: int, precision: Precision = FULL
) -> list[Row]:
    """Probe the network: one row per spiking layer and time step, with COLUMNS.

    x, y: network input, and labels [B].
    epoch: the number of epochs trained so far.
    seed: for the methods' random numbers.
    precision: that of the training, so that gradients underflow here as they do there.

    Values that are missing or not finite are None. The network, its gradients and all random generators keep
    their state. If an activation replaces the neurons, u is the current, a spike is an output above 0, and a
    static sample has a single time step. `training_gradient_ratio` is not measured here and is None: see
    `bench.measures.probing`.
    """
    with drawing_from(derive(seed, "look", epoch), x.device), _watched(network) as (twin, watch, layers):
        with precision.forward():
            loss = functional.cross_entropy(twin(x).mean(0), y)
        wanted = [*(p for p in twin.parameters() if p.requires_grad), *watch.first]
        # Not backward(): it would accumulate into gradients of tensors that a method shares with its copy.
        found = torch.autograd.grad(loss * precision.scale, wanted, allow_unused=True)
        gradients = {id(of): gradient for of, gradient in zip(wanted, found, strict=True)}
        return [row for layer in layers for row in layer.rows(epoch, gradients, precision.scale)]


def feeding(network: Network, x: Tensor) -> list[list[str]]:
    """For each spiking layer, the names of the weights between the previous layers and its currents.

    x: network input, a sample or two. The network and all random generators keep their state.
    """
    with drawing_from(0, x.device), _watched(network) as (twin, _, layers):
        twin(x)
        names = {id(p): name for name, p in twin.named_parameters()}
        return [[names[id(weight)] for weight in layer.weights] for layer in layers]


@contextmanager
def _watched(network: Network) -> Iterator[tuple[Network, _Watch, list[_Layer]]]:
    """A copy of a network in training mode, and the observers of its layers."""
    twin = copied(network).train()
    watch = _Watch(synapses(twin))
    layers = [_Layer(site, neuron, watch) for site, neuron in zip(twin.sites, twin.neurons, strict=True)]
    try:
        yield twin, watch, layers
    finally:
        watch.ends.clear()
        for layer in layers:
            layer.close()


class _Watch:
    """What all layers share.

    synapses: the ids of the network's synaptic weights.
    ends: the graph nodes at the outputs of layers computed so far.
    first: currents that depend on no weight, turned into leaves of the graph.
    """

    def __init__(self, synapses: Sequence[Tensor]) -> None:
        self.synapses = {id(weight) for weight in synapses}
        self.ends: set[Any] = set()
        self.first: list[Tensor] = []

    def feeding(self, current: Tensor) -> list[Tensor]:
        """The synapses between the previous layers and this current."""
        return [p for p in _leaves(current.grad_fn, self.ends) if id(p) in self.synapses]


class _Layer:
    """Measurements of one layer."""

    def __init__(self, site: Site, neuron: SpikingNeuron, watch: _Watch) -> None:
        self.site = site
        self.neuron = neuron
        self.watch = watch
        self.derivative = Derivative(neuron)
        self.weights: list[Tensor] = []
        self.steps: list[dict[str, Tensor]] = []
        self.gradient: dict[str, Tensor] = {}
        self.most: Tensor | None = None
        self.least: Tensor | None = None
        neuron.observer = self._observe
        self.hooks = (
            neuron.register_forward_pre_hook(self._enter),
            neuron.register_forward_hook(self._leave),
        )

    def rows(self, epoch: int, gradients: Mapping[int, Tensor | None], scale: float) -> Iterator[Row]:
        """The layer's rows, after the backward pass.

        gradients: those of the parameters, by id.
        scale: the loss scale, by which gradients are too large.
        """
        site = self.site
        place = {
            "epoch": epoch,
            "layer": site.index,
            "name": site.name.partition("/")[2],
            "depth": site.depth,
        }
        count = len(self.steps)
        nothing = {"gradient_norm": torch.zeros(count), "gradient_zero_fraction": torch.ones(count)}
        gradient = self.gradient or nothing
        gradient = gradient | {"gradient_norm": gradient["gradient_norm"] / scale}
        steps = [step | {name: of[t] for name, of in gradient.items()} for t, step in enumerate(self.steps)]
        *over_time, whole = _numbers([*steps, self._whole(gradients, scale)])
        for t, measured in enumerate(over_time):
            row = place | {"t": t} | measured | whole
            yield {name: row.get(name) for name in COLUMNS}

    def close(self) -> None:
        """Break the reference cycles of neuron, method and layer, which would keep the copy alive."""
        self.neuron.observer = None
        for hook in self.hooks:
            hook.remove()
        vars(self.site).clear()

    def _enter(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (current,) = inputs
        self.weights = self.watch.feeding(current)
        if self.neuron.recurrent is not None:
            self.weights.append(self.neuron.recurrent.weight)
        if not current.requires_grad:
            current = current.detach().requires_grad_()
            self.watch.first.append(current)
        remembers = type(self.neuron.surrogate).activation is None or self.neuron.recurrent is not None
        if len(current) == 1 and remembers:
            # Separate gradients for each step, not their sum.
            current = current.expand(self.neuron.timesteps, *current.shape[1:])
        current.register_hook(self._receive)
        return (current,)

    def _leave(self, _: nn.Module, __: object, out: Tensor) -> None:
        self.watch.ends.add(out.grad_fn)

    def _receive(self, gradient: Tensor) -> None:
        gradient = wide(gradient)
        over_time = gradient.flatten(1)
        # In float32 the square of 1e-23 underflows to 0.
        top = torch.maximum(over_time.amax(1), -over_time.amin(1))
        scaled = gradient / _or_one(top).view(-1, *(1 for _ in gradient.shape[1:]))
        squares = torch.linalg.vector_norm(scaled.flatten(2), dim=2).double().square().sum(1)
        # Reuses the memory and writes floats: counting booleans is several times slower on a CPU.
        nonzero = torch.ne(gradient, 0, out=scaled).flatten(2).sum(2).double().sum(1)
        self.gradient = {
            "gradient_norm": squares.sqrt() * top.double(),
            "gradient_zero_fraction": torch.where(
                top.isfinite(), 1 - nonzero / over_time.shape[1], torch.nan
            ),
        }

    @torch.no_grad()
    def _observe(self, moment: Moment) -> None:
        h = wide(self.derivative.at(moment))
        moment = moment._replace(u=wide(moment.u), s=wide(moment.s))
        activation = type(self.neuron.surrogate).activation is not None
        # Some methods train with fractional spikes: 1/2 and above counts as a spike.
        fired = moment.s > 0 if activation else moment.s >= 0.5
        spikes = fired.to(moment.s.dtype)
        most, least = spikes.amax(0), spikes.amin(0)
        self.most = most if self.most is None else torch.maximum(self.most, most)
        self.least = least if self.least is None else torch.minimum(self.least, least)
        gamma = {} if self.site.norm is None else {"gamma_mean": self.site.norm.weight.mean()}
        self.steps.append(
            {"spike_rate": _channel_means(spikes if activation else moment.s).mean()}
            | _spread(moment.u)
            | gamma
            | self.derivative.extent(moment)
            | passing(h, self.derivative.peak)
        )

    def _whole(self, gradients: Mapping[int, Tensor | None], scale: float) -> dict[str, Tensor]:
        assert self.most is not None and self.least is not None
        found = [gradients.get(id(p)) for p in self.weights]
        size = _norm([p.detach() for p in self.weights])
        return {
            "silent_fraction": (self.most <= 0).double().mean(),
            "saturated_fraction": (self.least > 0).double().mean(),
            "weight_gradient_ratio": _norm([g for g in found if g is not None]) / _or_one(size * scale),
        }


def wide(values: Tensor) -> Tensor:
    """In at least 32 bits: sums in 16 bits lose most of their digits."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _spread(u: Tensor) -> dict[str, Tensor]:
    mean = _channel_means(u).mean()
    # torch.var is many times slower on a CPU, and a sum of squares around 0 loses digits.
    away = torch.linalg.vector_norm((u - mean.to(u.dtype)).flatten(1), dim=1).double()
    return {"u_mean": mean, "u_std": (away.square().sum() / u.numel()).sqrt()}


def passing(h: Tensor, peak: Tensor) -> dict[str, Tensor]:
    """Shares and gains of h [B, C, ...]; peak: the maximum of h, of a shape that broadcasts to it."""
    top = torch.maximum(h.amax(), -h.amin())
    # Rescaled, because squares of small numbers underflow in float32. The new tensor can be overwritten.
    scaled = h / _or_one(top)
    first, second = _channel_means(scaled), _channel_means(scaled.square())
    participation = torch.where(second == 0, 0.0, first.square() / _or_one(second))
    available = _channel_means(scaled.gt_(AVAILABLE * peak / _or_one(top))).mean()
    return {
        "available_fraction": torch.where(top.isfinite(), available, torch.nan),
        "participation": participation.mean(),
        "gain": first.mean() * top.double(),
        "gain_rms": second.mean().sqrt() * top.double(),
    }


def _channel_means(values: Tensor) -> Tensor:
    """[B, C, ...] to [C], float64.

    Sums along one dimension in the dtype of the values, which is fast and exact enough, then in float64.
    """
    rows = values.flatten(2).sum(2) if values.ndim > 2 else values.sum(0, keepdim=True)
    return rows.double().sum(0) / (values.numel() // values.shape[1])


def _leaves(node: Any, ends: set[Any]) -> Iterator[Tensor]:
    """The leaves of the graph, from a node back to the ends."""
    waiting, seen = [node], set(ends)
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting.extend(before for before, _ in node.next_functions)


def _norm(tensors: list[Tensor]) -> Tensor:
    norms = [torch.linalg.vector_norm(tensor, dtype=torch.float64) for tensor in tensors]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else torch.zeros((), dtype=torch.float64)


def _or_one(divisor: Tensor) -> Tensor:
    return torch.where(divisor == 0, 1.0, divisor)


def _numbers(measured: list[dict[str, Tensor]]) -> list[dict[str, float | None]]:
    """All measurements, fetched from the device at once; None for values that are not finite."""
    # Plain-number parameters are on the CPU even if the network is not.
    device = measured[-1]["silent_fraction"].device
    flat = [value.detach().double().to(device) for of in measured for value in of.values()]
    fetched = iter(torch.stack(flat).tolist())
    return [
        {name: number if math.isfinite(number) else None for name, number in zip(of, fetched, strict=False)}
        for of in measured
    ]
