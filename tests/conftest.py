"""A suite that trains in a fraction of a second, plugins written on the spot, and the command line."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from forked import Forked
from hypothesis import settings

# No test asserts a time: what is slow on a busy machine is not wrong.
settings.register_profile("spikegrad", deadline=None)
settings.load_profile("spikegrad")

ROOT = Path(__file__).resolve().parents[1]
TINY = {
    "name": "tiny",
    "methods": ["rectangle"],
    "datasets": [{"name": "digits", "subset": 200}],
    "backbones": [{"name": "mlp", "width": 0.125}],
    "timesteps": [2],
    "seeds": [0],
    "timeout": 60,
    "times": False,
    "measure": {"probe": "off", "descent": False},
    "recipe": {"epochs": 2, "batch_size": 32, "learning_rate": 0.01},
    "profile": {"device": "cpu", "compile": "off"},
}
IMPORTS = "from bench.surrogate import Param, Surrogate, method\nfrom bench import shapes\n"


def pytest_configure(config):
    config.addinivalue_line("markers", "needs_gpu: is skipped where torch finds no GPU; see tests/gpu/run.py")


def pytest_runtest_setup(item):
    if item.get_closest_marker("needs_gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no GPU here")


@pytest.fixture(scope="session")
def tiny():
    """tiny(methods=[...]) -> a Suite: digits, a narrow mlp, two epochs; any key may be changed."""
    from bench.suite import Suite

    return lambda **changes: Suite.model_validate(TINY | changes)


@pytest.fixture
def write_plugin(tmp_path):
    """write_plugin(text, name) -> the file, with the usual imports above the text."""

    def write(text, name="plugin.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(IMPORTS + dedent(text))
        return path

    return write


@pytest.fixture
def make_plan(tmp_path):
    """make_plan(suite, plugins=...) -> its plan over the results folder tmp_path/results."""
    from bench.records.store import Store
    from bench.runner import plan

    def make(suite, results="results", **options):
        options.setdefault("data_root", tmp_path / "data")
        return plan.make_plan(suite, Store(tmp_path / results, suite.name), **options)

    return make


@pytest.fixture(scope="session", autouse=True)
def _frames_elsewhere(tmp_path_factory):
    """Tests keep no frames in the user's own cache."""
    before = os.environ.get("SPIKEGRAD_CACHE")
    os.environ["SPIKEGRAD_CACHE"] = str(tmp_path_factory.mktemp("frames"))
    yield
    if before is None:
        del os.environ["SPIKEGRAD_CACHE"]
    else:
        os.environ["SPIKEGRAD_CACHE"] = before


@pytest.fixture(scope="session")
def environment(_frames_elsewhere):
    """The environment of a user who has the checkout on the path, no data, and no terminal."""
    kept = {k: v for k, v in os.environ.items() if k not in ("SPIKEGRAD_DATA", "COLUMNS", "FORCE_COLOR")}
    # Packages may lie in a folder that the path alone names.
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return kept | {"PYTHONPATH": path, "SPIKEGRAD_DATA": "/nowhere/data", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def started(environment):
    """started("run", "smoke", cwd=folder) -> what `spikegrad` gives, from an interpreter of its own."""

    def call(*arguments, cwd, path=None):
        command = [sys.executable, "-m", "bench", *map(str, arguments)]
        env = environment | ({} if path is None else {"PYTHONPATH": path})
        return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)

    return call


@pytest.fixture(scope="session")
def spikegrad(environment, started):
    """spikegrad("run", "smoke", cwd=folder) -> the ended process, its output as text.

    path: another PYTHONPATH, from which the package is then imported.
    """
    if sys.platform != "linux":
        yield started
        return
    with Forked(environment) as forked:
        yield lambda *arguments, cwd, path=None: forked(arguments, cwd, timeout=300, path=path)


@pytest.fixture
def start(environment):
    """start("run", "smoke", cwd=folder) -> the running process, in a group of its own."""
    started = []

    def call(*arguments, cwd, **more):
        command = [sys.executable, "-m", "bench", *map(str, arguments)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(
            subprocess.Popen(
                command,
                cwd=cwd,
                env=environment | more,
                start_new_session=True,
                # A shell that runs the tests in its background has them ignore Ctrl-C.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                **pipes,
            )
        )
        return started[-1]

    yield call
    for process in started:
        process.kill()
        process.communicate()
