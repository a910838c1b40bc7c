"""VGGSNN, the network of TET and of MPD-AGL for event cameras."""

from torch import Tensor, nn

from bench.model.backbone import backbone, picture, scaled
from bench.model.layers import Layers, OverTime

STAGES = ((64, 128), (256, 256), (512, 512), (512, 512))
SMALLEST = 2 ** len(STAGES)
"""The side of an image that the pools reduce to one pixel."""


@backbone("vggsnn")
class VGGSNN(nn.Module):
    """64C3-128C3-AP2-256C3-256C3-AP2-512C3-512C3-AP2-512C3-512C3-AP2, then a linear readout.

    From Deng et al., Temporal Efficient Training of Spiking Neural Network via Gradient Re-weighting, ICLR
    2022; without dropout, as in the published code of MPD-AGL (Jiang et al., IJCAI 2025). Pools average
    spikes, so inputs are multiples of 1/4 from the second stage on.
    """

    def __init__(self, layers: Layers, shape: tuple[int, ...], classes: int, width: float) -> None:
        super().__init__()
        inputs, high, wide = picture(layers.backbone, shape, smallest=SMALLEST)
        parts: list[nn.Module] = []
        for stage in STAGES:
            for channels in stage:
                outputs = scaled(channels, width)
                parts.append(layers.conv(f"conv{len(layers.sites) + 1}", inputs, outputs))
                inputs = outputs
            parts.append(OverTime(nn.AvgPool2d(2)))
        self.blocks = nn.Sequential(*parts)
        self.readout = OverTime(nn.Linear(inputs * (high // SMALLEST) * (wide // SMALLEST), classes))

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, C, H, W] to logits [T, B, classes]."""
        out: Tensor = self.readout(self.blocks(x).flatten(2))
        return out
