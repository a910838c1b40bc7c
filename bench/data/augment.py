"""Batch augmentation on the batch's own device, with separate random numbers for each sample.

    augment = compose(crop(4), flip(), autoaugment())
    x = augment(x, ids, epoch, seed)

A sample's change depends only on (seed, epoch, id), not on the other samples in the batch or their order.
Values keep their dtype; pixels outside an image are 0.

Shapes: B samples, D random numbers per sample, C channels, H x W pixels. `...` stands for C, or for T, C if
samples are event frames; all frames of a sample move together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.data.loading import POLICIES, Augment
from bench.errors import BenchError
from bench.randomness import derive, uniform
from bench.suite import Recipe


@dataclass(frozen=True)
class Step:
    """One change. draws: how many random numbers it needs per sample.

    change(x [B, ..., H, W], u [B, draws] in [0, 1)) returns x with the same shape, dtype and device.
    """

    draws: int
    change: Callable[[Tensor, Tensor], Tensor]


def compose(*steps: Step) -> Augment:
    """Apply the steps in order. No random number is used twice, so the steps are independent."""
    sizes = [step.draws for step in steps]

    def augment(x: Tensor, ids: Tensor, epoch: int, seed: int) -> Tensor:
        draws = uniform(seed, epoch, ids, sum(sizes)).to(x.device)
        for step, own in zip(steps, draws.split(sizes, dim=1), strict=True):
            x = step.change(x, own)
        return x

    return augment


def crop(pad: int) -> Step:
    """Pads with `pad` zeros on each side and crops back to H x W at a uniformly random position.

    He et al., "Deep residual learning for image recognition", CVPR 2016, section 4.2.
    """

    def change(x: Tensor, u: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        top, left = (u * (2 * pad + 1)).long().unbind(1)
        rows = top[:, None] + torch.arange(height, device=x.device)
        columns = left[:, None] + torch.arange(width, device=x.device)
        return _pick(functional.pad(x, (pad, pad, pad, pad)), rows, columns)

    return Step(2, change)


def erase(probability: float) -> Step:
    """Sets a box of each sample to 0 with this probability.

    Its area is 2 to 33 % of the image, its aspect ratio 0.3 to 3.3, as torchvision's RandomErasing, after
    Zhong et al., "Random erasing data augmentation", AAAI 2020. A box that does not fit is cut to the image,
    where torchvision draws up to ten others.
    """
    least, most = 0.02, 0.33

    def change(x: Tensor, u: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        area = (least + (most - least) * u[:, 1]) * height * width
        ratio = torch.exp((2 * u[:, 2] - 1) * math.log(1 / 0.3))
        rows = _span(torch.sqrt(area * ratio).round(), u[:, 3], height)
        columns = _span(torch.sqrt(area / ratio).round(), u[:, 4], width)
        box = rows[:, :, None] & columns[:, None, :] & (u[:, 0] < probability)[:, None, None]
        return torch.where(box.view(len(x), *(1 for _ in x.shape[1:-2]), height, width), 0, x)

    return Step(5, change)


def _span(length: Tensor, place: Tensor, size: int) -> Tensor:
    """Intervals of these lengths at random places in 0 to size, as [B, size] of true and false."""
    length = length.clamp(1, size)
    first = (place * (size - length + 1)).floor()[:, None]
    positions = torch.arange(size, device=length.device)
    return (positions >= first) & (positions < first + length[:, None])


def flip() -> Step:
    """Mirrors each sample left to right with probability 1/2."""

    def change(x: Tensor, u: Tensor) -> Tensor:
        return torch.where(u.view(-1, *[1] * (x.dim() - 1)) < 0.5, x.flip(-1), x)

    return Step(1, change)


def roll(pixels: int) -> Step:
    """Shifts by up to `pixels` in each direction, with wrap-around.

    As the code of Jiang et al. (MPD-AGL, IJCAI 2025) does with event frames, by up to 5 pixels.
    """

    def change(x: Tensor, u: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        down, right = ((u * (2 * pixels + 1)).long() - pixels).unbind(1)
        rows = (torch.arange(height, device=x.device) - down[:, None]) % height
        columns = (torch.arange(width, device=x.device) - right[:, None]) % width
        return _pick(x, rows, columns)

    return Step(2, change)


def autoaugment() -> Step:
    """AutoAugment's CIFAR-10 policy on uint8 images [B, 1 or 3, H, W].

    Cubuk et al., "AutoAugment: learning augmentation strategies from data", CVPR 2019. The operations are
    torchvision's, as its `AutoAugment(AutoAugmentPolicy.CIFAR10)` applies them by default: nearest pixel,
    black outside. The 5 draws choose one of the 25 pairs, whether to apply its first and second operation,
    and the signs of their magnitudes.

    Raises BenchError if x has another dtype or shape.
    """
    return Step(5, partial(_autoaugment, POLICY))


def autoaugment_of_papers() -> Step:
    """AutoAugment's CIFAR-10 policy as the code of many papers on spiking networks has it.

    Among them MPD-AGL (Jiang et al., IJCAI 2025) and DS-ATGO (Jiang et al., AAAI 2026), whose two files are
    the same. Differences from `autoaugment`, which is otherwise called in the same way:

    - Pixels from outside are grey, 128, also in the corners of a rotation.
    - All rotations are counter-clockwise.
    - A shear interpolates, by PIL's bicubic filter; translations are rounded by PIL, not cut to whole pixels.
    - The threshold of Solarize is a share of 256, not of 255.
    - In the pair (Equalize 0.2, Equalize 0.6) the second probability is 0.8.
    """
    return Step(5, partial(_autoaugment, POLICY_OF_PAPERS))


def randaugment(operations: int = 2, magnitude: int = 9, probability: float = 1.0) -> Step:
    """RandAugment on uint8 images [B, 1 or 3, H, W]: random operations, all of one magnitude.

    Cubuk et al., "RandAugment: practical automated data augmentation with a reduced search space", NeurIPS
    2020. The operations are torchvision's, as its `RandAugment` applies them by default: nearest pixel, black
    outside.

    operations: how many are drawn for each image, from 14, one of which changes nothing.
    magnitude: 0 to 30, on torchvision's scale.
    probability: with which each drawn operation is applied; torchvision always applies it.

    Of the 3 draws per operation the first chooses it, the second decides whether to apply it, and the third
    gives the sign of its magnitude. Raises BenchError if x has another dtype or shape.
    """
    return Step(3 * operations, partial(_randaugment, magnitude, probability))


def augmentation(offered: Mapping[str, Augment], recipe: Recipe) -> Augment | None:
    """What a recipe's `augment` means for a dataset that declares `offered`; None if nothing is augmented.

    Each of `POLICIES` comes after the dataset's "standard" augmentation, and has random numbers of its own.
    """
    if recipe.augment not in POLICIES:
        return offered.get(recipe.augment)
    standard = offered.get("standard", compose())
    if recipe.augment == "rand":
        step = randaugment(recipe.rand_operations, recipe.rand_magnitude, recipe.rand_probability)
    else:
        step = autoaugment_of_papers()
    policy = compose(step)

    def augment(x: Tensor, ids: Tensor, epoch: int, seed: int) -> Tensor:
        return policy(standard(x, ids, epoch, seed), ids, epoch, derive(seed, "policy"))

    return augment


def _pick(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels [B, ..., h, w] at rows [B, h] and columns [B, w] of x [B, ..., H, W]."""
    index = rows[:, :, None] * x.shape[-1] + columns[:, None, :]
    shape = (*x.shape[:-2], rows.shape[1], columns.shape[1])
    return _take(x.reshape(len(x), -1, x.shape[-2] * x.shape[-1]), index.flatten(1)).reshape(shape)


