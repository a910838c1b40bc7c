"""Copies a network for probing, so that the one in training is not affected."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bench.model.backbone import Network

Copied = TypeVar("Copied", bound=nn.Module)


def copied(network: Network) -> Network:
    """The network with all its state, including weights and the methods' own, without gradients, eager.

    Tensors that are results of a computation, which torch refuses to copy, are detached.
    """
    twin = detached_copy(network)
    twin.compiled = None
    for neuron in twin.neurons:
        neuron.compiled = None
    return twin


def detached_copy(module: Copied) -> Copied:
    """The same for any module; its compiled parts stay compiled."""
    with _Detaching():
        twin = copy.deepcopy(module)
    for parameter in twin.parameters():
        parameter.grad = None
    return twin


class _Detaching(TorchFunctionMode):
    """Detaches tensors when they are copied."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__deepcopy__ and args[0].grad_fn is not None:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))
