"""Augmentation against plain loops and against torchvision, and its one law: a sample is on its own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from torch.nn import functional
from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy, RandAugment
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image
from waits import META, waits

from bench.data import augment
from bench.data.augment import (
    augmentation,
    autoaugment,
    autoaugment_of_papers,
    compose,
    crop,
    erase,
    flip,
    randaugment,
    roll,
)
from bench.errors import BenchError
from bench.randomness import uniform
from bench.suite import Recipe

PUBLISHED = compose(crop(4), flip(), autoaugment())
OF_PAPERS = compose(crop(4), flip(), autoaugment_of_papers())
RANDOM = compose(crop(4), flip(), randaugment())
EVENTS = compose(flip(), roll(5))
ALL = pytest.mark.parametrize(
    "change", [PUBLISHED, OF_PAPERS, RANDOM, EVENTS], ids=["published", "papers", "rand", "events"]
)
torchvisions = AutoAugment(AutoAugmentPolicy.CIFAR10)
PAIRS = [[(name, p, number or 0) for name, p, number in pair] for pair in torchvisions._policies]


def pictures(count: int, side: int = 32, channels: int = 3) -> torch.Tensor:
    """Smooth pictures with a bright or dark part, so that every operation has something to change."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[0:side, 0:side] / side
    low, high = rng.uniform(0, 120, (2, count, channels, 1, 1))
    wave = np.sin(rng.uniform(2, 9, (count, channels, 1, 1)) * (x + rng.uniform(0, 1, (count, 1, 1, 1)) * y))
    grey = low + high * (1 + wave) / 2 + rng.uniform(0, 8, (count, channels, side, side))
    return torch.from_numpy(grey.astype(np.uint8))


# --- AutoAugment ---


def test_policy_is_torchvisions():
    assert [list(pair) for pair in augment.POLICY] == PAIRS


def slow_autoaugment(image, numbers, size=None):
    """One picture and one operation at a time, with torchvision's own table, magnitudes and functions."""
    pick, *rest = numbers
    for place, (name, probability, number) in enumerate(torchvisions._policies[int(pick * 25)]):
        magnitudes_of, signed = torchvisions._AUGMENTATION_SPACE[name]
        magnitudes = magnitudes_of(10, *(size or image.shape[-2:]))
        if rest[place] < probability:
            magnitude = 0.0 if magnitudes is None else float(magnitudes[number])
            if signed and rest[2 + place] < 0.5:
                magnitude *= -1
            image = torchvisions._apply_image_or_video_transform(
                image, name, magnitude, torchvisions.interpolation, torchvisions._fill
            )
    return image


def every_operation(done):
    """Draws of all pairs and signs; of a pair the operations with 0 in `done`."""
    # Probabilities are at most 0.9, so that 0 does an operation and 0.99 leaves it out.
    return [
        [(pair + 0.5) / 25, *(0.99 * d for d in done), first, second]
        for pair in range(25)
        for first in (0.2, 0.7)
        for second in (0.2, 0.7)
    ]


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3), (64, 3)])
@pytest.mark.parametrize("done", [(0, 1), (1, 0), (0, 0)], ids=["first", "second", "both"])
def test_every_operation_and_sign_is_torchvisions_bit_for_bit(side, channels, done):
    u = every_operation(done)
    x = pictures(len(u), side, channels)
    changed = autoaugment().change(x, torch.tensor(u))
    assert changed.dtype == torch.uint8
    expected = torch.stack([slow_autoaugment(*each) for each in zip(x, u, strict=True)])
    assert torch.equal(changed, expected)
    assert (changed != x).flatten(1).any(1).sum() > len(x) / 2


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3), (2, 3)])
@pytest.mark.parametrize("done", [(0, 1), (0, 0)], ids=["first", "both"])
@pytest.mark.parametrize("step", [autoaugment(), autoaugment_of_papers()], ids=["torchvision", "papers"])
def test_a_whole_batch_is_changed_as_its_parts_are(monkeypatch, step, side, channels, done):
    u = torch.tensor(every_operation(done))
    x = pictures(len(u), side, channels)
    in_parts = step.change(x, u)
    monkeypatch.setattr(augment, "_whole", lambda x: True)
    assert torch.equal(step.change(x, u), in_parts)


@ALL
def test_no_batch_but_the_first_waits_for_the_device(change):
    x, ids = pictures(20).to(META), torch.arange(20, device=META)
    change(x, ids, 1, 2)
    with waits() as found:
        change(x, ids, 1, 2)
    assert found == []