def _take(pixels: Tensor, index: Tensor) -> Tensor:
    """[B, C, n]: pixels [B, C, P] at index [B, n], the same for every channel."""
    return pixels.gather(2, index[:, None].expand(-1, pixels.shape[1], -1))


# --- AutoAugment and RandAugment ---

Operation = tuple[str, float, int]
"""Name, probability, and index of the magnitude, from 0 to 9."""

NONE = 0  # for operations without a magnitude
POLICY: Sequence[tuple[Operation, Operation]] = (
    (("Invert", 0.1, NONE), ("Contrast", 0.2, 6)),
    (("Rotate", 0.7, 2), ("TranslateX", 0.3, 9)),
    (("Sharpness", 0.8, 1), ("Sharpness", 0.9, 3)),
    (("ShearY", 0.5, 8), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.5, NONE), ("Equalize", 0.9, NONE)),
    (("ShearY", 0.2, 7), ("Posterize", 0.3, 7)),
    (("Color", 0.4, 3), ("Brightness", 0.6, 7)),
    (("Sharpness", 0.3, 9), ("Brightness", 0.7, 9)),
    (("Equalize", 0.6, NONE), ("Equalize", 0.5, NONE)),
    (("Contrast", 0.6, 7), ("Sharpness", 0.6, 5)),
    (("Color", 0.7, 7), ("TranslateX", 0.5, 8)),
    (("Equalize", 0.3, NONE), ("AutoContrast", 0.4, NONE)),
    (("TranslateY", 0.4, 3), ("Sharpness", 0.2, 6)),
    (("Brightness", 0.9, 6), ("Color", 0.2, 8)),
    (("Solarize", 0.5, 2), ("Invert", 0.0, NONE)),
    (("Equalize", 0.2, NONE), ("AutoContrast", 0.6, NONE)),
    (("Equalize", 0.2, NONE), ("Equalize", 0.6, NONE)),
    (("Color", 0.9, 9), ("Equalize", 0.6, NONE)),
    (("AutoContrast", 0.8, NONE), ("Solarize", 0.2, 8)),
    (("Brightness", 0.1, 3), ("Color", 0.7, 0)),
    (("Solarize", 0.4, 5), ("AutoContrast", 0.9, NONE)),
    (("TranslateY", 0.9, 9), ("TranslateY", 0.7, 9)),
    (("AutoContrast", 0.9, NONE), ("Solarize", 0.8, 3)),
    (("Equalize", 0.8, NONE), ("Invert", 0.1, NONE)),
    (("TranslateY", 0.7, 9), ("AutoContrast", 0.9, NONE)),
)
"""The pairs found on CIFAR-10; one is drawn per image, uniformly."""

