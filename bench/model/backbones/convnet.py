"""A small convolutional network."""

from torch import Tensor, nn

from bench.model.backbone import backbone, picture, scaled
from bench.model.layers import Layers, OverTime

CHANNELS = (32, 64, 64)
STRIDES = (1, 2, 1)


@backbone("convnet")
class ConvNet(nn.Module):
    """32C3-64C3(stride 2)-64C3, each conv + norm + spike, global average pool, linear readout."""

    def __init__(self, layers: Layers, shape: tuple[int, ...], classes: int, width: float) -> None:
        super().__init__()
        inputs, _, _ = picture(layers.backbone, shape)
        channels = [inputs, *(scaled(c, width) for c in CHANNELS)]
        self.blocks = nn.Sequential(
            *(
                layers.conv(f"conv{i}", channels[i - 1], channels[i], stride=stride)
                for i, stride in enumerate(STRIDES, 1)
            )
        )
        self.readout = OverTime(nn.Linear(channels[-1], classes))

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, C, H, W] to logits [T, B, classes]."""
        out: Tensor = self.readout(self.blocks(x).mean((-2, -1)))
        return out
