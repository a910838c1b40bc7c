"""Mixup and CutMix: shares, boxes and targets."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from bench.data.mixing import mix

K = 4


def mixed(x, y=None, *, epoch=0, seed=0, **alphas):
    y = torch.arange(len(x)) % K if y is None else y
    options = {"mixup": 0.0, "cutmix": 0.0, "classes": K} | alphas
    return mix(x, y, torch.arange(len(x)), epoch, seed, **options)


@given(st.floats(0.1, 2.0), st.integers(0, 5), st.integers(2, 9))
@settings(max_examples=25, deadline=None)
def test_mixup_mixes_samples_as_it_mixes_labels(alpha, epoch, size):
    # A sample is 1 at its own place: what comes out are the shares.
    labels = torch.arange(size) % K
    found, target = mixed(torch.eye(size), labels, epoch=epoch, mixup=alpha)
    expected = torch.zeros(size, K)
    for i in range(size):
        expected[i, labels[i]] += found[i, i]
        expected[i, labels[i - 1]] += found[i, i - 1]
    assert ((found >= 0) & (found <= 1)).all()
    torch.testing.assert_close(found.sum(1), torch.ones(size))
    torch.testing.assert_close(target, expected)


@pytest.mark.parametrize("alpha", [0.2, 0.5, 1.0])
def test_shares_are_drawn_per_sample_from_their_beta_distribution(alpha):
    _, target = mixed(torch.zeros(4000, 2), torch.arange(4000) % 2, mixup=alpha)
    own = target[torch.arange(4000), torch.arange(4000) % 2].double().numpy()
    assert kstest(own, "beta", args=(alpha, alpha)).pvalue > 0.01


def test_cutmix_replaces_a_box_and_counts_it():
    x = torch.arange(200.0).view(-1, 1, 1, 1).expand(200, 3, 12, 10)
    found, target = mixed(x, torch.arange(200) % K, cutmix=1.0)
    for i in range(1, 200):
        replaced = found[i] == i - 1
        assert (replaced | (found[i] == i)).all()
        rows, columns = np.nonzero(replaced[0].numpy())
        if len(rows):
            # One box, the same in all channels.
            assert replaced.all(0).sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert target[i, i % K] == pytest.approx(1 - float(replaced.float().mean()), abs=1e-6)


def test_all_frames_of_a_sample_are_cut_alike():
    x = torch.arange(20.0).view(-1, 1, 1, 1, 1).expand(20, 4, 2, 8, 8)
    found, _ = mixed(x, cutmix=1.0)
    assert torch.equal(found, found[:, :1, :1].expand_as(found))


def test_with_both_about_half_of_the_samples_are_cut():
    x = torch.arange(2000.0).view(-1, 1, 1, 1).expand(2000, 1, 8, 8)
    found, _ = mixed(x, mixup=1.0, cutmix=1.0)
    whole = (found == found[:, :, :1, :1]).flatten(1).all(1)
    blended = whole & (found[:, 0, 0, 0] % 1 != 0)
    assert 0.4 < blended.float().mean() < 0.6


def test_numbers_depend_on_seed_and_epoch_alone():
    x = torch.rand(6, 1, 5, 5)
    first = mixed(x, mixup=0.5, cutmix=0.5)
    assert all(torch.equal(a, b) for a, b in zip(first, mixed(x, mixup=0.5, cutmix=0.5), strict=True))
    assert not torch.equal(first[0], mixed(x, mixup=0.5, cutmix=0.5, epoch=1)[0])
    assert not torch.equal(first[0], mixed(x, mixup=0.5, cutmix=0.5, seed=1)[0])


def test_the_dtype_stays():
    assert mixed(torch.rand(4, 3).bfloat16(), mixup=1.0)[0].dtype == torch.bfloat16
    assert mixed(torch.rand(4, 3).double(), mixup=1.0)[0].dtype == torch.float64