OF_PAPERS = {
    "Rotate": "GreyRotate",
    "ShearY": "CubicShearY",
    "TranslateX": "GreyTranslateX",
    "TranslateY": "GreyTranslateY",
    "Solarize": "Solarize256",
}
"""Operations that the code of papers makes in its own way, with our names for them."""


def _of_papers(first: Operation, second: Operation) -> tuple[Operation, Operation]:
    if (first, second) == (("Equalize", 0.2, NONE), ("Equalize", 0.6, NONE)):
        second = ("Equalize", 0.8, NONE)
    return (OF_PAPERS.get(first[0], first[0]), *first[1:]), (OF_PAPERS.get(second[0], second[0]), *second[1:])


POLICY_OF_PAPERS: Sequence[tuple[Operation, Operation]] = tuple(_of_papers(*pair) for pair in POLICY)

RANDOM = (
    *("Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color"),
    *("Contrast", "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize"),
)
"""The operations of RandAugment, in torchvision's order."""
LEVELS = 31
"""Of RandAugment's magnitude, in torchvision; AutoAugment has 10."""

MOVES = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
"""Operations that move pixels, whatever their values."""
GREY_MOVES = ("GreyRotate", "GreyTranslateX", "GreyTranslateY")
"""The same, grey outside."""
TONES = ("Brightness", "Invert", "Posterize", "Solarize", "Solarize256")
"""Operations that map pixel values, wherever the pixels are."""
SIGNED = (*MOVES, *GREY_MOVES[1:], "CubicShearY", "Brightness", "Color", "Contrast", "Sharpness")
"""Operations whose magnitude is negative with probability 1/2."""
GREY = 128
"""The value of pixels from outside in the code of papers."""

Change = tuple[str, float]
"""An operation and its magnitude."""


Made = Callable[[Tensor, Tensor], Tensor]
"""made(x [B, C, H, W], row [B]) -> x: applies to each image the change of index `row` within a family."""


Choice = tuple[str, float, float]
"""An operation that can be drawn: its name, its probability, and its magnitude."""


@dataclass(frozen=True)
class Place:
    """The operations among which one is drawn, for images of one size on one device.

    Operation 2 * c + s is that of choice c, with a negative magnitude for s = 0.

    chance: its probability, float64 [2 * choices].
    family, row: the index into `families` and the index of the change within that family, int64, as long.
    """

    chance: Tensor
    family: Tensor
    row: Tensor
    families: Sequence[Made]


