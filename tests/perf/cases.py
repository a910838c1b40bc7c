"""The networks whose training is measured; a step takes some 50 to 500 ms on a slow core.

In two cases everybody is there, the others' compiled forms too: compiling a network takes a minute or
more. In the rest ours are there in the forms that `forms` names, and theirs as they ship.
"""

import pytest
from subjects import (
    AS_SHIPPED,
    COMPILED_PEERS,
    COMPILED_RELU,
    OURS,
    RELU,
    Case,
    Subject,
)

TIMESTEPS, WHOLE = (2, 4, 8), 4


def convnet(timesteps: int) -> Case:
    return Case("convnet", 1, (3, 32, 32), 16, timesteps)


def digits(timesteps: int) -> Case:
    return Case("convnet", 1, (1, 8, 8), 64, timesteps)


def resnet(timesteps: int) -> Case:
    return Case("resnet19", 1 / 8, (3, 32, 32), 8, timesteps)


CASES = [
    *(convnet(timesteps) for timesteps in TIMESTEPS),
    digits(WHOLE),
    *(resnet(timesteps) for timesteps in TIMESTEPS),
]
WHOLE_CASES = [convnet(WHOLE), resnet(WHOLE)]


def parameters(cases: list[Case]) -> list[Case]:
    """For `parametrize`: where nothing is measured the first case of each backbone stands for all."""
    first = {case.backbone: case for case in reversed(cases)}
    marks = {case: () if case in first.values() else (pytest.mark.measured_only,) for case in cases}
    return [pytest.param(case, marks=marks[case], id=str(case).replace("×", "x")) for case in cases]


def small(case: Case) -> Case:
    """A case of the same kind that takes no time."""
    width = 1 / 16 if case.backbone == "resnet19" else 1 / 8
    return Case(case.backbone, width, (case.shape[0], 8, 8), 2, 2)


def eager() -> list[Subject]:
    """Every subject that is not compiled."""
    return [OURS["off"], *AS_SHIPPED, RELU]


def present(case: Case) -> list[Subject]:
    """Who is measured in a case."""
    compiled = [*COMPILED_PEERS, COMPILED_RELU] if case in WHOLE_CASES else []
    return [*eager(), *(s for s in forms(case) if s.mode != "off"), *compiled]


def forms(case: Case) -> list[Subject]:
    """Ours; many layers over many steps are not compiled as a whole, which would take several minutes."""
    if case.backbone == "resnet19" and case.timesteps > WHOLE:
        return [OURS["off"], OURS["neuron"]]
    return list(OURS.values())
