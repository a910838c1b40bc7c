"""What all measurements share: they are taken in turn, and end in one ledger.

Where benchmarks are disabled, as in a plain run of the tests, everything is small and runs once, and
nothing is written: what is computed is checked all the same.
"""

import math
import sys
import time
from pathlib import Path

import in_turn as turns
import pytest
import torch
from layouts import Layouts
from ledger import Ledger
from rich.console import Console

from bench.runner.environment import describe
from bench.suite import Profile

LEDGER = pytest.StashKey[Ledger]()
BEGAN = pytest.StashKey[float]()
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
    parser.addoption(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="what to measure; auto is a GPU where there is one (default: auto)",
    )
    parser.addoption(
        "--stop-after",
        type=float,
        default=math.inf,
        metavar="SECONDS",
        help="begin nothing on a GPU that would not be done by then, and name what is left out",
    )


def pytest_configure(config):
    config.addinivalue_line("markers", "measured_only: has nothing of its own to show where nothing is timed")
    config.addinivalue_line("markers", "sizes(device): is measured on that device, whose sizes it has")
    config.stash[BEGAN] = time.monotonic()
    if device_of(config) == "cuda" and not torch.cuda.is_available():
        raise pytest.UsageError("--device cuda asked for, but torch finds none here: use --device cpu")


def pytest_collection_modifyitems(config, items):
    left = [item for item in items if not is_wanted(config, item)]
    items[:] = [item for item in items if item not in left]
    if left:
        config.hook.pytest_deselected(items=left)


def is_wanted(config, item) -> bool:
    if not is_measuring(config):
        return item.get_closest_marker("measured_only") is None
    sizes = item.get_closest_marker("sizes")
    return sizes is None or sizes.args == (device_of(config),)


def is_measuring(config) -> bool:
    return config.getoption("benchmark_enable") or not config.getoption("benchmark_disable")


def device_of(config) -> str:
    # An option only where this file is read before the command line is.
    named = config.getoption("device", "auto")
    return named if named != "auto" else "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="session")
def measuring(request) -> bool:
    """Whether times are wanted."""
    return is_measuring(request.config)


@pytest.fixture(scope="session")
def ledger(request, measuring):
    """Takes in what is measured; closed where nothing is."""
    return request.config.stash.setdefault(LEDGER, Ledger(open=measuring))


@pytest.fixture(scope="session")
def device(request):
    """What is measured."""
    return torch.device(device_of(request.config))


@pytest.fixture(scope="session")
def time_left(request):
    """time_left() -> seconds, of those that `--stop-after` allows."""
    ends = request.config.stash[BEGAN] + request.config.getoption("stop_after", math.inf)
    return lambda: ends - time.monotonic()


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
    environment = describe(Profile(device=device_of(config), threads=1), ["spikingjelly"])
    folder = config.getoption("performance", FOLDER)
    console.print(ledger.write(folder, environment), markup=False, highlight=False, soft_wrap=True)
