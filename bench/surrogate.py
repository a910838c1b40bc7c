"""The interface of a method: a *shape* (the surrogate derivative) and a *policy* (its parameters).

A spike is S(x) = 1(x >= 0) with x = u - v_th, and dS/dx is zero almost everywhere. On the backward pass, a
surrogate derivative h(x) replaces it. A fixed method is one function h(x, **params) with the decorator
`method`. Any other method is a subclass of `Surrogate`; every spiking layer gets its own instance.

At each time step the neuron calls, in this order:

    transform(u, t)  ->  threshold(u, t)  ->  params(u, t)  ->  spike(u - threshold, t, params, noise)
    ->  (reset)  ->  carry(v, t)  ->  emit(s, t)

After `transform`, u is what it returned; the reset is that of the potential itself.

Hooks that concern one layer are methods of the instance. Hooks that concern the whole network (`optimizers`,
`search`) are class methods that receive the instances of all layers, so that a method stays one class in one
file.
"""

from __future__ import annotations

import hashlib
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, Literal, Protocol, TypeVar, get_args

import torch
from torch import Tensor, nn

from bench.errors import BenchError
from bench.variants import OPTIONS

Kind = Literal["fixed", "adaptive", "control", "library", "reference"]
Changes = Literal["gradient", "forward", "loss", "network"]
Fidelity = Literal["official-code", "library", "paper", "reconstructed", "own"]
UNPUBLISHED = ("unpublished", "none", "")
"""Values of `paper` for a method that is not published."""
Law = Literal[
    "forward",
    "derivative",
    "loop",
    "area",
    "finite",
    "dtype",
    "deterministic",
    "state",
    "one-step",
    "backbones",
    "compile",
    "training",
]
"""The laws that `bench.check` tests; a method can declare that it breaks some, with the reason."""
Shape = Callable[..., Tensor]
Values = dict[str, Any]

RESERVED = ("self", "x", "shape")
"""Names that no parameter can have: they are arguments of the functions that take the parameters."""
REFERENCE_THRESHOLD = 0.5
"""The threshold for which defaults of parameters in units of the potential are stated."""


@dataclass(frozen=True)
class Param:
    """One parameter of a method.

    default: its value if the user sets none; None if the method decides.
    search: the range (low, high) for tuning; None if it is not tuned.
    log: whether tuning spaces its points evenly on a logarithmic axis.
    per_threshold: the power of the threshold with which the value scales: 1 (or True) for a membrane
        potential, -1 for a height or a sharpness, 0 for a pure number. Default and search range are stated
        for v_th = 0.5 and scale with the threshold in use. A value set by the user is not scaled.
    """

    default: float | None
    search: tuple[float, float] | None = None
    log: bool = True
    per_threshold: Literal[-1, 0, 1] = 0

    def wrong(self) -> str:
        """What is wrong with the declaration, in words; "" if nothing is."""
        if self.default is not None and not _number(self.default):
            return f"the default {self.default!r}, which is not a number"
        if self.search is None:
            return ""
        numbers = len(self.search) == 2 and all(map(_number, self.search))
        ordered = numbers and self.search[0] <= self.search[1]
        if not ordered or (self.log and self.search[0] <= 0):
            above = ", above 0 on a logarithmic axis" * self.log
            return f"the range {self.search!r}: it needs two numbers, the larger one last{above}"
        return ""

    def refused(self, value: float | None) -> str:
        """Why the parameter cannot have this value, in words; "" if it can.

        A width or another scale of the potential that is searched on a logarithmic axis is above 0.
        """
        if value is None or (
            _number(value) and (value > 0 or not (self.search and self.log and self.per_threshold))
        ):
            return ""
        return "it must be above 0" if _number(value) else "it must be a number"

    def at(self, threshold: float) -> float | None:
        """The default at this threshold."""
        if self.default is None or not self.per_threshold:
            return self.default
        if self.per_threshold == 1:
            return self.default * threshold / REFERENCE_THRESHOLD
        return self.default * REFERENCE_THRESHOLD / threshold


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


WIDTH = Param(1.0, search=(0.25, 4.0), per_threshold=1)
"""`width` of a fixed shape. By default all have a full width at half maximum of 2 v_th, the rectangle's own,
and area 1 if they have an area, so a table of defaults compares shape and nothing else. Papers used other
scales: a preset NAME:paper has the values of its paper, if value and threshold are known."""
HEIGHT = Param(None, per_threshold=-1)
"""`height` of a fixed shape: h(0), which gives up the area; None keeps the declared area."""