def test_draws_at_a_boundary_decide_as_numbers_of_64_bits_do():
    """u is a multiple of 2**-24: float32 would round u * 25 up to the next pair, or a probability down."""
    steps = [n for pair in range(1, 26) for n in (-(-pair * 2**24 // 25) - 1, pair * 2**24 // 25)]
    edges = [n for p in range(1, 10) for n in (p * 2**24 // 10, p * 2**24 // 10 + 1)]
    u = [[min(s, 2**24 - 1) / 2**24, e / 2**24, e / 2**24, 0.7, 0.7] for s in steps for e in edges]
    x = pictures(1, 4).expand(len(u), -1, -1, -1)
    expected = torch.stack([slow_autoaugment(*each) for each in zip(x, u, strict=True)])
    assert torch.equal(autoaugment().change(x, torch.tensor(u)), expected)


def test_draws_decide_as_in_a_plain_loop():
    x, ids = pictures(150), torch.arange(70, 220)
    draws = uniform(5, 3, ids, draws=5).tolist()
    expected = torch.stack([slow_autoaugment(*each) for each in zip(x, draws, strict=True)])
    assert torch.equal(compose(autoaugment())(x, ids, 3, 5), expected)


def test_one_colour_and_black_stay_finite():
    x = torch.stack([torch.full((3, 32, 32), v, dtype=torch.uint8) for v in (0, 7, 255)] * 40)
    draws = uniform(0, 0, torch.arange(len(x)), draws=5).tolist()
    expected = torch.stack([slow_autoaugment(*each) for each in zip(x, draws, strict=True)])
    assert torch.equal(compose(autoaugment())(x, torch.arange(len(x)), 0, 0), expected)


# --- AutoAugment by PIL, one picture and one operation at a time ---


def random_pictures(count):
    """Random colours on a grid of 8 x 8, and what lies between them."""
    colours = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return (functional.interpolate(colours, (32, 32), mode="bilinear") * 255).to(torch.uint8)


def rotated(image, degrees):
    turned = image.convert("RGBA").rotate(degrees)
    return Image.composite(turned, Image.new("RGBA", turned.size, (128,) * 4), turned).convert(image.mode)


def affine(image, matrix, how=Image.Transform.AFFINE, **options):
    return image.transform(image.size, how, matrix, fillcolor=(128, 128, 128), **options)


SCALE = {"Rotate": 30 / 9, "Solarize": -256 / 9, "ShearY": 0.3 / 9, "TranslateX": 150 / 331 / 9}
SCALE |= {"TranslateY": 150 / 331 / 9} | dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), 0.1)
BY_PIL = {
    "Rotate": rotated,
    "ShearY": lambda i, m: affine(i, (1, 0, 0, m, 1, 0), resample=Image.Resampling.BICUBIC),
    "TranslateX": lambda i, m: affine(i, (1, 0, m * i.width, 0, 1, 0)),
    "TranslateY": lambda i, m: affine(i, (1, 0, 0, 0, 1, m * i.height)),
    "Brightness": lambda i, m: ImageEnhance.Brightness(i).enhance(1 + m),
    "Color": lambda i, m: ImageEnhance.Color(i).enhance(1 + m),
    "Contrast": lambda i, m: ImageEnhance.Contrast(i).enhance(1 + m),
    "Sharpness": lambda i, m: ImageEnhance.Sharpness(i).enhance(1 + m),
    "Posterize": lambda i, m: ImageOps.posterize(i, 5),  # The policy has it once.
    "Solarize": lambda i, m: ImageOps.solarize(i, 256 + m),
    "AutoContrast": lambda i, m: ImageOps.autocontrast(i),
    "Equalize": lambda i, m: ImageOps.equalize(i),
    "Invert": lambda i, m: ImageOps.invert(i),
}
EXACT = ("Rotate", "ShearY", "TranslateX", "TranslateY", "Posterize", "Solarize", "Equalize", "Invert")
UNSIGNED = ("Rotate", "Posterize", "Solarize", "AutoContrast", "Equalize", "Invert")


def of_papers(image, numbers, place):
    """The operation of one place, as papers' code makes it, and its name; "" if it is not drawn."""
    pick, *rest = numbers
    pair = int(pick * 25)
    name, probability, level = PAIRS[pair][place]
    if (pair, place) == (16, 1):
        assert (name, probability) == ("Equalize", 0.6)
        probability = 0.8
    if rest[place] >= probability:
        return image, ""
    sign = -1 if rest[2 + place] < 0.5 and name not in UNSIGNED else 1
    by_pil = BY_PIL[name](to_pil_image(image), sign * SCALE.get(name, 0) * level)
    return pil_to_tensor(by_pil), name


@pytest.mark.parametrize("done", [(0, 1), (1, 0)], ids=["first", "second"])
def test_every_operation_of_papers_is_pils(done):
    """Moves to the bit; colours to the last one, where PIL and torchvision round differently."""
    place, u = done.index(0), every_operation(done)
    x = pictures(len(u))
    for image, numbers, after in zip(x, u, autoaugment_of_papers().change(x, torch.tensor(u)), strict=True):
        expected, name = of_papers(image, numbers, place)
        apart = (after.int() - expected.int()).abs().max()
        assert apart <= (name not in EXACT), (name, numbers)


def test_the_policy_of_papers_is_that_of_a_plain_loop_over_pictures():
    x, ids = pictures(400), torch.arange(400)
    u = uniform(5, 3, ids, draws=5)
    first_alone, both = u.clone(), compose(autoaugment_of_papers())(x, ids, 3, 5)
    first_alone[:, 2] = 0.99
    names = set()
    for numbers, start, halfway, after in zip(
        u.tolist(), x, autoaugment_of_papers().change(x, first_alone), both, strict=True
    ):
        # From what the first operation gave here: the second can enlarge a difference of one.
        for before, place, end in ((start, 0, halfway), (halfway, 1, after)):
            expected, name = of_papers(before, numbers, place)
            assert (end.int() - expected.int()).abs().max() <= (name not in ("", *EXACT))
            names.add(name)
    assert names == {*BY_PIL, ""}


def test_torchvisions_is_that_of_pil_but_for_the_edges_of_moves():
    """torchvision's own functions on pictures of PIL, which round places of pixels in another way."""
    u = every_operation((0, 1))
    x = pictures(len(u))
    for image, numbers, after in zip(x, u, autoaugment().change(x, torch.tensor(u)), strict=True):
        expected = pil_to_tensor(slow_autoaugment(to_pil_image(image), numbers, image.shape[-2:]))
        apart = (after.int() - expected.int()).abs()
        assert (apart > 1).float().mean() < 0.02, numbers


@pytest.mark.parametrize(
    ("step", "mean", "deviation", "black"),
    [(autoaugment_of_papers(), 0.494, 0.241, 0.4), (autoaugment(), 0.462, 0.269, 6.7)],
    ids=["papers", "torchvision"],
)
def test_both_forms_have_the_known_brightness(step, mean, deviation, black):
    """As measured on 4,000 random pictures with the code of papers and with torchvision's."""
    x = compose(step)(random_pictures(4000), torch.arange(4000), 0, 0) / 255
    assert x.mean() == pytest.approx(mean, abs=0.003)
    assert x.std() == pytest.approx(deviation, abs=0.003)
    assert 100 * (x == 0).float().mean() == pytest.approx(black, abs=0.3)


# --- RandAugment ---


def slow_randaugment(image, numbers, magnitude, probability=1.0):
    """One picture and one operation at a time, with torchvision's own table, magnitudes and functions."""
    theirs = RandAugment()
    for choice, done, sign in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        name = list(theirs._AUGMENTATION_SPACE)[int(choice * 14)]
        magnitudes_of, signed = theirs._AUGMENTATION_SPACE[name]
        magnitudes = magnitudes_of(theirs.num_magnitude_bins, *image.shape[-2:])
        if done < probability:
            of_many = magnitudes is not None and magnitudes.ndim > 0
            value = float(magnitudes[magnitude]) if of_many else 0.0
            value *= -1 if signed and sign < 0.5 else 1
            image = theirs._apply_image_or_video_transform(
                image, name, value, theirs.interpolation, theirs._fill
            )
    return image


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (32, 3)])
@pytest.mark.parametrize("magnitude", [0, 9, 30])
def test_every_random_operation_and_sign_is_torchvisions_bit_for_bit(side, channels, magnitude):
    u = [[(pick + 0.5) / 14, 0.5, sign] for pick in range(14) for sign in (0.2, 0.7) for _ in range(3)]
    x = pictures(len(u), side, channels)
    changed = randaugment(1, magnitude).change(x, torch.tensor(u))
    expected = torch.stack([slow_randaugment(*each, magnitude) for each in zip(x, u, strict=True)])
    assert torch.equal(changed, expected)


@pytest.mark.parametrize(("operations", "magnitude", "probability"), [(2, 9, 1.0), (3, 20, 0.5)])
def test_random_operations_follow_one_another_as_in_a_plain_loop(operations, magnitude, probability):
    x, ids = pictures(150), torch.arange(70, 220)
    draws = uniform(5, 3, ids, draws=3 * operations).tolist()
    expected = torch.stack(
        [slow_randaugment(*each, magnitude, probability) for each in zip(x, draws, strict=True)]
    )
    step = randaugment(operations, magnitude, probability)
    assert torch.equal(compose(step)(x, ids, 3, 5), expected)


def test_by_default_it_is_torchvisions_default():
    theirs = RandAugment()
    assert (theirs.num_ops, theirs.magnitude, theirs.num_magnitude_bins) == (2, 9, augment.LEVELS)
    assert tuple(theirs._AUGMENTATION_SPACE) == augment.RANDOM
    x, ids = pictures(20), torch.arange(20)
    assert torch.equal(compose(randaugment())(x, ids, 0, 0), compose(randaugment(2, 9, 1.0))(x, ids, 0, 0))


# --- what a recipe asks for ---


def recipe(**own):
    return Recipe(epochs=1, batch_size=2, learning_rate=0.1, **own)


def test_a_recipe_takes_what_a_dataset_offers():
    offered = {"standard": compose(crop(4), flip()), "auto": PUBLISHED}
    assert augmentation(offered, recipe(augment="auto")) is PUBLISHED
    assert augmentation(offered, recipe()) is offered["standard"]
    assert augmentation(offered, recipe(augment="none")) is None and augmentation({}, recipe()) is None


@pytest.mark.parametrize("name", augment.POLICIES)
def test_policies_come_after_the_usual_augmentation_and_leave_its_draws_alone(name):
    x, ids = pictures(40), torch.arange(40)
    usual = compose(crop(4), flip())
    got = augmentation({"standard": usual, "auto": PUBLISHED}, recipe(augment=name))(x, ids, 1, 2)
    alone = augmentation({"auto": PUBLISHED}, recipe(augment=name))(usual(x, ids, 1, 2), ids, 1, 2)
    assert torch.equal(got, alone) and not torch.equal(got, usual(x, ids, 1, 2))


def test_a_recipe_sets_random_operations():
    x, ids = pictures(60), torch.arange(60)
    own = {"rand_operations": 1, "rand_magnitude": 27, "rand_probability": 0.5}
    by_default, set_so = (
        augmentation({"auto": PUBLISHED}, recipe(augment="rand", **options))(x, ids, 0, 0)
        for options in ({}, own)
    )
    assert (set_so == x).flatten(1).all(1).sum() > (by_default == x).flatten(1).all(1).sum() + 10


# --- what is refused ---


@pytest.mark.parametrize(
    ("x", "told"),
    [
        (torch.zeros(2, 3, 32, 32), r"torch.float32 \[2, 3, 32, 32\]"),
        (torch.zeros(2, 4, 2, 9, 9, dtype=torch.uint8), r"\[2, 4, 2, 9, 9\]"),
        (torch.zeros(2, 2, 9, 9, dtype=torch.uint8), r"\[2, 2, 9, 9\]"),
    ],
    ids=["float", "events", "two-channels"],
)
@pytest.mark.parametrize(
    ("step", "name"), [(autoaugment(), "Auto"), (autoaugment_of_papers(), "Auto"), (randaugment(), "Rand")]
)
def test_policies_are_for_uint8_pictures(step, name, x, told):
    with pytest.raises(BenchError, match=f"{name}Augment changes uint8 pictures .*{told}"):
        compose(step)(x, torch.arange(2), 0, 0)


# --- crop, flip, roll ---


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float32], ids=str)
@pytest.mark.parametrize("shape", [(3, 12, 9), (4, 2, 12, 9)], ids=["picture", "events"])
def test_crop_flip_and_roll_equal_a_plain_loop(shape, dtype):
    x = torch.from_numpy(np.random.default_rng(2).integers(1, 256, (40, *shape))).to(dtype)
    ids = torch.arange(100, 140)
    changed = compose(crop(3), flip(), roll(2))(x, ids, 3, 5)
    assert changed.dtype == dtype and changed.shape == x.shape
    draws = uniform(5, 3, ids, draws=5).tolist()
    for image, (a, b, c, d, e), after in zip(x.numpy(), draws, changed, strict=True):
        top, left = int(a * 7), int(b * 7)
        around = [(0, 0)] * (len(shape) - 2) + [(3, 3), (3, 3)]
        expected = np.pad(image, around)[..., top : top + 12, left : left + 9]
        expected = expected[..., ::-1] if c < 0.5 else expected
        np.testing.assert_array_equal(after, np.roll(expected, (int(d * 5) - 2, int(e * 5) - 2), (-2, -1)))


