"""A multilayer perceptron."""

import math
from itertools import pairwise

from torch import Tensor, nn

from bench.model.backbone import backbone, scaled
from bench.model.layers import Layers, OverTime

HIDDEN = (256, 256)


@backbone("mlp")
class MLP(nn.Module):
    """256-256 fully connected spiking layers, then a linear readout; the input is flattened."""

    def __init__(self, layers: Layers, shape: tuple[int, ...], classes: int, width: float) -> None:
        super().__init__()
        sizes = [math.prod(shape), *(scaled(size, width) for size in HIDDEN)]
        self.flatten = OverTime(nn.Flatten())
        self.blocks = nn.Sequential(
            *(layers.linear(f"fc{i}", a, b) for i, (a, b) in enumerate(pairwise(sizes), 1))
        )
        self.readout = OverTime(nn.Linear(sizes[-1], classes))

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, ...] to logits [T, B, classes]."""
        out: Tensor = self.readout(self.blocks(self.flatten(x)))
        return out
