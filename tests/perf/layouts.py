"""Which layout of pictures in memory suits whom: everybody is measured in the better one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from in_turn import Times
from subjects import Case, Subject

InTurn = Callable[..., Times]


class Layouts:
    """Of each case and subject, whether it is faster channels-last; tried out once, and then known.

    A compiled form has the layout of its eager form.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Case, str, str], bool] = {}

    def of(self, case: Case, subject: Subject) -> bool:
        return self._known[_key(case, subject)]

    def try_out(
        self, case: Case, subjects: Sequence[Subject], device: torch.device, in_turn: InTurn
    ) -> Mapping[str, bool]:
        """Time a few eager training steps of each in both layouts; by the subjects' names."""
        names = {True: "channels-last", False: "channels first"}
        new = [subject for subject in subjects if _key(case, subject) not in self._known]
        steps = {
            f"{subject.name}, {name}": subject.step(case, device, channels_last=last)
            for subject in new
            for last, name in names.items()
        }
        times = in_turn(steps, warm=1, least=3, rounds=4)
        for subject in new:
            best = times.fastest([f"{subject.name}, {name}" for name in names.values()])
            self._known[_key(case, subject)] = best.endswith(names[True])
        return {subject.name: self.of(case, subject) for subject in subjects}


def _key(case: Case, subject: Subject) -> tuple[Case, str, str]:
    return case, subject.method, subject.peer
