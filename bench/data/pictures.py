"""Shared code for image datasets that torchvision reads."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from bench.data.loading import Normalise
from bench.errors import BenchError


def normaliser(mean: Sequence[float], std: Sequence[float]) -> Normalise:
    """Normalises images [B, C, H, W] in 0..255 to float32 with mean 0 and about unit deviation.

    mean, std: per channel, for images in [0, 1].
    """

    @cache  # Copying them to a GPU for every batch would stall training.
    def numbers(device: torch.device) -> tuple[Tensor, Tensor]:
        center, scale = (255 * torch.tensor(v, device=device).view(-1, 1, 1) for v in (mean, std))
        return center, scale

    def normalise(x: Tensor) -> Tensor:
        center, scale = numbers(x.device)
        return (x - center) / scale

    return normalise


def torchvision_for(dataset: str, module: str = "torchvision.datasets") -> ModuleType:
    """The torchvision module, imported lazily since that takes a second. Raises BenchError if missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BenchError(
            f"dataset {dataset}: torchvision reads it and cannot be imported ({error}); install it"
        ) from error


def how_to_get(root: Path, kind: str) -> str:
    """The command that downloads torchvision's dataset class `kind` into a data root."""
    return f"python -c \"from torchvision.datasets import {kind}; {kind}('{root}', download=True)\""
