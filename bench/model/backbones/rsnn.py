"""Recurrent spiking layers."""

import math
from itertools import pairwise

from torch import Tensor, nn

from bench.model.backbone import backbone, scaled
from bench.model.layers import Layers, OverTime

HIDDEN = (128, 128)


@backbone("rsnn")
class RSNN(nn.Module):
    """128-128 fully connected spiking layers, each recurrent, then a linear readout; input is flattened.

    I[t] = norm(W x)[t] + V y[t-1]. y is the layer's own output, V its square matrix without bias, initially
    uniform within +-1/sqrt(units) as in torch's linear layers. Recurrent layers of 128 units are those of
    Cramer et al., The Heidelberg Spiking Data Sets for the Systematic Evaluation of Spiking Neural Networks,
    IEEE TNNLS 2022, and Zenke & Vogels, Neural Computation 2021.

    The norm acts on W x alone. A method that follows tdBN, such as mpd-agl, does not see V y.
    """

    def __init__(self, layers: Layers, shape: tuple[int, ...], classes: int, width: float) -> None:
        super().__init__()
        sizes = [math.prod(shape), *(scaled(size, width) for size in HIDDEN)]
        self.flatten = OverTime(nn.Flatten())
        self.blocks = nn.Sequential(
            *(layers.linear(f"fc{i}", a, b, recurrent=True) for i, (a, b) in enumerate(pairwise(sizes), 1))
        )
        self.readout = OverTime(nn.Linear(sizes[-1], classes))

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, ...] to logits [T, B, classes]."""
        out: Tensor = self.readout(self.blocks(self.flatten(x)))
        return out