class Neuron(Protocol):
    """What a method can read of its neuron, always up to date."""

    threshold: float

    @property
    def statistics(self) -> Statistics | None:
        """Those of the last training pass, if the method has a penalty."""
        ...

    @property
    def reset(self) -> str:
        """To "zero" (hard), or "subtract" the threshold (soft)."""
        ...

    @property
    def decay(self) -> float | Tensor:
        """tau: the share of the potential that survives one step; learned in PLIF."""
        ...


class Norm(Protocol):
    """What a method can read of the tdBN before its neuron, always up to date.

    scale: alpha * v_th.
    """

    scale: float

    @property
    def weight(self) -> Tensor:
        """Gamma, [C]."""
        ...

    @property
    def bias(self) -> Tensor:
        """Beta, [C]."""
        ...


@dataclass
class Site:
    """The place of one surrogate: one spiking layer of one network.

    name: backbone/layer, for messages.
    index: 0 for the first spiking layer from the input.
    norm: the tdBN that feeds the neuron, or None.
    seed: for the method's own random numbers; differs between layers and between cells.
    depth: the largest number of spiking layers between this one and the loss.
    layers: the number of spiking layers of the network. Like depth, it grows while the network is built, so
        do not read it in `bind`.

    A plain object, not a Module, so that holding it does not register anything twice.
    """

    name: str
    index: int
    neuron: Neuron
    norm: Norm | None
    timesteps: int
    epochs: int
    seed: int
    depth: int = 0
    layers: int = 1


@dataclass(frozen=True)
class Statistics:
    """What a method's `penalty` can use of one forward pass of its layer; differentiable.

    mean, variance: those of the potential that is compared with the threshold, over batch and neurons; shape
        [T].
    """

    mean: Tensor
    variance: Tensor


@dataclass(frozen=True)
class SearchContext:
    """What `search` can use: the network, its own stream of training batches, the loss.

    batches() yields at most `budget` pairs (network input, labels [B]) from the training data only.
    loss(logits [T, B, K], labels) is the recipe's. The time of a search counts towards the cost of training.
    """

    network: nn.Module
    batches: Callable[[], Any]
    loss: Callable[[Tensor, Tensor], Tensor]
    progress: float
    budget: int

    def at_spikes(self, layers: Sequence[Any], x: Tensor, y: Tensor) -> list[list[tuple[Tensor, Tensor]]]:
        """Of each layer and time step: x = u - v_th, and the gradient of the loss at the spikes.

        x, y: a pair from `batches`. All are [B, ...], in 32 bits or more. The network, its buffers included,
        is left as it was.
        """
        seen: list[list[tuple[Tensor, Tensor]]] = [[] for _ in layers]

        def watched(real: Any, own: list[tuple[Tensor, Tensor]], x: Tensor, *more: Any) -> Tensor:
            s: Tensor = real(x, *more)
            own.append((x.detach(), s))
            return s

        buffers = {name: value.clone() for name, value in self.network.named_buffers()}
        try:
            for layer, own in zip(layers, seen, strict=True):
                vars(layer)["spike"] = partial(watched, layer.spike, own)
            loss = self.loss(self.network(x), y)
            spikes = [s for own in seen for _, s in own]
            found = iter(torch.autograd.grad(loss, spikes, materialize_grads=True, allow_unused=True))
        finally:
            for layer in layers:
                vars(layer).pop("spike", None)
            for name, value in self.network.named_buffers():
                # Other libraries keep potentials in buffers, which take another shape.
                if value.shape == buffers[name].shape:
                    value.copy_(buffers[name])
        wide = torch.promote_types(x.dtype, torch.float32)
        return [[(x.to(wide), next(found).to(wide)) for x, _ in own] for own in seen]


