"""ResNet-19, the network of tdBN and of MPD-AGL for static images."""

from torch import Tensor, nn

from bench.model.backbone import backbone, picture, scaled
from bench.model.layers import Layers, OverTime
from bench.model.residual import residual_stages

STEM, STAGES, HIDDEN = 128, (128, 256, 512), 256


@backbone("resnet19")
class ResNet19(nn.Module):
    """128C3, 3 + 3 + 2 residual blocks of 128, 256, 512 channels, average pool, FC256 + spike, readout.

    As in the published code of MPD-AGL (Jiang et al., IJCAI 2025): strides 1, 2, 2; no biases, not even in
    the readout; tdBN before the spikes of the fully connected layer too. The depth is that of Zheng et al.,
    AAAI 2021, who sum before the spikes; here the sum is taken after them: see `bench.model.residual`.
    """

    def __init__(self, layers: Layers, shape: tuple[int, ...], classes: int, width: float) -> None:
        super().__init__()
        inputs, _, _ = picture(layers.backbone, shape)
        channels = [scaled(c, width) for c in (STEM, *STAGES)]
        hidden = scaled(HIDDEN, width)
        self.stem = layers.conv("stem", inputs, channels[0])
        self.blocks = residual_stages(layers, channels, counts=(3, 3, 2), strides=(1, 2, 2))
        self.fc = layers.linear("fc", channels[-1], hidden)
        self.readout = OverTime(nn.Linear(hidden, classes, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """[T, B, C, H, W] to logits [T, B, classes]."""
        pooled = self.blocks(self.stem(x)).mean((-2, -1))
        out: Tensor = self.readout(self.fc(pooled))
        return out
