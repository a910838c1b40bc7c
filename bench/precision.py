"""Mixed precision: which operations of a training compute in 16 bits, and how its gradients survive that.

Under autocast torch computes convolutions and linear layers in the 16-bit type, and with them what follows:
currents, potentials, spikes. Weights, their gradients and the loss stay in 32 bits. float16 cannot hold small
gradients: the loss is scaled up, its gradients down again, and steps with infinite ones are left out
(Micikevicius et al., Mixed Precision Training, ICLR 2018, sec. 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from bench.suite import Profile


class Precision:
    """What a profile says of it, for one training."""

    def __init__(self, profile: Profile) -> None:
        self._device = profile.device
        self._dtype = None if profile.autocast == "off" else getattr(torch, profile.autocast)
        self._scaler = torch.amp.GradScaler(profile.device) if profile.autocast == "float16" else None

    def forward(self) -> AbstractContextManager[object]:
        """For passes through the network and for its loss."""
        if self._dtype is None:
            return nullcontext()
        return torch.autocast(self._device, dtype=self._dtype)

    def step(self, loss: Tensor, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Go back from the loss, then one step of each optimizer."""
        if self._scaler is None:
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            return
        self._scaler.scale(loss).backward()
        for optimizer in optimizers:
            self._scaler.step(optimizer)
        self._scaler.update()


FULL = Precision(Profile(device="cpu"))
"""No mixed precision."""
