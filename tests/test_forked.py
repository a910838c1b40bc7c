"""Commands of the tests that are forked are those that a user starts."""

import re
import subprocess
import sys
import threading

import pytest
from forked import Forked
from tiny_toml import tiny_toml

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems start an interpreter each time"
)


@pytest.mark.parametrize("arguments", [["plan", "tiny.toml"], ["plan", "tini.toml"], ["--nonsense"]])
def test_a_forked_command_answers_as_a_started_one(spikegrad, started, tmp_path, arguments):
    (tmp_path / "tiny.toml").write_text(tiny_toml(["rectangle"], [0]))
    forked, real = spikegrad(*arguments, cwd=tmp_path), started(*arguments, cwd=tmp_path)
    assert (forked.returncode, forked.stdout, forked.stderr) == (real.returncode, real.stdout, real.stderr)


def test_a_forked_run_has_workers_of_its_own(spikegrad, write_plugin, tmp_path):
    (tmp_path / "tiny.toml").write_text(tiny_toml(["mine"], [0], epochs=1))
    for result in ("raise ValueError('no')", "return shapes.rectangle(x, 1.0, None)"):
        write_plugin(f'@method("mine", paper="none")\ndef mine(x):\n    {result}\n')
        done = spikegrad("run", "tiny.toml", "--plugin", "plugin.py", "--retry", cwd=tmp_path)
        assert ("FAILED" in done.stderr) == (done.returncode == 1) == result.startswith("raise"), done.stderr


def test_a_forked_command_that_takes_too_long_is_killed(environment, tmp_path):
    with Forked(environment) as forked:
        with pytest.raises(subprocess.TimeoutExpired):
            forked(["plan", "smoke"], tmp_path, timeout=0.01)
        assert forked(["--version"], tmp_path, timeout=300).returncode == 0


def test_a_server_that_ends_during_a_command_is_an_error(environment, tmp_path):
    with Forked(environment) as forked:
        assert forked(["--version"], tmp_path, timeout=300).returncode == 0
        threading.Timer(0.1, forked.server.kill).start()
        with pytest.raises(ConnectionError):
            forked(["plan", "smoke"], tmp_path, timeout=300)


def test_what_a_forked_command_draws_without_a_seed_is_its_own(spikegrad, write_plugin, tmp_path):
    drawn = "numpy.random.rand(), random.random(), torch.rand(1).item()"
    write_plugin(f"import numpy, random, torch\nprint('drew', {drawn})")
    listed = (spikegrad("list", "methods", "--plugin", "plugin.py", cwd=tmp_path) for _ in range(2))
    one, two = (re.search("drew (.*)", done.stdout + done.stderr).group(1).split() for done in listed)
    assert len(one) == 3 and not {*one} & {*two}