def _autoaugment(policy: Sequence[tuple[Operation, Operation]], x: Tensor, u: Tensor) -> Tensor:
    x = _checked("AutoAugment", x).clone()
    u = u.double()  # float32 could round a product up to the next pair.
    pair = (u[:, 0] * len(policy)).long()
    for number in (0, 1):
        choices = tuple(
            (name, probability, _magnitude(name, level, *x.shape[-2:]))
            for name, probability, level in (pair[number] for pair in policy)
        )
        x = _drawn(x, choices, pair, u[:, 1 + number], u[:, 3 + number])
    return x


def _randaugment(magnitude: int, probability: float, x: Tensor, u: Tensor) -> Tensor:
    x = _checked("RandAugment", x).clone()
    choices = tuple(
        (name, probability * (name != "Identity"), _magnitude(name, magnitude, *x.shape[-2:], LEVELS))
        for name in RANDOM
    )
    for of_one in u.double().view(len(u), -1, 3).unbind(1):
        choice, done, sign = of_one.unbind(1)
        x = _drawn(x, choices, (choice * len(RANDOM)).long(), done, sign)
    return x


def _checked(policy: str, x: Tensor) -> Tensor:
    if x.dtype != torch.uint8 or x.dim() != 4 or x.shape[1] not in (1, 3):
        raise BenchError(
            f"{policy} changes uint8 pictures [B, 1 or 3, H, W], and was given {x.dtype} "
            f"{list(x.shape)}; leave it out of this dataset's augmentation"
        )
    return x


def _drawn(x: Tensor, choices: tuple[Choice, ...], choice: Tensor, done: Tensor, sign: Tensor) -> Tensor:
    """Images x [B, C, H, W], each changed by the operation of its choice [B], if `done` [B] is small enough.

    sign: [B], negative below 1/2. Can write to x.
    """
    place = _place(choices, x.device, x.shape[-2], x.shape[-1])
    operation = 2 * choice + (sign >= 0.5)
    applied = done < place.chance[operation]
    family = place.family[operation].masked_fill(~applied, len(place.families))
    return _changed(x, family, place.row[operation], place.families)


def _changed(x: Tensor, family: Tensor, row: Tensor, families: Sequence[Made]) -> Tensor:
    """Images x [B, C, H, W], each changed by its row [B] of its family [B]. Can write to x."""
    for number, made in enumerate(families):
        chosen = family == number
        if _whole(x):
            x = torch.where(chosen.view(-1, 1, 1, 1), made(x, row * chosen), x)
        elif len(rows := chosen.nonzero().flatten()):
            x.index_copy_(0, rows, made(x[rows], row[rows]))
    return x


def _whole(x: Tensor) -> bool:
    """Whether to change the whole batch and keep the change only for the drawn images.

    Selecting the drawn images first would make the CPU wait for the GPU, which would then run out of work.
    """
    return x.device.type != "cpu"


@cache
def _place(choices: tuple[Choice, ...], device: torch.device, height: int, width: int) -> Place:
    """These operations; their tables stay on the device."""
    families: dict[object, list[Change]] = {}
    chance, family, row = [], [], []
    for name, probability, magnitude in choices:
        for sign in (-1, 1):
            change = name, sign * magnitude if name in SIGNED else magnitude
            # All moves form one family, and so do all tones; contrasts have no table.
            groups = (MOVES, GREY_MOVES, TONES)
            kind = next((k for k in groups if name in k), change if name == "Contrast" else name)
            members = families.setdefault(kind, [])
            chance.append(probability)
            family.append(list(families).index(kind))
            row.append(len(members))
            members.append(change)
    return Place(
        torch.tensor(chance, dtype=torch.float64, device=device),
        torch.tensor(family, device=device),
        torch.tensor(row, device=device),
        [_made(members, device, height, width) for members in families.values()],
    )


def _made(changes: Sequence[Change], device: torch.device, height: int, width: int) -> Made:
    """The function that applies the changes of one family."""
    name, magnitude = changes[0]
    if name in MOVES or name in GREY_MOVES:
        of, outside = (_sources, 0) if name in MOVES else (_sources_of_papers, GREY)
        sources = torch.stack([of(change, height, width) for change in changes]).to(device)
        return lambda x, row: _moved(x, sources[row], outside)
    if name == "CubicShearY":
        shears = torch.tensor([magnitude for _, magnitude in changes], dtype=torch.float64, device=device)
        return lambda x, row: _sheared(x, shears[row])
    if name in TONES:
        values = torch.stack([_values(change) for change in changes]).to(device)
        return lambda x, row: values[row].gather(1, x.flatten(1).long()).view_as(x)
    if name in ("Color", "Sharpness"):
        blends = torch.stack([_blends(*change) for change in changes]).to(device)
        if name == "Sharpness":
            return lambda x, row: _blended(x, _blurred(x), blends, row)
        return lambda x, row: x if x.shape[1] == 1 else _blended(x, _grey(x), blends, row)
    if name == "AutoContrast":
        return lambda x, _: _stretched(x)
    if name == "Identity":
        return lambda x, _: x
    return lambda x, _: _torchvision(x, name, magnitude)


