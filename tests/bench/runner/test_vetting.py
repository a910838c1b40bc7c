"""Third-party plugins: an import that ends or hangs costs the plugin alone, and changes nothing here."""

import os
import random
import warnings

import numpy as np
import pytest
import torch

from bench import registry
from bench.measures import single_layer
from bench.runner import vetting
from bench.runner.engines.process import NoAnswer

GOOD = """
@method("fine", paper="none")
def fine(x):
    return x * 0 + 1
"""


ENDS = """
import os

@method("ends", paper="none")
def ends(x):
    os._exit(3)
"""


@pytest.fixture(autouse=True)
def limit(monkeypatch):
    monkeypatch.setattr(vetting, "LIMIT", 20.0)


def test_an_import_that_ends_the_process_is_named_and_the_others_are_there(write_plugin):
    bad = write_plugin("import os\nos._exit(7)\n", "bad.py")
    raising = write_plugin("raise ValueError('no')\n", "raising.py")
    fine = write_plugin(GOOD, "fine.py")
    found = vetting.load((bad, raising, fine))
    assert found.method("fine").given
    said = {broken.source: broken.error for broken in found.broken}
    assert said[str(bad)] == "its import failed: the process ended with exit code 7"
    assert said[str(raising)].startswith("ValueError: no")
    assert all(broken.given for broken in found.broken)
    assert [broken.source for broken in registry.load((bad,)).broken] == [str(bad)], "nor later"
    bad.write_text(fine.read_text().replace("fine", "mended"))
    assert vetting.load((bad,)).method("mended").file == bad, "until it is mended"


def test_an_import_that_hangs_is_not_waited_for(write_plugin):
    (broken,) = vetting.load((write_plugin("import time\ntime.sleep(600)\n", "hangs.py"),)).broken
    assert broken.error == "its import failed: took longer than 20 s"


SETTINGS = """
import os, random, warnings
import numpy as np
torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)
torch.use_deterministic_algorithms(True)
torch.set_float32_matmul_precision("medium")
torch.manual_seed(1), random.seed(1), np.random.seed(1)
os.environ["OF_A_PLUGIN"] = "1"
os.chdir("/")
warnings.simplefilter("ignore")
"""


def test_what_an_import_sets_for_the_whole_process_is_put_back(write_plugin, monkeypatch, capsys):
    monkeypatch.setattr(vetting, "ask", lambda *_, **__: [None])
    # What another test's training has left would be no change.
    torch.use_deterministic_algorithms(False)

    def state():
        generators = random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()
        settings = {name: read() for name, (read, _) in registry.SETTINGS.items()}
        return settings, generators, dict(os.environ), os.getcwd(), warnings.filters[:]

    before = state()
    found = vetting.load((write_plugin("import torch\n" + SETTINGS + GOOD, "sets.py"),))
    assert found.method("fine") and not found.broken
    assert state() == before
    told = capsys.readouterr().err
    assert "sets.py changes torch's default dtype and grad mode and deterministic algorithms and" in told


def test_a_look_at_a_method_from_elsewhere_costs_that_method_alone(write_plugin):
    bad = write_plugin(ENDS + GOOD, "looked.py")
    found = vetting.load((bad,))
    entries = [found.methods[name] for name in ("ends", "rectangle", "fine")]
    facts = vetting.of_each(single_layer.properties, entries, (bad,))
    assert facts["ends"] == NoAnswer("failed", "the process ended with exit code 3")
    assert facts["rectangle"].height == facts["fine"].height == 1
