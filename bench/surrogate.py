"""The interface of a method: a *shape* (the surrogate derivative) and a *policy* (its parameters).

A spike is S(x) = 1(x >= 0) with x = u - v_th, and dS/dx is zero almost everywhere. A surrogate
derivative h(x) stands in for it on the backward pass. A fixed method is one function h(x, **params)
under the decorator `method`; anything else is a subclass of `Surrogate`, of which every spiking
layer gets its own instance.

At each time step the neuron calls, in this order:

    threshold(u, t)  ->  params(u, t)  ->  spike(u - threshold, t, params, noise)  ->  (reset)  ->  emit(s, t)

Hooks that concern one layer are methods of the instance. Those that concern the whole network
(`optimizers`, `search`) are class methods that receive the instances of all layers, so that a
method stays one class in one file.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, TypeVar, get_args

import torch
from torch import Tensor, nn

from bench.errors import BenchError

Kind = Literal["fixed", "adaptive", "control", "library", "reference"]
Changes = Literal["gradient", "forward", "loss", "network"]
Fidelity = Literal["official-code", "library", "paper", "reconstructed"]
Shape = Callable[..., Tensor]
Values = dict[str, Any]

REFERENCE_THRESHOLD = 0.5
"""The threshold at which the defaults of parameters in units of the potential are stated."""


@dataclass(frozen=True)
class Param:
    """One parameter of a method.

    default: its value when the user sets none; None where the method then decides by itself.
    search: the range (low, high) that tuning may try; None if it is not tuned.
    log: whether tuning spaces its points evenly on a logarithmic axis.
    per_threshold: the value is a membrane potential: default and search range are stated for
        v_th = 0.5 and scale with the threshold in use. A value the user sets is taken as it is.
    """

    default: float | None
    search: tuple[float, float] | None = None
    log: bool = True
    per_threshold: bool = False

    def at(self, threshold: float) -> float | None:
        """The default at this threshold."""
        if self.default is None or not self.per_threshold:
            return self.default
        return self.default * threshold / REFERENCE_THRESHOLD


class Neuron(Protocol):
    """What a method may read of the neuron it sits in; all of it live."""

    threshold: float
    statistics: Statistics | None

    @property
    def reset(self) -> str:
        """To "zero" (hard), or "subtract" the threshold (soft)."""
        ...

    @property
    def decay(self) -> float | Tensor:
        """tau: the share of the potential that survives one step; learned in PLIF."""
        ...


class Norm(Protocol):
    """What a method may read of the tdBN before its neuron; all of it live.

    weight, bias: gamma and beta, [C]. scale: alpha * v_th.
    """

    weight: nn.Parameter
    bias: nn.Parameter
    scale: float


@dataclass
class Site:
    """Where one surrogate sits: one spiking layer of one network.

    name: backbone/layer, for messages. index: 0 for the first spiking layer from the input.
    depth: the largest number of spiking layers between this one and the loss. norm: the tdBN that
    feeds the neuron, or None. seed: for the method's own random numbers; differs between layers
    and between cells. A plain object and not a Module, so that holding it registers nothing twice.
    """

    name: str
    index: int
    neuron: Neuron
    norm: Norm | None
    timesteps: int
    epochs: int
    seed: int
    depth: int = 0


@dataclass(frozen=True)
class Statistics:
    """What a method's `penalty` may use of one forward pass of its layer; differentiable.

    mean, variance: of the membrane potential before reset, over batch and neurons; shape [T].
    """

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class SearchContext:
    """What `search` may use: the network, a stream of training batches of its own, the loss.

    batches() yields at most `budget` pairs (what the network takes, labels [B]), drawn from training
    data only. loss(logits [T, B, K], labels) is the recipe's. What a search takes is timed and
    counted into the cost of training.
    """

    network: nn.Module
    batches: Callable[[], Any]
    loss: Callable[[Tensor, Tensor], Tensor]
    progress: float
    budget: int


class _Spike(torch.autograd.Function):
    """Heaviside forward, grad * h(x) backward. Keeps only x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: Shape, params: Values) -> Tensor:
        ctx.save_for_backward(x)
        ctx.shape, ctx.params = shape, params
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        h = ctx.shape(x, **ctx.params)
        if h.shape != x.shape:
            # Broadcasting would hide it, and train on something else.
            raise ValueError(f"the derivative has shape {tuple(h.shape)}, x has {tuple(x.shape)}")
        return grads[0] * h, None, None


def spike(x: Tensor, shape: Shape, params: Values) -> Tensor:
    """S(x) = 1(x >= 0) forward, `shape(x, **params)` as its derivative backward.

    x: u - v_th, any shape, any floating dtype; the spikes have the same. H(0) = 1.
    No gradient reaches `params`: a rule that learns them writes its own `Surrogate.spike`.
    """
    result: Tensor = _Spike.apply(x, shape, params)
    return result


