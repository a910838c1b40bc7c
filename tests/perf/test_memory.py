"""The most memory that training a network takes: ours, and with other libraries' neurons."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ledger import Measured
from ours import MODES
from peers import peers
from test_step_speed import CASES

HERE = Path(__file__).parent
LIMIT = 0.6
TIMESTEPS = 4


def megabytes(name, subject):
    path = os.pathsep.join([str(HERE), *(p for p in sys.path if p)])
    command = [sys.executable, HERE / "memory_of.py", name, str(TIMESTEPS), subject]
    ended = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return float(ended.stdout.split()[-1])


def test_it_is_found_in_a_process_of_its_own():
    assert 0 < megabytes("small", "spikegrad off") < 500


@pytest.mark.parametrize("name", CASES)
def test_peak_memory(name, measuring, ledger):
    if not measuring:
        pytest.skip("only to be measured")
    own = {f"spikegrad {mode}": 0.0 for mode in MODES}
    found = {subject: megabytes(name, subject) for subject in (*own, *peers())}
    what = f"peak memory of training, {name}, T = {TIMESTEPS}"
    for subject, value in found.items():
        ledger.add(Measured("", what, subject, "", value, "MB"))
    best, leanest = (min(among, key=found.__getitem__) for among in (own, peers()))
    value = found[best] / found[leanest]
    ledger.add(Measured("peak memory against peers", what, best, leanest, value, "x", limit=LIMIT))
