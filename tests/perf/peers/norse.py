"""norse.torch.LIFBoxCell: leaky integration without a synaptic current."""

import torch
from torch import nn

from .over_time import Loop

NOTE = (
    "spikes where u > threshold, ours where u >= threshold; integrates v + 0.8 (I/0.8 - v), "
    "which rounds differently; the tdBN before it gives I/0.8"
)


def current_scale(decay: float) -> float:
    """It weighs its input with what the decay leaves of 1; ours takes it whole."""
    return 1 / (1 - decay)


def layer(decay: float, threshold: float) -> nn.Module:
    import norse.torch as norse
    from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters

    def number(value: float) -> torch.Tensor:
        return torch.tensor(value, dtype=torch.float64)

    parameters = LIFBoxParameters(
        tau_mem_inv=number(1 - decay),
        v_leak=number(0.0),
        v_th=number(threshold),
        v_reset=number(0.0),
        method="super",
    )
    cell = norse.LIFBoxCell(parameters, dt=1.0)
    return Loop(cell, lambda current: LIFBoxFeedForwardState(torch.zeros_like(current)))