class Surrogate(nn.Module):
    """One method at one spiking layer. Override what the method changes.

    shape: the derivative h(x, **params).
    activation: if set, it replaces neuron and spike altogether (the ANN reference).
    """

    shape: ClassVar[Shape]
    activation: ClassVar[Callable[[Tensor], Tensor] | None] = None
    site: Site

    def __init__(self, **values: float | None) -> None:
        super().__init__()
        self.values: Values = values

    def bind(self, site: Site) -> None:
        """Take the place where it works; called once, when the network is built.

        Raises BenchError if the site lacks what the method needs.
        """
        self.site = site

    def threshold(self, u: Tensor, t: int) -> float | Tensor:
        """The threshold at step t; u: [B, ...] after integration, before reset."""
        return self.site.neuron.threshold

    def params(self, u: Tensor, t: int) -> Values:
        """The parameters of the shape at step t, in units of the potential where they have one."""
        return self.values

    def spike(self, x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        """Spikes of the shape and dtype of x = u - threshold; its backward is the surrogate."""
        return spike(x, type(self).shape, params)

    def emit(self, s: Tensor, t: int) -> Tensor:
        """What the next layer sees."""
        return s

    def noise(self, shape: torch.Size, like: Tensor) -> Tensor | None:
        """Random numbers for one forward pass [T, B, ...], from the method's own generator."""
        return None

    def on_epoch(self, progress: float) -> None:
        """Called before each epoch; progress is 0 at the first and 1 at the last."""

    def penalty(self, statistics: Statistics) -> Tensor | None:
        """An extra loss of this layer, added to the task's. Statistics are made only if overridden."""
        return None

    @classmethod
    def optimizers(cls, layers: Sequence[Any]) -> list[torch.optim.Optimizer]:
        """Optimizers of the method's own parameters, beside the recipe's; none by default.

        Parameters that no optimizer here takes are trained by the recipe's.
        """
        return []

    @classmethod
    def search(cls, layers: Sequence[Any], context: SearchContext) -> None:
        """Change the layers' state by a search over training data; called before each epoch."""


def overrides(kind: type[Surrogate], hook: str) -> bool:
    """Whether a class gives a hook a meaning of its own."""
    above = kind.__mro__[: kind.__mro__.index(Surrogate)]
    return any(hook in vars(parent) for parent in above)


class FixedSurrogate(Surrogate):
    """A method that is only a shape with constant parameters."""

    def __init__(self, shape: Shape, **values: float | None) -> None:
        super().__init__(**values)
        self._shape = shape

    def spike(self, x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        return spike(x, self._shape, params)


@dataclass(frozen=True)
class Method:
    """A method as the registry and the tables know it.

    paper, link: the source of the rule. changes: what differs from plain training; fidelity: how
    sure it is that this is the published method; note: what had to be inferred, or is special.
    requires: packages that must be installed for it.
    """

    name: str
    target: Any
    kind: Kind
    changes: Changes
    fidelity: Fidelity
    paper: str
    link: str
    note: str
    requires: tuple[str, ...]
    params: Mapping[str, Param] = field(default_factory=dict)

    @property
    def surrogate(self) -> type[Surrogate]:
        """The class of its instances."""
        return self.target if isinstance(self.target, type) else FixedSurrogate

    @property
    def formula(self) -> str:
        """The first line of its docstring."""
        return (self.target.__doc__ or "").strip().split("\n")[0]

    def defaults(self, threshold: float) -> dict[str, float | None]:
        """Every parameter's default at this threshold."""
        return {name: param.at(threshold) for name, param in self.params.items()}

    def build(self, site: Site, values: Mapping[str, float | None]) -> Surrogate:
        """An instance bound to `site`; `values` overrides defaults.

        Raises BenchError where the site does not fit.
        """
        known = {**self.defaults(site.neuron.threshold), **values}
        made = (
            self.surrogate(**known) if isinstance(self.target, type) else FixedSurrogate(self.target, **known)
        )
        made.bind(site)
        return made


Target = TypeVar("Target", bound=Callable[..., Any])


def method(
    name: str,
    *,
    paper: str,
    link: str = "",
    kind: Kind = "fixed",
    changes: Changes = "gradient",
    fidelity: Fidelity = "paper",
    note: str = "",
    requires: Sequence[str] = (),
    **params: Param,
) -> Callable[[Target], Target]:
    """Declare a derivative function, or a `Surrogate` subclass, as the method `name`.

    Every further keyword is a parameter of the method. The object itself comes back unchanged;
    the registry finds the declaration on it. One object may carry several.
    """
    _check_declaration(name, kind, changes, fidelity, params)

    def declare(target: Target) -> Target:
        try:
            # A class takes its parameters, a function x as well.
            inspect.signature(target).bind(*(() if isinstance(target, type) else (None,)), **params)
        except TypeError as error:
            raise BenchError(
                f"method {name!r} declares the parameters {', '.join(params) or 'none'}, "
                f"but {target.__name__} takes others: {error}"
            ) from None
        found = Method(name, target, kind, changes, fidelity, paper, link, note, tuple(requires), params)
        # vars(), not getattr(): a subclass must not inherit its parent's declarations.
        target.declared = (*vars(target).get("declared", ()), found)  # type: ignore[attr-defined]
        return target

    return declare


def _check_declaration(name: str, kind: str, changes: str, fidelity: str, params: Mapping[str, Any]) -> None:
    if not re.fullmatch(r"[^\s,#|]+", name) or name == "all":
        raise BenchError(
            f"{name!r} cannot be the name of a method: it needs one word, without commas, not 'all'"
        )
    for what, value, allowed in (
        ("kind", kind, get_args(Kind)),
        ("changes", changes, get_args(Changes)),
        ("fidelity", fidelity, get_args(Fidelity)),
    ):
        if value not in allowed:
            raise BenchError(f"method {name!r}: {what} = {value!r} is not one of {', '.join(allowed)}")
    for parameter, declared in params.items():
        if not isinstance(declared, Param):
            raise BenchError(
                f"method {name!r}: {parameter} = {declared!r} declares no parameter; "
                f"write Param({declared!r})"
            )
