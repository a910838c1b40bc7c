"""Normalised pictures against numbers, and without a copy from the CPU for every batch."""

import torch
from waits import META, waits

from bench.data.pictures import normaliser

MEAN, STD = (0.5, 0.25), (0.2, 0.1)


def test_pictures_of_that_mean_and_deviation_become_standard():
    x = torch.tensor([0, 51, 255], dtype=torch.uint8).expand(1, 2, 1, 3)
    made = normaliser(MEAN, STD)(x)
    assert made.dtype == torch.float32
    expected = [[(v - mean) / std for v in (0, 0.2, 1)] for mean, std in zip(MEAN, STD, strict=True)]
    torch.testing.assert_close(made, torch.tensor(expected).view(1, 2, 1, 3))


def test_no_batch_but_the_first_waits_for_the_device():
    normalise = normaliser(MEAN, STD)
    x = torch.zeros(4, 2, 8, 8, dtype=torch.uint8, device=META)
    normalise(x)
    with waits() as found:
        normalise(x)
    assert found == []


def test_every_device_has_its_own_numbers():
    normalise = normaliser(MEAN, STD)
    for device in ("meta", "cpu"):
        assert normalise(torch.zeros(1, 2, 1, 1, device=device)).device.type == device
