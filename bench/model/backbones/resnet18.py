"""ResNet-18 for small images."""

from torch import Tensor, nn

from bench.model.backbone import backbone, picture, scaled
from bench.model.layers import Layers, OverTime
from bench.model.residual import residual_stages

STEM, STAGES = 64, (64, 128, 256, 512)


@backbone("resnet18")
class ResNet18(nn.Module):
    """64C3, 2 + 2 + 2 + 2 residual blocks of 64, 128, 256, 512 channels, average pool, linear readout.

    The ResNet-18 of He et al., Deep Residual Learning for Image Recognition, CVPR 2016, with a 3x3 stem and
    without the first pooling, as is usual for CIFAR; strides 1, 2, 2, 2. Sums are taken after the spikes: see
    `bench.model.residual`.
    """

    def __init__(self, layers: Layers, shape: tuple[int, ...], classes: int, width: float) -> None:
        super().__init__()
        inputs, _, _ = picture(layers.backbone, shape)
        channels = [scaled(c, width) for c in (STEM, *STAGES)]
        self.stem = layers.conv("stem", inputs, channels[0])
        self.blocks = residual_stages(layers, channels, counts=(2, 2, 2, 2), strides=(1, 2, 2, 2))
        self.readout = OverTime(nn.Linear(channels[-1], classes))

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, C, H, W] to logits [T, B, classes]."""
        out: Tensor = self.readout(self.blocks(self.stem(x)).mean((-2, -1)))
        return out
