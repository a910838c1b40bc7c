"""The most memory that training takes, each network in a process of its own."""

import pytest
from budgets import MEMORY
from cases import WHOLE_CASES, eager, parameters, small
from in_turn import Spread
from layouts import Layouts
from ledger import Measured
from memory import peak_mb
from subjects import OURS

pytestmark = pytest.mark.usefixtures("one_thread", "compiler_cache")


@pytest.mark.sizes("cpu")
@pytest.mark.parametrize("case", parameters(WHOLE_CASES))
def test_peak_memory(case, in_turn, ledger, layouts: Layouts, device, measuring):
    subjects = [*eager(), OURS["neuron"], OURS["step"]] if measuring else [OURS["off"]]
    case = case if measuring else small(case)
    layouts.try_out(case, [s for s in subjects if s.mode == "off"], device, in_turn)
    found = {s.name: peak_mb(case, s, device, layouts.of(case, s)) for s in subjects}
    what = f"peak training memory, {case}"
    for name, mb in found.items():
        assert mb > 0
        ledger.add(Measured("", what, name, "", mb, "MB"))
    peers = [s.name for s in subjects if s.peer]
    for subject in OURS.values():
        if peers and subject.name in found and subject.mode != "off":
            leanest = min(peers, key=found.__getitem__)
            ratio = Spread(found[subject.name] / found[leanest], None, None)
            ledger.add(Measured.under(MEMORY, ratio, what=what, subject=subject.name, against=leanest))
