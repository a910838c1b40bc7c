"""Finds what makes the CPU wait for a device, without one: on "meta" operations are seen and not done."""

from contextlib import contextmanager

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")
ASKS = {"_local_scalar_dense", "nonzero", "masked_select", "index_put_"}
"""Operations that read a number or a mask from the device; index_put_ does where its index is a mask."""
BRINGS = {torch.tensor, torch.as_tensor}
"""Functions that copy numbers to the device, unseen by a TorchDispatchMode where it is "meta"."""


@contextmanager
def waits():
    """A block; yields the names of the operations that make the CPU wait, or touch a tensor of its own."""
    found = []

    class Operations(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            tensors = [t for t in tree_leaves((args, kwargs, made)) if isinstance(t, torch.Tensor)]
            if func.overloadpacket.__name__ in ASKS or any(t.device.type == "cpu" for t in tensors):
                found.append(str(func))
            return made

    class Functions(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func in BRINGS:
                found.append(func.__name__)
            return func(*args, **(kwargs or {}))

    with Operations(), Functions():
        yield found
