"""snntorch.Leaky, without its delay of the reset by one step."""

import torch
from torch import nn

from .over_time import Loop

NOTE = (
    "spikes where u > threshold, ours where u >= threshold; its spikes are float32; with reset_delay = False "
    "the reset is as ours, and the delayed one is still computed"
)


def layer(decay: float, threshold: float) -> nn.Module:
    import snntorch
    from snntorch import surrogate

    cell = snntorch.Leaky(
        # Tensors of double precision: a module in single precision rounds them like ours.
        beta=torch.tensor(decay, dtype=torch.float64),
        threshold=torch.tensor(threshold, dtype=torch.float64),
        reset_mechanism="zero",
        reset_delay=False,
        spike_grad=surrogate.fast_sigmoid(slope=1),
    )
    # The class keeps a list of all its neurons, for states that it hides; ours are handed over, and
    # on that list their last graph would outlive the network.
    snntorch.SpikingNeuron.instances.remove(cell)
    return Loop(cell, torch.zeros_like)