@pytest.mark.parametrize("shape", [(3, 16, 12), (4, 2, 16, 12)])
def test_erasing_sets_a_box_to_zero(shape):
    x = torch.ones(4000, *shape)
    done = compose(erase(0.3))(x, torch.arange(4000), 0, 0)
    changed = (done == 0).flatten(1).any(1)
    assert 0.27 < changed.float().mean() < 0.33
    frames = done[changed].reshape(int(changed.sum()), -1, 16, 12)
    assert torch.equal(frames, frames[:, :1].expand_as(frames))
    holes = frames[:, 0] == 0
    rows, columns = holes.any(2).sum(1), holes.any(1).sum(1)
    # A box is its rows times its columns, and they are neighbours.
    assert torch.equal(holes.sum((1, 2)), rows * columns)
    assert (holes.any(2).int().diff(dim=1).abs().sum(1) <= 2).all()
    area = holes.float().mean((1, 2))
    # Sides are rounded, and cut to the image where it is too small for them.
    assert 0.01 <= area.min() <= 0.04
    assert 0.25 <= area.max() <= 0.36
    assert 0.15 < area.mean() < 0.19


def test_nothing_or_all_is_erased():
    x = torch.ones(50, 1, 8, 8)
    assert torch.equal(compose(erase(0.0))(x, torch.arange(50), 0, 0), x)
    assert (compose(erase(1.0))(x, torch.arange(50), 0, 0) == 0).flatten(1).any(1).all()


