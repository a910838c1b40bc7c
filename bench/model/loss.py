"""The loss that a recipe trains on.

Logits are [T, B, K]; targets are labels [B], or shares of the classes [B, K] where samples are mixed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from bench.suite import Recipe

Loss = Callable[[Tensor, Tensor], Tensor]


def of_mean(logits: Tensor, y: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the mean output over time."""
    return functional.cross_entropy(logits.mean(0), y, label_smoothing=label_smoothing)


def tet(logits: Tensor, y: Tensor, label_smoothing: float = 0.0, weight: float = 0.05) -> Tensor:
    """(1 - weight) * mean over t of CE(o[t], y) + weight * MSE(o, 1).

    Deng et al., Temporal Efficient Training of Spiking Neural Network via Gradient Re-weighting, ICLR 2022,
    eqs. 9 to 11; as in the authors' code the outputs are drawn towards 1.
    """
    targets = y.repeat(len(logits), *(1 for _ in y.shape[1:]))
    each = functional.cross_entropy(logits.flatten(0, 1), targets, label_smoothing=label_smoothing)
    return (1 - weight) * each + weight * functional.mse_loss(logits, torch.ones_like(logits))


def loss_of(recipe: Recipe) -> Loss:
    """The loss of a recipe."""
    if recipe.loss == "tet":
        return partial(tet, label_smoothing=recipe.label_smoothing, weight=recipe.tet_weight)
    return partial(of_mean, label_smoothing=recipe.label_smoothing) if recipe.label_smoothing else of_mean
