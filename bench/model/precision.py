"""Mixed precision: which operations of training use 16 bits, and how gradients avoid underflow.

Under autocast torch computes convolutions and linear layers in the 16-bit type, and with them currents,
potentials and spikes. Weights, their gradients and the loss stay in 32 bits. float16 cannot represent small
gradients: the loss is scaled up, its gradients are scaled down again, and steps with infinite gradients are
skipped (Micikevicius et al., Mixed Precision Training, ICLR 2018, sec. 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from bench.suite import Profile


class Precision:
    """The precision settings of a profile, for one training run."""

    def __init__(self, profile: Profile) -> None:
        self._device = profile.device
        self._dtype = None if profile.autocast == "off" else getattr(torch, profile.autocast)
        self._scaler = torch.amp.GradScaler(profile.device) if profile.autocast == "float16" else None

    def forward(self) -> AbstractContextManager[object]:
        """Context for forward passes and the loss."""
        if self._dtype is None:
            return nullcontext()
        return torch.autocast(self._device, dtype=self._dtype)

    def state(self) -> dict[str, Any]:
        """The state of the scaling, for a checkpoint; empty if there is none."""
        return {} if self._scaler is None else self._scaler.state_dict()

    def load(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        if self._scaler is not None:
            self._scaler.load_state_dict(state)

    @property
    def scale(self) -> float:
        """The factor by which `backward` scales gradients."""
        return self._scaler.get_scale() if self._scaler is not None else 1.0

    def backward(self, loss: Tensor) -> None:
        """Run the backward pass; gradients are `scale` times too large until `update`."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def update(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """One step of each optimizer."""
        for optimizer in optimizers:
            if self._scaler is None:
                optimizer.step()
            elif _has_gradient(optimizer):
                # The scaler rejects an optimizer without gradients, which has nothing to do.
                self._scaler.step(optimizer)
        if self._scaler is not None:
            self._scaler.update()


def _has_gradient(optimizer: torch.optim.Optimizer) -> bool:
    return any(p.grad is not None for group in optimizer.param_groups for p in group["params"])


FULL = Precision(Profile(device="cpu"))
"""No mixed precision."""
