"""A plain convolutional network of a size common for CIFAR-10."""

from torch import Tensor, nn

from bench.model.backbone import backbone, picture, scaled
from bench.model.layers import Layers, OverTime

CHANNELS, PER_STAGE, STAGES, HIDDEN = 256, 3, 2, 2048
SMALLEST = 2**STAGES


@backbone("cifarnet")
class CIFARNet(nn.Module):
    """256C3-256C3-256C3-MP2-256C3-256C3-256C3-MP2-FC2048, then a linear readout.

    The CIFAR-10 network of Fang et al., Incorporating Learnable Membrane Time Constant to Enhance Learning of
    Spiking Neural Networks, ICCV 2021, with three differences: no dropout; a norm before the spikes of the
    fully connected layer too, which the authors' code does not have; a linear readout with bias instead of
    100 spiking neurons, ten of which vote for each class.
    """

    def __init__(self, layers: Layers, shape: tuple[int, ...], classes: int, width: float) -> None:
        super().__init__()
        inputs, high, wide = picture(layers.backbone, shape, smallest=SMALLEST)
        channels, hidden = scaled(CHANNELS, width), scaled(HIDDEN, width)
        parts: list[nn.Module] = []
        for _ in range(STAGES):
            for _ in range(PER_STAGE):
                parts.append(layers.conv(f"conv{len(layers.sites) + 1}", inputs, channels))
                inputs = channels
            parts.append(OverTime(nn.MaxPool2d(2)))
        self.blocks = nn.Sequential(*parts)
        self.fc = layers.linear("fc", channels * (high // SMALLEST) * (wide // SMALLEST), hidden)
        self.readout = OverTime(nn.Linear(hidden, classes))

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, C, H, W] to logits [T, B, classes]."""
        out: Tensor = self.readout(self.fc(self.blocks(x).flatten(2)))
        return out
