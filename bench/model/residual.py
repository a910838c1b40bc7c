"""The residual blocks that spiking ResNets share, with the sum taken after the spikes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from bench.model.layers import Layers


class ResidualBlock(nn.Module):
    """Two 3x3 convolution blocks and a shortcut, [T, B, C, H, W] to [T, B, C', H', W'].

    y = conv2(conv1(x)) + shortcut(x): the spikes of the second convolution plus those of the shortcut,
    SEW-ADD in Fang et al., Deep Residual Learning in Spiking Neural Networks, NeurIPS 2021. Spikes are 0 or
    1, so y is a whole number, not a spike. The shortcut is x itself, or conv1x1 -> norm -> neuron if channels
    or size change.
    """

    def __init__(self, layers: Layers, name: str, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = layers.conv(f"{name}.conv1", inputs, outputs, stride=stride)
        self.conv2 = layers.conv(f"{name}.conv2", outputs, outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = layers.conv(
                f"{name}.shortcut", inputs, outputs, kernel=1, stride=stride, parallel=True
            )

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both paths."""
        out: Tensor = self.conv2(self.conv1(x)) + self.shortcut(x)
        return out


def residual_stages(
    layers: Layers, channels: Sequence[int], counts: Sequence[int], strides: Sequence[int]
) -> nn.Sequential:
    """Stages of blocks, named block1, block2, ...

    channels: the input channels, then those of every stage.
    counts: blocks in each stage.
    strides: the stride of the first block of each stage; the others have 1.
    """
    blocks: list[nn.Module] = []
    for stage, (count, stride) in enumerate(zip(counts, strides, strict=True)):
        inputs, outputs = channels[stage], channels[stage + 1]
        for i in range(count):
            name = f"block{len(blocks) + 1}"
            blocks.append(ResidualBlock(layers, name, outputs if i else inputs, outputs, 1 if i else stride))
    return nn.Sequential(*blocks)
