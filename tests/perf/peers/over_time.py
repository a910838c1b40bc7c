"""The loop over T steps around a library's neuron of one step."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from bench.model.neuron import _over_time


class Loop(nn.Module):
    """cell(current, state) -> (spikes, state) at every step; start(current) is the first state."""

    def __init__(self, cell: nn.Module, start: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.cell = cell
        self.start = start

    def forward(self, current: Tensor) -> Tensor:
        state, out = self.start(current[0]), list[Tensor]()
        for i in current.unbind(0):
            spikes, state = self.cell(i, state)
            out.append(spikes)
        # As our own neuron joins its steps: the library loses no layout that ours keeps.
        return _over_time(out).to(current.dtype)
