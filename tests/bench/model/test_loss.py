"""The losses of a recipe, against loops written out in float64."""

import math

import pytest
import torch
from torch.nn import functional

from bench.model.loss import loss_of, of_mean
from bench.suite import Recipe

T, B, K = 3, 5, 4


def recipe(**options):
    return Recipe(epochs=1, batch_size=8, learning_rate=0.1, **options)


def drawn(soft):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(T, B, K, generator=generator, dtype=torch.float64)
    labels = torch.randint(K, (B,), generator=generator)
    shares = torch.rand(B, K, generator=generator, dtype=torch.float64)
    return logits, shares / shares.sum(1, keepdim=True) if soft else labels


def entropy(logits, target, smoothing):
    """Cross-entropy of one sample with a share for each class."""
    log_z = math.log(sum(math.exp(value) for value in logits))
    smooth = [(1 - smoothing) * share + smoothing / K for share in target]
    return -sum(share * (value - log_z) for share, value in zip(smooth, logits, strict=True))


def rows(y):
    return y.tolist() if y.ndim == 2 else functional.one_hot(y, K).double().tolist()


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_the_mean(soft, smoothing):
    logits, y = drawn(soft)
    means = logits.mean(0).tolist()
    expected = sum(entropy(o, target, smoothing) for o, target in zip(means, rows(y), strict=True)) / B
    assert float(loss_of(recipe(label_smoothing=smoothing))(logits, y)) == pytest.approx(expected)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(("smoothing", "weight"), [(0.0, 0.05), (0.1, 0.5), (0.0, 0.0)])
def test_tet(soft, smoothing, weight):
    logits, y = drawn(soft)
    each = [
        entropy(o, target, smoothing)
        for step in logits.tolist()
        for o, target in zip(step, rows(y), strict=True)
    ]
    away = [(value - 1) ** 2 for value in logits.flatten().tolist()]
    expected = (1 - weight) * sum(each) / len(each) + weight * sum(away) / len(away)
    loss = loss_of(recipe(loss="tet", tet_weight=weight, label_smoothing=smoothing))
    assert float(loss(logits, y)) == pytest.approx(expected)


def test_a_plain_recipe_has_the_plain_loss():
    assert loss_of(recipe()) is of_mean
