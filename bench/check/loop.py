"""The law of the loop, which tests a layer at every time step, not only the first, and in training too."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from bench.check.case import NO_SPIKES, Broken, Case, NoClaim
from bench.measures.single_layer import CHANNELS, Probe
from bench.surrogate import Values, overrides

TIMESTEPS = 4
FEEDS = {"a linear layer": (6, CHANNELS), "a convolution": (3, CHANNELS, 3, 3)}


def loop(case: Case) -> str:
    """At every step, in training too, spikes, gradient and output are as declared."""
    if not case.spiking:
        return NO_SPIKES
    if case.method.changes == "gradient" and overrides(case.method.surrogate, "penalty"):
        raise Broken("it adds a loss, and declares changes = 'gradient'")
    if "forward" in case.method.breaks and case.probe().declared(torch.zeros(1, dtype=torch.float64)) is None:
        return NoClaim("it declares no derivative, and other spikes than these")
    for feed, shape in FEEDS.items():
        for training in (False, True):
            where = f"after {feed}, in {'training' if training else 'evaluation'}"
            _watch(case, torch.randn(TIMESTEPS, *shape, dtype=torch.float64), training, where)
    return ""


def _watch(case: Case, current: Tensor, training: bool, where: str) -> None:
    probe = Probe(case.method, timesteps=TIMESTEPS).train(training)
    surrogate, changes = probe.neuron.surrogate, case.method.changes
    real, plain_spikes = surrogate.spike, "forward" not in case.method.breaks

    def watched(x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        s = real(x, t, params, noise)
        if plain_spikes and not (training and changes == "forward"):
            wrong = s != (x >= 0)
            if bool(wrong.any()):
                raise Broken(f"spike = {s[wrong][0]:g} at x = {x[wrong][0]:.4g}, t = {t}, {where}")
        # Compute the gradient without noise, which masks or mixes the declared derivative.
        leaf = x.detach().clone().requires_grad_()
        declared = surrogate.derivative(leaf, params)
        if declared is not None:
            _compare(real, leaf, t, params, declared.detach(), where)
        return s

    surrogate.spike = watched  # type: ignore[method-assign]
    # One potential exactly at the threshold.
    current[0].view(-1)[0] = probe.neuron.threshold
    out = probe.neuron.unroll(current, surrogate.noise(current.shape, current))
    if plain_spikes and changes in ("gradient", "loss"):
        plain = _plain(probe, current)
        if not torch.equal(out.detach(), plain):
            raise Broken(
                f"the layer's output differs from a plain neuron's by up to "
                f"{(out.detach() - plain).abs().max():.3g}, {where}, but it declares changes = {changes!r}"
            )


def _compare(real: Any, leaf: Tensor, t: int, params: Values, declared: Tensor, where: str) -> None:
    out = real(leaf, t, params, None)
    delivered = torch.zeros_like(leaf)
    if out.requires_grad:
        (delivered,) = torch.autograd.grad(out.sum(), leaf)
    expected = declared.expand_as(delivered)
    if not torch.allclose(delivered, expected, rtol=1e-9, atol=1e-12, equal_nan=True):
        at = (delivered - expected).abs().nan_to_num(torch.inf).argmax()
        raise Broken(
            f"the gradient is {delivered.view(-1)[at]:.6g} at x = {leaf.view(-1)[at]:.4g}, the declared "
            f"derivative {expected.reshape(-1)[at]:.6g}, t = {t}, {where}"
        )


@torch.no_grad()
def _plain(probe: Probe, current: Tensor) -> Tensor:
    """The output of a plain neuron with hard reset, as the probe's neuron."""
    out, v = [], torch.zeros_like(current[0])
    for i in current:
        u = probe.neuron.decay * v + i
        s = (u >= probe.neuron.threshold).to(u.dtype)
        v = u * (1 - s)
        out.append(s)
    return torch.stack(out)