class _Spike(torch.autograd.Function):
    """Heaviside forward, grad * h(x) backward. Keeps only x, and parameters that are tensors.

    Tensors are passed as arguments, not in a dictionary: with one, torch 2.9's compiler uses the wrong
    tensors.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, shape: Shape, numbers: Values, names: tuple[str, ...], *tensors: Tensor
    ) -> Tensor:
        ctx.save_for_backward(x, *tensors)
        ctx.shape, ctx.numbers, ctx.names = shape, numbers, names
        if torch.compiler.is_compiling():
            # The compiler fuses it. With an `out` here, torch 2.11's compiler loses the gradient.
            return (x >= 0).to(x.dtype)
        # The same without booleans, which take several times as long.
        return torch.ge(x, 0, out=torch.empty_like(x))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, *tensors = ctx.saved_tensors
        h = ctx.shape(x, **ctx.numbers, **dict(zip(ctx.names, tensors, strict=True)))
        if h.shape != x.shape:
            # Broadcasting would hide this, and train on something else.
            raise ValueError(f"the derivative has shape {tuple(h.shape)}, x has {tuple(x.shape)}")
        return grads[0] * h, None, None, None, *(None for _ in tensors)


def spike(x: Tensor, shape: Shape, params: Values) -> Tensor:
    """S(x) = 1(x >= 0) forward, `shape(x, **params)` as its derivative backward.

    x: u - v_th, any shape, any floating dtype; spikes have the same shape and dtype. H(0) = 1. No gradient
    reaches `params`: a rule that learns them overrides `Surrogate.spike`.
    """
    tensors = {name: value for name, value in params.items() if isinstance(value, Tensor)}
    numbers = {name: value for name, value in params.items() if name not in tensors}
    result: Tensor = _Spike.apply(x, shape, numbers, tuple(tensors), *tensors.values())
    return result


def learned_spike(x: Tensor, primitive: Shape, params: Values) -> Tensor:
    """S(x) = 1(x >= 0) forward; backward the gradient of `primitive(x, **params)`, to x and to params.

    primitive: H(x), the smooth step whose derivative is the shape; see `bench.primitives`.
    """
    if not torch.is_grad_enabled():
        return spike(x, primitive, {})
    smooth = primitive(x, **params)
    # Not (H + F) - F, which is not exactly 0 or 1 in low precision. F - F is exactly 0.
    return (x >= 0).to(x.dtype) + (smooth - smooth.detach())


class NoiseStream(nn.Module):
    """Uniform random numbers of one layer; the n-th draw does not depend on other streams.

    Its position is part of the state_dict, so a training run resumed from a checkpoint draws the same
    numbers.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed
        self.drawn = 0

    def draw(self, shape: torch.Size, like: Tensor) -> Tensor:
        """Numbers in [0, 1) of this shape, on the device of `like`, float32."""
        # torch's CPU generator uses only 32 bits of its seed: they must depend on everything.
        digest = hashlib.sha256(f"{self.seed}:{self.drawn}".encode()).digest()
        generator = torch.Generator(like.device).manual_seed(int.from_bytes(digest[:4], "big"))
        self.drawn += 1
        return torch.rand(shape, generator=generator, device=like.device)

    def get_extra_state(self) -> int:
        """The number of draws so far."""
        return self.drawn

    def set_extra_state(self, state: int) -> None:
        """Continue after that many draws."""
        self.drawn = state


