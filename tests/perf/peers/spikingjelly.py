"""SpikingJelly's LIFNode over all steps at once; on a GPU it takes a fused kernel by itself."""

import torch
from torch import Tensor, nn

NOTE = "LIFNode, step_mode = m"


def layer(decay: float, threshold: float) -> nn.Module:
    from spikingjelly.activation_based import neuron, surrogate

    return AllSteps(
        neuron.LIFNode(
            tau=1 / (1 - decay),
            decay_input=False,
            v_threshold=threshold,
            v_reset=0.0,
            surrogate_function=surrogate.SuperSpike(alpha=1.0),
            detach_reset=False,
            step_mode="m",
        )
    )


def implementation(device: torch.device, *, compiled: bool) -> str:
    """What computes there, as the library names it."""
    from spikingjelly.activation_based import functional

    ask = getattr(functional, "neuron_implementation", None)
    if ask is None:
        return "unknown"
    found: dict[str, str] = ask("lif", device, execution="compile" if compiled else "eager")
    return found["implementation"]


class AllSteps(nn.Module):
    """Forgets the potentials of the sequence before."""

    def __init__(self, node: nn.Module) -> None:
        super().__init__()
        self.node = node

    def forward(self, current: Tensor) -> Tensor:
        self.node.reset()
        out: Tensor = self.node(current)
        return out
