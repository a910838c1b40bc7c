"""Other libraries' neurons, each set to the equation of ours, to be put into our networks.

u[t] = 0.2 v[t-1] + I[t], s[t] = 1 where u reaches 0.5, v[t] = u[t] (1 - s[t]), and the gradient flows
through the reset. The surrogate is the one that all of them have: h(x) = 1 / (1 + |x|)^2, the fast
sigmoid at k = 1, which is all that norse's "super" computes, whatever its alpha.

Layers map currents [T, B, ...] to spikes of the same shape, dtype and layout.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from bench.model.backbone import Network
from bench.model.layers import NeuronOptions, SpikeBlock, TdBN
from bench.shapes import FAST_SIGMOID_FWHM

from . import norse, snntorch, spikingjelly

METHOD, VALUES = "fast-sigmoid", {"width": FAST_SIGMOID_FWHM, "height": 1.0}
"""The same surrogate here."""


@dataclass(frozen=True)
class Peer:
    """A library's neuron.

    layer(decay, threshold): makes one. current_scale: how many times larger its equation wants the
    currents. compiles: whether the library says that it is made for torch.compile. note: where it differs
    from ours. implementation(device, compiled=...): which of several the library says that it takes.
    """

    package: str
    layer: Callable[[float, float], nn.Module]
    current_scale: float = 1.0
    compiles: bool = False
    note: str = ""
    implementation: Callable[..., str] | None = None

    def computed_by(self, device: torch.device, compiled: bool) -> str:
        """A note on what computes there, where the library has several."""
        if self.implementation is None:
            return ""
        return f"computed by {self.implementation(device, compiled=compiled)}"

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.package) is not None


PEERS = {
    "snntorch": Peer("snntorch", snntorch.layer, note=snntorch.NOTE),
    "norse": Peer("norse", norse.layer, norse.current_scale(NeuronOptions().decay), note=norse.NOTE),
    "spikingjelly": Peer(
        "spikingjelly",
        spikingjelly.layer,
        compiles=True,
        note=spikingjelly.NOTE,
        implementation=spikingjelly.implementation,
    ),
}
INSTALLED = [name for name, peer in PEERS.items() if peer.installed]


def take_over(network: Network, name: str) -> Network:
    """Put the peer's neuron in the place of every neuron of ours."""
    peer, options = PEERS[name], NeuronOptions()
    for block in [module for module in network.modules() if isinstance(module, SpikeBlock)]:
        norm = block[1]
        assert isinstance(norm, TdBN)
        # The normalisation gives currents of that size at no cost; its bias, 0 at first, is as it is.
        norm.scale *= peer.current_scale
        block[2] = peer.layer(options.decay, options.threshold)
    return network