class Surrogate(nn.Module):
    """One method at one spiking layer. Override what the method changes.

    shape: the derivative h(x, **params).
    primitive: the smooth step H(x, **params) whose derivative is h, if known.
    activation: if set, replaces neuron and spike completely (the ANN reference).
    """

    shape: ClassVar[Shape]
    primitive: ClassVar[Shape | None] = None
    activation: ClassVar[Callable[[Tensor], Tensor] | None] = None
    site: Site

    def __init__(self, **values: float | None) -> None:
        super().__init__()
        self.values: Values = values

    def extra_repr(self) -> str:
        """For print(network)."""
        return ", ".join(f"{name}={value}" for name, value in self.values.items())

    def bind(self, site: Site) -> None:
        """Attach to a site; called once, when the network is built.

        Raises BenchError if the site lacks something that the method needs.
        """
        self.site = site

    def transform(self, u: Tensor, t: int) -> Tensor:
        """What is compared with the threshold at step t; u: [B, ...] after integration, before reset.

        Not called unless overridden. The reset is that of u itself.
        """
        return u

    def threshold(self, u: Tensor, t: int) -> float | Tensor:
        """The threshold at step t; u: [B, ...], what is compared with it."""
        return self.site.neuron.threshold

    def params(self, u: Tensor, t: int) -> Values:
        """The parameters of the shape at step t, in units of the potential if they have one.

        Not called in evaluation without gradients, when nothing needs them, unless the method overrides
        `spike`, `carry` or `emit`.
        """
        return self.values

    def spike(self, x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        """Spikes of the shape and dtype of x = u - threshold; its backward is the surrogate."""
        return spike(x, type(self).shape, params)

    def derivative(self, x: Tensor, params: Values) -> Tensor | None:
        """The declared h(x), compared with what autograd delivers; None if none is declared."""
        shape = getattr(type(self), "shape", None)
        return None if shape is None else shape(x, **params)

    def carry(self, v: Tensor, t: int) -> Tensor:
        """What goes on from step t to step t + 1; v: [B, ...], the potential after reset.

        Not called unless overridden. In a recurrent layer, the spikes go on too, whatever this returns.
        """
        return v

    def emit(self, s: Tensor, t: int) -> Tensor:
        """The input of the next layer."""
        return s

    def noise(self, shape: torch.Size, like: Tensor) -> Tensor | None:
        """Random numbers for one forward pass [T, B, ...], from the method's own `NoiseStream`.

        None: no noise. `spike` must work without it, as in evaluation.
        """
        return None

    def on_epoch(self, progress: float) -> None:
        """Called before each epoch; progress is 0 at the first and 1 at the last."""

    def penalty(self, statistics: Statistics) -> Tensor | None:
        """An extra loss of this layer, added to the task's. Statistics are computed only if overridden."""
        return None

    @classmethod
    def optimizers(cls, layers: Sequence[Any]) -> list[torch.optim.Optimizer]:
        """Optimizers of the method's own parameters, in addition to the recipe's; none by default.

        The recipe trains all parameters that no optimizer here takes.
        """
        return []

    @classmethod
    def search(cls, layers: Sequence[Any], context: SearchContext) -> None:
        """Change the layers' state by a search over training data; called before each epoch."""


def overrides(kind: type[Surrogate], hook: str) -> bool:
    """Whether a class overrides a hook."""
    above = kind.__mro__[: kind.__mro__.index(Surrogate)]
    return any(hook in vars(parent) for parent in above)


class FixedSurrogate(Surrogate):
    """A method that is only a shape with constant parameters."""

    def __init__(self, shape: Shape, **values: float | None) -> None:
        super().__init__(**values)
        self._shape = shape

    def spike(self, x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        return spike(x, self._shape, params)

    def derivative(self, x: Tensor, params: Values) -> Tensor | None:
        return self._shape(x, **params)


@dataclass(frozen=True)
class Twin:
    """Which of our methods computes the same derivative as a library function, and at which parameters.

    method: its name, or "" if none of ours matches at any value; why: then the reason.
    """

    method: str = ""
    params: Mapping[str, float] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True)
class Method:
    """A method as the registry and the tables know it.

    paper, link: the source of the rule.
    changes: what differs from plain training.
    fidelity: how certain it is that this is the published method.
    note: what had to be inferred, or is special.
    requires: packages that must be installed for it.
    area: that of its derivative at the defaults, None if it does not promise one.
    primitive: the step H whose derivative it uses, if known.
    breaks: laws of `bench.check` that it cannot keep, with the reason.
    twin: for a library function, its equivalent here.
    latex: its rule as LaTeX, which the documentation sets; "" if it has none.
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
    area: float | None = 1.0
    primitive: Shape | None = None
    breaks: Mapping[str, str] = field(default_factory=dict)
    twin: Twin | None = None
    latex: str = ""

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

    def settle(self, given: Mapping[str, float | None], threshold: float) -> dict[str, float | None]:
        """Every parameter's value at this threshold. Raises BenchError for one that it lacks or refuses."""
        for name, value in given.items():
            if name not in self.params:
                has = f"it has {', '.join(self.params)}" if self.params else "it has none"
                raise BenchError(f"method {self.name} has no parameter {name!r}: {has}")
            if why := self.params[name].refused(value):
                shown = f"{value:g}" if _number(value) else repr(value)
                raise BenchError(f"method {self.name}: {name} = {shown} cannot be: {why}")
        return {**self.defaults(threshold), **given}

    def build(self, site: Site, values: Mapping[str, float | None]) -> Surrogate:
        """An instance bound to `site`; `values` overrides defaults.

        Raises BenchError if the site does not fit.
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
    formula: str = "",
    kind: Kind = "fixed",
    changes: Changes = "gradient",
    fidelity: Fidelity | None = None,
    note: str = "",
    requires: Sequence[str] = (),
    area: float | None = 1.0,
    primitive: Shape | None = None,
    breaks: Mapping[str, str] | None = None,
    twin: Twin | None = None,
    **params: Param,
) -> Callable[[Target], Target]:
    r"""Declare a derivative function, or a `Surrogate` subclass, as the method `name`.

    formula: the rule as LaTeX, without $, such as r"h(x) = \frac{1}{w}"; as text it is the first line of the
        docstring.
    fidelity: by default "own" if `paper` is one of UNPUBLISHED, otherwise "paper".

    Every further keyword is a parameter of the method. The decorated object is returned unchanged; the
    registry finds the declaration on it. One object can carry several: see `preset`. A class states its
    primitive as an attribute.
    """
    breaks = breaks or {}
    for what, text in (("paper", paper), ("link", link), ("formula", formula), ("note", note)):
        if not isinstance(text, str):
            raise BenchError(
                f"method {name!r}: {what} = {text!r} is not text; a parameter needs another name"
            )
    published = paper.strip().lower() not in UNPUBLISHED
    fidelity = fidelity or ("paper" if published else "own")
    if fidelity == "paper" and not published:
        raise BenchError(
            f"method {name!r} has fidelity 'paper' and paper = {paper!r}: "
            "name the paper, or leave fidelity out"
        )
    _check_declaration(name, kind, changes, fidelity, params, breaks)

    def declare(target: Target) -> Target:
        if Surrogate not in getattr(target, "__mro__", (Surrogate,)):
            raise BenchError(f"method {name!r}: the class {target.__name__} is no subclass of Surrogate")
        try:
            # A class takes only the parameters, a function also x.
            inspect.signature(target).bind(*(() if isinstance(target, type) else (None,)), **params)
        except TypeError as error:
            raise BenchError(
                f"method {name!r} declares the parameters {', '.join(params) or 'none'}, "
                f"but {target.__name__} takes others: {error}"
            ) from None
        step = primitive or getattr(target, "primitive", None)
        found = Method(
            name,
            target,
            kind,
            changes,
            fidelity,
            paper,
            link,
            note,
            tuple(requires),
            params,
            area,
            step,
            breaks,
            twin,
            formula,
        )
        # vars(), not getattr(): a subclass must not inherit its parent's declarations.
        target.declared = (*vars(target).get("declared", ()), found)  # type: ignore[attr-defined]
        return target

    return declare


def preset(
    name: str, *, note: str = "", formula: str | None = None, params: Mapping[str, Param], **changed: Any
) -> Callable[[Target], Target]:
    """Declare the method below again, as `name`, with other defaults.

    Place it above the `method` (or another `preset`) that it varies. It keeps everything except the name, the
    note, the formula if one is given, the given parameters and the fields in `changed` (kind, area,
    fidelity, ...).
    """

    def declare(target: Target) -> Target:
        declared: tuple[Method, ...] = vars(target).get("declared", ())
        if not declared:
            raise BenchError(f"preset {name!r} varies nothing: put it above an @method")
        base = declared[0]
        unknown = set(params) - set(base.params)
        if unknown:
            raise BenchError(f"preset {name!r} sets {', '.join(sorted(unknown))}, which {base.name} lacks")
        latex = base.latex if formula is None else formula
        varied = replace(base, name=name, note=note, latex=latex, params={**base.params, **params}, **changed)
        _check_declaration(name, varied.kind, varied.changes, varied.fidelity, varied.params, varied.breaks)
        target.declared = (*declared, varied)  # type: ignore[attr-defined]
        return target

    return declare


def _check_declaration(
    name: str,
    kind: str,
    changes: str,
    fidelity: str,
    params: Mapping[str, Any],
    breaks: Mapping[str, str],
) -> None:
    if not re.fullmatch(r"[^\s,#|]+", name) or not name.isprintable() or name == "all":
        raise BenchError(
            f"{name!r} cannot be the name of a method: it needs one printable word, without commas, not 'all'"
        )
    for what, value, allowed in (
        ("kind", kind, get_args(Kind)),
        ("changes", changes, get_args(Changes)),
        ("fidelity", fidelity, get_args(Fidelity)),
        *(("breaks", law, get_args(Law)) for law in breaks),
    ):
        if value not in allowed:
            raise BenchError(f"method {name!r}: {what} = {value!r} is not one of {', '.join(allowed)}")
    for parameter, declared in params.items():
        if parameter in OPTIONS:
            raise BenchError(
                f"method {name!r}: the parameter {parameter!r} has the name of an option of the training, "
                "which tables would take it for; give it another name"
            )
        if parameter in RESERVED:
            raise BenchError(
                f"method {name!r}: no parameter can be called {parameter!r}; give it another name"
            )
        if not isinstance(declared, Param):
            raise BenchError(
                f"method {name!r}: {parameter} = {declared!r} declares no parameter; "
                f"write Param({declared!r})"
            )
        wrong = declared.wrong()
        if wrong:
            raise BenchError(f"method {name!r}: the parameter {parameter} has {wrong}")
