"""A copy of a network to be looked at, so that the one in training is left alone."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bench.model.backbone import Network

Copied = TypeVar("Copied", bound=nn.Module)


def copied(network: Network) -> Network:
    """The network with all its state, weights and what its methods keep, without gradients, eager.

    Tensors that are results of a computation, which torch refuses to copy, become plain ones.
    """
    twin = detached_copy(network)
    twin.compiled = None
    for neuron in twin.neurons:
        neuron.compiled = None
    return twin


def detached_copy(module: Copied) -> Copied:
    """The same of any module, compiled or not as it is."""
    with _Detaching():
        twin = copy.deepcopy(module)
    for parameter in twin.parameters():
        parameter.grad = None
    return twin


class _Detaching(TorchFunctionMode):
    """Copies of tensors, wherever they are kept, lose what they were computed from."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__deepcopy__ and args[0].grad_fn is not None:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))