@cache
def _magnitude(name: str, number: int, height: int, width: int, levels: int = 10) -> float:
    """Magnitude `number` of torchvision's, as the same float32 number; of papers' operations float64."""
    if name == "Posterize":  # the number of bits kept
        return 8 - round(number * 4 / (levels - 1))
    of_papers = {
        "CubicShearY": 0.3,
        "GreyTranslateX": 150 / 331 * width,
        "GreyTranslateY": 150 / 331 * height,
        "GreyRotate": 30.0,
    }
    if name in of_papers:
        return number * of_papers[name] / (levels - 1)
    if name == "Solarize256":  # the value from which pixels are inverted
        return 256 - number * 256 / (levels - 1)
    ends = {
        "ShearX": (0.0, 0.3),
        "ShearY": (0.0, 0.3),
        "TranslateX": (0.0, 150 / 331 * width),  # relative to images 331 pixels wide, as in the paper
        "TranslateY": (0.0, 150 / 331 * height),
        "Rotate": (0.0, 30.0),  # degrees
        "Brightness": (0.0, 0.9),
        "Color": (0.0, 0.9),
        "Contrast": (0.0, 0.9),
        "Sharpness": (0.0, 0.9),
        "Solarize": (1.0, 0.0),  # the share of white from which pixels are inverted
    }
    return float(torch.linspace(*ends[name], levels)[number]) if name in ends else 0.0


def _moved(x: Tensor, sources: Tensor, outside: int) -> Tensor:
    """Images x [B, C, H, W] with their pixels taken from sources [B, H * W]; see _sources.

    outside: the value of pixels from outside.
    """
    extra = x.new_full((*x.shape[:2], 1), outside)
    return _take(torch.cat([extra, x.flatten(2)], dim=2), sources).view_as(x)


def _sources(change: Change, height: int, width: int) -> Tensor:
    """The source of each pixel, int64 [H * W], counted from 1; 0 for pixels from outside.

    Computed by applying torchvision to an image of these indices.
    """
    numbers = torch.arange(1, height * width + 1, dtype=torch.float32)
    return _torchvision(numbers.view(1, height, width), *change).flatten().long()


def _sources_of_papers(change: Change, height: int, width: int) -> Tensor:
    """As _sources, by PIL, which the code of papers calls: it rounds by its own fixed-point numbers."""
    from PIL import Image

    name, magnitude = change
    # float32 holds whole numbers up to 2**24.
    numbers = Image.fromarray(np.arange(1, height * width + 1, dtype=np.float32).reshape(height, width))
    if name == "GreyRotate":
        moved = numbers.rotate(magnitude)
    else:
        shift = (magnitude, 0.0) if name == "GreyTranslateX" else (0.0, magnitude)
        matrix = (1, 0, shift[0], 0, 1, shift[1])
        moved = numbers.transform(numbers.size, Image.Transform.AFFINE, matrix)
    return torch.from_numpy(np.array(moved)).flatten().long()


def _sheared(x: Tensor, shear: Tensor) -> Tensor:
    """Images x [B, C, H, W], whose columns x' move up by shear [B] times x', as PIL's bicubic filter does it.

    Its cubic has the slope of the two neighbours' difference, and values are cut to whole numbers.
    """
    height, width = x.shape[-2:]
    columns, rows = (torch.arange(n, dtype=torch.float64, device=x.device) + 0.5 for n in (width, height))
    source = shear[:, None, None] * columns + rows[:, None]  # [B, H, W]
    outside = (source < 0) | (source >= height)
    below = (source - 0.5).floor()
    way = (source - 0.5 - below)[:, None]
    near = [
        x.gather(2, (below.long() + step).clamp(0, height - 1)[:, None].expand_as(x)).double()
        for step in (-1, 0, 1, 2)
    ]
    slope, bend = near[2] - near[0], 2 * (near[0] - near[1]) + near[2] - near[3]
    turn = near[1] - near[0] + near[3] - near[2]
    value = near[1] + way * (slope + way * (bend + way * turn))
    return value.clamp(0, 255).to(torch.uint8).masked_fill(outside[:, None], GREY)


