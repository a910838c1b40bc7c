"""The weights' gradients as training computes them, compiled or in mixed precision, by name.

The probes of `bench.measures.gradients` are eager and use other samples: they cannot detect wrongly compiled
code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from bench.errors import WrongGradient
from bench.model.backbone import Network, synapses
from bench.model.copying import copied
from bench.model.precision import Precision
from bench.randomness import drawing_from


def sizes(network: Network, scale: float = 1.0) -> dict[str, tuple[float, float]]:
    """For each synaptic weight, the norms of its gradient, divided by `scale`, and of the weight itself.

    Call it after a backward pass and before the optimizer's step. Without a gradient the first is 0.
    """
    weights = {id(p): name for name, p in network.named_parameters()}
    own = synapses(network)
    lengths = [_length(p.grad if p.grad is not None else p.new_zeros(1)) for p in own]
    lengths += [_length(p.detach()) for p in own]
    # One transfer from the device.
    numbers = torch.stack(lengths).tolist() if own else []
    pairs = zip(own, numbers[: len(own)], numbers[len(own) :], strict=True)
    return {weights[id(p)]: (gradient / scale, weight) for p, gradient, weight in pairs}


def check_alive(
    network: Network,
    found: Mapping[str, tuple[float, float]],
    loss: Callable[[Network], Tensor],
    precision: Precision,
) -> None:
    """If a weight's training gradient is zero, check that the eager one is zero too.

    found: the norms of the training gradients.
    loss(network): the loss of the same batch.

    Raises WrongGradient if an eager gradient is not zero. Changes nothing else. Costs one eager step if a
    gradient is zero, otherwise nothing.
    """
    silent = [name for name, (gradient, _) in found.items() if gradient == 0]
    if not silent:
        return
    eager = copied(network)
    device = next(eager.parameters()).device
    with drawing_from(0, device):
        with precision.forward():
            value = loss(eager)
        precision.backward(value)
    alive = sizes(eager)
    lost = [name for name in silent if alive[name][0] != 0]
    if lost:
        raise WrongGradient(
            f"the compiled training has no gradient of {', '.join(lost)} where eager training has one: "
            'a fault of this harness or of torch, not of the method; train with compile = "off"'
        )


def _length(tensor: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(tensor, dtype=torch.float64)
    return length
