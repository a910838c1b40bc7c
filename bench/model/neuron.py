"""The spiking neuron: LIF and PLIF, as one step and as the loop over T steps.

    u[t] = tau * v[t-1] + I[t]        integration
    s[t] = 1(u[t] >= v_th)            spike
    v[t] = u[t] * (1 - s[t])          hard reset to zero, or u[t] - v_th * s[t]: soft reset

A method can change what is compared with the threshold, and what goes on to the next step: the hooks
`transform` and `carry` of `bench.surrogate`. The reset is always that of u.

As in the published code of MPD-AGL (Jiang et al., IJCAI 2025). LIF has a constant decay tau. PLIF learns one
per layer, tau = sigmoid(w), starting at the same tau. In Fang et al., ICCV 2021, who introduced PLIF,
sigmoid(w) is 1/tau_m, the weight of the input, and the decay is 1 - sigmoid(w). The gradient flows through
the reset unless `detach_reset` is set.

A recurrent layer adds V y[t-1] to the current I[t]; y is the layer's output and V a square matrix. Shapes: I,
s, y are [T, B, ...]; u, v are [B, ...]. A current that is the same at every step can be given as one step,
[1, B, ...].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from bench.surrogate import FixedSurrogate, Statistics, Surrogate, Values, overrides

NeuronKind = Literal["lif", "plif"]
Reset = Literal["zero", "subtract"]
PLAIN = (Surrogate.spike, FixedSurrogate.spike)
"""With these, spikes are 1(u >= threshold) whatever the parameters and noise."""


class Step(NamedTuple):
    """One time step.

    out: input of the next layer; v: what goes on to the next step; u: what was compared with the threshold.
    """

    out: Tensor
    v: Tensor
    u: Tensor


class Moment(NamedTuple):
    """What an observer of a layer receives at time step t; tensors are [B, ...].

    u: the potential that is compared with the threshold, or the current if an activation replaces the neuron.
    threshold, params, noise: the inputs of the spike function.
    s: the spike, or the output of the activation.
    out: input of the next layer.
    """

    t: int
    u: Tensor
    threshold: float | Tensor
    params: Values
    noise: Tensor | None
    s: Tensor
    out: Tensor


class SpikingNeuron(nn.Module):
    """A layer of LIF or PLIF neurons under one surrogate. Keeps the dtype of its input.

    statistics: those of the last training pass if the surrogate needs them, otherwise None.
    observer: if set, called at every step.
    recurrent: V, for currents [T, B, units]; None for a layer without recurrence.
    timesteps: how often a current of one step is repeated.
    compiled: if set, replaces `unroll` in training.
    """

    statistics: Statistics | None
    observer: Callable[[Moment], None] | None
    compiled: Callable[[SpikingNeuron, Tensor, Tensor | None], Tensor] | None

    def __init__(
        self,
        kind: NeuronKind = "lif",
        *,
        threshold: float = 0.5,
        decay: float = 0.2,
        reset: Reset = "zero",
        detach_reset: bool = False,
        recurrent: nn.Linear | None = None,
        timesteps: int = 1,
    ) -> None:
        super().__init__()
        self.kind = kind
        self.threshold = threshold
        self.reset = reset
        self.detach_reset = detach_reset
        self.recurrent = recurrent
        self.timesteps = timesteps
        self.statistics = None
        self.observer = None
        self.compiled = None
        self._decay = decay
        if kind == "plif":
            self.w = nn.Parameter(torch.tensor(-math.log(1 / decay - 1)))
        self.surrogate: Surrogate

    def __getstate__(self) -> dict[str, Any]:
        # Statistics belong to the graph of one pass, which cannot be copied.
        return vars(self) | {"statistics": None}

    def extra_repr(self) -> str:
        """For print(network)."""
        decay = "learned" if self.kind == "plif" else f"{self._decay:g}"
        return f"{self.kind}, threshold={self.threshold:g}, decay={decay}, reset={self.reset}"

    @property
    def decay(self) -> float | Tensor:
        """tau, in (0, 1)."""
        return torch.sigmoid(self.w) if self.kind == "plif" else self._decay

    def step(self, current: Tensor, v: Tensor | None, t: int, noise: Tensor | None = None) -> Step:
        """Advance by one step; v is None at the first step."""
        kind = type(self.surrogate)
        u = current if v is None else self.decay * v + current
        compared = u if kind.transform is Surrogate.transform else self.surrogate.transform(u, t)
        threshold = self.surrogate.threshold(compared, t)
        params = {} if self._fires_alone() else self.surrogate.params(compared, t)
        s = self.surrogate.spike(compared - threshold, t, params, noise)
        r = s.detach() if self.detach_reset else s
        if self.reset == "zero":
            v = u * (1 - r)
        else:
            # A method can learn its threshold: detaching the reset detaches the threshold too.
            drop = threshold * r
            v = u - (drop.detach() if self.detach_reset else drop)
        if kind.carry is not Surrogate.carry:
            v = self.surrogate.carry(v, t)
        out = self.surrogate.emit(s, t)
        if self.observer is not None:
            self.observer(Moment(t, compared, threshold, params, noise, s, out))
        return Step(out, v, compared)

    def forward(self, current: Tensor) -> Tensor:
        """Input currents [T, B, ...], or [1, B, ...] if the same at every step, to spikes [T, B, ...]."""
        activation = type(self.surrogate).activation
        if activation is not None:
            return self._activate(activation, current)
        shape = torch.Size((self._steps(current), *current.shape[1:]))
        noise = None if self._fires_alone() else self.surrogate.noise(shape, current)
        if self.compiled is not None and self.training and self.observer is None:
            return self.compiled(self, current, noise)
        return self.unroll(current, noise)

    def _fires_alone(self) -> bool:
        """Whether the output depends on the threshold alone, and no observer needs the other values.

        True in evaluation without gradients, unless a method overrides `spike`, `carry` or `emit`, which can
        depend on what `params` computed.
        """
        if self.training or torch.is_grad_enabled() or self.observer is not None:
            return False
        # On the instance: its method may have been replaced there.
        spike = getattr(self.surrogate.spike, "__func__", None)
        kind = type(self.surrogate)
        return spike in PLAIN and not any(overrides(kind, hook) for hook in ("carry", "emit"))

    def unroll(self, current: Tensor, noise: Tensor | None) -> Tensor:
        """The T steps. noise [T, B, ...] is an argument, so that this function can be compiled as a whole."""
        wanted = self.training and overrides(type(self.surrogate), "penalty")
        v: Tensor | None = None
        out: list[Tensor] = []
        potentials: list[Tensor] = []
        for t, i in enumerate(self._by_step(current)):
            i = self._with_recurrence(i, out)
            done = self.step(i, v, t, None if noise is None else noise[t])
            v = done.v
            out.append(done.out)
            if wanted:
                potentials.append(done.u)
        self.statistics = statistics_of(potentials) if wanted else None
        return _over_time(out)

    def _activate(self, activation: Callable[[Tensor], Tensor], current: Tensor) -> Tensor:
        if self.recurrent is None and self.observer is None:
            return activation(current)
        out: list[Tensor] = []
        # Without recurrence there is no memory: one step still stands for all.
        steps = current.unbind(0) if self.recurrent is None else self._by_step(current)
        for t, i in enumerate(steps):
            i = self._with_recurrence(i, out)
            out.append(activation(i))
            if self.observer is not None:
                self.observer(Moment(t, i, 0.0, {}, None, out[-1], out[-1]))
        return _over_time(out)

    def _steps(self, current: Tensor) -> int:
        return self.timesteps if len(current) == 1 else len(current)

    def _by_step(self, current: Tensor) -> Sequence[Tensor]:
        """The current of each step, [B, ...]. Their stacked gradient has the memory layout of `current`."""
        if len(current) == 1:
            return [current[0]] * self.timesteps
        if _is_channels_last(current[0]):
            return [step.permute(0, 3, 1, 2) for step in current.permute(0, 1, 3, 4, 2).unbind(0)]
        return current.unbind(0)

    def _with_recurrence(self, current: Tensor, emitted: list[Tensor]) -> Tensor:
        if self.recurrent is None or not emitted:
            return current
        with_past: Tensor = current + self.recurrent(emitted[-1])
        return with_past


def _over_time(steps: list[Tensor]) -> Tensor:
    """[T, B, ...] in the memory layout of the steps; plain stack loses channels-last and copies each step."""
    if _is_channels_last(steps[0]):
        return torch.stack([step.permute(0, 2, 3, 1) for step in steps]).permute(0, 1, 4, 2, 3)
    return torch.stack(steps)


def _is_channels_last(step: Tensor) -> bool:
    """Whether [B, C, H, W] is stored as [B, H, W, C], and is not contiguous as [B, C, H, W] too."""
    if step.ndim != 4 or step.is_contiguous():
        return False
    return step.is_contiguous(memory_format=torch.channels_last)


def statistics_of(potentials: list[Tensor]) -> Statistics:
    """Mean and variance of the potentials of each step, [B, ...] each."""
    moments = [torch.var_mean(u, correction=0) for u in potentials]
    variance, mean = zip(*moments, strict=True)
    return Statistics(torch.stack(mean), torch.stack(variance))