def _values(change: Change) -> Tensor:
    """The new value for each value, uint8 [256], from torchvision applied to an image of all values."""
    return _torchvision(torch.arange(256, dtype=torch.uint8).view(1, 16, 16), *change).flatten()


def _blends(name: str, magnitude: float) -> Tensor:
    """The blend of value v with value w of the other image, uint8 [256 of w, 256 of v].

    Rounded like torchvision's saturation and sharpness.
    """
    w, v = torch.arange(256.0)[:, None], torch.arange(256.0).expand(256, 256)
    if name == "Color":
        blend = v.mul(1 + magnitude).add_(w, alpha=-magnitude)
    else:
        blend = v.add(w - v, alpha=-magnitude)
    return blend.clamp_(0, 255).to(torch.uint8)


def _blended(x: Tensor, other: Tensor, blends: Tensor, row: Tensor) -> Tensor:
    """Images x [B, C, H, W], each blended with `other` [B, 1 or C, H, W] by table row [B]."""
    return blends.take((row.view(-1, 1, 1, 1) * 256 + other) * 256 + x)


def _grey(x: Tensor) -> Tensor:
    """Greyscale images [B, 1, H, W] of x [B, 3, H, W]."""
    from torchvision.transforms.v2 import functional as tv

    grey: Tensor = tv.rgb_to_grayscale(x)
    return grey


def _blurred(x: Tensor) -> Tensor:
    """Each inner pixel becomes the rounded mean of its neighbours and five times itself.

    Sums of whole numbers are exact on every device. torchvision's product with 1/13 rounds to the same
    values, since none is near a half.
    """
    wide = x.short()
    rows = wide[..., :-2, :] + wide[..., 1:-1, :] + wide[..., 2:, :]
    inner = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * wide[..., 1:-1, 1:-1]
    blurred = x.clone()
    blurred[..., 1:-1, 1:-1] = (inner + 6) // 13
    return blurred


def _stretched(x: Tensor) -> Tensor:
    """Stretches each channel from black to white unless it is constant; torchvision's waits for the GPU."""
    pixels = x.float()
    low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    one = low == high
    scale = ((high - low) * (1 / 255)).masked_fill_(one, 1)
    return pixels.sub_(low.masked_fill_(one, 0)).div_(scale).clamp_(0, 255).to(torch.uint8)


def _torchvision(x: Tensor, name: str, magnitude: float) -> Tensor:
    """Images x [..., C, H, W], changed by the torchvision function of this name."""
    from torchvision.transforms.v2 import functional as tv

    def affine(**motion: Any) -> Tensor:
        still = {"angle": 0, "translate": [0, 0], "scale": 1, "shear": [0.0, 0.0]}
        moved: Tensor = tv.affine(x, **(still | motion))
        return moved

    does: dict[str, Callable[[], Tensor]] = {
        "ShearX": lambda: affine(shear=[math.degrees(math.atan(magnitude)), 0.0], center=[0, 0]),
        "ShearY": lambda: affine(shear=[0.0, math.degrees(math.atan(magnitude))], center=[0, 0]),
        "TranslateX": lambda: affine(translate=[int(magnitude), 0]),
        "TranslateY": lambda: affine(translate=[0, int(magnitude)]),
        "Rotate": lambda: tv.rotate(x, magnitude),
        "Brightness": lambda: tv.adjust_brightness(x, 1 + magnitude),
        "Color": lambda: tv.adjust_saturation(x, 1 + magnitude),
        "Contrast": lambda: tv.adjust_contrast(x, 1 + magnitude),
        "Sharpness": lambda: tv.adjust_sharpness(x, 1 + magnitude),
        "Posterize": lambda: tv.posterize(x, int(magnitude)),
        "Solarize": lambda: tv.solarize(x, 255 * magnitude),
        "Solarize256": lambda: tv.solarize(x, magnitude),
        "AutoContrast": lambda: tv.autocontrast(x),
        "Equalize": lambda: tv.equalize(x),
        "Invert": lambda: tv.invert(x),
    }
    changed: Tensor = does[name]()
    return changed
