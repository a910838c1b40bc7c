"""What all measurements share: they are taken in turn, and end in one ledger.

Where benchmarks are disabled, as in a plain run of the tests, everything is small and runs once, and
nothing is written: what is computed is checked all the same.
"""

import sys
from pathlib import Path

import in_turn as turns
import pytest
import torch
from layouts import Layouts
from ledger import Ledger
from rich.console import Console

from bench.environment import describe
from bench.suite import Profile

LEDGER = pytest.StashKey[Ledger]()
FOLDER = Path("results") / "local" / "performance"
WIDTH = 100
ONCE = turns.Pace(warm=0, least=1, rounds=1)


def pytest_addoption(parser):
    parser.addoption(
        "--performance",
        type=Path,
        default=FOLDER,
        metavar="DIR",
        help=f"where to keep what was measured, one file a machine (default: {FOLDER})",
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "measured_only: has nothing of its own to show where nothing is timed")


def pytest_collection_modifyitems(config, items):
    if is_measuring(config):
        return
    left = [item for item in items if item.get_closest_marker("measured_only")]
    items[:] = [item for item in items if item not in left]
    if left:
        config.hook.pytest_deselected(items=left)


def is_measuring(config) -> bool:
    return config.getoption("benchmark_enable") or not config.getoption("benchmark_disable")


@pytest.fixture(scope="session")
def measuring(request) -> bool:
    """Whether times are wanted."""
    return is_measuring(request.config)


@pytest.fixture(scope="session")
def ledger(request, measuring):
    """Takes in what is measured; closed where nothing is."""
    return request.config.stash.setdefault(LEDGER, Ledger(open=measuring))


@pytest.fixture(scope="session")
def device():
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def one_thread():
    """Whatever the machine has, torch computes with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def in_turn(measuring, device):
    """in_turn({name: call}) -> Times; one round where nothing is measured."""

    def run(subjects, **pace):
        return turns.in_turn(subjects, device, turns.Pace(**pace) if measuring else ONCE)

    return run


@pytest.fixture(scope="session")
def layouts():
    """The better layout of each network, known to all measurements once one has tried it out."""
    return Layouts()


@pytest.fixture(scope="session")
def compiler_cache(measuring, tmp_path_factory):
    """A new one where it is measured: what an earlier session compiled would take no time."""
    with pytest.MonkeyPatch.context() as patch:
        if measuring:
            patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        yield


def pytest_terminal_summary(terminalreporter, config):
    ledger = config.stash.get(LEDGER, None)
    if ledger is None or not ledger.rows:
        return
    terminalreporter.section("budgets")
    console = Console(file=sys.stdout, width=max(WIDTH, terminalreporter._tw.fullwidth))
    ledger.show(console)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    environment = describe(Profile(device=device, threads=1), ["spikingjelly"])
    # The folder is only an option where this file is read before the command line is.
    folder = config.getoption("performance", FOLDER)
    console.print(ledger.write(folder, environment), markup=False, highlight=False, soft_wrap=True)