def test_roll_moves_every_way_as_often():
    """121 moves of 100 samples each; 5 standard deviations of tolerance."""
    x = torch.zeros(12100, 1, 16, 16, dtype=torch.uint8)
    x[:, :, 8, 8] = 1
    where = compose(roll(5))(x, torch.arange(len(x)), 0, 0).flatten(1).argmax(1)
    places, counts = where.unique(return_counts=True)
    assert places.tolist() == [16 * row + column for row in range(3, 14) for column in range(3, 14)]
    assert (counts - 100).abs().max() < 50


# --- composition ---


def test_steps_have_draws_of_their_own():
    """Were the draws shared, two mirrors would always undo each other and two crops move alike."""
    x = pictures(400)
    mirrored_once = (compose(flip(), flip())(x, torch.arange(400), 0, 0) != x).flatten(1).any(1)
    assert 0.4 < mirrored_once.float().mean() < 0.6
    dot = torch.zeros(400, 1, 33, 33, dtype=torch.uint8)
    dot[:, :, 16, 16] = 1
    place = compose(roll(4), roll(4))(dot, torch.arange(400), 0, 0).flatten(1).argmax(1)
    row, column = place // 33, place % 33
    assert (row % 2).any() and (column % 2).any()


@settings(max_examples=25)
@given(order=st.permutations(range(24)), size=st.integers(1, 24), seed=st.integers(0, 2**62))
@pytest.mark.parametrize(
    ("change", "x"),
    [
        *((change, pictures(24)) for change in (PUBLISHED, OF_PAPERS, RANDOM)),
        (EVENTS, pictures(24 * 4, 10).view(24, 4, 3, 10, 10)),
    ],
    ids=["published", "papers", "rand", "events"],
)
def test_neighbours_in_the_batch_do_not_matter(change, x, order, size, seed):
    ids, part = torch.arange(24) * 1000, order[:size]
    assert torch.equal(change(x[part], ids[part], 1, seed), change(x, ids, 1, seed)[part])


@ALL
def test_epoch_and_seed_and_id_each_matter(change):
    x, ids = pictures(8), torch.arange(8)
    before = x.clone()
    first = change(x, ids, 0, 0)
    assert torch.equal(first, change(x, ids, 0, 0)) and torch.equal(x, before)
    for other in ((ids, 1, 0), (ids, 0, 1), (ids + 8, 0, 0)):
        assert not torch.equal(first, change(x, *other))


@pytest.mark.needs_gpu
@ALL
def test_a_gpu_changes_every_picture_alike(change):
    """But for a few values: the GPU may round a blend of two pictures differently."""
    x, ids = pictures(100), torch.arange(100)
    after = change(x.cuda(), ids.cuda(), 1, 2).cpu()
    assert (after != change(x, ids, 1, 2)).float().mean() < 0.001
