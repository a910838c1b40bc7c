"""A copy of a network to be looked at, so that the one in training is left alone."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from bench.backbone import Network


def copied(network: Network) -> Network:
    """The network with all its state, weights and what its methods keep, without gradients, eager.

    Tensors that are results of a computation, which torch refuses to copy, become plain ones.
    """
    with _Detaching():
        twin = copy.deepcopy(network)
    for parameter in twin.parameters():
        parameter.grad = None
    twin.compiled = None
    for neuron in twin.neurons:
        neuron.compiled = None
    return twin


class _Detaching(TorchFunctionMode):
    """Copies of tensors, wherever they are kept, lose what they were computed from."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__deepcopy__ and args[0].grad_fn is not None:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))
