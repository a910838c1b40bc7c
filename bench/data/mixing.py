"""Mixup and CutMix: each sample of a batch is mixed with the one before it, and its label too.

Numbers are drawn per sample, from (seed, epoch, id), as in `bench.data.augment`; the partner is the batch's.

Shapes: B samples [B, ...] or, for CutMix, [B, ..., H, W]; K classes.
"""

from __future__ import annotations

import torch
from scipy.special import betaincinv
from torch import Tensor
from torch.nn import functional

from bench.randomness import derive, uniform

CHOICE, SHARE, ROW, COLUMN = range(4)
"""What each random number of a sample is for."""


def mix(
    x: Tensor, y: Tensor, ids: Tensor, epoch: int, seed: int, *, classes: int, mixup: float, cutmix: float
) -> tuple[Tensor, Tensor]:
    """Mixed samples, and targets [B, K].

    mixup, cutmix: alpha of the Beta distribution of a sample's own share; 0 leaves one out, and with both
    each sample draws one of them. Zhang et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018; Yun et
    al., CutMix, ICCV 2019, whose box is cut at the border, as in the authors' code.
    """
    u = uniform(derive(seed, "mix"), epoch, ids, 4).cpu()
    cuts = u[:, CHOICE] < (0.5 if mixup and cutmix else float(cutmix > 0))
    alphas = torch.where(cuts, cutmix, mixup).double()
    share = torch.as_tensor(betaincinv(alphas.numpy(), alphas.numpy(), u[:, SHARE].double().numpy())).float()
    other = x.roll(1, 0)
    blended = x
    if mixup:
        weight = share.to(x.device).view(-1, *(1 for _ in x.shape[1:]))
        # The share is float32, the network's input need not be.
        blended = (weight * x + (1 - weight) * other).to(x.dtype)
    if cutmix:
        inside = _boxes(share, u[:, ROW], u[:, COLUMN], *x.shape[-2:])
        share = torch.where(cuts, 1 - inside.float().mean((1, 2)), share)
        taken = (
            (inside & cuts[:, None, None])
            .to(x.device)
            .view(len(x), *(1 for _ in x.shape[1:-2]), *x.shape[-2:])
        )
        plain = cuts.to(x.device).view(-1, *(1 for _ in x.shape[1:]))
        blended = torch.where(taken, other, torch.where(plain, x, blended))
    target = functional.one_hot(y, classes).float()
    own = share.to(y.device)[:, None]
    return blended, own * target + (1 - own) * target.roll(1, 0)


def _boxes(share: Tensor, row: Tensor, column: Tensor, height: int, width: int) -> Tensor:
    """Where each sample is replaced, [B, H, W]: 1 - share of the area, around a point in it."""
    half = (0.5 * (1 - share).sqrt())[:, None]

    def within(centre: Tensor, size: int) -> Tensor:
        middle, reach = (centre * size).long()[:, None], (half * size).long()
        place = torch.arange(size)
        return (place >= middle - reach) & (place < middle + reach)

    return within(row, height)[:, :, None] & within(column, width)[:, None, :]
