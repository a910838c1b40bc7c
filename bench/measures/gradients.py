"""Gradient health: what happens to the gradient in each spiking layer, at each time step.

A look is one forward and one backward pass in training mode, over one batch, on a copy of the network.
The loss is that of the task: an extra loss of a method acts in each layer by itself, and would hide that
nothing arrives from above.

x = u - v_th, h the surrogate derivative in use, as autograd delivers it, I the current that enters a
layer. Tensors of a layer are [T, B, C, ...]; all that is kept of them is one number a time step.
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
"""Of the maximum of h: above it a neuron counts as one that passes a gradient on."""


class _Relu(Surrogate):
    """y = max(0, I): how the gradient fares in this backbone without spikes."""

    activation = staticmethod(torch.relu)  # type: ignore[assignment]


RELU = Method("relu", _Relu, "reference", "network", "library", "", "", "", ())


def look(
    network: Network, x: Tensor, y: Tensor, epoch: int, seed: int, precision: Precision = FULL
) -> list[Row]:
    """A row per spiking layer and time step, of COLUMNS; what is not finite, or is not there, is None.

    x, y: what the network takes, and labels [B]. epoch: how many have been trained. seed: of what
    methods draw. precision: of the training, so that gradients underflow here as they do there. The
    network, its gradients and all generators are left as they are. Under an activation in place of neurons
    u is the current, a spike an output above 0, and a still sample has one time step only.
    `training_gradient_ratio` is not of a look, and None: see `bench.measures.looks`.
    """
    with drawing_from(derive(seed, "look", epoch), x.device), _watched(network) as (twin, watch, layers):
        with precision.forward():
            loss = functional.cross_entropy(twin(x).mean(0), y)
        wanted = [*(p for p in twin.parameters() if p.requires_grad), *watch.first]
        # Not backward(), which would add to the gradients of what a method shares with its copy.
        found = torch.autograd.grad(loss * precision.scale, wanted, allow_unused=True)
        gradients = {id(of): gradient for of, gradient in zip(wanted, found, strict=True)}
        return [row for layer in layers for row in layer.rows(epoch, gradients, precision.scale)]


def feeding(network: Network, x: Tensor) -> list[list[str]]:
    """Of each spiking layer the names of the weights between the layers before it and its currents.

    x: what the network takes, a sample or two. The network and all generators are left as they are.
    """
    with drawing_from(0, x.device), _watched(network) as (twin, _, layers):
        twin(x)
        names = {id(p): name for name, p in twin.named_parameters()}
        return [[names[id(weight)] for weight in layer.weights] for layer in layers]


@contextmanager
def _watched(network: Network) -> Iterator[tuple[Network, _Watch, list[_Layer]]]:
    """A copy of a network in training mode, and what watches its layers."""
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
    """What all layers need to know of the network.

    synapses: its weights. ends: where in the graph the layers that were computed end. first: currents
    that depend on no weight, made leaves of the graph.
    """

    def __init__(self, synapses: Sequence[Tensor]) -> None:
        self.synapses = {id(weight) for weight in synapses}
        self.ends: set[Any] = set()
        self.first: list[Tensor] = []

    def feeding(self, current: Tensor) -> list[Tensor]:
        """The synapses between the layers before and this current."""
        return [p for p in _leaves(current.grad_fn, self.ends) if id(p) in self.synapses]


class _Layer:
    """What is gathered of one layer."""

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

        gradients: of the parameters, by id. scale: how many times too large gradients are.
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
        """Cut the circles of neuron, method and this, in which the copy would outlive the look."""
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
            # The gradient of each step, not their sum.
            current = current.expand(self.neuron.timesteps, *current.shape[1:])
        current.register_hook(self._receive)
        return (current,)

    def _leave(self, _: nn.Module, __: object, out: Tensor) -> None:
        self.watch.ends.add(out.grad_fn)

    def _receive(self, gradient: Tensor) -> None:
        gradient = _wide(gradient)
        over_time = gradient.flatten(1)
        # In float32 the square of 1e-23 is 0.
        top = torch.maximum(over_time.amax(1), -over_time.amin(1))
        scaled = gradient / _or_one(top).view(-1, *(1 for _ in gradient.shape[1:]))
        squares = torch.linalg.vector_norm(scaled.flatten(2), dim=2).double().square().sum(1)
        # Into the same memory, as numbers: on a CPU booleans are several times slower to count.
        nonzero = torch.ne(gradient, 0, out=scaled).flatten(2).sum(2).double().sum(1)
        self.gradient = {
            "gradient_norm": squares.sqrt() * top.double(),
            "gradient_zero_fraction": torch.where(
                top.isfinite(), 1 - nonzero / over_time.shape[1], torch.nan
            ),
        }

    @torch.no_grad()
    def _observe(self, moment: Moment) -> None:
        h = _wide(self.derivative.at(moment))
        moment = moment._replace(u=_wide(moment.u), s=_wide(moment.s))
        activation = type(self.neuron.surrogate).activation is not None
        # Some methods train with spikes in between: those that stand for 1 are from 1/2 up.
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
            | _passing(h, self.derivative.peak)
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


def _wide(values: Tensor) -> Tensor:
    """In at least 32 bits: sums in 16 lose most of their digits."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _spread(u: Tensor) -> dict[str, Tensor]:
    mean = _channel_means(u).mean()
    # torch.var is many times slower on a CPU, and a sum of squares around 0 would lose digits.
    away = torch.linalg.vector_norm((u - mean.to(u.dtype)).flatten(1), dim=1).double()
    return {"u_mean": mean, "u_std": (away.square().sum() / u.numel()).sqrt()}


def _passing(h: Tensor, peak: Tensor) -> dict[str, Tensor]:
    """Shares and gains of h [B, C, ...]; peak: the maximum of h, of a shape that broadcasts to it."""
    top = torch.maximum(h.amax(), -h.amin())
    # Scaled, since squares of small numbers are 0 in float32. Now the tensor is ours to write to.
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

    Added up in the dtype of the values along one dimension, which is as exact as it is fast, and in
    float64 from there on.
    """
    rows = values.flatten(2).sum(2) if values.ndim > 2 else values.sum(0, keepdim=True)
    return rows.double().sum(0) / (values.numel() // values.shape[1])


def _leaves(node: Any, ends: set[Any]) -> Iterator[Tensor]:
    """The leaves of the graph from a node back to the ends."""
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
    """What was measured, fetched from the device at once; None for what is not finite."""
    # Parameters that are plain numbers are on the CPU wherever the network is.
    device = measured[-1]["silent_fraction"].device
    flat = [value.detach().double().to(device) for of in measured for value in of.values()]
    fetched = iter(torch.stack(flat).tolist())
    return [
        {name: number if math.isfinite(number) else None for name, number in zip(of, fetched, strict=False)}
        for of in measured
    ]
