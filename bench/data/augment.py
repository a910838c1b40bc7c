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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bench.data.loading import Augment
from bench.errors import BenchError
from bench.randomness import uniform


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
    return Step(5, _autoaugment)


def _pick(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Pixels [B, ..., h, w] at rows [B, h] and columns [B, w] of x [B, ..., H, W]."""
    index = rows[:, :, None] * x.shape[-1] + columns[:, None, :]
    shape = (*x.shape[:-2], rows.shape[1], columns.shape[1])
    return _take(x.reshape(len(x), -1, x.shape[-2] * x.shape[-1]), index.flatten(1)).reshape(shape)


def _take(pixels: Tensor, index: Tensor) -> Tensor:
    """[B, C, n]: pixels [B, C, P] at index [B, n], the same for every channel."""
    return pixels.gather(2, index[:, None].expand(-1, pixels.shape[1], -1))


# --- AutoAugment ---

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

MOVES = ("Rotate", "ShearY", "TranslateX", "TranslateY")
"""Operations that move pixels, whatever their values."""
TONES = ("Brightness", "Invert", "Posterize", "Solarize")
"""Operations that map pixel values, wherever the pixels are."""
SIGNED = (*MOVES, "Brightness", "Color", "Contrast", "Sharpness")
"""Operations whose magnitude is negative with probability 1/2."""

Change = tuple[str, float]
"""An operation and its magnitude."""


Made = Callable[[Tensor, Tensor], Tensor]
"""made(x [B, C, H, W], row [B]) -> x: applies to each image the change of index `row` within a family."""


@dataclass(frozen=True)
class Place:
    """The first or the second operations of all pairs, for images of one size on one device.

    Operation 2 * p + s is that of pair p, with a negative magnitude for s = 0.

    chance: its probability, float64 [50].
    family, row: the index into `families` and the index of the change within that family, int64 [50].
    """

    chance: Tensor
    family: Tensor
    row: Tensor
    families: Sequence[Made]


def _autoaugment(x: Tensor, u: Tensor) -> Tensor:
    if x.dtype != torch.uint8 or x.dim() != 4 or x.shape[1] not in (1, 3):
        raise BenchError(
            f"AutoAugment changes uint8 pictures [B, 1 or 3, H, W], and was given {x.dtype} "
            f"{list(x.shape)}; leave it out of this dataset's augmentation"
        )
    x = x.clone()
    u = u.double()  # float32 could round a product up to the next pair.
    pair = (u[:, 0] * len(POLICY)).long()
    for number in (0, 1):
        place = _place(number, x.device, x.shape[-2], x.shape[-1])
        operation = 2 * pair + (u[:, 3 + number] >= 0.5)
        done = u[:, 1 + number] < place.chance[operation]
        family = place.family[operation].masked_fill(~done, len(place.families))
        x = _changed(x, family, place.row[operation], place.families)
    return x


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
def _place(place: int, device: torch.device, height: int, width: int) -> Place:
    """The first operations (place 0) or the second ones; their tables stay on the device."""
    families: dict[object, list[Change]] = {}
    chance, family, row = [], [], []
    for pair in POLICY:
        name, probability, number = pair[place]
        magnitude = _magnitude(name, number, height, width)
        for sign in (-1, 1):
            change = name, sign * magnitude if name in SIGNED else magnitude
            # All moves form one family, and so do all tones; contrasts have no table.
            kind = next((k for k in (MOVES, TONES) if name in k), change if name == "Contrast" else name)
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
    if name in MOVES:
        sources = torch.stack([_sources(change, height, width) for change in changes]).to(device)
        return lambda x, row: _moved(x, sources[row])
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
    return lambda x, _: _torchvision(x, name, magnitude)


@cache
def _magnitude(name: str, number: int, height: int, width: int) -> float:
    """Magnitude `number` of torchvision's ten, as the same float32 number."""
    if name == "Posterize":  # the number of bits kept
        return 8 - round(number * 4 / 9)
    ends = {
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
    return float(torch.linspace(*ends[name], 10)[number]) if name in ends else 0.0


def _moved(x: Tensor, sources: Tensor) -> Tensor:
    """Images x [B, C, H, W] with their pixels taken from sources [B, H * W]; see _sources."""
    black = x.new_zeros(*x.shape[:2], 1)
    return _take(torch.cat([black, x.flatten(2)], dim=2), sources).view_as(x)


def _sources(change: Change, height: int, width: int) -> Tensor:
    """The source of each pixel, int64 [H * W], counted from 1; 0 for pixels from outside.

    Computed by applying torchvision to an image of these indices.
    """
    numbers = torch.arange(1, height * width + 1, dtype=torch.float32)
    return _torchvision(numbers.view(1, height, width), *change).flatten().long()


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
        "AutoContrast": lambda: tv.autocontrast(x),
        "Equalize": lambda: tv.equalize(x),
        "Invert": lambda: tv.invert(x),
    }
    changed: Tensor = does[name]()
    return changed
