"""CIFAR-10 as torchvision reads it, with the augmentation that is usual for it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bench.data import Request, Splits, dataset, with_ids
from bench.errors import BenchError
from bench.randomness import uniform

FOLDER = "cifar-10-batches-py"
SIDE, PAD = 32, 4
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)
"""Per channel, of images in [0, 1]. These are the values spiking networks are published with; the
deviation is the mean over images of each one's own, not that of all pixels (0.2470, ...)."""


def crop_and_flip(x: Tensor, ids: Tensor, epoch: int, seed: int) -> Tensor:
    """Pads x [B, 3, 32, 32] with 4 zeros a side, crops it back at random, mirrors one in two.

    He et al. 2016, section 4.2. Each sample's crop and mirror follow from (seed, epoch, id).
    """
    draws = uniform(seed, epoch, ids, draws=3).to(x.device)
    top, left = (draws[:, :2] * (2 * PAD + 1)).long().unbind(1)
    mirrored = draws[:, 2:] < 0.5
    inside = torch.arange(SIDE, device=x.device)
    rows = top[:, None] + inside
    columns = left[:, None] + torch.where(mirrored, inside.flip(0), inside)
    padded = functional.pad(x, (PAD, PAD, PAD, PAD))
    tall = padded.gather(2, rows[:, None, :, None].expand(-1, x.shape[1], -1, padded.shape[3]))
    return tall.gather(3, columns[:, None, None, :].expand(-1, x.shape[1], SIDE, -1))


def normalise(x: Tensor) -> Tensor:
    """Images [B, 3, 32, 32] of 0..255 to mean 0 and about unit deviation, float32."""
    mean, std = (255 * torch.tensor(v, device=x.device).view(3, 1, 1) for v in (MEAN, STD))
    return (x - mean) / std


@dataset(
    "cifar10",
    shape=(3, SIDE, SIDE),
    classes=10,
    licence="none stated by its authors",
    source="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009, "
    "https://www.cs.toronto.edu/~kriz/cifar.html",
    val_fraction=0.1,  # 45,000 and 5,000, as in He et al. 2016
    augment=crop_and_flip,
    normalise=normalise,
)
def cifar10(request: Request) -> Splits:
    """The 50,000 and 10,000 images, uint8 [N, 3, 32, 32], from <data root>/cifar-10-batches-py.

    ids: training images in the order of the batches, then test images.
    """
    try:
        from torchvision.datasets import CIFAR10
    except ImportError as error:
        raise BenchError(
            f"dataset cifar10: torchvision reads it and cannot be imported ({error}); install it"
        ) from error
    try:
        train, test = (CIFAR10(request.root, train=part, download=False) for part in (True, False))
    except (RuntimeError, OSError) as error:
        folder = request.root / FOLDER
        state = "has a missing or damaged file" if folder.is_dir() else "is not there"
        raise BenchError(
            f"dataset cifar10: {folder} {state}; let --data-root or SPIKEGRAD_DATA name the folder "
            f'that holds {FOLDER}, or download it with python -c "from torchvision.datasets import CIFAR10; '
            f"CIFAR10('{request.root}', download=True)\""
        ) from error
    images = [torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous() for part in (train, test)]
    return Splits(
        train=with_ids(images[0], train.targets, start=0),
        test=with_ids(images[1], test.targets, start=len(train)),
    )
