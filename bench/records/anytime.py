"""Accuracy against the number of time steps."""

from __future__ import annotations

from collections.abc import Sequence

SHARE = 0.99
"""Of the accuracy at the last step, what counts as having arrived."""


def timesteps_to_99(anytime: Sequence[float]) -> int:
    """The fewest steps whose accuracy is at least 99 % of that of all T.

    anytime: accuracies when the output is averaged over the first t steps, t = 1..T.
    """
    return next(t for t, accuracy in enumerate(anytime, 1) if accuracy >= SHARE * anytime[-1])
