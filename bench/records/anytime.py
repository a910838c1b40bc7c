"""Accuracy against the number of time steps."""

from __future__ import annotations

from collections.abc import Sequence

SHARE = 0.99
"""Share of the final accuracy that must be reached."""


def timesteps_to_99(anytime: Sequence[float]) -> int:
    """The smallest number of steps with at least 99 % of the accuracy after all T steps.

    anytime: accuracies with the output averaged over the first t steps, t = 1..T.
    """
    return next(t for t, accuracy in enumerate(anytime, 1) if accuracy >= SHARE * anytime[-1])
